"""Examples for strategy `targeted`: problems of MBPP's training split (601 to 974) that no evaluation here measures.

    python -m experiments.mbpp_examples --out runs/mbpp_examples.jsonl

Reads mbpp_974.jsonl.gz of CODEACT_DATA (google-research-datasets/mbpp); the problems that MBPP+ took from that split are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from benchmarks.data_folder import DATA
from codeact.evaluation.sets import load_tasks
from codeact.storage import write_jsonl

TRAINING = range(601, 975)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("runs/mbpp_examples.jsonl"))
    options = parser.parse_args()
    measured = {int(task.id.rpartition("/")[2]) for task in load_tasks("mbpp+", options.data).tasks}
    with gzip.open(options.data / "mbpp_974.jsonl.gz", "rt", encoding="utf-8") as lines:
        problems = [json.loads(line) for line in lines]
    rows = [
        {"instruction": p["text"], "output": p["code"].replace("\r\n", "\n"), "task_id": p["task_id"]}
        for p in problems
        if p["task_id"] in TRAINING and p["task_id"] not in measured
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(options.out, rows)
    print(f"{len(rows)} of {len(TRAINING)} problems -> {options.out}")


if __name__ == "__main__":
    main()
