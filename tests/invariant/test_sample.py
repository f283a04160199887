"""The selection contract: exact budget, quotas, only IFD < 1, the same records whatever the order; against plain restatements."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from codeact import sample, statistics
from codeact.errors import InputError

STATUSES = ("ok", "ok", "ok", "truncated", "empty", "too_long", "nonfinite")
# Few distinct values, so that ties, IFD = 1 exactly and missing scores are common.
SCORES = st.sampled_from([0.1, 0.5, 0.5, 0.9, 0.999, 1.0, 1.3, math.nan, math.inf]) | st.floats(0.01, 1.5)
RATIOS = st.sampled_from([0.01, 0.05, 0.29, 0.3, 0.4, 0.5, 0.7, 1.0]) | st.floats(0.001, 1.0)

FIRST = ("cdas", "cdas-paper", "random", "complexity", "diversity", "longest", "shortest", "full")  # the others: test_strategies.py

Row = tuple[str, float, str, int, int]


@st.composite
def pools(draw: st.DrawFn) -> list[Row]:
    ids = draw(st.lists(st.text("abc01", max_size=4), min_size=1, max_size=40, unique=True))
    names = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True))
    row = st.tuples(SCORES, st.sampled_from(STATUSES), st.sampled_from(names), st.integers(0, 6))
    return [(identity, *draw(row)) for identity in ids]


def run(pool: list[Row], strategy: Any, ratio: float, seed: int = 0) -> sample.Choice:
    ids, ifd, status, cluster, tokens = ([row[n] for row in pool] for n in range(5))
    return sample.choose(
        ids, strategy=strategy, ratio=ratio, seed=seed, ifd=ifd, status=status, cluster=cluster, response_tokens=tokens
    )


def chosen(found: sample.Choice) -> set[str]:
    return {identity for identity, taken in zip(found.ids, found.selected.tolist(), strict=True) if taken}


def usable(row: Row) -> bool:
    return row[2] in ("ok", "truncated") and math.isfinite(row[1]) and row[1] < 1


def half_up(ratio: float, count: int) -> int:
    exact = Fraction(repr(float(ratio))) * count
    whole = exact.numerator // exact.denominator
    return whole + (1 if exact - whole >= Fraction(1, 2) else 0)


def hardest(rows: list[Row], count: int) -> list[Row]:
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:count]


def slow_quotas(total: int, sizes: dict[int, int], caps: dict[int, int]) -> dict[int, int]:
    """Largest remainder in exact fractions, one seat at a time; the surplus of full clusters goes round again."""
    quota = dict.fromkeys(sizes, 0)
    left = total
    while left:
        room = {c: sizes[c] for c in sorted(sizes) if quota[c] < caps[c]}
        ideal = {c: Fraction(left * size, sum(room.values())) for c, size in room.items()}
        share = {c: math.floor(ideal[c]) for c in room}
        while sum(share.values()) < left:
            winner = max(room, key=lambda c: (ideal[c] - share[c], -c))
            share[winner] += 1
        for c in room:
            taken = min(share[c], caps[c] - quota[c])
            quota[c] += taken
            left -= taken
    return quota


def slow_cdas(pool: list[Row], ratio: float) -> set[str]:
    groups: dict[int, list[Row]] = {}
    for row in pool:
        groups.setdefault(row[3], []).append(row)
    able = {c: [row for row in rows if usable(row)] for c, rows in groups.items()}
    total = min(half_up(ratio, len(pool)), sum(map(len, able.values())))
    quota = slow_quotas(total, {c: len(r) for c, r in groups.items()}, {c: len(r) for c, r in able.items()})
    return {row[0] for c, rows in able.items() for row in hardest(rows, quota[c])}


@given(pools(), RATIOS)
@settings(max_examples=200)
def test_cdas_is_its_plain_restatement(pool: list[Row], ratio: float) -> None:
    assert chosen(run(pool, "cdas", ratio)) == slow_cdas(pool, ratio)


@given(pools(), RATIOS)
@settings(max_examples=150)
def test_cdas_paper_is_the_authors_rule(pool: list[Row], ratio: float) -> None:
    expected: set[str] = set()
    for name in {row[3] for row in pool}:
        able = [row for row in pool if row[3] == name and usable(row)]
        expected |= {row[0] for row in hardest(able, int(len(able) * ratio))}
    assert chosen(run(pool, "cdas-paper", ratio)) == expected


@given(pools(), RATIOS, st.integers(0, 3))
@settings(max_examples=150)
def test_baselines_are_their_plain_restatements(pool: list[Row], ratio: float, seed: int) -> None:
    wanted = half_up(ratio, len(pool))
    able = [row for row in pool if usable(row)]
    assert chosen(run(pool, "complexity", ratio)) == {row[0] for row in hardest(able, wanted)}
    longest = sorted((row for row in pool if row[4]), key=lambda row: (-row[4], row[0]))[:wanted]  # nothing is learnt from no token
    assert chosen(run(pool, "longest", ratio)) == {row[0] for row in longest}
    shortest = sorted((row for row in pool if row[4]), key=lambda row: (row[4], row[0]))[:wanted]
    assert chosen(run(pool, "shortest", ratio)) == {row[0] for row in shortest}
    assert chosen(run(pool, "full", ratio)) == {row[0] for row in pool}
    assert len(chosen(run(pool, "random", ratio, seed))) == wanted
    sizes = {c: sum(row[3] == c for row in pool) for c in {row[3] for row in pool}}
    taken = chosen(run(pool, "diversity", ratio, seed))
    assert {c: sum(row[0] in taken for row in pool if row[3] == c) for c in sizes} == slow_quotas(wanted, sizes, sizes)


@given(pools(), RATIOS)
@settings(max_examples=200)
def test_contract_of_cdas(pool: list[Row], ratio: float) -> None:
    found = run(pool, "cdas", ratio)
    able = [row for row in pool if usable(row)]
    taken = chosen(found)
    assert len(taken) == min(half_up(ratio, len(pool)), len(able))
    assert taken <= {row[0] for row in able}
    for name in {row[3] for row in pool}:
        here = [row for row in able if row[3] == name]
        kept = [row[1] for row in here if row[0] in taken]
        left = [row[1] for row in here if row[0] not in taken]
        assert not kept or not left or min(kept) >= max(left)
        cutoffs = {None if math.isnan(c) else c for c, row in zip(found.cutoff, pool, strict=True) if row[3] == name}
        assert cutoffs == {min(kept) if kept else None}
        ranks = {identity: rank for identity, rank in zip(found.ids, found.rank.tolist(), strict=True) if rank}
        assert [ranks[row[0]] for row in hardest(here, len(here))] == list(range(1, len(here) + 1))
    for row, rank, reason in zip(pool, found.rank.tolist(), found.reason, strict=True):
        if row[0] in taken:
            expected = ""
        elif row[2] not in ("ok", "truncated"):
            expected = f"status:{row[2]}"
        elif not math.isfinite(row[1]):
            expected = "status:nonfinite"
        else:
            expected = "ifd>=1" if row[1] >= 1 else "below cut"
        assert reason == expected
        assert (rank > 0) == usable(row)


@given(pools(), RATIOS, st.randoms(use_true_random=False), st.sampled_from(FIRST))
@settings(max_examples=200)
def test_order_of_the_input_changes_nothing(pool: list[Row], ratio: float, shuffler: Any, strategy: str) -> None:
    mixed = list(pool)
    shuffler.shuffle(mixed)
    one, two = run(pool, strategy, ratio, seed=5), run(mixed, strategy, ratio, seed=5)
    place = [two.ids.index(identity) for identity in one.ids]
    np.testing.assert_array_equal(one.selected, two.selected[place])
    np.testing.assert_array_equal(one.rank, two.rank[place])
    np.testing.assert_array_equal(one.cutoff, two.cutoff[place])
    assert one.reason == tuple(two.reason[i] for i in place)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=8), st.integers(0, 300))
@settings(max_examples=200)
def test_allot_meets_the_total_and_the_caps(groups: list[tuple[int, int]], total: int) -> None:
    sizes = np.array([size for size, _ in groups])
    caps = np.array([min(size, cap) for size, cap in groups])
    quotas = sample.allot(total, sizes, caps)
    assert quotas.sum() == min(total, caps.sum())
    assert (quotas <= caps).all()
    assert (quotas >= 0).all()
    if total <= sizes.sum():
        free = sample.allot(total, sizes, sizes)
        assert all(
            abs(Fraction(int(q)) - Fraction(total * int(s), int(sizes.sum()))) < 1
            for q, s in zip(free, sizes, strict=True)
        )


def test_surplus_of_a_full_cluster_goes_to_the_others() -> None:
    # 12 of 30 by size: 6, 4, 2; the first has only 1 usable, its 5 are shared 20/30 and 10/30 of 5 -> 3 and 2.
    assert sample.allot(12, np.array([15, 10, 5]), np.array([1, 10, 5])).tolist() == [1, 7, 4]
    # Equal remainders: the lower number first.
    assert sample.allot(1, np.array([5, 5]), np.array([5, 5])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("ratio", "count", "expected"), [(0.29, 50, 15), (0.5, 5, 3), (0.4, 1, 0), (0.4, 10, 4), (1.0, 7, 7), (0.1, 30, 3)]
)
def test_budget_rounds_half_up_in_decimals(ratio: float, count: int, expected: int) -> None:
    assert sample.budget(ratio, count) == expected


def test_random_is_fair_nested_and_seeded() -> None:
    ids = [f"r{n}" for n in range(200)]
    draws = np.stack([sample.choose(ids, strategy="random", ratio=0.3, seed=seed).selected for seed in range(300)])
    # Binomial(300, 0.3): 90 +- 7.9; 5 deviations leave room for 200 records.
    assert np.abs(draws.sum(axis=0) - 90).max() < 40
    assert len({row.tobytes() for row in draws}) == 300
    small, large = (sample.choose(ids, strategy="random", ratio=ratio, seed=1).selected for ratio in (0.2, 0.5))
    assert not (small & ~large).any()


def test_mappings_and_arrays_give_the_same() -> None:
    ids = ["b", "a", "d", "c"]
    ifd, cluster = {"a": 0.2, "b": None, "c": 0.9, "d": 0.8}, {"a": 7, "b": 7, "c": 7, "d": 3}
    by_id = sample.choose(ids, strategy="cdas", ratio=0.5, ifd=ifd, cluster=cluster)
    by_place = sample.choose(ids, strategy="cdas", ratio=0.5, ifd=np.array([np.nan, 0.2, 0.8, 0.9]), cluster=np.array([7, 7, 3, 7]))
    assert by_id.selected.tolist() == by_place.selected.tolist() == [False, False, True, True]
    assert by_id.cluster.tolist() == [7, 7, 3, 7]
    assert by_id.reason == ("status:nonfinite", "below cut", "", "")


def test_a_strategy_without_scores_has_no_rank_and_no_cutoff() -> None:
    found = sample.choose(["x", "y", "z"], strategy="random", ratio=0.4)
    assert found.selected.sum() == 1
    assert found.rank.tolist() == [0, 0, 0]
    assert found.cluster.tolist() == [-1, -1, -1]
    assert np.isnan(found.cutoff).all()
    assert sorted(found.reason) == ["", "not drawn", "not drawn"]


def test_ids_that_differ_only_in_trailing_nul_are_two_records() -> None:
    assert sample.choose(["a", "a\0"], strategy="random", ratio=0.5).selected.sum() == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"ratio": 0}, "above 0"),
    ({"ratio": 1.5}, "at most 1"),
    ({"ratio": math.nan}, "above 0"),
    ({"ids": ["a", "b", "a"]}, "'a' occurs twice"),
    ({"ids": ["a", "b"]}, "3 values for 2 ids"),
    ({"ids": [], "ifd": [], "cluster": []}, "no records"),
    ({"cluster": None}, "needs 'cluster'"),
    ({"ifd": None}, "needs 'ifd'"),
    ({"ifd": {"a": 0.5, "b": 0.4}}, "no value for record 'c'"),
    ({"ifd": ["x", "y", "z"]}, "not a number"),
    ({"cluster": [0, 1, 0.5]}, "whole number"),
    ({"status": ["ok"]}, "1 values for 3 ids"),
    ({"strategy": "cdsa"}, "did you mean 'cdas'"),
    ({"strategy": "bands"}, "now called 'length-band'"),
    ({"clusters": [0, 0, 1]}, "did you mean 'cluster'"),
    ({"strategy": "longest"}, "needs 'response_tokens'"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_clear_line(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"ids": ["a", "b", "c"], "strategy": "cdas", "ratio": 0.5, "ifd": [0.1, 0.2, 0.3], "cluster": [0, 0, 1]}
    settings_ = good | change
    with pytest.raises(InputError, match=message) as caught:
        sample.choose(settings_.pop("ids"), **settings_)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, math.nan, -3.5]), st.integers(0, 4)), min_size=2, max_size=30)
)
@settings(max_examples=100)
def test_spearman_is_scipys(pairs: list[tuple[float, int]]) -> None:
    a, b = [x for x, _ in pairs], [float(y) for _, y in pairs]
    both = [(x, y) for x, y in zip(a, b, strict=True) if not math.isnan(x)]
    found = statistics.spearman(a, b)
    if len({x for x, _ in both}) < 2 or len({y for _, y in both}) < 2:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(*zip(*both, strict=True)).statistic, abs=1e-12)


def test_figures_say_none_where_there_is_nothing() -> None:
    assert statistics.spearman([], []) is None
    assert statistics.token_share([True, False], [0, 0]) is None
    assert statistics.token_share([True, False, True], [10, 60, 30]) == pytest.approx(0.4)
    for function in (statistics.spearman, statistics.token_share):
        with pytest.raises(InputError, match="equal lengths"):
            function([1, 0], [1])
