"""Processor time of each stage of curation, on real records and on more of them drawn with replacement.

    python -m benchmarks.curate_speed --resampled 100000

A resampled record gets a number appended to its instruction, so that it is no exact copy. Records per second are of processor
time (of this process, and for the examples of the sandboxed ones too), which other work on the machine hardly changes; the
peer of each figure is the plain reading of the same records (split into words), in the same run. Memory is the peak of the
process after the stage, which never falls.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import CODE_ALPACA, EVOL_INSTRUCT
from benchmarks.turns import processor_seconds
from codeact.curate import BenchmarkItem
from codeact.curate.decontaminate import build_index, find_overlap, find_renamed_solution
from codeact.curate.dedup import find_duplicates
from codeact.curate.mismatch import find_mismatches
from codeact.curate.near_copies import find_near, find_same_meaning
from codeact.curate.renamed_copies import find_renamed
from codeact.curate.single_record import check_record
from codeact.evaluation.sets import load_tasks
from codeact.records import Message, Record, read_data
from codeact.sandbox import detect_backend

MOST_EXAMPLES = 2000


def resampled(records: list[Record], count: int, seed: int) -> list[Record]:
    places = np.random.default_rng(seed).integers(0, len(records), count)
    found = []
    for number, place in enumerate(places.tolist()):
        first, *rest = records[place].messages
        found.append(
            Record(f"{number:07d}", (Message(first.role, f"{first.content} ({number})"), *rest), {"row": number})
        )
    return found


def stages(records: list[Record], seed: int) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Name -> (records it reads, the work)."""
    items = [
        BenchmarkItem(n, t.id, t.prompt, t.canonical_solution)
        for n in ("humaneval", "mbpp")
        for t in load_tasks(n).tasks
    ]
    index = build_index(items)
    backend = detect_backend()
    find_mismatches(records[:60], 0.02)  # imports and compiled patterns are no part of the work
    find_near(records[:60], 0.8)
    for record in records[:60]:
        check_record(record, ("syntax", "grammars", "complete", "language", "names"))
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(records), 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [r.id for r in records]
    few = records[:MOST_EXAMPLES]
    count = len(records)
    found: dict[str, tuple[int, Callable[[], Any]]] = {
        "reading (peer)": (count, lambda: [r.instruction.split() + r.response.split() for r in records])
    }
    for check in ("syntax", "grammars", "complete", "language", "names"):
        found[f"verify: {check}"] = (count, lambda check=check: [check_record(r, (check,)) for r in records])  # type: ignore[misc]
    return found | {
        "verify: examples": (len(few), lambda: [check_record(r, ("examples",), backend) for r in few]),
        "mismatch": (count, lambda: find_mismatches(records, 0.02)),
        "dedup: exact": (count, lambda: find_duplicates(records)),
        "dedup: renamed": (count, lambda: find_renamed(records)),
        "dedup: near": (count, lambda: find_near(records, 0.8)),
        "dedup: semantic (random vectors, 384 dimensions)": (
            count,
            lambda: find_same_meaning(ids, vectors, range(count), 0.98),
        ),
        "decontaminate: words": (count, lambda: [find_overlap(r, index) for r in records]),
        "decontaminate: renamed code": (count, lambda: [find_renamed_solution(r, index) for r in records]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[str(EVOL_INSTRUCT), str(CODE_ALPACA)])
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--resampled", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/curate_speed.json.xz"))
    parser.add_argument("--stages", nargs="*", default=None, help="only those whose name starts with one of these")
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    records = [r for name in args.data for r in read_data(name).records]
    records = list({r.id: r for r in records}.values())[: args.limit]
    result["runs"] = {}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for label, some in (
        ("real", records),
        ("resampled", resampled(records, args.resampled, args.seed) if args.resampled else []),
    ):
        if not some:
            continue
        rows = {}
        for name, (count, work) in stages(some, args.seed).items():
            if args.stages and not name.startswith(tuple(args.stages)):
                continue
            started, before = time.perf_counter(), processor_seconds()
            found = work()
            seconds = max(processor_seconds() - before, 1e-6)
            rows[name] = {
                "records": count,
                "cpu_seconds": round(seconds, 2),
                "wall_seconds": round(time.perf_counter() - started, 2),
                "records_per_cpu_second": round(count / seconds, 1),
                "peak_memory_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
            del found
            print(
                f"{label:<10}{name:<50}{count:>9,}{seconds:>9.1f} s{count / seconds:>12,.0f} records/s{rows[name]['peak_memory_MiB']:>8,} MiB",
                flush=True,
            )
            result["runs"][label] = rows
            result_files.write(args.out, result)


if __name__ == "__main__":
    main()
