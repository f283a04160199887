"""What the cells of a comparison say together: means and differences over seeds and items, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.experiment.grid import Cell, Comparison

Floats = NDArray[np.float64]
Done = Sequence[tuple[Cell, Mapping[str, Any]]]

RESAMPLES = 4000
CONFIDENCE = 0.95


def crossed_interval(values: Floats, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of a seeds x items table: both are resampled, seeds and items, independently.

    The pigeonhole bootstrap (Owen, Annals of Applied Statistics 2007): conservative where both vary. With one seed only the
    items vary.

    Args:
        values: float64 [seeds, items].
        seed: of the bootstrap.
    """
    generator = np.random.default_rng(seed)
    rows, columns = values.shape
    down = generator.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
    across = generator.multinomial(columns, np.full(columns, 1 / columns), RESAMPLES) / columns
    means = np.einsum("br,rc,bc->b", down, values, across, optimize=True)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def summarise(comparison: Comparison, done: Done, planned: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """The content of compare.json.

    `rows` has one entry per entrant, rate and budget: `records`, `response_tokens`, `training_steps` and `training_seconds` (means over seeds), `seeds`, and per
    metric `value`, `interval`, `minus_base` and `minus_against` ({"difference", "interval"}, paired by item, and by seed too
    against the other entrant; None where there is nothing to pair).
    """
    by_group: dict[str, list[tuple[Cell, Mapping[str, Any]]]] = {}
    for cell, result in done:
        by_group.setdefault(cell.group, []).append((cell, result))
    metrics = list(dict.fromkeys(metric for _, result in done for metric in result["values"])) or list(base["values"])
    rows = []
    for members in by_group.values():
        first = members[0][0]
        rival = by_group.get(f"{comparison.against}-{first.rate:g}-{first.budget}")
        rows.append(
            {
                "entrant": first.entrant,
                "strategy": first.recipe.sample.strategy,
                "rate": first.rate,
                "budget": first.budget,
                "seeds": [cell.seed for cell, _ in members],
                "records": float(np.mean([result["records"] for _, result in members])),
                "response_tokens": float(np.mean([result["response_tokens"] for _, result in members])),
                "training_steps": float(np.mean([result["training"]["steps"] for _, result in members])),
                "training_seconds": float(np.mean([result["training"]["seconds"] for _, result in members])),
                "metrics": {
                    metric: _figures(metric, members, rival if first.entrant != comparison.against else None, base)
                    for metric in metrics
                },
            }
        )
    return {
        "cells": {"planned": planned, "done": len(done)},
        "code_versions": len({result["code"] for _, result in done}),
        "against": comparison.against,
        "lower_is_better": {metric: not metric.endswith("pass@1") for metric in metrics},
        "base": {metric: _mean(base["values"].get(metric)) for metric in metrics},
        "rows": rows,
    }


def _figures(metric: str, members: Done, rival: Done | None, base: Mapping[str, Any]) -> dict[str, Any] | None:
    own = {cell.seed: result["values"].get(metric) for cell, result in members}
    values = _table(list(own.values()))
    if values is None:
        return None
    figures: dict[str, Any] = {"value": float(values.mean()), "interval": list(crossed_interval(values))}
    before = base["values"].get(metric)
    figures["minus_base"] = _difference([(found, before) for found in own.values()])
    theirs = {cell.seed: result["values"].get(metric) for cell, result in rival or ()}
    figures["minus_against"] = _difference([(own[seed], theirs[seed]) for seed in own if seed in theirs])
    return figures


def _difference(
    pairs: Sequence[tuple[Mapping[str, float] | None, Mapping[str, float] | None]],
) -> dict[str, Any] | None:
    """Mean of first - second over the items that all have, with its interval."""
    sides = [_table([pair[side] for pair in pairs], pairs) for side in (0, 1)]
    if sides[0] is None or sides[1] is None:
        return None
    change = sides[0] - sides[1]
    return {"difference": float(change.mean()), "interval": list(crossed_interval(change)), "seeds": len(change)}


def _table(
    found: Sequence[Mapping[str, float] | None], among: Sequence[Sequence[Mapping[str, float] | None]] | None = None
) -> Floats | None:
    """float64 [seeds, items] over the items that all of them (and all of `among`) have; None where there are none."""
    everyone = [one for pair in among for one in pair] if among is not None else list(found)
    if not found or any(one is None for one in everyone):
        return None
    known = [one for one in everyone if one is not None]
    items = sorted(set(known[0]).intersection(*known[1:]))
    if not items:
        return None
    return np.array([[one[item] for item in items] for one in found if one is not None], np.float64)


def _mean(values: Mapping[str, float] | None) -> float | None:
    return float(np.mean(list(values.values()))) if values else None
