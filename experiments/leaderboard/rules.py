"""What is the same for every entry: budgets, rivals, seeds, measures, and which names and strategies may stand on the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from codeact.comparison.grid import HELD_OUT, Entrant
from codeact.comparison.measures import higher_is_better, in_order
from codeact.errors import InputError
from codeact.sample.orders import take
from codeact.sample.quotas import budget
from codeact.sample.strategies import find

BUDGETS = (0.1, 0.4)  # shares of the response tokens of a pool's candidates
RANDOM = ("random", "random-2", "random-3")
SEEDS = (0, 1, 2)
TASKS = ("humanevalpack-python", "cruxeval-o")  # the first is HumanEval, with twins: that set too would be measured twice
MEASURES = tuple(in_order({
    "humanevalpack-python bits_per_byte": 164, "humanevalpack-python margin": 164, "humanevalpack-python margin_per_token": 164,
    "cruxeval-o bits_per_byte": 800, HELD_OUT: 60,
}))  # fmt: skip
LISTED = "list"
LONGEST_NAME = 60
UNEQUAL = 0.02  # of a budget, what a selection may miss it by; more where half of the pool's longest response is more


def lower_is_better(measure: str) -> bool:
    """The direction of a measure, as `compare` has it."""
    return not higher_is_better(measure)


def check_entrant(name: str, strategy: str) -> None:
    """An entrant's name, which becomes a folder and a cell of the board, and its strategy.

    Raises:
        InputError: a name with other signs, too long, or that of a draw; an unknown strategy, or one that no entrant may have.
    """
    chooser = find(strategy)
    if strategy == "random":
        raise InputError("strategy 'random' is what entrants are compared with; enter another")
    if not chooser.counts or chooser.records_only:
        raise InputError(f"strategy {strategy!r} has no budget of tokens, and the board's budgets are of tokens; enter another")
    try:
        Entrant.model_validate({"name": name, "strategy": strategy})
    except ValidationError:
        fits = False
    else:
        fits = len(name) <= LONGEST_NAME
    if not fits:
        raise InputError(
            f"the name {name[:LONGEST_NAME]!r} does not fit: 1 to {LONGEST_NAME} letters of a-z, digits and _ . + -, a letter or digit first; take another"
        )
    if name.lower() in RANDOM:
        raise InputError(f"the name {name!r} is that of a random draw; take another")


def tolerance(pool: Mapping[str, Any], rate: float) -> float:
    """What a selection of whole records may miss this budget by, as a share of it: 2 %, or half of the pool's longest response."""
    size = pool["bytes"]
    return max(UNEQUAL, size["longest"] / 2 / (rate * size["all"]))


def off_budget(pool: Mapping[str, Any], pool_tokens: int, rate: float, tokens: float) -> str:
    """What is wrong with a selection of so many response tokens, as a part of a line; "" where it meets the budget."""
    wanted, most = budget(rate, pool_tokens), tolerance(pool, rate)
    if abs(tokens - wanted) <= most * wanted:
        return ""
    return f"{tokens:,.0f} response tokens, and {rate:.0%} of the pool are {wanted:,} (it may miss that by {most:.1%})"


def check_reach(entries: Sequence[str], tokens: Mapping[str, int], pool: Mapping[str, Any], name: str) -> None:
    """A list meets every budget.

    Args:
        entries: ids, the first to take first.
        tokens: id -> response tokens of every candidate.
        pool: see `pools.find`.
        name: of the list, for messages.

    Raises:
        InputError: it is too short, or its cut misses a budget.
    """
    order, costs = list(tokens), list(tokens.values())
    places = {identity: place for place, identity in enumerate(order)}
    for rate in BUDGETS:
        taken = take([places[entry] for entry in entries], np.asarray(costs, np.int64), budget(rate, sum(costs)))
        met = sum(costs[place] for place in taken)
        if wrong := off_budget(pool, sum(costs), rate, met):
            raise InputError(f"{name}: {len(taken):,} of its {len(entries):,} records are taken for this budget and have {wrong}; list more records")
