"""Which samples share a row: lengths and a capacity in, index arrays out. Pure numpy.

Two scopes. `plan_batch` packs the samples of one batch among themselves, so that an optimizer step sees the same samples
as without packing (Dynamic Pack, CodeACT, arXiv 2408.02193). `plan_epoch` packs a whole epoch by best-fit decreasing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Sequence
from math import inf, lcm
from typing import Literal, TypedDict, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codeact.amounts import check_whole
from codeact.errors import InputError
from codeact.packing.balance import balance_steps, row_costs, sample_costs
from codeact.packing.checks import sample_numbers, whole_numbers
from codeact.packing.overlong import check_capacity, overlong_message
from codeact.packing.rows import Rows, split_to_multiple
from codeact.types import Indices, Ints

Order = Literal["balanced", "paper"]
COST_UNITS = 2**40  # whole numbers that the costliest sample counts as


def plan_batch(lengths: ArrayLike, capacity: int, order: Order = "balanced") -> list[Ints]:
    """Pack one batch of samples into rows of at most `capacity` tokens.

    `balanced` deals the samples, longest first, each to the least full of ceil(sum / capacity) rows (longest processing
    time first, Graham 1969), then moves and swaps samples between the fullest row and the others while that lowers it: a
    batch pads to its longest row, so equal rows are what makes padding small. Where that overfills a row, more rows are
    taken. Best-fit decreasing and next-fit are tried too, and the plan with the fewest tokens, padding included, wins; so
    `balanced` never holds more than `paper`.
    `paper` is the reference code's ascending next-fit, kept for comparison.

    Args:
        lengths: tokens of each sample, integers >= 1.
        capacity: most tokens of a row.
        order: `balanced` or `paper`.

    Returns:
        One int64 array of sample indices per row; every sample is in exactly one row.

    Raises:
        InputError: no samples, a length below 1, a sample longer than `capacity`, an unknown order.
    """
    sizes = _checked(lengths, capacity)
    check_order(order)
    if order == "paper":
        return _arrays(_next_fit_ascending(sizes.tolist(), capacity))
    # plain lists: a batch is small, and numpy's calls would cost more than their work
    values: list[int] = sizes.tolist()
    total = sum(values)
    fewest = -(-total // capacity)
    plans: list[list[list[int]]] = []
    for count in range(fewest, len(values) + 1):
        rows, fullest = _level(values, _deal(values, count))
        if fullest <= capacity:
            if len(rows) * fullest == total:
                return _arrays(rows)  # no padding at all
            plans.append(rows)
            break
        if count == fewest:
            plans.append([row.tolist() for row in _best_fit_decreasing(sizes, capacity, None)])
    plans.append(_next_fit_ascending(values, capacity))
    return _arrays(
        min(plans, key=lambda rows: (len(rows) * max(sum(values[i] for i in row) for row in rows), len(rows)))
    )


def check_order(order: str) -> None:
    """Refuse an order that there is not.

    Raises:
        InputError: it is not one of `Order`.
    """
    if order not in get_args(Order):
        raise InputError(f"packing order {order!r} is unknown; use balanced or paper")


def plan_ranks(lengths: ArrayLike, capacity: int, ranks: int, crossover: float = inf) -> list[list[Ints]]:
    """Pack one batch for several processes, so that all of them have nearly the same compute.

    The samples are dealt to the ranks by their cost, longest first, and moved and swapped while that lowers the slowest rank's
    (as `plan_batch` levels rows); each rank's are packed by `plan_batch`. An optimizer step sees the same samples as without.

    Args:
        lengths: tokens of each sample, integers >= 1.
        capacity: most tokens of a row.
        ranks: processes that train together.
        crossover: length at which attention costs as much as all else (`crossover_tokens`, or `fit_crossover` from measured
            seconds); infinity counts tokens alone.

    Returns:
        The rows of each rank, int64 arrays of sample indices; ranks may have different numbers of them.

    Raises:
        InputError: as `plan_batch`; fewer samples than ranks; `crossover` not above 0.
    """
    sizes = _checked(lengths, capacity)
    check_whole("ranks", ranks)
    if ranks > len(sizes):
        raise InputError(f"{len(sizes)} samples cannot be dealt to {ranks} ranks; each needs one at least")
    costs = sample_costs(sizes, crossover)
    values = np.rint(costs * (COST_UNITS / costs.max())).astype(np.int64).tolist()
    dealt, _ = _level(values, _deal(values, ranks))
    found = []
    for some in dealt:
        own = np.array(sorted(some), np.int64)
        found.append([own[row] for row in plan_batch(sizes[own], capacity)])
    return found


def plan_epoch(
    lengths: ArrayLike, capacity: int, seed: int = 0, rows_multiple_of: int = 1, *, ranks: int = 1, rows_per_rank: int = 1, crossover: float = inf
) -> Rows:
    """Pack a whole epoch into few, nearly full rows: best-fit decreasing, run on the length histogram.

    Samples of equal length are interchangeable, so whole groups are placed at once; the row loads are those of ordinary
    best-fit decreasing. Samples of equal length are assigned at random and the rows come in random order. Rows are
    split, and no sample is dropped or repeated, until their number divides among the ranks.

    With `ranks`, the rows come step after step and in each step rank after rank, so that the ranks of a step have nearly the same
    compute (`balance_steps`).

    Args:
        lengths: tokens of each sample, integers >= 1.
        capacity: most tokens of a row.
        seed: of the shuffle; the same seed gives the same rows.
        rows_multiple_of: make the number of rows a multiple of this, for example world size times rows per step.
        ranks: processes that train together; their number times `rows_per_rank` is a divisor of the rows.
        rows_per_rank: rows of each in one step.
        crossover: as `plan_ranks` takes it.

    Returns:
        `Rows`: a sequence of int64 index arrays; every sample is in exactly one row.

    Raises:
        InputError: no samples, a length below 1, a sample longer than `capacity`, fewer samples than `rows_multiple_of`; `ranks` or
            `rows_per_rank` below 1; `seed` below 0; `crossover` not above 0.
    """
    sizes = _checked(lengths, capacity)
    check_whole("seed", seed, 0)
    for name, value in (("rows_multiple_of", rows_multiple_of), ("ranks", ranks), ("rows_per_rank", rows_per_rank)):
        check_whole(name, value)
    rows = _best_fit_decreasing(sizes, capacity, np.random.default_rng(seed))
    rows = split_to_multiple(rows, lcm(rows_multiple_of, ranks * rows_per_rank))
    if ranks == 1:
        return rows
    return rows.take(balance_steps(row_costs(rows, sizes, crossover), ranks, rows_per_rank, seed))


def pack_tightly(lengths: ArrayLike, capacity: int) -> Rows:
    """Best-fit decreasing without any shuffling: rows of at most `capacity` tokens, the first opened first.

    Raises:
        InputError: as `plan_epoch`.
    """
    return _best_fit_decreasing(_checked(lengths, capacity), capacity, None)


def padding_rate(rows: Sequence[Indices], lengths: ArrayLike, width: int | None = None) -> float:
    """Share of padding among all tokens of `rows`, each padded to `width` (by default: to the longest of them).

    Returns:
        padding tokens / (rows * width), from 0 to 1.

    Raises:
        InputError: no rows, an empty row, a sample that is not there, a length below 1, or a row longer than `width`.
    """
    sizes = _sizes(lengths)
    own = [] if isinstance(rows, Rows) else [sample_numbers(row, len(sizes)) for row in rows]
    if len(rows) == 0 or not all(map(len, own)):
        raise InputError("padding rate of no rows: at least one row is needed, and each with at least one sample")
    totals = rows.totals(sizes) if isinstance(rows, Rows) else np.array([int(sizes[row].sum()) for row in own])
    longest = int(totals.max())
    if width is None:
        width = longest
    check_whole("width", width)
    if longest > width:
        raise InputError(f"a row of {longest} tokens is wider than the width {width}")
    return 1.0 - float(totals.sum()) / (len(rows) * width)


class Layout(TypedDict):
    """What one way of batching costs: `row_tokens` counts padding, `padding_rate` is its share of them."""

    padding_rate: float
    rows: int
    row_tokens: int


def shuffled_batches(lengths: Ints, batch_size: int, seed: int = 0) -> list[Ints]:
    """The batches of `compare_layouts`: lengths in a shuffled order, `batch_size` at a time."""
    shuffled = lengths[np.random.default_rng(seed).permutation(len(lengths))]
    return [shuffled[start : start + batch_size] for start in range(0, len(lengths), batch_size)]


def compare_layouts(lengths: ArrayLike, capacity: int, batch_size: int, seed: int = 0) -> dict[str, Layout]:
    """Rows and padding of one epoch under each way of batching, on the same shuffled batches of `batch_size` samples.

    Returns:
        `pad to max`, `dynamic padding` (to the batch's longest sample), `reference Dynamic Pack` (`order="paper"`),
        `Dynamic Pack` (`plan_batch`) and `epoch pack` (`plan_epoch`, rows padded to `capacity`), each a `Layout`.

    Raises:
        InputError: as `plan_batch`.
    """
    sizes = _checked(lengths, capacity)
    tokens, count = int(sizes.sum()), len(sizes)
    batches = shuffled_batches(sizes, batch_size, seed)
    paper = [(plan_batch(batch, capacity, "paper"), batch) for batch in batches]
    ours = [(plan_batch(batch, capacity), batch) for batch in batches]
    epoch = plan_epoch(sizes, capacity, seed)

    def layout(rows: int, row_tokens: int) -> Layout:
        return {"padding_rate": 1.0 - tokens / row_tokens, "rows": rows, "row_tokens": row_tokens}

    def packed(plans: list[tuple[list[Ints], Ints]]) -> Layout:
        return layout(sum(len(rows) for rows, _ in plans), sum(_held(rows, batch) for rows, batch in plans))

    return {
        "pad to max": layout(count, count * capacity),
        "dynamic padding": layout(count, sum(len(batch) * int(batch.max()) for batch in batches)),
        "reference Dynamic Pack": packed(paper),
        "Dynamic Pack": packed(ours),
        "epoch pack": layout(len(epoch), len(epoch) * capacity),
    }


def _checked(lengths: ArrayLike, capacity: int) -> Ints:
    check_capacity(capacity)
    sizes = _sizes(lengths)
    if int(sizes.max()) > capacity:
        raise InputError(overlong_message(int(sizes.argmax()), int(sizes.max()), capacity))
    return sizes


def _sizes(lengths: ArrayLike) -> Ints:
    sizes = whole_numbers(lengths, "sample lengths")
    if sizes.size == 0:
        raise InputError("nothing to pack: there are no samples")
    if int(sizes.min()) < 1:
        raise InputError(f"sample {int(sizes.argmin())} is empty (length {int(sizes.min())}); leave empty samples out")
    return sizes


def _held(rows: Sequence[Ints], sizes: Ints) -> int:
    return len(rows) * max(int(sizes[row].sum()) for row in rows)


def _arrays(rows: list[list[int]]) -> list[Ints]:
    return [np.array(row, dtype=np.int64) for row in rows]


def _deal(values: list[int], count: int) -> list[list[int]]:
    """Longest first, each to the least full of `count` rows: the samples of each row."""
    heap = [(0, row) for row in range(count)]
    rows: list[list[int]] = [[] for _ in range(count)]
    for sample in sorted(range(len(values)), key=lambda i: -values[i]):
        load, row = heap[0]
        rows[row].append(sample)
        heapq.heapreplace(heap, (load + values[sample], row))
    return rows


def _level(values: list[int], dealt: list[list[int]]) -> tuple[list[list[int]], int]:
    """Lower the fullest row by the best single move or swap with another row, until none helps; and its load then."""
    rows = [sorted((values[i], i) for i in row) for row in dealt]
    loads = [sum(size for size, _ in row) for row in rows]
    equal = -(-sum(loads) // len(loads))
    for _ in range(4 * len(values)):
        full = loads.index(max(loads))
        least = loads.index(min(loads))
        peak = loads[full]
        if peak == equal:
            break
        best: tuple[int, int, int] | None = None
        for other, load in enumerate(loads):
            gap = loads[full] - load
            if gap < 2:
                continue
            for mine, (size, _) in enumerate(rows[full]):
                # giving half the gap would make both rows equal; partners on both sides of that size come nearest to it
                index = bisect_left(rows[other], (size - gap / 2, 0))
                for theirs in (index - 1, index):
                    # swapping with nothing (size 0) of the least full row is a move
                    if 0 <= theirs < len(rows[other]):
                        given = size - rows[other][theirs][0]
                    elif theirs < 0 and other == least:
                        given = size
                    else:
                        continue
                    if (higher := max(loads[full] - given, load + given)) < peak:
                        peak, best = higher, (mine, other, theirs)
        if best is None:
            break
        mine, other, theirs = best
        moved = rows[full].pop(mine)
        given = moved[0]
        if theirs >= 0:
            back = rows[other].pop(theirs)
            insort(rows[full], back)
            given -= back[0]
        insort(rows[other], moved)
        loads[full] -= given
        loads[other] += given
    return [[i for _, i in row] for row in rows if row], max(loads)


def _next_fit_ascending(values: list[int], capacity: int) -> list[list[int]]:
    rows: list[list[int]] = [[]]
    load = 0
    for sample in sorted(range(len(values)), key=values.__getitem__):
        if load + values[sample] > capacity:
            rows.append([])
            load = 0
        rows[-1].append(sample)
        load += values[sample]
    return rows


def _best_fit_decreasing(sizes: Ints, capacity: int, rng: np.random.Generator | None) -> Rows:
    """Best-fit decreasing. With `rng`, equal lengths are shuffled among themselves and so are the rows."""
    # 16-bit keys make numpy's stable argsort a radix sort
    keys = (capacity - sizes).astype(np.uint16 if capacity <= 0xFFFF else np.int64)
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(sizes, minlength=capacity + 1)
    if rng is not None:
        start = 0
        for count in counts[counts > 0][::-1].tolist():
            rng.shuffle(order[start : start + count])
            start += count
    row_of, slot, filled = _assign(counts, capacity, len(sizes))
    rank = np.arange(len(filled)) if rng is None else rng.permutation(len(filled))
    starts = np.zeros(len(filled) + 1, np.int64)
    starts[1 + rank] = filled
    np.cumsum(starts, out=starts)
    where = np.take(starts[rank], row_of)
    where += slot
    samples = np.empty(len(sizes), np.int64)
    samples[where] = order
    return Rows(samples, starts)


def _assign(
    counts: Ints, capacity: int, total: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Row and place within the row of every item, items taken longest first; and the number of items of each row."""
    row_of = np.empty(total, np.int32)
    slot = np.empty(total, np.int32)
    filled = np.zeros(total, np.int32)
    free = np.zeros(capacity + 1, np.int64)  # free[r]: how many rows have room for r more tokens
    stacks: list[list[NDArray[np.int32]]] = [[] for _ in range(capacity + 1)]
    rows = done = 0

    def put(into: NDArray[np.int32], each: int, room: int, size: int) -> None:
        nonlocal done
        stop = done + len(into) * each
        if each == 1:
            row_of[done:stop], slot[done:stop] = into, filled[into]
        else:
            row_of[done:stop] = np.repeat(into, each)
            slot[done:stop] = (filled[into][:, None] + np.arange(each, dtype=np.int32)).ravel()
        filled[into] += each
        left = room - each * size
        if left:
            free[left] += len(into)
            stacks[left].append(into)
        done = stop

    for size in np.flatnonzero(counts)[::-1].tolist():
        items = int(counts[size])
        # tightest first; a row takes as many as fit before the next, since after each it is tighter still
        for room in (np.flatnonzero(free[size:]) + size).tolist():
            each = room // size
            into = _take(stacks, free, room, min(int(free[room]), -(-items // each)))
            whole = min(len(into), items // each)
            put(into[:whole], each, room, size)
            if whole < len(into):
                put(into[whole:], items - whole * each, room, size)
            items -= min(items, len(into) * each)
            if items == 0:
                break
        if items:
            each = capacity // size
            fresh = np.arange(rows, rows - (-items // each), dtype=np.int32)
            rows += len(fresh)
            whole = items // each
            put(fresh[:whole], each, capacity, size)
            if whole < len(fresh):
                put(fresh[whole:], items - whole * each, capacity, size)
    return row_of, slot, filled[:rows]


def _take(stacks: list[list[NDArray[np.int32]]], free: Ints, room: int, count: int) -> NDArray[np.int32]:
    """Remove and return `count` of the rows that have `room` tokens left."""
    free[room] -= count
    stack, taken = stacks[room], []
    while count:
        top = stack.pop()
        if len(top) > count:
            stack.append(top[count:])
            top = top[:count]
        taken.append(top)
        count -= len(top)
    return taken[0] if len(taken) == 1 else np.concatenate(taken)
