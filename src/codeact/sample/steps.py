"""Choosing from a pool, step by step: who is eligible, in which order, how far the budget reaches, what the floor exchanges, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from codeact.amounts import is_number
from codeact.errors import InputError, did_you_mean
from codeact.sample import strategies
from codeact.sample.coverage import length_bands
from codeact.sample.orders import each_once, marked, take
from codeact.sample.pool import Column, Pool, highest, id_ranks
from codeact.sample.quotas import Placed, budget, place_in, raise_to_floor
from codeact.sample.strategies import IFD, IFD_LIMIT, Ranking, Strategy
from codeact.statuses import RANKED, Status
from codeact.types import Bools, Floats, Ints

Unit = Literal["records", "tokens"]

RULE_COLUMNS = ("status", "penalised", "language", "spike", "gain", "response_tokens", "cluster", "ifd")


# The recipe's defaults too; a test holds them together, since the recipe takes the strategies' names from here.
TRIM = 0.1
MIRRORED = "cdas"


@dataclass(frozen=True)
class Rules:
    """What may move records beside the strategy; by default nothing does.

    Attributes:
        floor: each cluster and each known language gets at least this part of its proportional share, see `raise_to_floor`.
        floor_lengths: bands of response length do too.
        suspects: share of the pool that is ranked behind all others that are eligible: the records of highest `spike`.
        min_gain: nats; a strategy that looks at IFD takes only records with at least this `gain`. 0: any.
        trim: share of the records, the longest, that `trim` and `trim-diversity` leave out.
        like: strategy whose selection `length-matched` mirrors: its lengths, and as many records or tokens.
    """

    floor: float = 0.0
    floor_lengths: bool = False
    suspects: float = 0.0
    min_gain: float = 0.0
    trim: float = TRIM
    like: str = MIRRORED


NO_RULES = Rules()
NO_TOKENS = "no response tokens"
GAVE_WAY = "gave way to a floor"


@dataclass(frozen=True)
class Choice:
    """One row per record of the pool, in the order of the input.

    Attributes:
        ids: N ids.
        cluster: int32 [N]; -1 where no clusters were given.
        rank: int32 [N], 1 = the first of the eligible records of the cluster (of the pool, for a strategy without clusters) by
            what the strategy ranks, else by IFD; 0 = not eligible or no score.
        ifd: float64 [N]; NaN where there is none.
        cutoff: float64 [N], lowest selected IFD in the record's cluster (of the whole pool for `complexity`); NaN where
            nothing was selected or the strategy does not rank by IFD.
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


def choose(
    ids: Sequence[str],
    *,
    strategy: str,
    ratio: float,
    seed: int = 0,
    unit: Unit = "records",
    rules: Rules = NO_RULES,
    **columns: Column | None,
) -> Choice:
    """Choose round-half-up(ratio * N) of the N records given (fewer only where fewer are eligible).

    A strategy that looks at IFD takes only eligible records: status ok or truncated, IFD finite and below 1.
    `cdas-paper` has its own budget, see `quotas.as_published`; `full` takes every record whatever the ratio.

    Args:
        ids: N unique ids: the whole curated pool, records without a score too.
        strategy: see docs/strategies.md.
        ratio: share of the pool, above 0 and at most 1.
        seed: of `random` and `diversity`, and of the first record of `k-centre`.
        unit: what the budget counts. "records": a share of the records; "tokens": the same share of all response tokens, met as
            nearly as whole records allow (the last one is taken if that comes nearer).
        rules: floors, suspects and the least gain.
        columns: each a sequence in the order of `ids`, or a mapping by id; None counts as not given, and as a value means none.
            What the strategy needs (`strategies.find(name).needs`), and what the rules read: `ifd`, `cluster` (int), `response_tokens`,
            `status` of the score (left out, each record with a finite value counts as ok), `penalised` (taken after all others that are
            eligible, of its cluster where clusters have shares), `language` of the code ("" where unknown), `spike`, and `gain`: nats that the
            instruction saves on the whole response, (nll_uncond - nll_cond) * tokens.

    Raises:
        InputError: no records, duplicate ids, lengths that differ, a ratio outside (0, 1], an unknown strategy or column, no
            column that the strategy or a rule needs, a value that a column cannot have, settings that do not go together, or a
            strategy whose ranking or order is not one of the pool's records.
    """
    check_settings(strategy, ratio, unit, rules)
    plan = strategies.find(strategy)
    given = {name: column for name, column in columns.items() if column is not None}
    _check_columns(plan, unit, rules, given)
    by_id = np.argsort(id_ranks(ids))
    pool = Pool(ids, given, by_id, seed, ratio, rules.trim)
    _check_values(pool)
    if plan.mirrors:
        other = choose(ids, strategy=rules.like, ratio=ratio, seed=seed, unit=unit, rules=Rules(trim=rules.trim), **given)
        pool = replace(pool, like=other.selected[by_id])
    suspected = suspects(pool, rules.suspects)
    pool = replace(pool, behind=suspected | (pool.numbers("penalised") > 0))
    ifd, states = pool.numbers("ifd"), [str(state) for state in pool.values("status")] if "status" in given else None
    ranking = plan.ranking or IFD  # a strategy that does not rank tells ranks by IFD
    value = ranking.of(pool)
    able, low_gain = eligibility(pool, ranking, value, states, rules.min_gain)
    tokens = pool.integers("response_tokens") if unit == "tokens" and plan.counts else None
    known = tokens if tokens is not None or "response_tokens" not in plan.needs else pool.integers("response_tokens")
    silent = np.zeros(len(ids), np.bool_) if known is None else known <= 0
    able &= ~silent
    key = order_key(plan, value, able, pool.behind)
    group = pool.group if plan.clustered or plan.ranking is None else np.zeros(len(ids), np.int64)
    place = place_in(group, ~able, key, *((pool.drawn,) if ranking.drawn else ()))
    taken = spend(pool, plan, Placed(able, place, group, tokens), ~silent, ratio)
    selected = hold_floor(pool, plan, taken, key, able if plan.ranking is not None else ~silent, rules, ratio)
    reason = reasons(plan, value, ifd, states, taken, suspected, pool.behind)
    reason[low_gain & (reason == "below cut")] = f"gain<{rules.min_gain:g}"
    reason[silent & np.isin(reason, (plan.not_taken, ranking.missing))] = NO_TOKENS
    reason[taken] = GAVE_WAY
    reason[selected] = ""
    cutoff = np.full(len(ids), np.nan)
    if plan.ranking is not None and plan.ranking.column == "ifd":
        cutoff = _cutoffs(ifd, selected, group)
    back = pool.in_given_order
    return Choice(
        ids=tuple(ids),
        cluster=back(pool.integers("cluster") if "cluster" in given else np.full(len(ids), -1)).astype(np.int32),
        rank=back(np.where(able, place + 1, 0)).astype(np.int32),
        ifd=back(ifd),
        cutoff=back(cutoff),
        selected=back(selected),
        reason=tuple(back(reason).tolist()),
        score=back(value if plan.ranking is not None else np.full(len(ids), np.nan)),
        suspected=back(suspected),
    )


def eligibility(
    pool: Pool, ranking: Ranking, value: Floats, states: Sequence[str] | None, min_gain: float
) -> tuple[Bools, Bools]:
    """The records that the ranking admits, and those that gain too little: bool [N], bool [N].

    Args:
        pool: for IFD and gain.
        ranking: its limits.
        value: float64 [N], what is ranked.
        states: status of each score; None: all are ok.
        min_gain: nats; 0: any.
    """
    with np.errstate(invalid="ignore"):
        able = np.isfinite(value) & (value < ranking.below) & (value >= ranking.at_least)
        if ranking.scored and states is not None:
            able &= np.isin(states, RANKED)
        if ranking.ifd_below:
            able &= pool.numbers("ifd") < IFD_LIMIT
        low_gain = ~(pool.numbers("gain") >= min_gain) if min_gain > 0 else np.zeros(len(pool), np.bool_)
    return able & ~low_gain, low_gain


def suspects(pool: Pool, share: float) -> Bools:
    """This share of the pool: the records of highest spike, of those that have one: bool [N]."""
    if share == 0:
        return np.zeros(len(pool), np.bool_)
    return highest(pool.numbers("spike"), np.arange(len(pool)), budget(share, len(pool)))


def order_key(plan: Strategy, value: Floats, able: Bools, behind: Bools) -> Floats:
    """What eligible records are sorted by, the lowest first: float64 [N]. Those that go `behind` come after all others."""
    key = value if plan.ranking is not None and plan.ranking.lowest else -value
    return key + behind * (1.0 + float(np.ptp(value[able]))) if (behind & able).any() else key


def spend(pool: Pool, plan: Strategy, placed: Placed, there: Bools, ratio: float) -> Bools:
    """The records that the budget reaches: bool [N]; never one that is not `there`, such as one without tokens in a budget of these."""
    tokens = placed.tokens
    if plan.order is not None:
        cost = np.ones(len(pool), np.int64) if tokens is None else tokens
        wanted = int(cost[pool.like].sum()) if plan.mirrors else budget(ratio, int(cost.sum()))
        numbers = each_once(plan.order(pool), len(pool), plan.name)
        return marked(take((number for number in numbers if there[number]), cost, wanted), len(pool))
    if plan.ranking is None:  # drawn: anyone, at random
        group = pool.group if plan.clustered else np.zeros(len(pool), np.int64)
        placed = Placed(there, place_in(group, ~there, pool.behind, pool.drawn), group, tokens)
    return plan.budget(placed, ratio)


def hold_floor(
    pool: Pool, plan: Strategy, selected: Bools, key: Floats, eligible: Bools, rules: Rules, ratio: float
) -> Bools:
    """The selection after the exchanges that the floor asks for, see `quotas.raise_to_floor`: bool [N].

    What a strategy passes over for its likeness to another (`deita`) does not come in.
    """
    if rules.floor == 0:
        return selected
    groups: list[Ints] = [pool.group] if "cluster" in pool.columns else []
    if "language" in pool.columns:
        languages = [str(name) for name in pool.values("language")]
        groups.append(_numbered(languages) - (0 if "" not in languages else 1))
    if rules.floor_lengths:
        groups.append(_numbered(length_bands(pool.integers("response_tokens").tolist())))
    drawn = place_in(np.zeros(len(pool), np.int64), pool.behind, pool.drawn).astype(np.float64)
    if plan.order is not None and plan.passed_over:
        eligible = eligible & marked(np.fromiter(each_once(plan.order(pool), len(pool), plan.name), np.int64), len(pool))
    return raise_to_floor(
        selected, eligible, -drawn if plan.ranking is None else -key, groups, np.arange(len(pool)), rules.floor * ratio
    )


def reasons(
    plan: Strategy, value: Floats, ifd: Floats, states: Sequence[str] | None, taken: Bools, suspected: Bools, behind: Bools
) -> NDArray[np.object_]:
    """Why each record would not be selected: object [N] of strings.

    Args:
        plan: the strategy.
        value: float64 [N], what it ranks.
        ifd: float64 [N].
        states: status of each score; None: all are ok.
        taken: bool [N], by the strategy, before any floor.
        suspected: bool [N].
        behind: bool [N], ranked behind all others; suspects are.
    """
    found = np.full(len(value), plan.not_taken, object)
    ranking = plan.ranking
    if ranking is None:
        return found
    for one in (~behind, behind) if plan.passed_over else ():
        if (taken & one).any():
            found[one & (value > value[taken & one].min())] = plan.passed_over
    found[value < ranking.at_least] = f"{ranking.column}<{ranking.at_least:g}"
    found[suspected] = "suspect"
    found[~np.isfinite(value)] = ranking.missing
    found[np.isfinite(value) & (value >= ranking.below)] = f"{ranking.column}>={ranking.below:g}"
    if ranking.ifd_below:
        found[np.isfinite(ifd) & (ifd >= IFD_LIMIT)] = f"ifd>={IFD_LIMIT:g}"
    for number, state in enumerate(states if states is not None and ranking.scored else ()):
        if state not in RANKED:
            found[number] = f"status:{state}"
    return found


def check_settings(strategy: str, ratio: float, unit: str, rules: Rules) -> None:
    """Refuse settings that no data can serve.

    Raises:
        InputError: an unknown strategy or unit, a value out of range, or settings that do not go together.
    """
    plan = strategies.find(strategy)
    if not isinstance(rules, Rules):
        raise InputError(f"rules is {type(rules).__name__}; give codeact.sample.Rules")
    for name in ("trim", "suspects", "min_gain", "floor"):
        if not is_number(getattr(rules, name)):
            raise InputError(f"sample.{name} = {getattr(rules, name)!r}: must be a number")
    if unit not in get_args(Unit):
        raise InputError(f"sample.unit = {unit!r}: use records or tokens")
    if unit == "tokens" and plan.records_only:
        raise InputError(f"sample.unit = tokens: {strategy!r} counts records {plan.records_only}; set sample.unit=records")
    if not 0 <= rules.trim < 1:
        raise InputError(f"sample.trim = {rules.trim}: must be from 0 to below 1 (the share of the records, the longest, that is cut)")
    if plan.mirrors and strategies.find(rules.like).mirrors:
        raise InputError(f"sample.like = {rules.like!r}: name another strategy, whose selection is mirrored")
    budget(ratio, 0)
    if not 0 <= rules.suspects < 1:
        raise InputError(f"sample.suspects = {rules.suspects}: must be from 0 to below 1 (the share of the pool ranked last)")
    if rules.suspects and not plan.ranks:
        raise InputError(f"sample.suspects = {rules.suspects}: strategy {strategy!r} does not rank; set it to 0")
    if rules.min_gain < 0:
        raise InputError(f"sample.min_gain = {rules.min_gain}: must be at least 0 nats")
    if rules.min_gain and "ifd" not in plan.needs:
        mend = "set it to 0, or sample.strategy to one that does, such as cdas"
        raise InputError(f"sample.min_gain = {rules.min_gain}: strategy {strategy!r} does not look at IFD; {mend}")
    if not 0 <= rules.floor <= 1:
        raise InputError(f"sample.floor = {rules.floor}: must be from 0 to 1 (a part of each group's proportional share)")
    if rules.floor > 0 and unit == "tokens":
        raise InputError(f"sample.floor = {rules.floor}: a floor counts records; set sample.unit=records, or sample.floor=0")


def _check_columns(plan: Strategy, unit: str, rules: Rules, given: Mapping[str, Column]) -> None:
    known = sorted({*RULE_COLUMNS, *(name for entry in strategies.STRATEGIES.values() for name in entry.needs)})
    for name in given:
        if name not in known:
            raise InputError(f"no strategy or rule reads a column {name!r}{did_you_mean(name, known)}")
    for rule, column, on in (("suspects", "spike", rules.suspects), ("min_gain", "gain", rules.min_gain)):
        if on and column not in given:
            raise InputError(
                f"sample.{rule} needs {column!r} of every record: score with score.variant=default, or set it to 0"
            )
    for name in (*plan.needs, *(("response_tokens",) if unit == "tokens" and plan.counts else ())):
        if name not in given:
            raise InputError(
                f"strategy {plan.name!r} needs {name!r} for every record; give it or choose another strategy"
            )
    if rules.floor > 0 and rules.floor_lengths and "response_tokens" not in given:
        raise InputError(
            f"sample.floor_lengths needs response lengths, which strategy {plan.name!r} does not read; leave it out"
        )


def _check_values(pool: Pool) -> None:
    if (below := np.flatnonzero(pool.numbers("response_tokens") < 0)).size:
        raise InputError(f"'response_tokens' of record {pool.ids[below[0]]!r} is below 0; it must be a number of tokens")
    known = (None, *get_args(Status))
    unknown = next((state for state in pool.values("status") if state not in known), None) if "status" in pool.columns else None
    if unknown is not None:
        raise InputError(f"{unknown!r} is no status of a score; use {', '.join(get_args(Status))}")


def _numbered(names: Sequence[str]) -> Ints:
    """Groups by name, numbered from 0 in the order of their names: int64 [N]."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _cutoffs(ifd: Floats, selected: Bools, group: Ints) -> Floats:
    """Lowest selected IFD of each record's group, NaN where nothing was selected: float64 [N]."""
    lowest = np.full(int(group.max()) + 1, np.inf)
    np.minimum.at(lowest, group[selected], ifd[selected])
    return np.where(np.isfinite(lowest), lowest, np.nan)[group]
