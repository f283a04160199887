"""The measures of a comparison: which is better when higher, which is shown first, and their items in bands of length."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from codeact.comparison.grid import HELD_OUT
from codeact.config import EvaluateConfig
from codeact.evaluation import held_out
from codeact.evaluation.compare import FEWEST_TASKS, MARGINS, PASS_AT
from codeact.evaluation.task_selection import sets_of

BITS = "bits_per_byte"
MEASURED = (
    HELD_OUT, f"humaneval {BITS}", f"humanevalpack-python {BITS}", "mbpp margin_per_token", "mbpp margin", f"cruxeval-o {BITS}", f"mbpp {BITS}",
    "humanevalpack-python margin_per_token", "humanevalpack-python margin",
)  # fmt: skip
"""The cheap measures whose likeness to pass@1 was measured (experiments/results/measure.json.xz, measure_second.json.xz): the highest mean of both
estimates first. MBPP's were measured in the second study alone: their estimates less half of what the others have more there."""
BANDS = 3


def is_pass(metric: str) -> bool:
    """Whether it is a pass@k, of whatever task set."""
    return PASS_AT.fullmatch(metric.rpartition(" ")[2]) is not None


def higher_is_better(metric: str) -> bool:
    """Whether more of it is better."""
    return is_pass(metric) or metric.endswith(MARGINS)


def in_order(items: Mapping[str, int]) -> list[str]:
    """Metrics (with the number of their items), in the order in which they are shown.

    pass@k comes first where it is measured on as many tasks as an interval takes, then the cheap measures by how near they came to pass@1
    (`MEASURED`), then all others as they stand.
    """

    def place(metric: str) -> int:
        if is_pass(metric) and items[metric] >= FEWEST_TASKS:
            return -1
        return MEASURED.index(metric) if metric in MEASURED else len(MEASURED)

    return sorted(items, key=place)


def by_length(items: Collection[str], characters: Mapping[str, int]) -> list[list[str]]:
    """Items in bands of equally many, the shortest first; of equal lengths by name. An item of unknown length counts as empty."""
    order = sorted(items, key=lambda item: (characters.get(item, 0), item))
    return [[str(item) for item in some] for some in np.array_split(np.array(order, dtype=object), BANDS)]


def solution_characters(config: EvaluateConfig) -> dict[str, int]:
    """Task id -> characters of the text that bits per byte are measured on: the reference solution, or the answer of a record of `evaluate.held_out`.

    Raises:
        InputError: a task set or the file is not there.
    """
    found = {task.id: len(task.canonical_solution) for one in sets_of(config) for task in one.tasks}
    if config.held_out:
        found |= {held_out.task_id(record): len(record.response) for record in held_out.load(config.held_out)[0]}
    return found
