"""IFD scoring speed: this scorer against the reference algorithm, on the same records in the same run.

    python -m benchmarks.ifd_speed --records 60 --data ../shared/data/evol_instruct_code_1966.json --model demo

The reference algorithm is restated here: one record at a time, two passes with batch 1, logits at every position, the
model's own loss, PyTorch's SDPA. Both sides score the paper's variant, so the values are compared too. They take turns, a
few records each, so that whatever else the machine does hits both. Tokenising counts on both sides; loading does not.

Result: benchmarks/results/ifd_speed.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.models import load_model, load_tokenizer
from codeact.progress import track
from codeact.records import Record, read_data
from codeact.score import Scorer, Status, build_sequences
from codeact.score.cost import forward_flops, model_cost

RESULTS = Path(__file__).parent / "results"
SHOWN = (
    ("ratio", "reference seconds / ours"),
    ("ratio_cpu_seconds", "the same in CPU seconds"),
    ("ours_tokens_per_second", "ours, model tokens/s"),
    ("reference_tokens_per_second", "reference, model tokens/s"),
    ("ours_share_of_peak", "ours, share of matrix-multiply peak"),
    ("reference_share_of_peak", "reference, share of it"),
    ("largest_difference", "largest difference of an IFD"),
)


def reference_ifd(record: Record, model: Any, tokenizer: Any, max_length: int) -> float:
    """The reference algorithm for one record; NaN where it has nothing to average."""
    question = record.messages[-2].content
    answer = record.messages[-1].content
    prompt = f"Question:\n{question}\n\nAnswer:\n"
    boundary = len(tokenizer.encode(prompt, truncation=True, max_length=max_length))
    losses = []
    for text, limit, masked in ((answer, max_length - boundary + 1, 0), (prompt + answer, max_length, boundary)):
        ids = tokenizer.encode(text, return_tensors="pt", truncation=True, max_length=limit).to(model.device)
        labels = ids.clone()
        labels[0, :masked] = -100
        with torch.no_grad():
            losses.append(model(ids, labels=labels).loss.item())
    return math.exp(losses[1] - losses[0])


class Clock:
    """Wall and CPU seconds of the blocks it has timed."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.wall, self.cpu = device, 0.0, 0.0

    def __enter__(self) -> None:
        self.settle()
        self.started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.settle()
        self.wall += time.perf_counter() - self.started[0]
        self.cpu += time.process_time() - self.started[1]

    def settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """`count` records, evenly spaced over the file."""
    step = max(1.0, len(records) / count)
    return [records[int(n * step)] for n in range(min(count, len(records)))]


def measure_peak(device: Any = "cpu", dtype: Any = None, seconds: float = 1.0) -> float:
    """Best FLOP/s of a square matrix product on this machine, within about `seconds` (2048 wide on CPU, 8192 elsewhere)."""
    import torch

    place = torch.device(device)
    size = 2048 if place.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=place).to(dtype or torch.float32) for _ in range(2))

    def wait() -> None:
        if place.type != "cpu":
            getattr(torch, place.type).synchronize()

    best, started = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - started < seconds:
        wait()
        begin = time.perf_counter()
        left @ right
        wait()
        best = min(best, time.perf_counter() - begin)
    return 2.0 * size**3 / best


def measure(records: list[Record], model_name: str, dtype: str, group: int, max_length: int) -> dict[str, Any]:
    """Run both and compare."""
    device = choose_device()
    kind = choose_dtype(dtype, device)
    name = str(kind).removeprefix("torch.")
    tokenizer = load_tokenizer(model_name)
    plain = load_model(model_name, dtype=name, attention="sdpa")
    scorer = Scorer(load_model(model_name, dtype=name), tokenizer, variant="paper", max_length=max_length)
    reference_ifd(records[0], plain, tokenizer, scorer.max_length)
    scorer.score(records[:1])
    ours, theirs = Clock(device), Clock(device)
    peaks = [measure_peak(device, kind)]
    gaps: list[float] = []
    statuses: list[Status] = []
    with track("benchmark", len(records)) as bar:
        for number, start in enumerate(range(0, len(records), group)):
            part = records[start : start + group]
            # who goes first alternates
            for mine in (True, False) if number % 2 else (False, True):
                if mine:
                    with ours:
                        scores = scorer.score(part)
                else:
                    with theirs:
                        values = [reference_ifd(r, plain, tokenizer, scorer.max_length) for r in part]
            statuses += [s.status for s in scores]
            gaps += [abs(s.ifd - v) for s, v in zip(scores, values, strict=True) if s.ifd is not None]
            peaks.append(measure_peak(device, kind))
            bar.advance(len(part))
    prepared = [build_sequences(r, scorer.template, tokenizer, "paper", scorer.max_length) for r in records]
    streams = [stream for item in prepared for stream in item.streams]
    lengths = [len(stream.ids) - 1 for stream in streams]
    scored = sum(span.end - span.start for stream in streams for span in stream.spans)
    flops = forward_flops(model_cost(plain.config), lengths, scored)
    tokens, peak = sum(lengths), max(peaks)
    return {
        "records": len(records), "model": model_name, "dtype": name, "device": str(device),
        "threads": torch.get_num_threads(),
        "batch_tokens": scorer.batch_tokens, "group": group, "tokens": tokens, "scored_tokens": scored, "flops": flops,
        "ours_seconds": ours.wall, "reference_seconds": theirs.wall, "ratio": theirs.wall / ours.wall,
        "ours_cpu_seconds": ours.cpu, "reference_cpu_seconds": theirs.cpu, "ratio_cpu_seconds": theirs.cpu / ours.cpu,
        "ours_tokens_per_second": tokens / ours.wall, "reference_tokens_per_second": tokens / theirs.wall,
        "peak_flops": peak, "peaks_flops": peaks,
        "ours_share_of_peak": flops / ours.wall / peak, "reference_share_of_peak": flops / theirs.wall / peak,
        "largest_difference": max(gaps, default=None), "status": {s: statuses.count(s) for s in sorted(set(statuses))},
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="../shared/data/evol_instruct_code_1966.json", help="any file that codeact reads"
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--records", type=int, default=60, help="how many, evenly spaced over the file")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--group", type=int, default=12, help="records per turn of each side")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--output", type=Path, default=RESULTS / "ifd_speed.json")
    args = parser.parse_args()
    records = read_data(args.data).records
    told = provenance()
    found = told | measure(spread(records, args.records), args.model, args.dtype, args.group, args.max_length)
    found["data"] = Path(args.data).name
    result_files.write(args.output, found)
    print(json.dumps(found["status"]), f"{found['tokens']:,} tokens, {found['dtype']} on {found['device']}")
    for key, label in SHOWN:
        print(f"{label:<38} {found[key]:.3g}")
    lowest, highest = min(found["peaks_flops"]), max(found["peaks_flops"])
    if lowest < 0.8 * highest:
        print(
            f"other work ran meanwhile (matrix-multiply peak {lowest:.2g} to {highest:.2g} FLOP/s): do not use these speeds"
        )


if __name__ == "__main__":
    main()
