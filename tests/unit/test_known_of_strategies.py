"""What `select` says is known of a strategy, against the committed values of every training that was compared with random draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from codeact.comparison.grid import HELD_OUT
from codeact.sample.strategies import STRATEGIES, UNKNOWN
from experiments.compare_cells import load
from experiments.compare_pooled import difference

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
CLEAN = ("figures_first", "confirm", "figures", "candidates", "candidates_b", "longer")
DRAWS = ("random", "random-2", "random-3")
Values = Mapping[str, Mapping[str, float]]


@cache
def trained(name: str) -> Sequence[Mapping[str, Any]]:
    """The trainings of a file, without the model before them."""
    return [one for one in load(RESULTS / f"{name}_cells.json.xz").values() if "cell" in one]


def held_out_differences(strategy: str, files: Sequence[str] = CLEAN) -> list[float]:
    """Of each pool: the held-out loss at 40 % of the tokens minus the mean of the pool's random draws."""
    found = []
    for file in files:
        pools: dict[int, dict[str, Values]] = {}
        entrants = {one["cell"]["entrant"]: one["cell"]["strategy"] for one in trained(f"compare_{file}")}
        for one in trained(f"compare_{file}"):
            if (one["cell"]["unit"], one["cell"]["rate"]) == ("tokens", 0.4):
                pools.setdefault(one["cell"]["seed"], {})[one["cell"]["entrant"]] = one["values"]
        entrant = next((name for name, its in entrants.items() if its == strategy and not name.startswith("verified")), "")
        found += [
            difference(pool[entrant][HELD_OUT], [pool[draw][HELD_OUT] for draw in DRAWS if draw in pool]) for pool in pools.values() if entrant in pool
        ]
    return found


@pytest.mark.parametrize(
    ("strategy", "pools", "told"),
    [
        ("cdas", 18, "18 pools of 18"), ("longest", 12, "twelve pools of twelve"), ("length-matched", 9, "nine pools of nine"),
        ("complexity", 6, "six pools of six"), ("s-ifd", 6, "six pools of six"),
    ],
)  # fmt: skip
def test_a_strategy_that_loses_in_every_pool_says_in_how_many(strategy: str, pools: int, told: str) -> None:
    found = held_out_differences(strategy)
    assert (len(found), min(found) > 0) == (pools, True)
    assert told in STRATEGIES[strategy].known


def test_the_default_says_in_how_many_pools_it_was_lower() -> None:
    assert sum(one < 0 for one in held_out_differences("trim-diversity", CLEAN[3:5])) == 5
    assert len(held_out_differences("trim-diversity", CLEAN[5:])) == 3
    assert "in five pools of six, level in three longer ones" in STRATEGIES["trim-diversity"].known


def test_dsir_says_that_it_was_lower_in_all_six() -> None:
    found = held_out_differences("dsir")
    assert (len(found), max(found) < 0) == (6, True)
    assert "six pools of six" in STRATEGIES["dsir"].known


def test_no_strategy_that_was_trained_beside_draws_says_that_it_was_not() -> None:
    files = [path.name.removesuffix("_cells.json.xz") for path in RESULTS.glob("*_cells.json.xz")]
    compared = {one["cell"]["strategy"] for file in files for one in trained(file)}
    assert compared >= {"shortest", "length-matched", "ppl-high", "learnable"}
    renamed = {entry.formerly: name for name, entry in STRATEGIES.items()}
    denied = sorted(name for name in compared if UNKNOWN in STRATEGIES[renamed.get(name, name)].known)
    assert denied == []
