"""What starting a Python program in the sandbox costs, in processor seconds, and its share in grading HumanEval+.

    python -m benchmarks.sandbox_start

In Landlock, whose processes the kernel accounts to this one. Data: $CODEACT_DATA. Result: benchmarks/results/sandbox_start.json
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import call_function, detect_backend

RESULT = Path(__file__).parent / "results" / "sandbox_start.json"
RUNS = 20


def processor_seconds(work: Callable[[], object]) -> float:
    """User and system time of this process and its children."""

    def used() -> float:
        kinds = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        return sum(kind.ru_utime + kind.ru_stime for kind in kinds)

    before = used()
    work()
    return used() - before


def main() -> None:
    backend = detect_backend("landlock")
    tasks = load_tasks("humaneval+")
    programs = [(task.id, task.canonical_program) for task in tasks.tasks]
    grade(tasks, programs, backend=backend, workers=2)  # the right answers are computed once and kept
    one = {
        name: round(processor_seconds(lambda source=source: [call_function(source, "f", [[]], backend=backend) for _ in range(RUNS)]) / RUNS, 4)  # type: ignore[misc]
        for name, source in (("start", "def f(): return 1"), ("start_and_numpy", "import numpy\ndef f(): return 1"))
    }
    bare = processor_seconds(lambda: [subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True) for _ in range(RUNS)]) / RUNS
    whole = processor_seconds(lambda: grade(tasks, programs, backend=backend, workers=2))
    told = provenance()
    told["note"] = "processor seconds, on a machine that other work used too"
    told |= {"runs": RUNS, "each": {**one, "interpreter_alone": round(bare, 4)}, "humaneval_plus": {"programs": len(programs), "seconds": round(whole, 2)}}
    told["share_of_starts"] = round(len(programs) * one["start"] / whole, 3)
    result_files.write(RESULT, told)


if __name__ == "__main__":
    main()
