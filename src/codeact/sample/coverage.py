"""What of the pool a selection has seen: shares of clusters, languages and lengths, and how far the rest is from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from codeact.types import Bools, Ints, Vectors

BLOCK = 2048
LENGTH_EDGES = (0, 50, 100, 200, 400, 800)
WARN_BELOW = 0.5
MIN_GROUP = 10


def coverage(
    selected: Bools,
    groups: Mapping[str, Sequence[Any]],
    vectors: Vectors | None = None,
    warn_below: float = WARN_BELOW,
) -> dict[str, Any]:
    """Shares of every group in the pool and in the selection, groups that are short, and the distance to the selection.

    Args:
        selected: bool [N].
        groups: name of a grouping -> the group of each record, for example its cluster or its language.
        vectors: float32 [N, D], rows of unit length; without them there are no distances.
        warn_below: a group of at least 10 records is short when the selection holds less than this part of its share.

    Returns:
        `groups`: grouping -> rows of group, pool and selected (records), share_pool, share_selected; `warnings`: one line for
        each short group; `distance`: mean and p95 of 1 - cosine of every unselected record to its nearest selected one.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    warnings: list[str] = []
    total, chosen = len(selected), int(selected.sum())
    for grouping, values in groups.items():
        names = np.asarray([str(value) for value in values])
        rows = []
        for name in sorted(set(names.tolist()), key=lambda n: (-int((names == n).sum()), n)):
            inside = names == name
            pool, taken = int(inside.sum()), int((inside & selected).sum())
            row = {
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
                    f"{grouping} {name or 'unknown'}: {taken} of {pool} records selected, {part:.2f} of its share (floor {warn_below:g})"
                )
        shown[grouping] = rows
    found: dict[str, Any] = {"groups": shown, "warnings": warnings}
    if vectors is not None:
        found["distance"] = distance(vectors, selected)
    return found


def distance(vectors: Vectors, selected: Bools) -> dict[str, float] | None:
    """1 - cosine of every unselected record to its nearest selected one: mean and 95th percentile; None where either side is empty."""
    inside, outside = vectors[selected], vectors[~selected]
    if not len(inside) or not len(outside):
        return None
    nearest = np.concatenate(
        [(outside[start : start + BLOCK] @ inside.T).max(axis=1) for start in range(0, len(outside), BLOCK)]
    )
    gaps = 1.0 - nearest.astype(np.float64)
    return {"mean": float(gaps.mean()), "p95": float(np.quantile(gaps, 0.95))}


def length_bands(tokens: Sequence[int] | Ints) -> list[str]:
    """The band of each response length: `0-49`, `50-99`, ... `800+` tokens."""
    names = [f"{a}-{b - 1}" for a, b in pairwise(LENGTH_EDGES)] + [f"{LENGTH_EDGES[-1]}+"]
    numbers = np.searchsorted(LENGTH_EDGES, np.asarray(tokens), side="right") - 1
    return [names[max(0, int(number))] for number in numbers]
