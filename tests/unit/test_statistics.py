"""Every statistic against its definition, an enumeration or SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from scipy.stats import binom

from codeact.errors import InputError
from codeact.statistics import (
    chance_overlap,
    crossed_interval,
    jaccard,
    mcnemar,
    mean_estimate,
    mid_ranks,
    paired_difference,
    paired_values,
    pass_at_k,
    pass_interval,
    rate_estimate,
    spearman,
    token_share,
    top,
)


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
    assert mean_estimate([0.7]).interval is None  # one task says nothing of others


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


def test_mcnemar_is_its_exact_sum_of_binomials() -> None:
    for gained, lost in itertools.product((*range(13), 60, 164), repeat=2):
        changed = gained + lost
        tail = sum(math.comb(changed, count) for count in range(max(gained, lost), changed + 1))
        assert mcnemar(gained, lost) == pytest.approx(min(1.0, 2 * tail / 2**changed), rel=1e-12)


def test_pass_interval_covers_the_true_difference() -> None:
    rng = np.random.default_rng(0)
    for up, down, tasks in ((0.1, 0.1, 40), (0.15, 0.02, 164), (0.3, 0.1, 20)):
        draws = rng.multinomial(tasks, [up, down, 1 - up - down], 4000)
        covered = [low <= up - down <= high for low, high in (pass_interval(g, lost, tasks) for g, lost, _ in draws)]
        assert np.mean(covered) > 0.93


@pytest.mark.parametrize("seed", range(3))
def test_spearman_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 6, 50), rng.normal(size=50)
    assert spearman(one, two) == pytest.approx(stats.spearmanr(one, two).statistic, rel=1e-14)
    assert spearman([*one, 3], [*two, np.nan]) == spearman(one, two)


def test_spearman_is_exact_where_the_order_is_the_same() -> None:
    rng = np.random.default_rng(0)
    for count in range(2, 200):
        values = rng.permutation(count)
        assert spearman(values, 2.0 * values) == 1.0
        assert spearman(values, -values) == -1.0


def test_spearman_of_means_of_equal_counts_has_their_ties() -> None:
    """Of 63 trainings 25 different counts gave 35 different means: the last bits broke the ties."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 21, (63, 10))
    means, other = (counts / 20).mean(axis=1), rng.normal(size=63) + counts.sum(axis=1) / 20
    assert len(set(means)) > len(set(counts.sum(axis=1)))
    exact = stats.spearmanr(counts.sum(axis=1), other).statistic
    assert spearman(means, other) == pytest.approx(exact, rel=1e-14)
    assert spearman(other, -means) == pytest.approx(-exact, rel=1e-14)
    assert stats.spearmanr(means, other).statistic != pytest.approx(exact, rel=1e-6)
    assert spearman([0.1 + 0.2, 0.3], [1.0, 2.0]) is None  # one value
    assert spearman([0.3, 0.3 + 1e-9], [1.0, 2.0]) == 1.0


def test_spearman_of_a_constant_is_no_number() -> None:
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1.0], [1.0]) is None
    assert spearman([np.nan, 1.0], [1.0, np.nan]) is None
    with pytest.raises(InputError, match="two equal lengths"):
        spearman([1.0], [1.0, 2.0])


def test_mid_ranks_count_the_lower_and_half_of_the_equal() -> None:
    values = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    by_hand = [((values < one).sum() + (values == one).sum() / 2) / 40 for one in values]
    assert mid_ranks(values).tolist() == pytest.approx(by_hand)
    holes = np.array([np.nan, 3.0, 1.0, np.nan])
    assert mid_ranks(holes) == pytest.approx([np.nan, 0.75, 0.25, np.nan], nan_ok=True)
    assert mid_ranks(np.zeros(0)).tolist() == []


def test_overlap_of_selections() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.random(20_000) < 0.4, rng.random(20_000) < 0.4
    assert jaccard(one, two) == pytest.approx(1 - distance.jaccard(one, two))
    assert jaccard(one, two) == pytest.approx(chance_overlap(0.4), abs=0.01)
    assert jaccard(np.zeros(3, bool), np.zeros(3, bool)) == 1.0
    assert token_share([True, False], [3, 9]) == 0.25
    assert token_share([True], [0]) is None
    assert top(np.array([1.0, 3.0, 3.0, 2.0]), 2).tolist() == [False, True, True, False]
    assert top(np.array([2, 2, 2]), 2).tolist() == [True, True, False]


def test_only_items_that_every_side_has_are_paired() -> None:
    found = paired_values([{"b": 2.0, "a": 1.0, "c": 9.0}, {"a": 4.0, "b": 3.0}])
    assert found is not None
    assert found.tolist() == [[1.0, 2.0], [4.0, 3.0]]
    for sides in ([], [None], [{"a": 1.0}, None], [{"a": 1.0}, {"b": 1.0}]):
        assert paired_values(sides) is None


def test_with_one_seed_the_crossed_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(1, 2, 12)
    assert crossed_interval(values[None, :]) == pytest.approx(
        stats.t.interval(0.95, 11, values.mean(), stats.sem(values)), rel=1e-12
    )


def test_values_that_are_all_the_same_have_no_crossed_interval() -> None:
    """One value had an interval of width 0, and so had three tasks that were all gained."""
    for values in ([[-0.5]], [[1.0, 1.0, 1.0]], [[0.0] * 12] * 3):
        assert crossed_interval(np.array(values)) is None
