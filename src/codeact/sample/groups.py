"""Greedy orders over pools that are too large for one: groups of near records, each with an order of its own, merged by gain."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import numpy as np

from codeact.types import Floats, Ints, Vectors

EXACT = 20_000
"""Records up to which a greedy order goes over the whole pool."""
GROUP = 2_048
"""Records of a group at most, beyond that."""
AXIS_ROWS = 2_048

Steps = Iterator[tuple[float, int]]
"""(what the record adds, its number), best first; what is added never grows."""


def near_groups(vectors: Vectors, most: int = GROUP) -> list[Ints]:
    """Halve the records at the median of their first principal direction until no group has more than `most`: numbers, ascending.

    The direction is that of every n-th record, 2,048 or a few more.

    Args:
        vectors: float32 [N, D].
        most: records of a group.
    """
    found, open_ = list[Ints](), [np.arange(len(vectors), dtype=np.int64)]
    while open_:
        rows = open_.pop()
        if len(rows) <= most:
            found.append(rows)
            continue
        along = vectors[rows] @ _axis(vectors[rows[:: max(1, len(rows) // AXIS_ROWS)]])
        order = np.argsort(along, kind="stable")
        half = len(rows) // 2
        open_ += [np.sort(rows[order[half:]]), np.sort(rows[order[:half]])]
    return found


def _axis(points: Vectors) -> Vectors:
    """The first principal direction, its strongest loading positive: float32 [D]."""
    wide = points.astype(np.float64)
    wide -= wide.mean(axis=0)
    axis: Floats = np.linalg.eigh(wide.T @ wide)[1][:, -1]
    found: Vectors = (axis * np.sign(axis[np.abs(axis).argmax()])).astype(np.float32)
    return found


def merged(vectors: Vectors, order: Callable[[Vectors, Ints], Steps]) -> Iterator[int]:
    """The orders of all groups as one: at each step the record that adds most to its own group; of equals the first.

    For a sum over groups that is the greedy order itself; for distances no record is farther from a taken one of its group than the last
    that was taken.

    Args:
        vectors: float32 [N, D].
        order: makes the steps of a group of its vectors and its numbers; the numbers of its steps are places in the group.
    """

    def of(rows: Ints) -> Iterator[tuple[float, int]]:
        return ((-gain, int(rows[at])) for gain, at in order(vectors[rows], rows))

    return (number for _, number in heapq.merge(*map(of, near_groups(vectors))))
