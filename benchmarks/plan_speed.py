"""Padding and planning time of Dynamic Pack against TRL's packing, first-fit and next-fit, on the same lengths in one run.

    python -m benchmarks.plan_speed --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct
    python -m benchmarks.plan_speed --lengths lengths.json --samples 1000000

Lengths come from --lengths (a JSON list of integers, or text with one integer a line), or are those of the instruction data in
CODEACT_DATA: counted by --tokenizer (a name, a folder or a .gguf file) or, without one, estimated as one token for every 3.5
characters. They are resampled, with replacement, to each --samples. TRL is timed where it is installed; its
function also copies the tokens, so it is given one-byte tokens: nearly all of its time is planning.

Result: benchmarks/results/plan_speed.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.packing import padding_rate, plan_batch, plan_epoch

DATA_FILES = ("code_alpaca_new_4535.json", "evol_instruct_code_1966.json")
FIELDS = ("instruction", "input", "output")
CHARACTERS_PER_TOKEN = 3.5  # of SmolLM2's tokenizer on these files, rounded


def read_lengths(path: Path) -> np.ndarray:
    text = path.read_text(encoding="utf-8")
    values = json.loads(text) if path.suffix == ".json" else text.split()
    return np.array(values, dtype=np.int64)


def measure_lengths(folder: Path, tokenizer: str | None) -> np.ndarray:
    rows = [row for name in DATA_FILES for row in json.loads((DATA / name).read_text(encoding="utf-8"))]
    texts = ["\n".join(str(row[field]) for field in FIELDS if row.get(field)) for row in rows]
    if tokenizer is None:
        return np.array([max(1, round(len(text) / CHARACTERS_PER_TOKEN)) for text in texts])
    from transformers import AutoTokenizer

    path = Path(tokenizer)
    loaded = (
        AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        if path.suffix == ".gguf"
        else AutoTokenizer.from_pretrained(tokenizer)
    )
    return np.array([len(ids) + 1 for ids in loaded(texts)["input_ids"]])  # one more: the end of the sequence


def next_fit(lengths: np.ndarray, capacity: int) -> int:
    rows, load = 1, 0
    for size in lengths.tolist():
        if load + size > capacity:
            rows, load = rows + 1, 0
        load += size
    return rows


def first_fit(lengths: np.ndarray, capacity: int) -> int:
    """The leftmost row that takes each sample, found in a tree of the largest room."""
    leaves = 1 << (len(lengths) - 1).bit_length()
    room = [capacity] * (2 * leaves)
    used = 0
    for size in lengths.tolist():
        node = 1
        while node < leaves:
            node *= 2
            if room[node] < size:
                node += 1
        room[node] -= size
        used = max(used, node - leaves + 1)
        node //= 2
        while node:
            best = max(room[2 * node], room[2 * node + 1])
            if best == room[node]:
                break
            room[node] = best
            node //= 2
    return used


def trl_packer() -> Callable[[np.ndarray, int], int]:
    import pyarrow as pa
    from trl.data_utils import _pack_bfd

    def rows(lengths: np.ndarray, capacity: int) -> int:
        return len(_pack_bfd(one_byte_table(pa, lengths), capacity))

    return rows


def one_byte_table(pa: Any, lengths: np.ndarray) -> Any:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    column = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(offsets[-1], np.int8)))
    return pa.table({"input_ids": column})


def timed(function: Callable[[], Any], repeats: int = 1) -> tuple[Any, dict[str, float]]:
    """The result, and the best wall and processor time: all methods are single-threaded, so on a busy machine the latter tells."""
    wall, processor = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - cpu)
    return result, {"seconds": min(wall), "processor_seconds": min(processor)}


def epoch_scope(lengths: np.ndarray, capacity: int, peers: bool) -> dict[str, dict[str, float | int]]:
    planned, seconds = timed(lambda: plan_epoch(lengths, capacity), repeats=3)
    table = {
        "plan_epoch": {
            "rows": len(planned),
            "padding_rate": padding_rate(planned, lengths, capacity),
            **seconds,
        }
    }
    others: dict[str, Callable[[np.ndarray, int], int]] = {}
    if peers:
        others = {"first-fit": first_fit, "next-fit": next_fit}
        if find_spec("trl") and find_spec("datasets"):
            others = {f"TRL {version('trl')} bfd": trl_packer(), **others}
        else:
            print("trl is not installed: its packing is left out of this run")
    for name, method in others.items():
        rows, seconds = timed(lambda method=method: method(lengths, capacity))
        table[name] = {"rows": rows, "padding_rate": 1 - int(lengths.sum()) / (rows * capacity), **seconds}
    return table


def batch_scope(lengths: np.ndarray, capacity: int, batch_size: int) -> dict[str, dict[str, float | int]]:
    """Rows pad to the longest of their batch; first-fit and next-fit take the samples as they come."""
    batches = [lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)]

    def greedy(first: bool) -> Callable[[np.ndarray], list[int]]:
        def loads(batch: np.ndarray) -> list[int]:
            rows = [0]
            for size in batch.tolist():
                open_rows = range(len(rows)) if first else (len(rows) - 1,)
                row = next((row for row in open_rows if rows[row] + size <= capacity), None)
                if row is None:
                    rows.append(size)
                else:
                    rows[row] += size
            return rows

        return loads

    def ours(order: str) -> Callable[[np.ndarray], list[int]]:
        return lambda batch: [int(batch[row].sum()) for row in plan_batch(batch, capacity, order)]

    methods = {
        "plan_batch": ours("balanced"), "reference Dynamic Pack": ours("paper"), "first-fit": greedy(True), "next-fit": greedy(False),
        "dynamic padding": lambda batch: batch.tolist(),
    }  # fmt: skip
    table = {}
    for name, method in methods.items():
        plans, seconds = timed(lambda method=method: [method(batch) for batch in batches])
        held = sum(len(rows) * max(rows) for rows in plans)
        table[name] = {"rows": sum(map(len, plans)), "padding_rate": 1 - int(lengths.sum()) / held, **seconds}
    return table


def show(title: str, table: dict[str, dict[str, float | int]]) -> None:
    print(f"\n{title}\n{'method':<24}{'rows':>12}{'padding':>10}{'seconds':>10}{'cpu s':>10}")
    for name, row in table.items():
        print(
            f"{name:<24}{row['rows']:>12,}{row['padding_rate']:>10.2%}{row['seconds']:>10.3f}{row['processor_seconds']:>10.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=Path, help="JSON list of integers, or text with one integer a line")
    parser.add_argument("--tokenizer", help="name, folder or .gguf file; default: an estimate from the characters")
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--capacity", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "plan_speed.json")
    options = parser.parse_args()

    if options.lengths is None and not all((DATA / name).exists() for name in DATA_FILES):
        parser.error(f"{DATA} lacks {' or '.join(DATA_FILES)}; set CODEACT_DATA to their folder or give --lengths")
    real = read_lengths(options.lengths) if options.lengths else measure_lengths(DATA, options.tokenizer)
    real = np.minimum(real, options.capacity)
    source = str(options.lengths.name) if options.lengths else " + ".join(DATA_FILES)
    counted = (
        "as given" if options.lengths else Path(options.tokenizer).name if options.tokenizer else "characters / 3.5"
    )
    print(
        f"{len(real):,} lengths of {source} (tokens: {counted}): mean {real.mean():.1f}, longest {real.max()}, capacity {options.capacity}"
    )

    figures: dict[str, Any] = {
        **machine.provenance(),
        "lengths": {"source": source, "tokens": counted, "samples": len(real), "mean": float(real.mean()), "longest": int(real.max())},
        "capacity": options.capacity, "batch_size": options.batch_size, "seed": options.seed,
        "epoch": {}, "batch": {},
    }  # fmt: skip
    for count in options.samples:
        lengths = np.random.default_rng(options.seed).choice(real, count)
        smallest = count == min(options.samples)
        table = epoch_scope(lengths, options.capacity, peers=smallest)
        show(f"whole epoch, {count:,} samples, rows padded to {options.capacity}", table)
        figures["epoch"][str(count)] = table
        if smallest:
            table = batch_scope(lengths, options.capacity, options.batch_size)
            show(f"batches of {options.batch_size}, {count:,} samples, rows padded to their batch's longest", table)
            figures["batch"][str(count)] = table
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result_files.write(options.out, figures)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
