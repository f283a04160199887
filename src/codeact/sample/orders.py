"""Greedy orders over a whole pool, each a stream of record numbers: the budget decides where it is cut.

Every function takes its records in the order of their ids, so that the same records give the same order whatever the file's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from codeact.amounts import check_whole
from codeact.errors import InputError
from codeact.sample import groups
from codeact.types import Bools, Ints, Vectors

MOST_SIMILAR = 0.9
ROUNDING = 1e-6  # of a cosine of float32 vectors: 0.9 itself comes out as 0.90000004
SIMILARITY_STEPS = 2**20
KEEP_SIMILARITIES = 12_000
MOST_RANKS = 2**25
BLOCK_ROWS = 1024
STALE_BATCH = 32
BANDS, BAND_RECORDS = 50, 10
COMPARE_ALL, COMPARED = 100_000, 50_000


def each_once(numbers: Iterable[int], count: int, name: str) -> Iterator[int]:
    """The record numbers of an order, looked at as they are read.

    Args:
        numbers: what the order gives.
        count: records that it is of.
        name: whose order it is.

    Raises:
        InputError: something that is no number from 0 to below `count`, or one that came before.
    """
    if not isinstance(numbers, Iterable):
        raise InputError(f"the order of {name!r} gives {numbers!r}; it must give record numbers")
    seen = bytearray(count)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < count:
            raise InputError(f"the order of {name!r} gives {number!r}; it must give record numbers, integers from 0 to {count - 1}")
        if seen[number]:
            raise InputError(f"the order of {name!r} gives record {number} twice; each may come once")
        seen[number] = 1
        yield int(number)


def take(order: Iterable[int], cost: Ints, budget: int) -> Ints:
    """The prefix of an order whose cost comes nearest to the budget (of two equally near ones the cheaper): int64 [taken].

    With a cost of 1 per record that is exactly `budget` records, if the order has so many.

    Args:
        order: record numbers, each once; read only as far as needed.
        cost: int64 [N], not negative.
        budget: what the costs may add up to.
    """
    taken: list[int] = []
    total = 0
    for number in order:
        if total >= budget:
            break
        price = int(cost[number])
        if total + price - budget < budget - total or total + price <= budget:
            taken.append(number)
        total += price
    return np.asarray(taken, np.int64)


def marked(numbers: Ints, count: int) -> Bools:
    """The records of these numbers, as bool [count]."""
    chosen = np.zeros(count, np.bool_)
    chosen[numbers] = True
    return chosen


def fair_order(group: Ints, place: Ints, cost: Ints, usable: Bools) -> Ints:
    """Merge the orders of all groups so that every prefix holds about the same share of each group's cost.

    The usable record at place p of its group comes at (cost of those before it + half its own) / cost of the whole group,
    usable or not; equal shares go to the lower group. Webster's method, with tokens for votes.

    Args:
        group: int64 [N], numbered from 0 without gaps.
        place: int64 [N], 0-based place inside the group, the usable ones first.
        cost: int64 [N], not negative.
        usable: bool [N]; the others are left out.
    """
    order = np.lexsort((place, group))
    prices = cost[order].astype(np.float64)
    sizes = np.bincount(group)
    ends = np.cumsum(sizes)
    sums = np.concatenate(([0.0], np.cumsum(prices)))
    before = sums[:-1] - np.repeat(sums[ends - sizes], sizes)
    whole = np.repeat(sums[ends] - sums[ends - sizes], sizes)
    share = np.empty(len(group))
    share[order] = (before + prices / 2) / np.maximum(whole, 1.0)
    merged = np.lexsort((place, group, share))
    return np.asarray(merged[usable[merged]], np.int64)


def k_centre(vectors: Vectors, start: int) -> Iterator[int]:
    """Farthest-first traversal: each next record is the one farthest from all before it; of equals the first.

    The greedy 2-approximation of the k-centre problem (Gonzalez 1985), as used for core-sets by Sener and Savarese
    (arXiv 1708.00489). Distance is Euclidean: on rows of unit length that orders as the cosine does. Above `groups.EXACT` records
    the order is that of `groups.merged`.

    Args:
        vectors: float32 [N, D].
        start: number of the first record.

    Raises:
        InputError: `start` is no number of a record.
    """
    check_whole("start", start, 0, len(vectors) - 1)
    if len(vectors) <= groups.EXACT:
        return (number for _, number in _farthest_first(vectors, start))
    return groups.merged(vectors, lambda own, rows: _farthest_first(own, int(np.searchsorted(rows, start)) if start in rows else 0))


def _farthest_first(vectors: Vectors, start: int) -> groups.Steps:
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    nearest = np.full(len(vectors), np.inf)
    number = start
    for _ in range(len(vectors)):
        yield float(nearest[number]), number
        far = squares + squares[number] - 2.0 * (vectors @ vectors[number]).astype(np.float64)
        np.minimum(nearest, np.maximum(far, 0.0), out=nearest)
        nearest[number] = -np.inf
        number = int(nearest.argmax())


def facility_location(vectors: Vectors) -> Iterator[int]:
    """Lazy greedy maximisation of sum over all records i of max over chosen j of max(0, cosine(i, j)).

    Greedy is within 1 - 1/e of the best (Nemhauser, Wolsey and Fisher 1978); lazy evaluation (Minoux 1978) gives the same
    order with fewer evaluations. For data subsets: Wei, Iyer and Bilmes (ICML 2015). Similarities are rounded to 2^-20, so
    gains are sums of integers: exact ties, decided by the first record, and no drift. Above `groups.EXACT` records the order is
    that of `groups.merged`: the sum then counts chosen records of the own group alone.

    Args:
        vectors: float32 [N, D], rows of unit length.
    """
    if len(vectors) <= groups.EXACT:
        return (number for _, number in _lazy_greedy(vectors))

    def whole(own: Vectors, _: Ints) -> groups.Steps:  # at once: its similarities are then forgotten
        yield from list(_lazy_greedy(own))

    return groups.merged(vectors, whole)


def _lazy_greedy(vectors: Vectors) -> groups.Steps:
    count = len(vectors)
    known = _similarities(vectors, slice(0, count)) if count <= KEEP_SIMILARITIES else None

    def rows(numbers: Sequence[int]) -> NDArray[np.int32]:
        return known[numbers] if known is not None else _similarities(vectors, numbers)

    best = np.zeros(count, np.int32)
    heap: list[tuple[int, int]] = []
    for begin in range(0, count, BLOCK_ROWS):
        numbers = list(range(begin, min(begin + BLOCK_ROWS, count)))
        heap += zip((-rows(numbers).sum(axis=1, dtype=np.int64)).tolist(), numbers, strict=True)
    heapq.heapify(heap)
    fresh: set[int] = {number for _, number in heap}
    while heap:
        loss, number = heapq.heappop(heap)
        if number in fresh:
            yield -float(loss), number
            np.maximum(best, rows([number])[0], out=best)
            fresh = set()
            continue
        stale = [number]
        while heap and len(stale) < STALE_BATCH and heap[0][1] not in fresh:
            stale.append(heapq.heappop(heap)[1])
        gains = np.maximum(rows(stale) - best, 0).sum(axis=1, dtype=np.int64)
        for again, other in zip((-gains).tolist(), stale, strict=True):
            heapq.heappush(heap, (again, other))
        fresh.update(stale)


def nearest_in_turn(targets: Vectors, vectors: Vectors, most: int = MOST_RANKS) -> Iterator[int]:
    """Targets take turns, each taking the record most like it that none has taken; of equals the first.

    The round robin of targeted selection (Ivison et al., arXiv 2503.01807). Cosines are rounded to 2^-20, so ties are exact.

    Args:
        targets: float32 [T, D], rows of unit length, in the order of their turns.
        vectors: float32 [N, D], rows of unit length.
        most: ranks held at a time. Where T x N are more, each target has the nearest of what is left, and looks again when they are used up.
    """
    turns, count = len(targets), len(vectors)
    depth, together = max(1, most // turns), max(1, most // count) if count else 1
    free, numbers = np.ones(count, np.bool_), np.arange(count, dtype=np.int32)
    ranked = [numbers[:0]] * turns
    for turn in range(count):
        target = turn % turns
        place = _first_free(ranked[target], free)
        if place == len(ranked[target]):
            if 2 * np.count_nonzero(left := free[numbers]) <= len(numbers):
                vectors, numbers, left = vectors[left], numbers[left], left[left]
            some = slice(target, target + together)
            ranked[some] = [numbers[found] for found in _nearest(targets[some] @ vectors.T, left, depth)]
            place = 0
        number = int(ranked[target][place])
        ranked[target] = ranked[target][place + 1 :]
        free[number] = False
        yield number


def _first_free(numbers: NDArray[np.int32], free: Bools) -> int:
    """Place of the first of these that is free; their count where none is."""
    for start in range(0, len(numbers), BLOCK_ROWS):
        ahead = free[numbers[start : start + BLOCK_ROWS]]
        if ahead[place := int(ahead.argmax())]:
            return start + place
    return len(numbers)


def _nearest(similar: Vectors, left: Bools, depth: int) -> Iterator[Ints]:
    """Of each row of cosines the numbers of the `depth` largest of those left, largest first; of equals the first."""
    closed = np.iinfo(np.int64).max
    for row in similar:
        key = np.rint(row * -SIMILARITY_STEPS).astype(np.int64) * len(row) + np.arange(len(row))  # each once
        key[~left] = closed
        found = np.argpartition(key, depth)[:depth] if depth < len(key) else np.arange(len(key))
        found = found[np.argsort(key[found])]
        yield found[key[found] < closed]


def length_matched(tokens: Ints, like: Bools, draw: NDArray[np.uint64]) -> Iterator[int]:
    """A random draw with the length histogram of a selection: as many records of each band of length as the selection has there.

    Bands hold consecutive lengths and, but for one, equally many records: about 10, more in pools above 500 records. Of a band its records come
    in a random order, so one is as likely drawn as the other; where the selection holds a whole band, so does the draw. Bands are
    mixed at random. What follows after as many records as the selection has is a second such draw from what is left, and so on:
    a budget of tokens can be met whatever the first draw weighs.

    Args:
        tokens: int64 [N], response lengths.
        like: bool [N], the selection.
        draw: uint64 [N], a random order: the lower goes first.
    """
    count = len(tokens)
    if not like.any():
        return
    by_length = np.lexsort((draw, tokens))
    bands = np.array_split(by_length, max(1, min(BANDS, count // BAND_RECORDS)))
    left = [band[np.argsort(draw[band], kind="stable")] for band in bands]
    shares = [int(like[band].sum()) for band in bands]
    while any(share and len(some) for share, some in zip(shares, left, strict=True)):
        taken = np.concatenate([some[:share] for share, some in zip(shares, left, strict=True)])
        left = [some[share:] for share, some in zip(shares, left, strict=True)]
        yield from taken[np.argsort(draw[taken], kind="stable")].tolist()


def tag_coverage(tags: Sequence[frozenset[str]]) -> Iterator[int]:
    """InsTag's complexity-first diverse sampling (arXiv 2308.07074, algorithm 1).

    Records go by their number of tags, most first (of equals the first). A pass takes each record that has a tag which no
    record of this pass has yet; passes are repeated over what is left, each with an empty set of tags. Records without
    tags are never taken.

    Args:
        tags: of each record, normalised.
    """
    left = sorted((n for n in range(len(tags)) if tags[n]), key=lambda n: (-len(tags[n]), n))
    while left:
        covered: set[str] = set()
        later: list[int] = []
        for number in left:
            if tags[number] <= covered:
                later.append(number)
            else:
                covered |= tags[number]
                yield number
        left = later


def unlike(order: Iterable[int], vectors: Vectors, limit: float = MOST_SIMILAR) -> Iterator[int]:
    """DEITA's diversity filter (arXiv 2312.15685): of an order, the records whose cosine to all taken before is <= `limit`.

    Exact up to 100,000 records, in blocks: the work is the records looked at times those taken. Above, records are compared
    inside groups of at most 50,000 near ones.

    Args:
        order: record numbers, best first.
        vectors: float32 [N, D], rows of unit length.
        limit: the paper's 0.9.
    """
    bound = limit + ROUNDING
    group = np.zeros(len(vectors), np.int64)
    if len(vectors) > COMPARE_ALL:
        for label, rows in enumerate(groups.near_groups(vectors, COMPARED)):
            group[rows] = label
    kept: dict[int, list[Vectors]] = {}
    open_ = iter(order)
    while numbers := list(islice(open_, BLOCK_ROWS)):
        points, own = vectors[numbers], group[numbers]
        free = np.ones(len(numbers), np.bool_)
        for label in np.unique(own).tolist():
            inside = np.flatnonzero(own == label)
            for earlier in kept.get(label, ()):
                free[inside] &= (points[inside] @ earlier.T).max(axis=1) <= bound
        near = ((points @ points.T) > bound) & (own[:, None] == own[None])
        taken = []
        for at, number in enumerate(numbers):
            if free[at]:
                yield number
                taken.append(at)
                free &= ~near[at]
        for label in np.unique(own[taken]).tolist():
            kept.setdefault(label, []).append(points[[at for at in taken if own[at] == label]])


def check_vectors(vectors: object, count: int) -> Vectors:
    """float32 [N, D] with rows of unit length.

    Raises:
        InputError: no numbers, another shape, or a value that is not finite.
    """
    try:
        points = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"'embedding' must be numbers, one row of equal length per id: {error}") from error
    if points.ndim != 2 or len(points) != count:
        raise InputError(f"'embedding' has shape {list(points.shape)} for {count} ids; one row per id is needed")
    if not np.isfinite(points).all():
        raise InputError("'embedding' holds a value that is not finite; embed the records again")
    # Adding 0 turns -0.0 into 0.0: equal points have equal bytes.
    unit: Vectors = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12) + np.float32(0)
    return unit


def _similarities(vectors: Vectors, rows: slice | Sequence[int]) -> NDArray[np.int32]:
    cosine = np.maximum(vectors[rows] @ vectors.T, 0.0)
    found: NDArray[np.int32] = np.rint(cosine * SIMILARITY_STEPS).astype(np.int32)
    return found
