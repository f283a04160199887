"""Records that are near a benchmark's task by meaning: what `curate.neighbours` flags for review.

    python -m experiments.neighbours --threshold 0.75

Flags each record whose instruction has this cosine with the prompt of a task, and says which of them a method that drops
(shared words, renamed code) finds too. The result has rows and tasks, highest cosine first, and no text of either;
with `--texts FILE` both texts side by side, for reading.

Result: experiments/results/neighbours*.json*
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.curate import BenchmarkItem
from codeact.curate.decontaminate import build_index, find_overlap, find_renamed_solution
from codeact.curate.near_copies import neighbours
from codeact.embed import embed_texts
from codeact.evaluation.sets import load_tasks
from codeact.records import read_data
from codeact.storage import write_jsonl

THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9)


def embedded(texts: list[str], path: Path, model: str) -> np.ndarray[Any, Any]:
    """Embeddings of these texts, kept on disk."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, embed_texts(texts, model=model))
    found: np.ndarray[Any, Any] = np.load(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--embedder", default="demo")
    parser.add_argument("--threshold", type=float, default=0.75)
    parser.add_argument("--cache", type=Path, default=Path("runs/coverage"), help="as of coverage.py")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/neighbours.json.xz"))
    parser.add_argument("--texts", type=Path, help="JSONL to write: what is flagged with its texts")
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    records = read_data(args.data).records
    items = [
        BenchmarkItem(n, t.id, t.prompt, t.canonical_solution)
        for n in ("humaneval", "mbpp")
        for t in load_tasks(n).tasks
    ]
    stem = Path(args.data).stem
    points = embedded([r.instruction for r in records], args.cache / f"{stem}-{len(records)}.npy", args.embedder)
    targets = embedded([i.text_prompt for i in items], args.cache / f"benchmarks-{len(items)}.npy", args.embedder)
    index = build_index(items)
    result |= {"records": len(records), "items": len(items), "embedder": args.embedder, "threshold": args.threshold}
    result["flagged"] = {f"{t:g}": len(neighbours(points, targets, t)) for t in THRESHOLDS}
    hits = neighbours(points, targets, args.threshold)
    result["hits"], texts = [], []
    for row, (at, cosine) in sorted(hits.items(), key=lambda hit: -hit[1][1]):
        record, item = records[row], items[at]
        dropped = find_overlap(record, index) or find_renamed_solution(record, index)
        found = {
            "row": record.meta["row"], "cosine": round(cosine, 3), "item": f"{item.benchmark}:{item.id}",
            "dropped_by": dropped.method if dropped else None,
        }  # fmt: skip
        result["hits"].append(found)
        texts.append({**found, "instruction": record.instruction, "prompt": item.text_prompt, "response": record.response, "solution": item.solution})
    print(f"{len(records)} records, {len(items)} tasks; flagged at a cosine of: {result['flagged']}")
    result_files.write(args.out, result)
    if args.texts:
        write_jsonl(args.texts, texts)


if __name__ == "__main__":
    main()
