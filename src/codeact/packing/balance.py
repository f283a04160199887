"""Compute of packed rows, and steps in which every rank has the same of it. Pure numpy.

Rows of equal tokens differ in compute: attention grows with the square of each sample's length, all else with the tokens.
A rank with one sample of 32k tokens works longer than one with 64 samples of 512, and the others wait for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from codeact.amounts import check_whole, is_number
from codeact.errors import InputError
from codeact.packing.checks import real_numbers, sample_numbers
from codeact.packing.rows import Rows
from codeact.types import Floats, Indices, Ints


def crossover_tokens(body_parameters: float, hidden_size: float, layers: int) -> float:
    """Length at which attention over a whole sample takes as long as all matrix products with weights.

    A token costs 2 FLOPs per weight. Causal attention over n tokens costs 4 * hidden * n^2 / 2 FLOPs a layer (scores and
    their product with the values, half of the square). Equal at n = body_parameters / (hidden_size * layers).

    Args:
        body_parameters: weights without embeddings and head.
        hidden_size: width of the residual stream (query heads * head size, their mean where layers differ).
        layers: attention layers.

    Raises:
        InputError: one of them is not above 0.
    """
    for name, value in (("body_parameters", body_parameters), ("hidden_size", hidden_size), ("layers", layers)):
        if not is_number(value) or not value > 0:
            raise InputError(f"{name} is {value!r}; it must be above 0")
    return body_parameters / (hidden_size * layers)


def fit_crossover(rows: Sequence[ArrayLike], seconds: ArrayLike) -> float:
    """The crossover of this model on this machine, from measured rows: least squares of seconds = a * tokens + b * squares.

    Args:
        rows: lengths of the samples in each row that was timed; rows of long samples and rows of short ones.
        seconds: of a training step (or a forward pass) of each row.

    Returns:
        a / b in tokens, for `row_costs` and the plans; infinite where longer samples took no longer (b not above 0).

    Raises:
        InputError: no lists of numbers, fewer than two rows, another number of seconds, rows that all have the same mix, or time that tokens do not explain.
    """
    sizes = [real_numbers(row, f"row {number}") for number, row in enumerate(rows)]
    took = real_numbers(seconds, "the seconds")
    if len(sizes) < 2 or len(sizes) != len(took):
        raise InputError(f"{len(sizes)} rows and {len(took)} times; at least two rows with a time each are needed")
    parts = np.array([[row.sum(), (row**2).sum()] for row in sizes])
    scale = parts.max(axis=0)
    (linear, square), _, rank, _ = np.linalg.lstsq(parts / scale, took, rcond=1e-9)
    if rank < 2:
        raise InputError("all rows have the same mix of lengths; time rows of long samples and rows of short ones")
    if not linear > 0:
        raise InputError("the times do not grow with the tokens; time more rows, on a quiet machine")
    return float((linear / scale[0]) / (square / scale[1])) if square > 0 else float("inf")


def sample_costs(lengths: ArrayLike, crossover: float) -> Floats:
    """Compute of each sample, float64 [N], in tokens of the linear part: n + n^2 / crossover.

    Raises:
        InputError: `crossover` is not above 0, or the lengths are no numbers.
    """
    if not is_number(crossover) or not crossover > 0:
        raise InputError(f"crossover is {crossover!r} tokens; it must be above 0")
    sizes = real_numbers(lengths, "sample lengths")
    return np.asarray(sizes + sizes**2 / crossover, dtype=np.float64)


def row_costs(rows: Sequence[Indices], lengths: ArrayLike, crossover: float) -> Floats:
    """Compute of each row, float64 [R], in tokens of the linear part: sum over its samples of n + n^2 / crossover.

    Args:
        rows: sample indices of each row.
        lengths: tokens of each sample.
        crossover: see `crossover_tokens`; infinity counts tokens alone.

    Raises:
        InputError: `crossover` is not above 0; a sample is not there.
    """
    each = sample_costs(lengths, crossover)
    if isinstance(rows, Rows):
        return np.add.reduceat(each[rows.samples], rows.starts[:-1]) if len(rows) else np.zeros(0)
    return np.array([each[sample_numbers(row, len(each))].sum() for row in rows], dtype=np.float64)


def balance_ratio(costs: ArrayLike, ranks: int, rows_per_rank: int = 1) -> Floats:
    """Mean over the ranks of each step's compute divided by that of its slowest rank, float64 [steps].

    1 is perfect; at 0.8 the ranks wait for a fifth of the step, on average. Rows are dealt as `balance_steps` and the
    Trainer deal them: step after step, in each step rank after rank.

    Args:
        costs: compute of each row, in the order of training; ranks * rows_per_rank of them make a step.
        ranks: processes that train together.
        rows_per_rank: rows of each in one step.

    Raises:
        InputError: the rows do not divide into whole steps, or a cost is no number of at least 0.
    """
    steps = _steps(real_numbers(costs, "the costs of rows"), ranks, rows_per_rank)
    loads = steps.reshape(len(steps), ranks, rows_per_rank).sum(axis=2)
    most = loads.max(axis=1)
    ratio = np.ones(len(steps))  # of a step that costs nothing no rank waits
    np.divide(loads.mean(axis=1), most, out=ratio, where=most > 0)
    return ratio


def balance_steps(costs: ArrayLike, ranks: int, rows_per_rank: int = 1, seed: int = 0, window: int = 32) -> Ints:
    """An order of the rows in which the ranks of each step have nearly equal compute.

    The rows are shuffled; within each window of `window` steps they are sorted by cost and cut into steps of similar rows,
    each step is dealt to its ranks, the costliest row first, to the rank with the least so far that has room (longest
    processing time first, Graham 1969), and the window's steps are shuffled. A narrow window keeps the order near a random one.

    Args:
        costs: compute of each row.
        ranks: processes that train together.
        rows_per_rank: rows of each in one step.
        seed: of both shuffles.
        window: steps among which rows may be exchanged.

    Returns:
        int64 [R]: `order[i]` is the row at position i, steps after each other and ranks within a step.

    Raises:
        InputError: the rows do not divide into whole steps, a cost is no number of at least 0, `window` is below 1 or `seed` below 0.
    """
    given = real_numbers(costs, "the costs of rows")
    check_whole("window", window)
    check_whole("seed", seed, 0)
    _steps(given, ranks, rows_per_rank)
    size = ranks * rows_per_rank
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(given))
    ordered: list[Ints] = []
    for start in range(0, len(given), window * size):
        part = shuffled[start : start + window * size]
        part = part[np.argsort(-given[part], kind="stable")]
        steps = [_deal(part[i : i + size], given, ranks, rows_per_rank) for i in range(0, len(part), size)]
        ordered += [steps[i] for i in generator.permutation(len(steps)).tolist()]
    return np.concatenate(ordered) if ordered else np.zeros(0, np.int64)


def deal_steps(order: Ints, costs: ArrayLike, ranks: int, rows_per_rank: int = 1) -> Ints:
    """The same rows in the same steps, dealt within each step so that its ranks have nearly equal compute.

    Args:
        order: rows in the order of training, steps after each other.
        costs: compute of each row.
        ranks: processes that train together.
        rows_per_rank: rows of each in one step.

    Returns:
        int64 [R], ranks after each other within a step.

    Raises:
        InputError: the rows do not divide into whole steps, or a cost is no number of at least 0.
    """
    given = real_numbers(costs, "the costs of rows")
    _steps(given[order], ranks, rows_per_rank)
    size = ranks * rows_per_rank
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    dealt = [_deal(part[np.argsort(-given[part], kind="stable")], given, ranks, rows_per_rank) for part in parts]
    return np.concatenate(dealt) if dealt else np.zeros(0, np.int64)


def _deal(rows: Ints, costs: Floats, ranks: int, each: int) -> Ints:
    heap = [(0.0, rank) for rank in range(ranks)]
    dealt: list[list[int]] = [[] for _ in range(ranks)]
    for row in rows.tolist():  # costliest first
        load, rank = heapq.heappop(heap)
        dealt[rank].append(row)
        if len(dealt[rank]) < each:
            heapq.heappush(heap, (load + float(costs[row]), rank))
    return np.array([row for some in dealt for row in some], dtype=np.int64)


def _steps(costs: Floats, ranks: int, rows_per_rank: int) -> Floats:
    check_whole("ranks", ranks)
    check_whole("rows_per_rank", rows_per_rank)
    wrong = np.flatnonzero(~(np.isfinite(costs) & (costs >= 0)))
    if wrong.size:
        raise InputError(f"the cost of row {wrong[0]} is {costs[wrong[0]]}; it must be a finite number of at least 0")
    size = ranks * rows_per_rank
    if len(costs) % size:
        raise InputError(
            f"{len(costs)} rows do not divide into steps of {size} ({ranks} ranks of {rows_per_rank} rows);"
            f" plan them with rows_multiple_of={size}"
        )
    return costs.reshape(-1, size)
