"""What of the pool a selection has seen: shares of clusters, languages and lengths, and how far the rest is from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from codeact.amounts import amount
from codeact.statistics import NORMAL_QUANTILE
from codeact.types import Bools, Floats, Ints, Vectors

TakeVectors = Callable[[Ints], Vectors]
BLOCK = 2048
EXACT = 20_000
"""Records of each side up to which distances are exact; of the selected side looked at beyond that."""
LOOKED_AT = 5_000
"""Unselected records whose distance is taken where one side has more than `EXACT`."""
SEED = 20_000
LENGTH_EDGES = (0, 50, 100, 200, 400, 800)
WARN_BELOW = 0.5
MIN_GROUP = 10


def coverage(
    selected: Bools,
    groups: Mapping[str, Sequence[Any]],
    vectors: Vectors | TakeVectors | None = None,
    warn_below: float = WARN_BELOW,
) -> dict[str, Any]:
    """Shares of every group in the pool and in the selection, groups that are short, and the distance to the selection.

    Args:
        selected: bool [N].
        groups: name of a grouping -> the group of each record, for example its cluster or its language.
        vectors: float32 [N, D], rows of unit length, or what gives those of some records; without them there are no distances.
        warn_below: a group of at least 10 records is short when the selection holds less than this part of its share.

    Returns:
        `groups`: grouping -> rows of group, pool and selected (records), share_pool, share_selected; `warnings`: one line for
        each short group; `distance`: see there.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    warnings: list[str] = []
    total, chosen = len(selected), int(selected.sum())
    for grouping, values in groups.items():
        said = sorted({str(value) for value in values})
        numbers = {name: at for at, name in enumerate(said)}
        number = np.fromiter((numbers[str(value)] for value in values), np.int64, total)
        pools, takens = np.bincount(number, minlength=len(said)), np.bincount(number[selected], minlength=len(said))
        rows = []
        for at in np.lexsort((np.arange(len(said)), -pools)).tolist():
            name, pool, taken = said[at], int(pools[at]), int(takens[at])
            row: dict[str, Any] = {
                "group": name,
                "pool": pool,
                "selected": taken,
                "share_pool": pool / total,
                "share_selected": taken / chosen if chosen else 0.0,
            }
            rows.append(row)
            if pool >= MIN_GROUP and chosen and row["share_selected"] < warn_below * row["share_pool"]:
                part = row["share_selected"] / row["share_pool"]
                warnings.append(
                    f"{_titled(grouping, name)}: {taken} of {amount(pool, 'record')} selected, {part:.0%} of its share (told below {warn_below:.0%})"
                )
        shown[grouping] = rows
    found: dict[str, Any] = {"groups": shown, "warnings": warnings}
    if vectors is not None:
        found["distance"] = distance(vectors, selected)
    return found


def _titled(grouping: str, name: str) -> str:
    return f"answers of {name} tokens" if grouping == "length" else f"{grouping} {name or 'unknown'}"


def distance(vectors: Vectors | TakeVectors, selected: Bools, most: int = EXACT, looked_at: int = LOOKED_AT) -> dict[str, Any] | None:
    """1 - cosine of every unselected record to its nearest selected one: mean and 95th percentile; None where either side is empty.

    Exact where both sides have at most `most` records, since the work is their product. Else a seeded sample of `looked_at` unselected
    records stands for all: each has its true distance, and `mean_interval` (normal) and `p95_interval` (order statistics of
    the binomial) are 95 % intervals. Where there are more than `most` selected ones, the nearest is sought among a seeded
    sample of `most` of them: no distance is then shorter than the true one, so figures are upper bounds, which only those
    with the same two sizes may be compared to.

    Args:
        vectors: float32 [N, D], rows of unit length; or a function that gives those of some record numbers, which ascend.
        selected: bool [N].
        most: records of each side up to which nothing is drawn; selected records at most.
        looked_at: unselected records where something is drawn.

    Returns:
        `mean`, `p95`; where a side was sampled also `unselected_sampled` and `selected_sampled` (records looked at),
        `mean_interval`, `p95_interval`, and `upper_bound`: whether the selected side was sampled.
    """
    take = vectors if callable(vectors) else vectors.__getitem__
    sides = [np.flatnonzero(selected), np.flatnonzero(~selected)]
    if not len(sides[0]) or not len(sides[1]):
        return None
    exact = max(map(len, sides)) <= most
    inside, outside = map(take, distance_rows(selected, most, looked_at))
    gaps = 1.0 - largest_cosine(outside, inside)
    found: dict[str, Any] = {"mean": float(gaps.mean()), "p95": float(np.quantile(gaps, 0.95))}
    if exact:
        return found
    return found | {
        "unselected_sampled": len(outside),
        "selected_sampled": len(inside),
        "mean_interval": _mean_interval(gaps, len(sides[1])),
        "p95_interval": _quantile_interval(gaps, 0.95),
        "upper_bound": len(inside) < len(sides[0]),
    }


def largest_cosine(vectors: Vectors, others: Vectors) -> Floats:
    """Of each row the cosine to the most like of the others: float64 [N].

    Args:
        vectors: float32 [N, D], rows of unit length.
        others: float32 [M, D], at least one, the same.
    """
    parts = [(vectors[start : start + BLOCK] @ others.T).max(axis=1) for start in range(0, len(vectors), BLOCK)]
    return np.concatenate(parts).astype(np.float64)


def distance_rows(selected: Bools, most: int = EXACT, looked_at: int = LOOKED_AT) -> tuple[Ints, Ints]:
    """The selected and the unselected records whose vectors `distance` takes; each ascends."""
    inside, outside = np.flatnonzero(selected), np.flatnonzero(~selected)
    exact = max(len(inside), len(outside)) <= most
    return _drawn(inside, most), _drawn(outside, most if exact else min(most, looked_at))


def _drawn(rows: Ints, most: int) -> Ints:
    """At most `most` of the rows, in their order: the same ones in every run."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False))


def _mean_interval(gaps: Floats, whole: int) -> list[float]:
    """Normal, with the correction for drawing without replacement from `whole`."""
    left = 1.0 - len(gaps) / whole
    half = NORMAL_QUANTILE * float(gaps.std(ddof=1)) * math.sqrt(left / len(gaps))
    return [float(gaps.mean()) - half, float(gaps.mean()) + half]


def _quantile_interval(gaps: Floats, share: float) -> list[float]:
    """The order statistics between which the quantile lies (binomial, by its normal approximation)."""
    ordered, count = np.sort(gaps), len(gaps)
    half = NORMAL_QUANTILE * math.sqrt(count * share * (1.0 - share))
    low, high = math.floor(count * share - half), math.ceil(count * share + half)
    return [float(ordered[max(0, low)]), float(ordered[min(count - 1, high)])]


def length_bands(tokens: Sequence[int] | Ints) -> list[str]:
    """The band of each response length: `0-49`, `50-99`, ... `800+` tokens."""
    names = [f"{a}-{b - 1}" for a, b in pairwise(LENGTH_EDGES)] + [f"{LENGTH_EDGES[-1]}+"]
    numbers = np.searchsorted(LENGTH_EDGES, np.asarray(tokens), side="right") - 1
    return [names[max(0, int(number))] for number in numbers]
