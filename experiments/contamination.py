"""Which training records hold a benchmark's tasks, method by method, and how many tasks are found when they leak unchanged.

    python -m experiments.contamination

The benchmarks are those that `curate.decontaminate: auto` finds. What is dropped of more data, with a verdict on each, is in
`copy_drops.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.config import CurateConfig
from codeact.curate import BenchmarkItem
from codeact.curate.decontaminate import Index, build_index, find_overlap, find_renamed_solution
from codeact.evaluation.benchmarks import benchmark_items
from codeact.records import Message, Record, read_data

NGRAMS = (13, 10)


def leaks(items: Sequence[BenchmarkItem], index: Index) -> dict[str, int]:
    """How many of a benchmark's items are found by what a record holds of them."""
    shown = {
        "prompt and solution": lambda item: (item.text_prompt, item.solution),
        "prompt": lambda item: (item.text_prompt, "Yes."),
        "solution": lambda item: ("Do it.", item.solution),
    }
    found = {name: sum(_found(*make(item), index) for item in items) for name, make in shown.items()}
    return {"items": len(items), **found}


def _found(asked: str, answer: str, index: Index) -> bool:
    record = Record("leak", (Message("user", asked), Message("assistant", f"```python\n{answer}\n```")))
    return (find_overlap(record, index) or find_renamed_solution(record, index)) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("evol_instruct_code_1966", "code_alpaca_2017", "code_alpaca_new_4535")
    parser.add_argument("--data", nargs="+", default=[str(DATA / f"{name}.json") for name in names])
    parser.add_argument("--out", type=Path, default=Path("experiments/results/contamination.json"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    items = benchmark_items(CurateConfig())
    indexes = {ngram: build_index([item for some in items.values() for item in some], ngram) for ngram in NGRAMS}
    methods = {f"{ngram} words": partial(find_overlap, index=index) for ngram, index in indexes.items()}
    methods["renamed code"] = partial(find_renamed_solution, index=indexes[NGRAMS[0]])
    result |= {"items": {name: len(some) for name, some in items.items()}, "counts": {}}
    result["leaks"] = {name: leaks(some, indexes[NGRAMS[0]]) for name, some in items.items() if name != "cruxeval"}
    for path in args.data:
        records = read_data(path).records
        counts = {name: sum(find(r) is not None for r in records) for name, find in methods.items()}
        result["counts"][Path(path).stem] = {"records": len(records), **counts}
        print(f"{Path(path).stem:<28}" + "".join(f"{key}: {value:<8}" for key, value in counts.items()), flush=True)
    print(json.dumps(result["leaks"], indent=1))
    result_files.write(args.out, result)


if __name__ == "__main__":
    main()
