"""A table of seeds x items, both of which might have been others: the interval of its mean, and the difference that such intervals find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codeact.statistics.rates import CONFIDENCE
from codeact.types import Floats

POWER = 0.8
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """Of the two-way analysis of variance of a table: what differs between seeds, between items, and the rest.

    Attributes:
        seeds, items: how many there are.
        of_seeds, of_items, rest: mean squares; 0 where there are no degrees of freedom, as of seeds where there is one.
    """

    seeds: int
    items: int
    of_seeds: float
    of_items: float
    rest: float


def mean_squares(values: Floats) -> MeanSquares:
    """The mean squares of float64 [seeds, items]."""
    seeds, items = values.shape
    mean = float(values.mean())
    by_seed, by_item = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    sums = (
        items * float(((by_seed - mean) ** 2).sum()),
        seeds * float(((by_item - mean) ** 2).sum()),
        float(((values - by_seed - by_item + mean) ** 2).sum()),
    )
    return MeanSquares(seeds, items, *(total / max(1, df) for total, df in zip(sums, _free(seeds, items), strict=True)))


def crossed_interval(values: Floats) -> tuple[float, float] | None:
    """95 % interval of the mean of a seeds x items table, over other seeds *and* other items.

    Seeds and items are crossed random effects. The variance of the mean is (S + I - E) / (seeds * items), of the mean squares of
    seeds, items and the rest in the two-way analysis of variance, at least S's or I's alone; the interval is Student's with
    Satterthwaite's degrees of freedom (Biometrics Bulletin 1946). So three seeds that differ much give a wide interval,
    where a bootstrap of three, which cannot leave their range, is far too sure. With one seed the items alone vary.

    Args:
        values: float64 [seeds, items].

    Returns:
        Its ends; None where all values are the same, as where there is one: they do not say how far others would be from them.
    """
    if float(np.ptp(values)) == 0.0:
        return None
    found, mean = mean_squares(values), float(values.mean())
    parts = np.array([[found.of_seeds], [found.of_items], [found.rest]])
    half = float(_half_widths(parts, found.seeds, found.items)[0])
    return mean - half, mean + half


def smallest_found(tables: Sequence[MeanSquares], seeds: int, items: int) -> float:
    """The true difference whose `crossed_interval` leaves 0 out in 80 % of tables of this size with the noise of these.

    The variances of seeds, of items and of the rest are means over the tables. Of normal values the three mean squares and the mean are
    independent, so 4,000 intervals are drawn (always the same ones), by the rule of `crossed_interval`. More seeds make less of the
    noise of seeds and of the rest, not of the items'.

    Args:
        tables: of two seeds and two items or more, at least one.
        seeds, items: of the tables that are asked about.
    """
    rest = float(np.mean([one.rest for one in tables]))
    of_seeds = float(np.mean([(one.of_seeds - one.rest) / one.items for one in tables]))
    of_items = float(np.mean([(one.of_items - one.rest) / one.seeds for one in tables]))
    expected = (rest + items * max(0.0, of_seeds), rest + seeds * max(0.0, of_items), rest)
    rng = np.random.default_rng(0)
    drawn = np.array([square * rng.chisquare(df, DRAWS) / df if df else np.zeros(DRAWS) for square, df in zip(expected, _free(seeds, items), strict=True)])
    error = np.sqrt((expected[0] + expected[1] - expected[2]) / (seeds * items)) * rng.standard_normal(DRAWS)
    return float(np.quantile(_half_widths(drawn, seeds, items) - error, POWER))


def _free(seeds: int, items: int) -> tuple[int, int, int]:
    """Degrees of freedom of seeds, of items and of the rest."""
    return seeds - 1, items - 1, (seeds - 1) * (items - 1)


def _half_widths(squares: Floats, seeds: int, items: int) -> Floats:
    """Of the intervals of N tables with these mean squares [of seeds, items and the rest; N], of which no table has both of the first at 0: [N]."""
    from scipy.stats import t

    of_seeds, of_items, rest = squares
    free = _free(seeds, items)
    square, larger = of_seeds + of_items - rest, np.maximum(of_seeds, of_items)
    spread = sum(part**2 / df for part, df in zip(squares, free, strict=True) if df)
    of_larger = np.where(of_seeds > of_items, free[0], np.where(of_items > of_seeds, free[1], max(free[:2])))
    degrees = np.where(square >= larger, square**2 / spread, of_larger)
    quantile = t.ppf((1 + CONFIDENCE) / 2, np.maximum(1.0, degrees))
    halves: Floats = quantile * np.sqrt(np.maximum(square, larger) / (seeds * items))
    return halves
