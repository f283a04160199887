"""Differences between two sides that did the same tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from codeact.errors import InputError
from codeact.statistics.agreement import NORMAL_QUANTILE
from codeact.statistics.rates import Estimate, mean_estimate
from codeact.types import Floats


def shared_items(sides: Sequence[Mapping[str, float]]) -> list[str]:
    """The items that every side has, sorted."""
    return sorted(set(sides[0]).intersection(*sides[1:])) if sides else []


def paired_values(sides: Sequence[Mapping[str, float] | None]) -> Floats | None:
    """The values that can be paired: float64 [sides, items], over `shared_items`.

    None where a side was not measured, or the sides have no item in common.
    """
    known = [side for side in sides if side is not None]
    items = shared_items(known) if len(known) == len(sides) else []
    return np.array([[side[item] for item in items] for side in known], np.float64) if items else None


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of `second - first` over the tasks that both models did, with its 95 % interval.

    Tasks are resampled in pairs, so the difficulty of a task, which both models share, cancels out.

    Args:
        first, second: per-task values in the same order.

    Raises:
        InputError: the lengths differ, or there are no values.
    """
    if len(first) != len(second):
        raise InputError(
            f"a paired difference needs the same tasks for both models, but there are {len(first)} and {len(second)}"
        )
    return mean_estimate(np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64), seed)


def pass_interval(gained: int, lost: int, tasks: int) -> list[float]:
    """95 % interval of a paired difference of pass rates, (gained - lost) / tasks.

    The adjusted Wald interval of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one task gained and
    one lost; it has a width even when no task changed.
    """
    up, down, size = (gained + 1) / (tasks + 2), (lost + 1) / (tasks + 2), tasks + 2
    half = NORMAL_QUANTILE * math.sqrt((up + down - (up - down) ** 2) / size)
    return [max(-1.0, up - down - half), min(1.0, up - down + half)]


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947): were as many tasks gained as lost?"""
    from scipy.stats import binomtest

    changed = gained + lost
    return float(binomtest(gained, changed, 0.5).pvalue) if changed else 1.0
