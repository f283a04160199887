"""Compute of rows against the sum written out, and steps whose ranks have equal compute."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.errors import InputError
from codeact.packing import balance_ratio, balance_steps, crossover_tokens, plan_epoch, row_costs


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


@settings(max_examples=60, deadline=None)
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
