"""Length honesty: the summary against hand counts and SciPy, and what each length-controlled alternative must remove."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from codeact.errors import InputError
from codeact.score.length import length_band_rank, length_residual, length_summary, position_matched_rank
from codeact.score.selective import kept, selective_ifd
from codeact.statistics import spearman


def pool(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IFD that follows length, plus what is peculiar to each record; the peculiar part is known."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 900, count)
    own = rng.normal(0.0, 0.05, count)
    return np.exp(0.3 * np.log(tokens) - 2.0 + own), tokens, own


def test_summary_counts_by_hand() -> None:
    found = length_summary([0.9, 0.5, np.nan, 0.7, 0.1], [100, 40, 999, 10, 50], [True, False, True, True, False])
    assert (found.scored, found.ratio) == (4, 0.5)
    assert found.token_share == pytest.approx(110 / 200)
    # the two longest scored records are 0 and 4; the selected ones are 0 and 3
    assert found.longest_overlap == pytest.approx(1 / 3)
    assert found.chance_overlap == pytest.approx(1 / 3)
    assert found.spearman == pytest.approx(spearmanr([0.9, 0.5, 0.7, 0.1], [100, 40, 10, 50]).statistic)


def test_without_a_selection_the_top_share_is_meant() -> None:
    ifd, tokens, _ = pool(200)
    top = ifd >= np.sort(ifd)[-80]
    assert length_summary(ifd, tokens) == length_summary(ifd, tokens, top)
    assert length_summary(ifd, tokens).spearman > 0.9
    assert length_summary(ifd, tokens).token_share > 0.55


def test_residual_removes_length_and_keeps_the_rest() -> None:
    ifd, tokens, own = pool(1500)
    residual = length_residual(ifd, tokens)
    assert abs(spearman(residual, tokens)) < 0.05
    assert spearman(residual, own) > 0.95
    assert np.nanmean(residual) == pytest.approx(0.0, abs=1e-9)


def test_residual_follows_a_falling_trend_too() -> None:
    ifd, tokens, _ = pool(1500)
    assert abs(spearman(length_residual(1 / ifd, tokens), tokens)) < 0.05


def test_residual_by_hand() -> None:
    # equal lengths are fitted by their mean; the rising fit passes through both means
    logs = np.array([0.1, 0.3, 0.5, 0.9])
    assert length_residual(np.exp(logs), [10, 10, 20, 20]) == pytest.approx([-0.1, 0.1, -0.2, 0.2])


def test_band_rank_selects_the_same_share_of_every_length() -> None:
    ifd, tokens, _ = pool(1000)
    rank = length_band_rank(ifd, tokens, bands=10)
    chosen = rank > 0.6
    order = np.argsort(tokens, kind="stable")
    assert [int(part.sum()) for part in np.split(chosen[order], 10)] == [40] * 10
    assert length_summary(ifd, tokens, chosen).token_share == pytest.approx(0.4, abs=0.02)
    for band in np.split(order, 10):
        assert (np.argsort(rank[band]) == np.argsort(ifd[band])).all()


def test_one_band_is_the_plain_ranking() -> None:
    ifd, tokens, _ = pool(100)
    assert (np.argsort(length_band_rank(ifd, tokens, bands=1)) == np.argsort(ifd)).all()


def test_position_matched_compares_only_positions_all_have() -> None:
    # two bands: 2 or 3 tokens, compared on 2; 4 to 7 tokens, compared on 4
    prefixes = [(9.0, 0.5), (9.0, 0.1), None, (0.0, 0.0, 0.3), (0.0, 0.0, 0.2), (0.0, 9.0, 0.1), ()]
    found = position_matched_rank(prefixes)
    assert found[[0, 1, 3, 4, 5]] == pytest.approx([0.75, 0.25, 5 / 6, 3 / 6, 1 / 6])
    assert np.isnan(found[[2, 6]]).all()


@pytest.mark.parametrize("function", [length_residual, length_band_rank])
def test_failed_records_stay_without_a_number_and_change_nothing(function) -> None:  # type: ignore[no-untyped-def]
    ifd, tokens, _ = pool(300)
    plain = function(ifd, tokens)
    mixed = function(np.append(ifd, [np.nan, np.nan]), np.append(tokens, [3, 2000]))
    assert np.isnan(mixed[-2:]).all()
    assert mixed[:-2] == pytest.approx(plain)
    assert np.isnan(function(np.full(3, np.nan), [1, 2, 3])).all()


def test_bad_input_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no record has a score"):
        length_summary([np.nan], [3])
    with pytest.raises(InputError, match="one of each per record"):
        length_residual([0.5, 0.6], [3])
    with pytest.raises(InputError, match="above 0"):
        length_residual([0.0, 0.6], [3, 4])
    with pytest.raises(InputError, match="bands is 0"):
        length_band_rank([0.5], [3], bands=0)


def test_selective_ifd_is_the_papers_formula_over_the_tokens_above_the_pools_median() -> None:
    rng = np.random.default_rng(0)
    losses = [rng.normal(-0.2, 0.6, size) for size in (30, 7, 1, 90, 12)] + [np.zeros(9)]
    steps = [np.array(kept(one)) for one in losses]
    found = selective_ifd(np.concatenate(steps), np.array([len(one) for one in losses]))
    threshold = np.percentile(np.abs(np.concatenate(losses)), 50)
    for value, one in zip(found, losses, strict=True):
        informative = one[np.abs(one) > threshold]
        if len(informative):
            assert value == pytest.approx(np.exp(informative.mean()), rel=5e-3)
        else:
            assert np.isnan(value)
    assert np.isnan(found[-1])  # a record that the instruction does not move at all


def test_selective_ifd_of_nothing() -> None:
    assert np.isnan(selective_ifd(np.array([], np.int64), np.array([0, 0]))).all()
    assert kept(np.array([-100.0, 0.5, 100.0])) == (-(2**15), 512, 2**15 - 1)
