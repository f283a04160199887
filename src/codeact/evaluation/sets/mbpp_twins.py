"""Buggy twins of MBPP's published solutions: one small edit each, after which the task's own tests fail.

mbpp_twins.jsonl beside this file holds places and edits alone, made and verified by `python -m experiments.mbpp_twins`. A line:
[task, digest of the solution that it is for, operator, start, end, pieces]; a piece is a text, or the place of a text of the solution itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from codeact.evaluation.sets.files import jsonl

TABLE = Path(__file__).with_suffix(".jsonl")
DIGITS = 12  # of a digest


def digest(solution: str) -> str:
    """Which solution an edit is for."""
    return hashlib.sha256(solution.encode("utf-8")).hexdigest()[:DIGITS]


def edited(solution: str, start: int, end: int, pieces: Sequence[str | Sequence[int]]) -> str:
    """The solution with the pieces in place of its characters from start to end; all else is as it was."""
    return solution[:start] + "".join(one if isinstance(one, str) else solution[slice(*one)] for one in pieces) + solution[end:]


def twin(task_id: str, solution: str) -> str:
    """The buggy twin of a solution; "" where the table has none, or has it for another text of the solution."""
    found = table().get((task_id, digest(solution)))
    return edited(solution, *found[1:]) if found else ""


@cache
def table() -> dict[tuple[str, str], tuple[str, int, int, list[Any]]]:
    """(task, digest of its solution) -> operator, start, end, pieces."""
    rows: list[Any] = [*jsonl(TABLE.read_bytes())]
    return {(task, told): (operator, start, end, pieces) for task, told, operator, start, end, pieces in rows}
