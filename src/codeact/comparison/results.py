"""What the cells of a comparison say together: means and differences over seeds and items, with intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from codeact.comparison.grid import WHOLE, Cell, Comparison, groups
from codeact.comparison.measures import BANDS, by_length, higher_is_better, in_order, is_pass
from codeact.comparison.power import smallest_seen
from codeact.evaluation.compare import FEWEST_TASKS
from codeact.statistics import crossed_interval, mean_squares, paired_values, rate_estimate, shared_items
from codeact.types import Floats

Done = Sequence[tuple[Cell, Mapping[str, Any]]]


def summarise(
    comparison: Comparison, done: Done, planned: Sequence[Cell], base: Mapping[str, Any], characters: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, Any]:
    """The content of compare.json.

    Args:
        comparison: see `grid.Comparison`.
        done: the cells that are done, with their results.
        planned: all cells.
        base: the result of the model before training.
        characters: metric -> item -> its length, of the metrics that are told by length too.

    `rows` has one entry per entrant, rate and unit: `records`, `response_tokens`, `training_steps` and `training_seconds` (means over seeds), `seeds`, and per
    metric `value`, `interval` (see `_value_interval`), `items` (tasks or held-out records that the mean is over: those that all seeds have), `minus_base` and
    `minus_against` ({"difference", "interval", "items", "seeds", "mean_squares"}, paired by item, and by seed too
    against the entrants of `comparison.against`, of which each item's mean is taken; an entrant of these is compared with the
    others of them, and `full` is a rival at every rate and unit; None where there is nothing to pair). A seed for which not all rivals
    are done is left out of `minus_against`, and `cautions` say so. `rivals` are the entrants of `comparison.against`; `smallest_seen`: see `power`.
    `uneven` names the rates and units at which the strategies did not get the same, see `uneven_amounts`. `by_length`: see `_bands`. Metrics stand
    in the order of `measures.in_order`.
    """
    by_group: dict[str, list[tuple[Cell, Mapping[str, Any]]]] = {}
    for cell, result in done:
        by_group.setdefault(cell.group, []).append((cell, result))
    all_groups = groups(planned)
    whole = {members[0].entrant: group for group, members in all_groups.items() if members[0].recipe.sample.strategy == WHOLE}
    measured = [result["values"] for _, result in done] or [base["values"]]
    named = dict.fromkeys(metric for values in measured for metric in values)
    metrics = in_order({metric: max(len(values.get(metric) or ()) for values in measured) for metric in named})
    sides: list[tuple[Done, Sequence[Done]]] = []
    rows, lacking = [], dict[str, set[int]]()
    for members in by_group.values():
        first = members[0][0]
        names = [name for name in comparison.against if name != first.entrant]
        theirs = [group for name in names if (group := _group_of(name, first, all_groups, whole))]
        rivals = [by_group.get(group, []) for group in theirs]
        for group, rival in zip(theirs, rivals, strict=True):
            if missing := {cell.seed for cell, _ in members} - {cell.seed for cell, _ in rival}:
                lacking.setdefault(group, set()).update(missing)
        sides.append((members, rivals))
        rows.append(
            {
                "entrant": first.entrant,
                "strategy": first.recipe.sample.strategy,
                "rate": first.rate,
                "unit": first.unit,
                "seeds": [cell.seed for cell, _ in members],
                "records": float(np.mean([result["records"] for _, result in members])),
                "response_tokens": float(np.mean([result["response_tokens"] for _, result in members])),
                "training_steps": float(np.mean([result["training"]["steps"] for _, result in members])),
                "training_seconds": float(np.mean([result["training"]["seconds"] for _, result in members])),
                "metrics": {metric: _figures(metric, members, rivals, base) for metric in metrics},
            }
        )
    items = {metric: len(base["values"].get(metric) or ()) for metric in metrics}
    return {
        "cells": {"planned": len(planned), "done": len(done)},
        "rivals": list(comparison.against),
        "against": comparison.against[0] + (f" (mean of {len(comparison.against)})" if comparison.against[1:] else ""),
        "lower_is_better": {metric: not higher_is_better(metric) for metric in metrics},
        "base": {metric: _mean(base["values"].get(metric)) for metric in metrics},
        "items": items,
        "rows": rows,
        "by_length": {metric: found for metric in metrics if (found := _bands(metric, (characters or {}).get(metric, {}), sides, base))},
        "uneven": uneven_amounts(rows),
        "smallest_seen": smallest_seen(rows, comparison.against),
        "cautions": [*missing_rivals(lacking, all_groups), *missing_items(rows, items)],
    }


def _group_of(rival: str, cell: Cell, all_groups: Mapping[str, Sequence[Cell]], whole: Mapping[str, str]) -> str | None:
    """The group of a rival's cells that this cell is compared with; None where it is not planned at this rate and unit."""
    group = f"{rival}-{cell.rate:g}-{cell.unit}"
    return group if group in all_groups else whole.get(rival)


def missing_rivals(lacking: Mapping[str, set[int]], all_groups: Mapping[str, Sequence[Cell]]) -> list[str]:
    """A line for each group of `against` that lacks seeds which others have: the mean of fewer rivals is another figure, so differences go without."""
    lines = []
    for group, seeds in lacking.items():
        cell, several = all_groups[group][0], len(seeds) > 1
        where = "" if cell.recipe.sample.strategy == WHOLE else f" at {100 * cell.rate:.3g}% of the {cell.unit}"
        lines.append(
            f"against: {cell.entrant}{where} is not done for seed{'s' if several else ''} {', '.join(map(str, sorted(seeds)))};"
            f" differences from it, and from a mean that it is in, leave {'these seeds' if several else 'that seed'} out"
        )
    return lines


def missing_items(rows: Sequence[Mapping[str, Any]], items: Mapping[str, int]) -> list[str]:
    """A line for each metric that a row has on fewer items than another, or than the model before training (`items`, 0: not measured).

    Such values are means over other items. Differences are over the items that both sides have.
    """
    lines = []
    for metric, before in items.items():
        counts = [(int(row["metrics"][metric]["items"]), str(row["entrant"])) for row in rows if row["metrics"][metric] is not None]
        most = max([before, *(count for count, _ in counts)])
        few = sorted(one for one in counts if one[0] < most)
        if few:
            others = sorted({name for _, name in few} - {few[0][1]})
            rest = f" ({', '.join(others)} on fewer than all too)" if others else ""
            lines.append(
                f"{metric}: {few[0][1]} was measured on {few[0][0]:,} of {most:,} items in every training{rest}, so the values are means over"
                " different items; differences are over the items that both sides have"
            )
    return lines


def uneven_amounts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rates and units at which strategies were trained on different amounts of what the unit counts.

    A strategy can run out of candidates (a threshold, a check), or choose from a smaller pool: its difference from the others is
    one of size too. Records count as equal within one record or 1 %, response tokens, which whole records cannot meet exactly,
    within 2 %.

    Returns:
        `unit`, `rate`, `smallest` and `largest` ({"entrant", "size"}), and `line` for people.
    """
    found = []
    sized = [row for row in rows if row["strategy"] != WHOLE]
    for unit, rate in dict.fromkeys((row["unit"], row["rate"]) for row in sized):
        column = "records" if unit == "records" else "response_tokens"
        same = [row for row in sized if (row["unit"], row["rate"]) == (unit, rate)]
        least, most = (pick(same, key=lambda row: float(row[column])) for pick in (min, max))
        apart = most[column] - least[column]
        if apart <= (max(1.0, 0.01 * most[column]) if unit == "records" else 0.02 * most[column]):
            continue
        small, large = ({"entrant": row["entrant"], "size": row[column]} for row in (least, most))
        what = "records" if unit == "records" else "response tokens"
        line = (
            f"{rate:.0%} of the {what} is not equal here: {small['size']:,.0f} ({small['entrant']}) to {large['size']:,.0f}"
            f" ({large['entrant']}); a difference between them is one of size too"
        )
        found.append({"unit": unit, "rate": rate, "smallest": small, "largest": large, "line": line})
    return found


def _bands(
    metric: str, characters: Mapping[str, int], sides: Sequence[tuple[Done, Sequence[Done]]], base: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A metric in thirds of the items of the model before training, by their characters, the shortest first; empty where fewer than three have a length.

    Each: `characters` ([fewest, most]), `items`, `base` (its mean before training) and `rows`: the figures of each entrant, rate and unit on
    these items alone, as in `rows` of compare.json; None where not measured.
    """
    before = base["values"].get(metric) or {}
    known = [item for item in before if item in characters]
    if len(known) < BANDS:
        return []
    found = []
    for some in by_length(known, characters):
        rows = []
        for members, rivals in sides:
            first = members[0][0]
            figures = _figures(metric, members, rivals, base, some)
            rows.append({"entrant": first.entrant, "rate": first.rate, "unit": first.unit, "figures": figures})
        ends = [characters[some[0]], characters[some[-1]]]
        found.append({"characters": ends, "items": len(some), "base": _mean({item: before[item] for item in some}), "rows": rows})
    return found


def _values(result: Mapping[str, Any], metric: str, items: Collection[str] | None) -> Mapping[str, float] | None:
    """A metric of a cell by item, of these items alone where they are given; None where it was not measured."""
    found: Mapping[str, float] | None = result["values"].get(metric)
    return found if found is None or items is None else {item: found[item] for item in items if item in found}


def _figures(
    metric: str, members: Done, rivals: Sequence[Done], base: Mapping[str, Any], items: Collection[str] | None = None
) -> dict[str, Any] | None:
    own = {cell.seed: _values(result, metric, items) for cell, result in members}
    values = paired_values(list(own.values()))
    if values is None:
        return None
    figures: dict[str, Any] = {"value": float(values.mean()), "interval": _value_interval(metric, values), "items": values.shape[1]}
    before = _values(base, metric, items)
    figures["minus_base"] = _difference([(found, before) for found in own.values()])
    theirs: dict[int, list[Mapping[str, float]]] = {}
    for cell, result in (one for rival in rivals for one in rival):
        if (found := _values(result, metric, items)) is not None:
            theirs.setdefault(cell.seed, []).append(found)
    whole = [seed for seed in own if rivals and len(theirs.get(seed, ())) == len(rivals)]
    figures["minus_against"] = _difference([(own[seed], _average(theirs[seed])) for seed in whole])
    return figures


def _average(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each item that all have."""
    return {item: float(np.mean([one[item] for one in found])) for item in shared_items(found)}


def _difference(
    pairs: Sequence[tuple[Mapping[str, float] | None, Mapping[str, float] | None]],
) -> dict[str, Any] | None:
    """Mean of first - second over the items that all have, with its interval."""
    values = paired_values([side for pair in pairs for side in pair])
    if values is None:
        return None
    change = values[0::2] - values[1::2]
    found = mean_squares(change)
    return {
        "difference": float(change.mean()), "interval": _interval(change), "items": found.items, "seeds": found.seeds,
        "mean_squares": {"of_seeds": found.of_seeds, "of_items": found.of_items, "rest": found.rest},
    }  # fmt: skip


def _interval(values: Floats) -> list[float] | None:
    """`crossed_interval`; None over fewer items than support a claim, as in `evaluate`."""
    ends = crossed_interval(values) if values.shape[1] >= FEWEST_TASKS else None
    return None if ends is None else list(ends)


def _value_interval(metric: str, values: Floats) -> list[float] | None:
    """Of a mean; of a pass rate within 0 to 1.

    Of a pass rate of one seed, or that is the same in all tasks and seeds, it is the interval over tasks that `evaluate` gives, which has a width.
    """
    if not is_pass(metric):
        return _interval(values)
    if len(values) == 1 or np.ptp(values) == 0.0:
        return rate_estimate(values.mean(axis=0).tolist()).ends()
    ends = _interval(values)
    return None if ends is None else [max(0.0, ends[0]), min(1.0, ends[1])]


def _mean(values: Mapping[str, float] | None) -> float | None:
    return float(np.mean(list(values.values()))) if values else None
