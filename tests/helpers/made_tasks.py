"""A task set of one made-up task, and files of tasks."""

from __future__ import annotations

from pathlib import Path

from codeact.evaluation.tasks import Task, TaskSet
from tests.helpers.lines import write_lines


def made_up(**changes: object) -> TaskSet:
    """Base inputs 1 to 3 and plus inputs 4 and 5 of x -> [739391 + x]."""
    fields = {
        "id": "Made/1",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "canonical_solution": "    return [739391 + x]\n",
        "base_inputs": ((1,), (2,), (3,)),
        "plus_inputs": ((4,), (5,)),
    }
    return TaskSet("made+", "1", (Task(**{**fields, **changes}),), "0" * 64)  # type: ignore[arg-type]


def write_tasks(path: Path, *rows: object) -> str:
    """The file's name, as options take it."""
    return str(write_lines(path, rows))
