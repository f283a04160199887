"""Every strategy beside CDAS against a slow restatement; exact budgets in records and tokens; order independence."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codeact import sample
from codeact.draws import seeded_hash
from codeact.errors import InputError
from codeact.sample import orders
from codeact.sample.strategies import STRATEGIES

VALUES = st.sampled_from([0.2, 0.2, 0.7, 0.7, 0.95, 1.0, 1.4, math.nan]) | st.floats(0.05, 1.6)
TAGS = st.sets(st.sampled_from("abcdef"), max_size=4)
COLUMNS = ("nll_cond", "loss_ratio", "proxy_ifd", "length_residual", "length_band", "position_matched", "target_rank", "selective_ifd", "listed", "rds_rank", "learnable",
           "importance")  # fmt: skip
RANKED = {
    "ppl-low": ("nll_cond", 1), "ppl-high": ("nll_cond", -1), "cherry": ("loss_ratio", -1), "superfiltering": ("proxy_ifd", -1),
    "targeted": ("target_rank", 1), "list": ("listed", 1), "rds": ("rds_rank", 1), "learnable": ("learnable", -1), "s-ifd": ("selective_ifd", -1),
    "length-residual": ("length_residual", -1), "length-band": ("length_band", -1), "position-matched": ("position_matched", -1),
}  # fmt: skip
ALL = [s for s in STRATEGIES if s != "cdas-paper"]
Pool = dict[str, dict[str, Any]]


DRAWN: dict[str, st.SearchStrategy[Any]] = dict.fromkeys((*COLUMNS, "ifd"), VALUES) | {
    "cluster": st.integers(0, 2),
    "response_tokens": st.integers(0, 30),
    "rating": st.sampled_from([5.0, 5.0, 4.5, 4.0, math.nan]),
    "complexity": st.sampled_from([1.0, 2.0, 3.0, math.nan]),
    "quality": st.sampled_from([1.0, 2.0, 3.0]),
    "penalised": st.booleans(),
    "tags": TAGS.map(sorted),
    "embedding": st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any),
}
ALIKE = dict.fromkeys(DRAWN, 0.5) | {"penalised": False, "cluster": 0, "response_tokens": 9, "tags": ["a"], "embedding": [1, 0, 0]}
STATUSES = st.sampled_from(["ok", "ok", "ok", "truncated", "empty"])


@st.composite
def pools(draw: st.DrawFn, *columns: str) -> Pool:
    """Records that differ in these columns and in their statuses, and in nothing else: most of the time goes into drawing."""
    ids = draw(st.lists(st.text("abc01", min_size=1, max_size=4), min_size=2, max_size=14, unique=True))
    return {i: {**ALIKE, "status": draw(STATUSES), **{name: draw(DRAWN[name]) for name in columns}} for i in ids}


def pool_for(strategy: str, *more: str) -> st.SearchStrategy[Pool]:
    """Pools that differ in what the strategy reads, and the one that it mirrors."""
    entry = STRATEGIES[strategy]
    return pools(*dict.fromkeys((*entry.needs, *(STRATEGIES[sample.Rules().like].needs if entry.mirrors else ()), *more)))


def run(
    pool: Pool, strategy: Any, ratio: float = 0.4, seed: int = 0, unit: Any = "records", rules: sample.Rules | None = None
) -> sample.Choice:
    ids = list(pool)
    columns = {name: [pool[i][name] for i in ids] for name in next(iter(pool.values()))}
    points = np.array(columns.pop("embedding"), np.float64)
    columns["embedding"] = points / np.linalg.norm(points, axis=1, keepdims=True)
    return sample.choose(ids, strategy=strategy, ratio=ratio, seed=seed, unit=unit, rules=rules or sample.Rules(), **columns)


def chosen(found: sample.Choice) -> set[str]:
    return set(itertools.compress(found.ids, found.selected.tolist()))


def able(row: dict[str, Any], strategy: str) -> bool:
    column = RANKED[strategy][0]
    fine = math.isfinite(row[column])
    if strategy not in ("superfiltering", "targeted", "list", "rds", "learnable"):
        fine &= row["status"] in ("ok", "truncated")
    if column in ("loss_ratio", "proxy_ifd"):
        fine &= row[column] < 1
    if column in ("length_residual", "length_band", "position_matched", "selective_ifd"):
        fine &= row["ifd"] < 1
    return fine


@pytest.mark.parametrize("strategy", RANKED)
@given(data=st.data(), ratio=st.sampled_from([0.1, 0.3, 0.5, 1.0]))
@settings(max_examples=40)
def test_ranked_strategies_are_their_plain_restatements(strategy: str, data: st.DataObject, ratio: float) -> None:
    pool = data.draw(pool_for(strategy, "ifd"))
    column, sign = RANKED[strategy]
    usable = sorted((i for i in pool if able(pool[i], strategy)), key=lambda i: (sign * pool[i][column], i))
    assert chosen(run(pool, strategy, ratio)) == set(usable[: sample.budget(ratio, len(pool))])


@pytest.mark.parametrize("strategy", ["cdas-length-residual", "cdas-length-band", "cdas-position-matched"])
@given(data=st.data(), ratio=st.sampled_from([0.3, 0.5, 1.0]))
@settings(max_examples=40)
def test_length_controlled_cdas_takes_the_top_of_every_cluster(strategy: str, data: st.DataObject, ratio: float) -> None:
    pool = data.draw(pool_for(strategy))
    plain = strategy.removeprefix("cdas-")
    column = RANKED[plain][0]
    usable = [i for i in pool if able(pool[i], plain)]
    taken = chosen(run(pool, strategy, ratio))
    assert len(taken) == min(sample.budget(ratio, len(pool)), len(usable))
    for number in range(3):
        here = sorted((i for i in usable if pool[i]["cluster"] == number), key=lambda i: (-pool[i][column], i))
        mine = [i for i in here if i in taken]
        assert mine == here[: len(mine)]


@given(pool_for("dsir"), st.sampled_from([0.2, 0.5, 1.0]), st.integers(0, 3))
@settings(max_examples=60)
def test_dsir_is_the_gumbel_top_k_of_the_weights(pool: Pool, ratio: float, seed: int) -> None:
    weighed = [i for i in pool if math.isfinite(pool[i]["importance"])]
    hashes = {i: int(one) for i, one in zip(weighed, seeded_hash(weighed, seed), strict=True)}
    key = {i: pool[i]["importance"] - math.log(-math.log((hashes[i] // 2**12 + 0.5) / 2**52)) for i in weighed}
    wanted = sorted(weighed, key=lambda i: (-key[i], i))[: sample.budget(ratio, len(pool))]
    assert chosen(run(pool, "dsir", ratio, seed)) == set(wanted)


def test_dsir_takes_each_record_as_often_as_its_weight_says() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    first = [sample.choose(list(weights), strategy="dsir", ratio=1 / 3, seed=seed, importance=np.log(list(weights.values()))).chosen[0] for seed in range(3000)]
    for name, weight in weights.items():
        assert first.count(name) / 3000 == pytest.approx(weight / 8, abs=0.03)


@given(pool_for("alpagasus"), st.sampled_from([0.2, 0.5, 1.0]), st.integers(0, 3))
@settings(max_examples=60)
def test_alpagasus_keeps_only_ratings_of_four_and_a_half(pool: Pool, ratio: float, seed: int) -> None:
    fine = [i for i in pool if pool[i]["rating"] >= 4.5]
    taken = chosen(run(pool, "alpagasus", ratio, seed))
    assert taken <= set(fine)
    assert len(taken) == min(sample.budget(ratio, len(pool)), len(fine))
    worst = min((pool[i]["rating"] for i in taken), default=math.inf)
    assert all(pool[i]["rating"] <= worst for i in fine if i not in taken)


@given(pool_for("instag"), st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=60)
def test_instag_is_its_algorithm(pool: Pool, ratio: float) -> None:
    wanted, taken = sample.budget(ratio, len(pool)), []
    queue = sorted(pool, key=lambda i: (-len(pool[i]["tags"]), i))
    while len(taken) < wanted:
        seen: set[str] = set()
        before = len(taken)
        for identity in list(queue):
            if len(seen | set(pool[identity]["tags"])) > len(seen):
                taken.append(identity)
                seen |= set(pool[identity]["tags"])
                queue.remove(identity)
                if len(taken) == wanted:
                    break
        if len(taken) == before:
            break
    assert chosen(run(pool, "instag", ratio)) == set(taken)


@given(pool_for("deita"), st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=60)
def test_deita_keeps_what_is_unlike_all_kept(pool: Pool, ratio: float) -> None:
    def point(identity: str) -> np.ndarray:
        vector = np.array(pool[identity]["embedding"], np.float64)
        return vector / np.linalg.norm(vector)

    rated = [i for i in pool if math.isfinite(pool[i]["complexity"])]
    order = sorted(rated, key=lambda i: (-pool[i]["complexity"] * pool[i]["quality"], i))
    kept: list[str] = []
    for identity in order:
        if len(kept) == sample.budget(ratio, len(pool)):
            break
        if all(point(identity) @ point(other) <= 0.9 + 1e-6 for other in kept):
            kept.append(identity)
    found = run(pool, "deita", ratio)
    assert chosen(found) == set(kept)
    assert set(found.reason) <= {"", "too similar", "below cut", "no rating"}


@given(pool_for("facility-location"))
@settings(max_examples=60)
def test_lazy_greedy_is_plain_greedy_on_facility_location(pool: Pool) -> None:
    points = orders.check_vectors(np.array([row["embedding"] for row in pool.values()], np.float32), len(pool))
    similar = np.rint(np.maximum(points @ points.T, 0) * orders.SIMILARITY_STEPS).astype(np.int64)
    best, expected = np.zeros(len(points), np.int64), []
    for _ in range(len(points)):
        gains = [-1 if j in expected else int(np.maximum(similar[j] - best, 0).sum()) for j in range(len(points))]
        expected.append(int(np.argmax(gains)))
        best = np.maximum(best, similar[expected[-1]])
    assert list(orders.facility_location(points)) == expected


@given(pool_for("trim-diversity"), st.sampled_from([0.2, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 0.3, 0.9]), st.integers(0, 3))
@settings(max_examples=60)
def test_trim_draws_as_random_does_among_all_but_the_longest(pool: Pool, ratio: float, trim: float, seed: int) -> None:
    names = sorted(pool)
    lengths = [pool[i]["response_tokens"] for i in names]
    able = [i for i in names if pool[i]["response_tokens"]]
    by_length = sorted(able, key=lambda i: (pool[i]["response_tokens"], i))
    cut = by_length[len(able) - (sample.budget(trim, len(able)) if trim else 0) :]
    drawn = sorted(able, key=dict(zip(names, seeded_hash(names, seed).tolist(), strict=True)).__getitem__)
    expected = [i for i in drawn if i not in cut][: sample.budget(ratio, len(names))]
    found = sample.choose(names, strategy="trim", ratio=ratio, seed=seed, rules=sample.Rules(trim=trim), response_tokens=lengths)
    assert chosen(found) == set(expected)
    assert {i for i, reason in zip(found.ids, found.reason, strict=True) if reason == "among the longest"} == set(cut)
    group = [pool[i]["cluster"] for i in names]
    spread = sample.choose(names, strategy="trim-diversity", ratio=ratio, seed=seed, rules=sample.Rules(trim=trim), response_tokens=lengths, cluster=group)
    assert not chosen(spread) & set(cut)
    for number in set(group):
        here = [i for i in drawn if i not in cut and pool[i]["cluster"] == number]
        mine = [i for i in here if i in chosen(spread)]
        assert mine == here[: len(mine)]
    assert len(chosen(spread)) == min(sample.budget(ratio, len(names)), len(able) - len(cut))


def test_length_matched_has_the_histogram_of_the_selection_and_else_is_chance() -> None:
    rng = np.random.default_rng(1)
    count = 600
    tokens = np.round(np.exp(rng.normal(5, 0.7, count))).astype(int)
    ids = [f"r{n:03}" for n in range(count)]
    columns = {"response_tokens": tokens, "ifd": np.clip(tokens / 900 + rng.normal(0, 0.15, count), 0.05, 0.99)}
    mirrored = sample.choose(ids, strategy="complexity", ratio=0.3, **columns)
    bands = np.empty(count, int)  # the brute force: 50 runs of consecutive lengths
    bands[np.lexsort((seeded_hash(ids, 0), tokens))] = np.repeat(np.arange(50), 12)
    taken = np.zeros(count)
    for seed in range(40):
        drawn = sample.choose(ids, strategy="length-matched", rules=sample.Rules(like="complexity"), ratio=0.3, seed=seed, **columns)
        taken += drawn.selected
        if seed == 0:
            assert np.bincount(bands[drawn.selected], minlength=50).tolist() == np.bincount(bands[mirrored.selected], minlength=50).tolist()
    shares = np.bincount(bands[mirrored.selected], minlength=50) / 12
    assert np.abs(taken / 40 - shares[bands]).max() < 0.4  # five standard deviations of 40 draws of one half
    assert abs(float((taken / 40)[mirrored.selected].mean()) - float((shares[bands])[mirrored.selected].mean())) < 0.03
    spent = [
        int(tokens[sample.choose(ids, strategy=s, rules=sample.Rules(like="complexity"), ratio=0.3, unit="tokens", **columns).selected].sum())
        for s in ("complexity", "length-matched")
    ]
    assert abs(spent[0] - spent[1]) <= tokens.max() / 2


def test_length_matched_mirrors_another_strategy() -> None:
    with pytest.raises(InputError, match="name another strategy"):
        sample.choose(["a", "b"], strategy="length-matched", rules=sample.Rules(like="length-matched"), ratio=0.5, response_tokens=[1, 2])
    with pytest.raises(InputError, match="strategy 'cherry' needs 'loss_ratio'"):
        sample.choose(["a", "b"], strategy="length-matched", rules=sample.Rules(like="cherry"), ratio=0.5, response_tokens=[1, 2])


@pytest.mark.parametrize("strategy", [s for s in ALL if s != "full" and not STRATEGIES[s].clustered])
@given(data=st.data(), ratio=st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=25)
def test_what_curation_doubts_is_taken_after_all_others(strategy: str, data: st.DataObject, ratio: float) -> None:
    """Chosen as if the doubtful ones were not there, as many; and where the others do not suffice, all of them are taken."""
    pool = data.draw(pool_for(strategy, "ifd", "penalised"))
    sound = {i: row for i, row in pool.items() if not row["penalised"]}
    wanted, rules = sample.budget(ratio, len(pool)), sample.Rules(trim=0, like="complexity")
    taken = chosen(run(pool, strategy, ratio, rules=rules))
    if STRATEGIES[strategy].mirrors:
        assume(chosen(run(pool, rules.like, ratio)) <= set(sound))  # else it mirrors more than there would be without the doubtful ones
    if len(sound) >= wanted:
        alone = chosen(run(sound, strategy, wanted / len(sound), rules=rules)) if wanted else set()
        assert taken & set(sound) == alone
    elif sound:
        assert taken >= chosen(run(sound, strategy, 1.0, rules=rules))


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if STRATEGIES[s].clustered])
@given(data=st.data(), ratio=st.sampled_from([0.2, 0.5, 0.8]), unit=st.sampled_from(["records", "tokens"]))
@settings(max_examples=25)
def test_a_cluster_gives_what_curation_doubts_last(strategy: str, data: st.DataObject, ratio: float, unit: str) -> None:
    pool = data.draw(pool_for(strategy, "response_tokens", "penalised"))
    unit = "records" if STRATEGIES[strategy].records_only else unit
    eligible, taken = chosen(run(pool, strategy, 1.0, unit=unit)), chosen(run(pool, strategy, ratio, unit=unit))
    for number in range(3):
        here = [i for i in pool if pool[i]["cluster"] == number]
        if any(pool[i]["penalised"] for i in here if i in taken):
            assert {i for i in here if i in eligible and not pool[i]["penalised"]} <= taken


@pytest.mark.parametrize("strategy", ALL)
@given(data=st.data(), shuffler=st.randoms(use_true_random=False), unit=st.sampled_from(["records", "tokens"]))
@settings(max_examples=12)
def test_order_of_the_input_changes_nothing(strategy: str, data: st.DataObject, shuffler: Any, unit: str) -> None:
    pool = data.draw(pool_for(strategy, "response_tokens"))
    names = list(pool)
    shuffler.shuffle(names)
    one, two = run(pool, strategy, 0.4, 5, unit), run({i: pool[i] for i in names}, strategy, 0.4, 5, unit)
    assert chosen(one) == chosen(two)
    assert dict(zip(one.ids, one.reason, strict=True)) == dict(zip(two.ids, two.reason, strict=True))
    assert dict(zip(one.ids, one.rank.tolist(), strict=True)) == dict(zip(two.ids, two.rank.tolist(), strict=True))


@pytest.mark.parametrize("strategy", [*STRATEGIES])
@given(data=st.data(), ratio=st.sampled_from([0.2, 0.5, 1.0]), floor=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=12)
def test_those_who_are_not_selected_have_a_reason_and_no_others(
    strategy: str, data: st.DataObject, ratio: float, floor: float
) -> None:
    pool = data.draw(pool_for(strategy, "ifd", "response_tokens"))
    found = run(pool, strategy, ratio, rules=sample.Rules(floor=floor, floor_lengths=True))
    assert [not reason for reason in found.reason] == found.selected.tolist()


@pytest.mark.parametrize("strategy", [s for s in ALL if s not in ("full", "deita")])
@given(data=st.data(), ratio=st.sampled_from([0.1, 0.3, 0.5, 0.9]))
@settings(max_examples=12)
def test_token_budget_is_met_as_nearly_as_whole_records_allow(strategy: str, data: st.DataObject, ratio: float) -> None:
    pool = data.draw(pool_for(strategy, "response_tokens"))
    found = run(pool, strategy, ratio, unit="tokens")
    tokens = np.array([pool[i]["response_tokens"] for i in found.ids])
    wanted = sample.budget(ratio, int(tokens.sum()))
    if STRATEGIES[strategy].mirrors:  # as many tokens as the selection has whose lengths it mirrors
        wanted = int(tokens[run(pool, sample.Rules().like, ratio, unit="tokens").selected].sum())
    spent, largest = int(tokens[found.selected].sum()), int(tokens.max())
    everything = run(pool, strategy, 1.0, unit="tokens")
    eligible = int(tokens[everything.selected].sum())
    assert spent <= wanted + largest / 2
    assert spent >= min(wanted, eligible) - largest / 2


def test_token_budget_gives_every_cluster_its_share_of_tokens() -> None:
    rng = np.random.default_rng(0)
    count = 3000
    tokens, group = rng.integers(1, 200, count), rng.integers(0, 5, count)
    ids = [f"r{n:04}" for n in range(count)]
    for strategy in ("cdas", "diversity"):
        found = sample.choose(
            ids, strategy=strategy, ratio=0.3, ifd=rng.uniform(0.1, 0.99, count), cluster=group, response_tokens=tokens, unit="tokens"
        )  # fmt: skip
        shares = [tokens[found.selected & (group == c)].sum() / tokens[group == c].sum() for c in range(5)]
        assert np.ptp(shares) < 0.01
        assert abs(int(tokens[found.selected].sum()) - sample.budget(0.3, int(tokens.sum()))) <= 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "cherry"}, "needs 'loss_ratio'"),
        ({"strategy": "k-centre", "embedding": np.ones((2, 3))}, "one row per id"),
        ({"strategy": "k-centre", "embedding": np.full((3, 2), np.nan)}, "not finite"),
        ({"strategy": "random", "unit": "tokens"}, "needs 'response_tokens'"),
        ({"strategy": "random", "unit": "words"}, "records or tokens"),
        ({"strategy": "cdas-paper", "unit": "tokens", "ifd": [1, 1, 1], "cluster": [0, 0, 0]}, "as its authors do"),
    ],
)
def test_bad_input_is_one_clear_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        sample.choose(["a", "b", "c"], **{"ratio": 0.5, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strategy", ["random", "diversity", "longest", "shortest", "trim", "trim-diversity", "k-centre", "cdas"])
def test_a_budget_of_tokens_takes_nobody_without_tokens(strategy: str) -> None:
    """They cost nothing, so all of them came in, and those that could be trained on stayed out."""
    ids, rng = [f"r{n:02}" for n in range(40)], np.random.default_rng(0)
    tokens = np.where(np.arange(40) % 4 == 0, rng.integers(10, 90, 40), 0)
    columns: dict[str, Any] = {
        "ifd": np.where(tokens > 0, rng.uniform(0.3, 0.9, 40), np.nan), "cluster": np.arange(40) % 3, "embedding": rng.standard_normal((40, 4)),
        "status": np.where(tokens > 0, "ok", "refused").tolist(),
    }  # fmt: skip
    found = sample.choose(ids, strategy=strategy, ratio=0.5, unit="tokens", response_tokens=tokens, **columns)
    assert not found.selected[tokens == 0].any()
    assert abs(tokens[found.selected].sum() - tokens.sum() / 2) <= tokens.max()
    assert {found.reason[n] for n in np.flatnonzero(tokens == 0)} <= {"no response tokens", "status:refused"}
    by_records = sample.choose(ids, strategy=strategy, ratio=0.5, unit="records", response_tokens=tokens, **columns)
    looks_at_lengths = strategy in ("trim", "trim-diversity", "longest", "shortest")
    assert by_records.selected.sum() == 20 or strategy == "cdas" or looks_at_lengths
    assert not (looks_at_lengths and by_records.selected[tokens == 0].any())


def test_trim_cuts_a_share_of_those_that_have_tokens() -> None:
    """A template that refuses most of the records made the few good ones "the longest"; by hand: 10 % of the 20 that count are the 2 longest."""
    tokens = np.array([0] * 80 + list(range(1, 21)))
    found = sample.choose([f"r{n:03}" for n in range(100)], strategy="trim", ratio=1.0, unit="records", response_tokens=tokens)
    assert np.flatnonzero(found.selected).tolist() == list(range(80, 98))
    assert Counter(found.reason) == {"": 18, "among the longest": 2, "no response tokens": 80}
