"""Grades the canonical solutions of every task set: all must pass.

    python -m benchmarks.grade_canonical                        in every sandbox that holds on this machine
    python -m benchmarks.grade_canonical --sandboxes landlock
    python -m benchmarks.grade_canonical --sets humaneval humaneval+        printed, not written

The EvalPlus files are read from $CODEACT_DATA, else from the cache, else downloaded. The seconds
of the first sandbox contain the making of the canonical answers, where they are not in the cache yet.

Result: benchmarks/results/grade_canonical_*.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.data_folder import DATA
from benchmarks.machine import provenance
from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.progress import track
from codeact.sandbox import Backend, probe_backend
from codeact.sandbox.probe import SAFE

SETS = ("humaneval", "humaneval+@v0.1.10", "humaneval+@v0.1.9", "mbpp+@v0.2.0", "mbpp+@v0.1.0")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandboxes", nargs="+", choices=SAFE, help="default: every one that holds here")
    parser.add_argument("--sets", nargs="+", default=SETS)
    arguments = parser.parse_args()
    told = provenance()
    probes = [probe_backend(name) for name in arguments.sandboxes or SAFE]
    backends = [probe.backend for probe in probes if probe.backend is not None]
    for probe in probes:
        if probe.backend is None:
            print(f"{probe.name} does not hold on this machine: {probe.problem}")
    if not backends or (arguments.sandboxes and len(backends) < len(probes)):
        raise InputError("the sandboxes asked for do not hold on this machine")
    for backend in backends:
        rows = [graded(name, backend) for name in arguments.sets]
        passed = all(row["base_passed"] == row["tasks"] == (row["plus_passed"] or row["tasks"]) for row in rows)
        result = told | {"sandbox": backend.name, "all_passed": passed, "sets": rows}
        if tuple(arguments.sets) == SETS:
            result_files.write(RESULTS / f"grade_canonical_{backend.name}.json", result)


def graded(name: str, backend: Backend) -> dict[str, Any]:
    """What became of the canonical solutions of one task set."""
    task_set = load_tasks(name, DATA)
    started = time.monotonic()
    with track(f"{name} in {backend.name}", len(task_set.tasks), "solutions") as progress:
        samples = [(task.id, task.canonical_program) for task in task_set.tasks]
        verdicts = grade(task_set, samples, backend=backend, progress=progress)
    row = {
        "task_set": task_set.name,
        "version": task_set.version,
        "tasks": len(verdicts),
        "base_passed": sum(verdict.base_status == "passed" for verdict in verdicts),
        "plus_passed": sum(verdict.plus_status == "passed" for verdict in verdicts) if task_set.plus else None,
        "seconds": round(time.monotonic() - started, 1),
        "not_passed": [f"{verdict.task_id}: {verdict.detail}" for verdict in verdicts if verdict.detail],
    }
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
