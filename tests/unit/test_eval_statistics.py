"""pass@k against enumeration, intervals against the binomial distribution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from codeact.errors import InputError
from codeact.evaluation.statistics import mean_estimate, paired_difference, pass_at_k, rate_estimate


@pytest.mark.parametrize(
    ("samples", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 1, 4), (4, 0, 2), (4, 4, 4), (7, 5, 3)]
)
def test_pass_at_k_is_the_share_of_draws_with_a_correct_sample(samples: int, correct: int, k: int) -> None:
    draws = list(itertools.combinations(range(samples), k))
    share = sum(any(sample < correct for sample in draw) for draw in draws) / len(draws)
    assert pass_at_k(samples, correct, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_of_many_samples_is_exact() -> None:
    assert pass_at_k(10_000, 5_000, 1) == 0.5
    assert pass_at_k(200, 1, 100) == pytest.approx(0.5)


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 1, 5), (4, 5, 1), (4, 1, 0), (0, 0, 1)])
def test_pass_at_k_refuses_what_it_cannot_estimate(samples: int, correct: int, k: int) -> None:
    with pytest.raises(InputError):
        pass_at_k(samples, correct, k)


def test_interval_of_verdicts_is_the_binomial_one() -> None:
    values = [1.0] * 72 + [0.0] * 92
    estimate = mean_estimate(values)
    low, high = binom.ppf([0.025, 0.975], 164, 72 / 164) / 164
    assert estimate.value == pytest.approx(72 / 164)
    assert estimate.interval == pytest.approx((low, high), abs=1.01 / 164)
    assert estimate == mean_estimate(values)
    assert mean_estimate([1.0] * 10).interval == (1.0, 1.0)


def test_pairing_narrows_the_interval() -> None:
    generator = np.random.default_rng(0)
    first = (generator.random(200) < 0.5).astype(float)
    second = np.where(generator.random(200) < 0.05, 1.0, first)
    paired = paired_difference(first.tolist(), second.tolist())
    assert paired.value == pytest.approx(second.mean() - first.mean())
    assert paired.interval[0] <= paired.value <= paired.interval[1]
    alone = mean_estimate(second.tolist()).interval
    assert paired.interval[1] - paired.interval[0] < (alone[1] - alone[0]) / 2
    same = paired_difference(first.tolist(), first.tolist())
    assert (same.value, same.interval) == (0.0, (0.0, 0.0))


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one task"):
        mean_estimate([])
    with pytest.raises(InputError, match="same tasks"):
        paired_difference([1.0], [1.0, 0.0])


@pytest.mark.parametrize(("passed", "tasks"), [(0, 164), (164, 164), (0, 10), (72, 164), (1, 1)])
def test_interval_of_a_pass_rate_is_wilsons(passed: int, tasks: int) -> None:
    """Against its definition: the rates p whose score test does not reject (Wilson 1927)."""
    low, high = rate_estimate([1.0] * passed + [0.0] * (tasks - passed)).interval
    rate = passed / tasks
    for bound in (low, high):
        if 0 < bound < 1:
            assert abs(rate - bound) / (bound * (1 - bound) / tasks) ** 0.5 == pytest.approx(1.959964, abs=1e-5)
    assert low <= rate <= high
    assert high - low > 0.02


def test_interval_of_equal_shares_is_no_point() -> None:
    shares = rate_estimate([0.5] * 20)
    assert shares.interval == pytest.approx(rate_estimate([1.0] * 10 + [0.0] * 10).interval)
    mixed = [0.1, 0.5, 0.9, 1.0] * 5
    assert rate_estimate(mixed) == mean_estimate(mixed)
    with pytest.raises(InputError, match="at least one task"):
        rate_estimate([])
