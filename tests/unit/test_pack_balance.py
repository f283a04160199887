"""Compute of rows against the sum written out, and steps whose ranks have equal compute."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.errors import InputError
from codeact.packing import (
    balance_ratio,
    balance_steps,
    crossover_tokens,
    fit_crossover,
    padding_rate,
    plan_epoch,
    plan_ranks,
    row_costs,
)


def test_costs_are_the_formula_one_sample_at_a_time() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 300)
    rows = plan_epoch(lengths, 1024)
    expected = [sum(int(n) + int(n) ** 2 / 700 for n in lengths[row]) for row in rows]
    assert np.allclose(row_costs(rows, lengths, 700), expected)
    assert np.allclose(row_costs(list(rows), lengths, 700), expected)
    assert np.allclose(row_costs(rows, lengths, np.inf), rows.totals(lengths))


def test_crossover_counts_the_flops_of_a_llama_layer_by_layer() -> None:
    hidden, inner, layers, length = 576, 1536, 30, 4096
    weights = layers * (4 * hidden * hidden + 3 * hidden * inner)
    at = crossover_tokens(weights, hidden, layers)
    linear = 2 * weights * length
    pairs = length * length / 2  # causal
    attention = layers * 2 * (2 * pairs * hidden)
    assert attention / linear == pytest.approx(length / at)


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12), st.integers(1, 5), st.integers(0, 5))
def test_an_order_of_all_rows(ranks: int, each: int, steps: int, window: int, seed: int) -> None:
    costs = np.random.default_rng(seed).lognormal(0, 1, ranks * each * steps)
    order = balance_steps(costs, ranks, each, seed, window)
    assert sorted(order.tolist()) == list(range(len(costs)))
    assert (order == balance_steps(costs, ranks, each, seed, window)).all()
    assert ((balance_ratio(costs[order], ranks, each) > 0) & (balance_ratio(costs[order], ranks, each) <= 1)).all()


def test_one_step_is_near_the_best_deal_by_brute_force() -> None:
    for seed in range(20):
        costs = np.random.default_rng(seed).lognormal(0, 0.6, 6)
        ours = balance_ratio(costs[balance_steps(costs, 2, 3)], 2, 3)[0]
        best = max(balance_ratio(costs[list(p)], 2, 3)[0] for p in itertools.permutations(range(6)))
        assert ours >= 0.85 * best


def test_long_rows_no_longer_hold_up_the_others() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(7.5, 1.3, 8000).astype(int) + 1, 32_768)
    rows = plan_epoch(lengths, 32_768, rows_multiple_of=32)
    costs = row_costs(rows, lengths, crossover=16_000)
    random = balance_ratio(costs, 8, 4).mean()
    ours = balance_ratio(costs[balance_steps(costs, 8, 4)], 8, 4).mean()
    assert random < 0.9
    assert ours > 0.98


def test_bad_input() -> None:
    with pytest.raises(InputError, match="7 rows do not divide into steps of 4"):
        balance_ratio([1.0] * 7, 2, 2)
    with pytest.raises(InputError, match="above 0"):
        row_costs([np.array([0])], [5], 0)
    with pytest.raises(InputError, match="window"):
        balance_steps([1.0, 2.0], 2, 1, window=0)


def slowest(plan: list[list[np.ndarray]], lengths: np.ndarray, crossover: float) -> float:
    return max(float(row_costs(rows, lengths, crossover).sum()) for rows in plan)


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_batch_for_several_ranks_is_near_the_best_deal_by_brute_force(ranks: int) -> None:
    ratios = []
    for seed in range(15):
        lengths = np.minimum(np.random.default_rng(seed).lognormal(6, 1, 7).astype(int) + 1, 2048)
        costs = row_costs([np.array([i]) for i in range(7)], lengths, 800)
        best = min(
            max(sum(costs[i] for i in range(7) if deal[i] == rank) for rank in range(ranks))
            for deal in itertools.product(range(ranks), repeat=7)
        )
        ratios.append(slowest(plan_ranks(lengths, 2048, ranks, 800), lengths, 800) / best)
    assert max(ratios) <= 4 / 3 - 1 / (3 * ranks) + 1e-9  # Graham's bound, which moves and swaps never worsen
    assert np.mean(ratios) < 1.02


def test_a_batch_for_several_ranks_holds_every_sample_once() -> None:
    lengths = np.random.default_rng(1).integers(1, 1000, 37)
    plan = plan_ranks(lengths, 1024, 4, 500)
    assert sorted(i for rows in plan for row in rows for i in row.tolist()) == list(range(37))
    assert all(lengths[row].sum() <= 1024 for rows in plan for row in rows)
    by_tokens = plan_ranks(lengths, 1024, 4)
    assert slowest(plan, lengths, 500) <= slowest(by_tokens, lengths, 500)
    assert slowest(by_tokens, lengths, np.inf) <= 1.01 * lengths.sum() / 4


def test_an_epoch_for_several_ranks_is_near_the_best_steps_by_brute_force() -> None:
    for seed in range(6):
        lengths = np.minimum(np.random.default_rng(seed).lognormal(6.5, 1, 24).astype(int) + 1, 2048)
        rows = plan_epoch(lengths, 2048, seed, ranks=2, crossover=600)
        costs = row_costs(rows, lengths, 600)
        assert len(costs) % 2 == 0
        ours = costs.reshape(-1, 2).max(axis=1).sum()
        # rows sorted by cost and taken in pairs: no pairing has a smaller sum of slowest ranks
        best = np.sort(costs).reshape(-1, 2).max(axis=1).sum()
        assert ours == pytest.approx(best)


def test_an_epoch_for_ranks_has_the_rows_of_one_without() -> None:
    lengths = np.random.default_rng(0).integers(1, 900, 400)
    plain = plan_epoch(lengths, 1024, 3, rows_multiple_of=12)
    dealt = plan_epoch(lengths, 1024, 3, ranks=4, rows_per_rank=3, crossover=300)
    assert sorted(map(tuple, (row.tolist() for row in plain))) == sorted(map(tuple, (row.tolist() for row in dealt)))
    before, after = (balance_ratio(row_costs(rows, lengths, 300), 4, 3).mean() for rows in (plain, dealt))
    assert after > before
    assert (dealt.totals(lengths) == np.array([lengths[row].sum() for row in dealt])).all()


def test_the_crossover_of_measured_seconds() -> None:
    rows = [[1000], [500, 500], [250] * 4, [10] * 100, [2000], [700, 300]]
    exact = [2e-3 * sum(row) + 2e-3 / 900 * sum(n * n for n in row) for row in rows]
    assert fit_crossover(rows, exact) == pytest.approx(900)
    noisy = np.array(exact) * np.random.default_rng(0).normal(1, 0.01, len(rows))
    assert fit_crossover(rows, noisy) == pytest.approx(900, rel=0.15)
    assert fit_crossover(rows, [0.001 * sum(row) for row in rows]) > 1e6
    with pytest.raises(InputError, match="same mix"):
        fit_crossover([[10, 20], [20, 10]], [1.0, 1.0])
    with pytest.raises(InputError, match="at least two rows"):
        fit_crossover([[10]], [1.0])
    with pytest.raises(InputError, match="do not grow"):
        fit_crossover([[1000], [10] * 100, [500, 500]], [1.0, -1.0, 0.1])


def test_bad_input_of_plans_for_ranks() -> None:
    with pytest.raises(InputError, match="2 samples cannot be dealt to 3 ranks"):
        plan_ranks([5, 6], 10, 3)
    with pytest.raises(InputError, match="above 0"):
        plan_ranks([5, 6], 10, 2, crossover=-1)
    with pytest.raises(InputError, match="rows_per_rank is 0"):
        plan_epoch([5, 6], 10, ranks=2, rows_per_rank=0)


def test_numbers_that_cannot_be() -> None:
    for wrong in (-1.0, float("nan"), float("inf")):
        for call in (balance_ratio, balance_steps):
            with pytest.raises(InputError, match="the cost of row 1 is"):
                call([1.0, wrong, 2.0, 3.0], 2)
    assert balance_ratio([0, 0, 1, 1], 2).tolist() == [1.0, 1.0]
    for name in ("body_parameters", "hidden_size", "layers"):
        for value in (0, -1, float("nan")):
            with pytest.raises(InputError, match=f"{name} is {value}; it must be above 0"):
                crossover_tokens(**{"body_parameters": 1e9, "hidden_size": 64, "layers": 2, name: value})
    for rows, lengths in (([[0, 1]], [-1, 2]), ([[]], [1, 2]), ([[0], []], [1])):
        with pytest.raises(InputError, match=r"empty|at least one sample"):
            padding_rate(rows, lengths)
    assert padding_rate([[0], [1, 2]], [900, 300, 600]) == 0.0
    assert row_costs([[0], [1, 2]], [900, 300, 600], float("inf")).tolist() == [900.0, 900.0]
