"""What the noise of a comparison forbids to see: the smallest difference that would be found in four of five such comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codeact import storage
from codeact.amounts import amount
from codeact.comparison.grid import WHOLE, Comparison
from codeact.statistics import NORMAL_QUANTILE

POWER_QUANTILE = 0.841621  # of the normal distribution at 0.8
FEWEST_SEEDS = 2


def smallest_seen(rows: Sequence[Mapping[str, Any]], seeds: int = 0) -> dict[str, float]:
    """Metric -> true difference to the rivals whose interval leaves 0 out in 80 % of such comparisons.

    A difference is found if its interval's half width h does not reach to 0. With a standard error of h / 1.96 that is so in 80 % of
    comparisons for a difference of h (1 + 0.84 / 1.96) (Cohen 1988). h is the median over the rows that have been compared over two seeds or more.

    Args:
        rows: of compare.json.
        seeds: of the comparison that is planned: errors shrink with the root of their number; 0: as many as the rows have.
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        for metric, one in row["metrics"].items():
            change = one and one["minus_against"]
            if row["strategy"] == WHOLE or not change or change["seeds"] < FEWEST_SEEDS:
                continue
            low, high = change["interval"]
            scale = math.sqrt(change["seeds"] / seeds) if seeds else 1.0
            found.setdefault(metric, []).append((high - low) / 2 * scale)
    return {metric: float(np.median(halves)) * (1 + POWER_QUANTILE / NORMAL_QUANTILE) for metric, halves in found.items()}


def power_lines(comparison: Comparison) -> list[str]:
    """For people, before anything is trained: what a comparison with so many seeds will not see, by the noise of what is done of it, else of
    those that it stays apart from. Empty where there is no such noise."""
    for folder in (comparison.run_dir, *comparison.apart_from):
        path = Path(folder) / "compare.json"
        if not path.is_file():
            continue
        smallest = smallest_seen(storage.read_json(path)["rows"], len(comparison.seeds))
        if smallest:
            told = ", ".join(f"{metric} {value:.3g}" for metric, value in smallest.items())
            seeds = amount(len(comparison.seeds), "seed")
            return [f"with {seeds} smaller differences are missed in more than one of five comparisons: {told} (by the noise of {folder})"]
    return []
