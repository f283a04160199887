"""Which records to train on: pure functions of scores, clusters and a seed.

Every strategy is deterministic and does not depend on the order of the input: ties go to the smaller id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from codeact.config import DEFAULTS, Budget, Strategy, nearest
from codeact.draws import seeded_hash
from codeact.errors import InputError
from codeact.sample import orders
from codeact.sample.quotas import allot, budget, cdas, cdas_paper, place_in, raise_to_floor
from codeact.sample.strategies import IFD_LIMIT, NEEDS, NOT_TAKEN, RANKINGS, reasons
from codeact.sample.values import Column, highest, id_ranks, integers, numbers, values
from codeact.statuses import RANKED
from codeact.types import Bools, Floats, Ints

__all__ = [
    "NEEDS",
    "RANKINGS",
    "Selection",
    "allot",
    "budget",
    "cdas",
    "cdas_paper",
    "id_ranks",
    "select",
]


@dataclass(frozen=True)
class Selection:
    """One row per record of the pool, in the order of the input.

    Attributes:
        ids: N ids.
        cluster: int32 [N]; -1 where no clusters were given.
        rank: int32 [N], 1 = the first of the eligible records of the cluster (of the pool, for a strategy without clusters) by
            what the strategy ranks, else by IFD; 0 = not eligible or no score.
        ifd: float64 [N]; NaN where there is none.
        cutoff: float64 [N], lowest selected IFD in the record's cluster (of the whole pool for `complexity`); NaN where
            nothing was selected or the strategy does not look at IFD.
        selected: bool [N].
        reason: N strings: empty if selected, else why not.
        score: float64 [N], what the strategy ranks by; NaN where there is none.
        suspected: bool [N], ranked last for its spike.
    """

    ids: tuple[str, ...]
    cluster: NDArray[np.int32]
    rank: NDArray[np.int32]
    ifd: Floats
    cutoff: Floats
    selected: Bools
    reason: tuple[str, ...]
    score: Floats
    suspected: Bools

    @property
    def chosen(self) -> list[str]:
        """Ids of the selected records, in the order of the input."""
        return [identity for identity, taken in zip(self.ids, self.selected.tolist(), strict=True) if taken]


def select(
    ids: Sequence[str],
    *,
    strategy: Strategy = DEFAULTS.sample.strategy,
    ratio: float = DEFAULTS.sample.ratio,
    seed: int = 0,
    ifd: Column | None = None,
    status: Column | None = None,
    cluster: Column | None = None,
    response_tokens: Column | None = None,
    columns: Mapping[str, Any] | None = None,
    unit: Budget = "records",
    penalised: Column | None = None,
    language: Column | None = None,
    bands: Column | None = None,
    floor: float = 0.0,
    spike: Column | None = None,
    suspects: float = 0.0,
    gain: Column | None = None,
    min_gain: float = 0.0,
) -> Selection:
    """Choose round-half-up(ratio * N) of the N records given (fewer only where fewer are eligible).

    A strategy that looks at IFD takes only eligible records: status ok or truncated, IFD finite and below 1.
    `cdas-paper` has its own budget, see `cdas_paper`; `full` takes every record whatever the ratio.

    Args:
        ids: N unique ids: the whole curated pool, records without a score too.
        strategy: see docs/strategies.md.
        ratio: share of the pool, above 0 and at most 1.
        seed: of `random` and `diversity`, and of the first record of `k-centre`.
        ifd: N values in the order of `ids`, or a mapping by id; None and NaN mean no score.
        status: score status of each record; left out, each record with a finite value counts as ok.
        cluster: cluster number of each record.
        response_tokens: length of each response in tokens.
        columns: the other columns of `NEEDS` by name, in the same two forms: nll_cond, loss_ratio, proxy_ifd, rating,
            complexity, quality, length_residual, length_band, position_matched, target_rank (numbers), tags (lists of strings), embedding
            (float [N, D] in the order of `ids`).
        unit: "records": the budget is a share of the records; "tokens": the same share of all response tokens, met as nearly
            as whole records allow (the last one is taken if that comes nearer).
        penalised: records that are ranked behind all others that are eligible, where a strategy ranks.
        language: language of each record's code, "" where unknown; used by `floor`.
        bands: length band of each response, where `floor` is to hold for these too.
        floor: each cluster and each known language gets at least this part of its proportional share, see `raise_to_floor`.
        spike: surprise at the code's operators and numbers (`Score.spike`); used by `suspects`.
        suspects: share of the pool that joins `penalised`: the records with the highest spikes, of those that have one.
        gain: nats that the instruction saves on the whole response, (nll_uncond - nll_cond) * tokens; used by `min_gain`.
        min_gain: a strategy that looks at IFD takes only records with at least this gain; 0: any.

    Raises:
        InputError: no records, duplicate ids, lengths that differ, ratio outside (0, 1], an unknown strategy, or no
            column that the strategy needs.
    """
    given = {**(columns or {}), "ifd": ifd, "status": status, "cluster": cluster, "response_tokens": response_tokens}
    given |= {"spike": spike, "gain": gain}
    _check(strategy, ratio, unit, given, suspects, min_gain)
    tie = id_ranks(ids)
    count = len(ids)
    scores = np.full(count, np.nan) if ifd is None else numbers("ifd", ifd, ids)
    states = None if status is None else [str(value) for value in values("status", status, ids)]
    scored = np.ones(count, np.bool_)
    if states is not None:
        scored = np.fromiter((value in RANKED for value in states), np.bool_, count)
    labels = None if cluster is None else integers("cluster", cluster, ids)
    group = np.zeros(count, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1].astype(np.int64)
    whole = np.zeros(count, np.int64)
    cost = np.ones(count, np.int64) if unit == "records" else integers("response_tokens", given["response_tokens"], ids)
    wanted = budget(ratio, int(cost.sum()))

    ranking = RANKINGS.get(strategy, RANKINGS["complexity"])
    value = scores
    if strategy in RANKINGS and ranking.column != "ifd":
        value = numbers(ranking.column, given[ranking.column], ids)
    with np.errstate(invalid="ignore"):
        eligible = np.isfinite(value) & (value < ranking.below) & (value >= ranking.at_least)
        eligible &= scored | (not ranking.scored)
        eligible &= (scores < IFD_LIMIT) | (not ranking.ifd_below)
        little = np.zeros(count, np.bool_)
        if min_gain > 0:
            little = ~(numbers("gain", given["gain"], ids) >= min_gain)
        eligible &= ~little
    key = value if ranking.lowest else -value
    suspected = np.zeros(count, np.bool_)
    if suspects > 0:
        suspected = highest(numbers("spike", given["spike"], ids), tie, budget(suspects, count))
    if (penalised is not None or suspected.any()) and eligible.any():
        behind = suspected.astype(np.float64)
        if penalised is not None:
            behind = np.maximum(behind, numbers("penalised", penalised, ids))
        key = key + behind * (1.0 + float(np.ptp(value[eligible])))
    if not 0 <= floor <= 1:
        raise InputError(f"sample.floor = {floor}: must be from 0 to 1 (a part of each group's proportional share)")
    if floor > 0 and unit == "tokens":
        raise InputError("sample.floor counts records; use it with sample.budget=records")
    inside = group if ranking.clustered or strategy not in RANKINGS else whole
    shuffled = seeded_hash(ids, seed)
    place = place_in(inside, ~eligible, key, *((shuffled,) if ranking.drawn else ()), tie)
    reason: tuple[str, ...] | None = None

    if strategy == "cdas-paper":
        selected = cdas_paper(-key, eligible, group, tie, ratio)
    elif ranking.clustered and unit == "records" and strategy in RANKINGS:
        selected = cdas(-key, eligible, group, tie, ratio)
    elif ranking.clustered and strategy in RANKINGS:
        selected = _mark(orders.take(orders.fair_order(group, place, cost, eligible), cost, wanted), count)
    elif strategy in RANKINGS:
        selected = _mark(orders.take(np.argsort(place)[: int(eligible.sum())], cost, wanted), count)
    elif strategy == "diversity" and unit == "records":
        sizes = np.bincount(group)
        selected = place_in(group, shuffled, tie) < allot(wanted, sizes, sizes)[group]
    elif strategy == "diversity":
        merged = orders.fair_order(group, place_in(group, shuffled, tie), cost, np.ones(count, np.bool_))
        selected = _mark(orders.take(merged, cost, wanted), count)
    elif strategy == "random":
        selected = _mark(orders.take(np.argsort(place_in(whole, shuffled, tie)), cost, wanted), count)
    elif strategy == "full":
        selected = np.ones(count, np.bool_)
    else:
        value, selected, reason = _greedy(strategy, given, ids, tie, shuffled, cost, wanted)
        if strategy in ("instag", "deita"):
            place, eligible = place_in(whole, ~np.isfinite(value), -value, tie), np.isfinite(value)

    if floor > 0:
        groups = [] if labels is None else [group]
        if language is not None:
            names = [str(name) for name in values("language", language, ids)]
            groups.append(np.unique(names, return_inverse=True)[1].astype(np.int64) - (0 if "" not in names else 1))
        if bands is not None:
            groups.append(
                np.unique([str(v) for v in values("bands", bands, ids)], return_inverse=True)[1].astype(np.int64)
            )
        ranks = strategy in (*RANKINGS, "cdas-paper")
        order = -key if ranks else -shuffled.astype(np.float64)
        selected = raise_to_floor(
            selected, eligible if ranks else np.ones(count, np.bool_), order, groups, tie, floor * ratio
        )

    rank = np.where(eligible, place + 1, 0)
    cutoff = np.full(count, np.nan)
    if reason is None and strategy in NOT_TAKEN:
        reason = tuple("" if taken else NOT_TAKEN[strategy] for taken in selected.tolist())
    elif reason is None:
        reason = reasons(selected, value, scores, ranking, states, suspected)
        less = f"gain<{min_gain:g}"
        reason = tuple(less if low and why == "below cut" else why for low, why in zip(little, reason, strict=True))
    if "ifd" in NEEDS[strategy] and value is scores:
        cutoff = _cutoffs(scores, selected, group if "cluster" in NEEDS[strategy] else whole)
    return Selection(
        ids=tuple(ids),
        cluster=np.full(count, -1, np.int32) if labels is None else labels.astype(np.int32),
        rank=rank.astype(np.int32),
        ifd=scores,
        cutoff=cutoff,
        selected=selected,
        reason=reason,
        score=value if strategy in (*RANKINGS, "cdas-paper", "instag", "deita") else np.full(count, np.nan),
        suspected=suspected,
    )


def _greedy(
    strategy: str,
    given: Mapping[str, Any],
    ids: Sequence[str],
    tie: Ints,
    shuffled: NDArray[np.uint64],
    cost: Ints,
    wanted: int,
) -> tuple[Floats, Bools, tuple[str, ...]]:
    """The strategies of `orders`, on records sorted by id: what was ranked, what is selected, and why the rest is not."""
    count = len(ids)
    back = np.argsort(tie)
    value = np.full(count, np.nan)
    order: Any
    points = None
    if "embedding" in NEEDS[strategy]:
        points = orders.check_vectors(given["embedding"], count)[back]
    if strategy == "instag":
        tags = [frozenset(found or ()) for found in values("tags", given["tags"], ids)]
        value = np.array([len(found) or np.nan for found in tags], np.float64)
        order = orders.tag_coverage([tags[n] for n in back])
        missing = np.where(np.isnan(value), "no tags", "no new tag")
    elif strategy == "deita":
        assert points is not None
        value = numbers("complexity", given["complexity"], ids) * numbers("quality", given["quality"], ids)
        ranked = np.lexsort((np.arange(count), -value[back]))[: int(np.isfinite(value).sum())]
        order = orders.unlike(ranked, points)
        missing = np.where(np.isnan(value), "no rating", "below cut")
    else:
        assert points is not None
        first = int(np.lexsort((np.arange(count), shuffled[back]))[0])
        order = orders.k_centre(points, first) if strategy == "k-centre" else orders.facility_location(points)
        missing = np.full(count, NOT_TAKEN[strategy])
    selected = _mark(back[orders.take(order, cost[back], wanted)], count)
    if strategy == "deita" and selected.any():
        missing = np.where(value > value[selected].min(), "too similar", missing)
    reason = np.where(selected, "", missing)
    return value, selected, tuple(str(text) for text in reason.tolist())


def _mark(places: Ints, count: int) -> Bools:
    chosen = np.zeros(count, np.bool_)
    chosen[places] = True
    return chosen


def _cutoffs(ifd: Floats, selected: Bools, group: Ints) -> Floats:
    lowest = np.full(int(group.max()) + 1, np.inf)
    np.minimum.at(lowest, group[selected], ifd[selected])
    return np.where(np.isfinite(lowest), lowest, np.nan)[group]


def _check(strategy: str, ratio: float, unit: str, given: Mapping[str, Any], suspects: float, min_gain: float) -> None:
    known = get_args(Strategy)
    if strategy not in known:
        near = nearest(strategy, known)
        hint = f"did you mean {near!r}?" if near else f"the strategies are {', '.join(known)}"
        raise InputError(f"sample.strategy = {strategy!r}: unknown; {hint}")
    if unit not in get_args(Budget):
        raise InputError(f"sample.budget = {unit!r}: use records or tokens")
    if unit == "tokens" and strategy == "cdas-paper":
        raise InputError("sample.budget = tokens: 'cdas-paper' counts records as its authors do; use strategy cdas")
    budget(ratio, 0)
    if not 0 <= suspects < 1:
        raise InputError(f"sample.suspects = {suspects}: must be from 0 to below 1 (the share of the pool ranked last)")
    if suspects and strategy not in (*RANKINGS, "cdas-paper"):
        raise InputError(f"sample.suspects = {suspects}: strategy {strategy!r} does not rank; set it to 0")
    if suspects and given["spike"] is None:
        raise InputError(
            "sample.suspects needs 'spike' of every record: score with score.variant=default, or set it to 0"
        )
    if min_gain < 0:
        raise InputError(f"sample.min_gain = {min_gain}: must be at least 0 nats")
    if min_gain and "ifd" not in NEEDS[strategy]:
        raise InputError(f"sample.min_gain = {min_gain}: strategy {strategy!r} does not look at IFD; set it to 0")
    if min_gain and given["gain"] is None:
        raise InputError(
            "sample.min_gain needs 'gain' of every record: score with score.variant=default, or set it to 0"
        )
    for name in (*NEEDS[strategy], *(("response_tokens",) if unit == "tokens" else ())):
        if given.get(name) is None:
            raise InputError(
                f"strategy {strategy!r} needs {name!r} for every record; give it or choose another strategy"
            )
