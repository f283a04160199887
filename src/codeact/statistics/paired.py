"""Differences between two sides that did the same tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from codeact.errors import InputError
from codeact.statistics.agreement import NORMAL_QUANTILE
from codeact.statistics.rates import CONFIDENCE, Estimate, mean_estimate
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


def crossed_interval(values: Floats) -> tuple[float, float]:
    """95 % interval of the mean of a seeds x items table, over other seeds *and* other items.

    Seeds and items are crossed random effects. The variance of the mean is (S + I - E) / (seeds * items), of the mean squares of
    seeds, items and the rest in the two-way analysis of variance, at least S's or I's alone; the interval is Student's with
    Satterthwaite's degrees of freedom (Biometrics Bulletin 1946). So three seeds that differ much give a wide interval,
    where a bootstrap of three, which cannot leave their range, is far too sure. With one seed the items alone vary.

    Args:
        values: float64 [seeds, items].
    """
    from scipy.stats import t

    seeds, items = values.shape
    mean = float(values.mean())
    by_seed, by_item = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    free = (seeds - 1, items - 1, (seeds - 1) * (items - 1))
    sums = (
        items * float(((by_seed - mean) ** 2).sum()),
        seeds * float(((by_item - mean) ** 2).sum()),
        float(((values - by_seed - by_item + mean) ** 2).sum()),
    )
    of_seeds, of_items, rest = (total / max(1, df) for total, df in zip(sums, free, strict=True))
    square, larger = of_seeds + of_items - rest, max(of_seeds, of_items)
    if larger == 0.0:
        return mean, mean
    parts = ((of_seeds, free[0]), (of_items, free[1]), (rest, free[2]))
    if square >= larger:
        degrees = square**2 / sum(part**2 / df for part, df in parts if df)
    else:
        square, degrees = max(parts[:2])
    half = float(t.ppf((1 + CONFIDENCE) / 2, max(1.0, degrees))) * float(np.sqrt(square / values.size))
    return mean - half, mean + half
