"""Which training records hold a benchmark's tasks, method by method, with both texts side by side.

python benchmarks/contamination.py --data ../shared/data/evol_instruct_code_1966.json ../shared/data/code_alpaca_2017.json
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import machine

from codeact.curate import BenchmarkItem
from codeact.curate.decontaminate import build_index, find_overlap, find_renamed_solution
from codeact.evaluate.tasks import load_tasks
from codeact.records import to_records
from codeact.storage import read_rows

SHOWN = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("evol_instruct_code_1966", "code_alpaca_2017", "code_alpaca_new_4535")
    parser.add_argument("--data", nargs="+", default=[f"../shared/data/{name}.json" for name in names])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/contamination.json"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    items = [
        BenchmarkItem(n, t.id, t.prompt, t.canonical_solution)
        for n in ("humaneval", "mbpp")
        for t in load_tasks(n).tasks
    ]
    thirteen, ten = build_index(items, 13), build_index(items, 10)
    methods = {
        "13 words": partial(find_overlap, index=thirteen),
        "10 words": partial(find_overlap, index=ten),
        "renamed code": partial(find_renamed_solution, index=thirteen),
    }
    result |= {"items": len(items), "counts": {}, "hits": []}
    for path in args.data:
        records, _ = to_records(read_rows(path).rows, where=path)
        result["counts"][Path(path).stem] = counts = {"records": len(records)}
        for name, find in methods.items():
            hits = [(r, hit) for r in records if (hit := find(r)) is not None]
            counts[name] = len(hits)
            for record, hit in hits if name != "10 words" else ():
                result["hits"].append(
                    {
                        "data": Path(path).stem, "row": record.meta["row"], "method": name, "item": hit.item.id, "evidence": hit.text[:SHOWN],
                        "instruction": record.instruction[:SHOWN], "response": record.response[:SHOWN],
                        "prompt": hit.item.text_prompt[:SHOWN], "solution": hit.item.solution[:SHOWN],
                    }
                )  # fmt: skip
        print(f"{Path(path).stem:<28}" + "".join(f"{key}: {value:<8}" for key, value in counts.items()), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
