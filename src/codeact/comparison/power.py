"""What the noise of a comparison forbids to see: the smallest difference that would be found in four of five such comparisons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codeact import storage
from codeact.amounts import amount
from codeact.comparison.grid import WHOLE, Comparison
from codeact.statistics import MeanSquares, smallest_found

FEWEST_SEEDS = 2


def smallest_seen(rows: Sequence[Mapping[str, Any]], rivals: Collection[str], seeds: int = 0) -> dict[str, float | None]:
    """Metric -> true difference to the rivals whose interval leaves 0 out in 80 % of such comparisons, see `statistics.smallest_found`.

    By the mean squares of the rows that have been compared over two seeds or more, but for `full` and the rivals, whose differences are from each
    other. None where none of these has an interval, and so the noise is not known.

    Args:
        rows: of compare.json.
        rivals: the entrants that are compared with.
        seeds: of the comparison that is planned; 0: as many as the rows have (the median).
    """
    found: dict[str, list[MeanSquares]] = {}
    for row in rows:
        if row["strategy"] == WHOLE or row["entrant"] in rivals:
            continue
        for metric, one in row["metrics"].items():
            change = one and one["minus_against"]
            if not change or change["seeds"] < FEWEST_SEEDS:
                continue
            tables = found.setdefault(metric, [])
            if change["interval"] is not None and change.get("mean_squares"):
                tables.append(MeanSquares(change["seeds"], change["items"], **change["mean_squares"]))
    return {metric: smallest_found(tables, *_size(tables, seeds)) if tables else None for metric, tables in found.items()}


def _size(tables: Sequence[MeanSquares], seeds: int) -> tuple[int, int]:
    return seeds or round(float(np.median([one.seeds for one in tables]))), round(float(np.median([one.items for one in tables])))


def smallest_told(smallest: Mapping[str, float | None]) -> str:
    """For people: each metric with its smallest difference."""
    return ", ".join(f"{metric} {'not known' if value is None else f'{value:.3g}'}" for metric, value in smallest.items())


def power_lines(comparison: Comparison) -> list[str]:
    """For people, before anything is trained: what a comparison with so many seeds will not see, by the noise of what is done of it, else of
    those that it stays apart from. Empty where there is no such noise, also where an earlier version wrote compare.json, without mean squares."""
    for folder in (comparison.run_dir, *comparison.apart_from):
        path = Path(folder) / "compare.json"
        if not path.is_file():
            continue
        found = storage.read_json(path)
        smallest = smallest_seen(found["rows"], found.get("rivals", ()), len(comparison.seeds))
        if any(value is not None for value in smallest.values()):
            seeds = amount(len(comparison.seeds), "seed")
            told = smallest_told(smallest)
            return [f"with {seeds} smaller differences are missed in more than one of five comparisons: {told} (by the noise of {folder})"]
    return []
