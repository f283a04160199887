"""IFD scoring speed: this scorer against the reference algorithm, on the same records in turns.

    python -m benchmarks.ifd_speed --records 60
    python -m benchmarks.ifd_speed --records 60 --dtypes bfloat16 float32

The reference algorithm is restated here: one record at a time, two passes with batch 1, logits at every position, the
model's own loss, PyTorch's SDPA. Both sides score the paper's variant, so the values are compared too. `body alone` is the decoder on
the packed rows of the same records, without a head: what is left if all losses cost nothing. They take turns, a few records each, so
that whatever else the machine does hits all. Tokenising counts; loading does not.

A way's share of the limit is its model FLOPs by the best matrix product measured around its turns, both by processor seconds: other
programs on the machine hardly change that.

Result: benchmarks/results/ifd_speed.json.xz (of an older processor: benchmarks/results/ifd_speed_avx2.json)
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import result_files
from benchmarks.machine import provenance
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import Turn, in_turns, ratios, timed
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.forward import hidden_states
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.streams import Stream
from codeact.packing.collate import collate_rows
from codeact.packing.plan import plan_epoch
from codeact.records import Record
from codeact.score import Scorer
from codeact.score.cost import forward_flops, model_cost

RESULTS = Path(__file__).parent / "results"
ALONE, BODY, OURS = "one by one, {}", "body alone, {}", "codeact, {}"


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


def peak_by_processor(dtype: Any, seconds: float = 1.0) -> float:
    """Best FLOPs by second of processor time of a square matrix product on the CPU, 2048 wide."""
    size = 2048
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    best, started = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - started < seconds:
        begin = time.process_time()
        left @ right
        best = min(best, time.process_time() - begin)
    return 2.0 * size**3 / best


def body(scorer: Scorer, streams: Sequence[Stream]) -> None:
    """The decoder over the rows that scoring makes of the streams."""
    samples = [{"input_ids": np.asarray(stream.ids[:-1], np.int64)} for stream in streams]
    lengths = np.array([len(sample["input_ids"]) for sample in samples], np.int64)
    with torch.inference_mode():
        for one in plan_epoch(lengths, max(scorer.batch_tokens, int(lengths.max()))) if samples else ():
            batch = collate_rows(samples, [one], pad_token_id=0)
            hidden_states(
                scorer.model, {k: v.to(scorer.model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
            )


def measure(
    records: Sequence[Record], model: str, dtypes: Sequence[str], group: int, max_length: int,
    others: Callable[[list[list[Record]], int], dict[str, Callable[[int], Turn]]] = lambda groups, limit: {},
    missing: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Turns of every way, group after group of the records.

    Args:
        records: conversations of one answer.
        model: as `load_model` takes it.
        dtypes: of the model; the first one is compared with the others.
        group: records of a turn.
        max_length: most tokens of a sequence.
        others: further ways by the groups and the limit of tokens in force, each giving the turn of a group.
        missing: as `in_turns` fills it.

    Returns:
        `turns` by way, `ratios` to the first dtype's scorer by the clock and by processor seconds, the peaks, the largest difference
        of an IFD from the reference's in the same dtype.
    """  # fmt: skip
    device = choose_device()
    tokenizer = load_tokenizer(model)
    groups = [list(records[at : at + group]) for at in range(0, len(records), group)]
    names = [str(choose_dtype(dtype, device)).removeprefix("torch.") for dtype in dtypes]
    scorers = {
        name: Scorer(load_model(model, dtype=name), tokenizer, variant="paper", max_length=max_length) for name in names
    }
    plain = {name: load_model(model, dtype=name, attention="sdpa") for name in names}
    limit = scorers[names[0]].max_length
    work, flops, scored = [], [], 0
    streams = []
    for some in groups:
        found = [stream for item in scorers[names[0]].prepare(some) for stream in item.streams]
        streams.append(found)
        lengths = [len(stream.ids) - 1 for stream in found]
        count = sum(span.end - span.start for stream in found for span in stream.spans)
        work.append(sum(lengths))
        flops.append(forward_flops(model_cost(plain[names[0]].config), lengths, count))
        scored += count
    values: dict[str, dict[int, list[float]]] = {}
    peaks: dict[str, list[float]] = {name: [] for name in names}

    def told(turn: Turn, number: int, way: str, found: list[float]) -> Turn:
        values.setdefault(way, {})[number] = found
        return {**turn, "work": work[number]}

    def ours(name: str, number: int) -> Turn:
        peaks[name].append(peak_by_processor(choose_dtype(name, device)))
        scores, turn = timed(lambda: scorers[name].score(groups[number]))
        found = [score.ifd if score.ifd is not None else math.nan for score in scores]
        return {**told(turn, number, OURS.format(name), found), "flops": flops[number]}

    def alone(name: str, number: int) -> Turn:
        found, turn = timed(lambda: [reference_ifd(r, plain[name], tokenizer, limit) for r in groups[number]])
        return {**told(turn, number, ALONE.format(name), found), "flops": flops[number]}

    def bare(name: str, number: int) -> Turn:
        _, turn = timed(lambda: body(scorers[name], streams[number]))
        return {**turn, "work": work[number]}

    ways: dict[str, Callable[[int], Turn]] = {}
    for name in names:
        reference_ifd(records[0], plain[name], tokenizer, limit)  # first-call costs belong to nobody
        scorers[name].score(records[:1])
        ways |= {OURS.format(name): lambda n, name=name: ours(name, n), ALONE.format(name): lambda n, name=name: alone(name, n)}
        ways[BODY.format(name)] = lambda n, name=name: bare(name, n)
    ways |= others(groups, limit)
    turns = in_turns(ways, len(groups), missing)
    best = {name: max(some) for name, some in peaks.items()}
    for way, some in turns.items():
        for turn in some:
            if count := turn.pop("flops", None):
                turn["share_of_limit"] = count / turn["cpu_seconds"] / best[way.rpartition(" ")[2]]
    gaps = {
        name: float(np.nanmax([abs(a - b) for n in range(len(groups))
                               for a, b in zip(values[OURS.format(name)][n], values[ALONE.format(name)][n], strict=True)]))
        for name in names
    }  # fmt: skip
    first = OURS.format(names[0])
    return {
        "records": len(records), "model": model, "device": str(device), "threads": torch.get_num_threads(), "tokens": sum(work),
        "scored_tokens": scored, "flops": sum(flops), "batch_tokens": scorers[names[0]].batch_tokens, "group": group,
        "peak_flops_per_processor_second": best, "peaks": peaks, "turns": turns, "ours": first,
        "ratios": {key: ratios(turns, first, key) for key in ("seconds", "cpu_seconds")},
        "largest_difference": gaps,
        "tokens_per_processor_second": {way: sum(work) / sum(turn["cpu_seconds"] for turn in some) for way, some in turns.items()},
        "tokens_per_second": {way: sum(work) / sum(turn["seconds"] for turn in some) for way, some in turns.items()},
        "share_of_limit": {way: median(turn["share_of_limit"] for turn in some) for way, some in turns.items() if "share_of_limit" in some[0]},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--records", type=int, default=60, help="how many, evenly spaced over the file")
    parser.add_argument("--dtypes", nargs="+", default=["auto", "float32"])
    parser.add_argument("--group", type=int, default=6, help="records per turn of each side")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--output", type=Path, default=RESULTS / "ifd_speed.json.xz")
    args = parser.parse_args()
    records = spread(instruction_records(files=("evol_instruct_code_1966.json",)), args.records)
    told = provenance()
    found = measure(records, args.model, list(dict.fromkeys(args.dtypes)), args.group, args.max_length)
    result_files.write(args.output, told | found)
    for way, rate in found["tokens_per_processor_second"].items():
        times = found["ratios"]["cpu_seconds"].get(way, (1.0, 1.0, 1.0))
        share = found["share_of_limit"].get(way)
        print(
            f"{way:<28}{rate:>8.0f} tokens per processor second, {found['tokens_per_second'][way]:>8.0f} by the clock;"
            f" {times[0]:.2f} ({times[1]:.2f} to {times[2]:.2f}) of ours' processor time"
            + (f"; share of the limit {share:.2f}" if share else "")
        )
    print({"largest difference of an IFD": found["largest_difference"]})


if __name__ == "__main__":
    main()
