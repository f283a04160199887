"""Rows of EvalPlus's files, which HumanEval+ and MBPP+ share: tested by inputs, compared with the canonical solution's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from codeact.evaluation.tasks import Arguments, Rules, Task


def evalplus_task(
    row: Mapping[str, Any], plus: bool, rules: Rules, restore: Callable[[list[Any]], Arguments] = tuple, few_shot: str = ""
) -> Task:
    """The task of a row; `plus`: with the added tests; `restore` gives arguments back the types that JSON lost."""
    return Task(
        id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        base_inputs=tuple(restore(arguments) for arguments in row["base_input"]),
        plus_inputs=tuple(restore(arguments) for arguments in row["plus_input"]) if plus else (),
        atol=float(row["atol"]),
        few_shot=few_shot,
        rules=rules,
    )
