"""Grades the canonical solutions of every task set: all must pass. Writes benchmarks/results/grade_canonical.json.

python benchmarks/grade_canonical.py [--sandbox bubblewrap|landlock] [--sets humaneval humaneval+ ...]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

from codeact.evaluate.grade import grade
from codeact.evaluate.tasks import load_tasks
from codeact.progress import track
from codeact.sandbox import detect_backend

SETS = ("humaneval", "humaneval+@v0.1.10", "humaneval+@v0.1.9", "mbpp+@v0.2.0", "mbpp+@v0.1.0")
RESULT = Path(__file__).parent / "results" / "grade_canonical.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandbox", choices=("bubblewrap", "landlock"))
    parser.add_argument("--sets", nargs="+", default=SETS)
    arguments = parser.parse_args()
    backend = detect_backend(arguments.sandbox)
    rows = []
    for name in arguments.sets:
        task_set = load_tasks(name)
        started = time.monotonic()
        with track(name, len(task_set.tasks), "solutions") as progress:
            samples = [(task.id, task.reference) for task in task_set.tasks]
            verdicts = grade(task_set, samples, backend=backend, progress=progress)
        rows.append(
            {
                "task_set": task_set.name,
                "version": task_set.version,
                "tasks": len(verdicts),
                "base_passed": sum(verdict.base_status == "passed" for verdict in verdicts),
                "plus_passed": sum(verdict.plus_status == "passed" for verdict in verdicts) if task_set.plus else None,
                "seconds": round(time.monotonic() - started, 1),
                "not_passed": [f"{verdict.task_id}: {verdict.detail}" for verdict in verdicts if verdict.detail],
            }
        )
        print(json.dumps(rows[-1]))
    result = {"sandbox": backend.name, "python": platform.python_version(), "sets": rows}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_stem(f"grade_canonical_{backend.name}").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
