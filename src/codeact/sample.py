"""Which records to train on: pure functions of scores, clusters and a seed.

Every strategy is deterministic and does not depend on the order of the input: ties go to the smaller id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from codeact.config import Strategy, nearest
from codeact.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Column = Mapping[str, Any] | Sequence[Any] | NDArray[Any]

RANKED_STATUSES = ("ok", "truncated")
IFD_LIMIT = 1.0

NEEDS: Mapping[str, tuple[str, ...]] = {
    "cdas": ("ifd", "cluster"),
    "cdas-paper": ("ifd", "cluster"),
    "complexity": ("ifd",),
    "diversity": ("cluster",),
    "longest": ("response_tokens",),
    "random": (),
    "full": (),
}
NOT_TAKEN: Mapping[str, str] = {"random": "not drawn", "diversity": "not drawn", "longest": "shorter"}


@dataclass(frozen=True)
class Selection:
    """One row per record of the pool, in the order of the input.

    Attributes:
        ids: N ids.
        cluster: int32 [N]; -1 where no clusters were given.
        rank: int32 [N], 1 = highest IFD among the eligible records of the cluster; 0 = not eligible or no score.
        ifd: float64 [N]; NaN where there is none.
        cutoff: float64 [N], lowest selected IFD in the record's cluster (of the whole pool for `complexity`); NaN where
            nothing was selected or the strategy does not look at IFD.
        selected: bool [N].
        reason: N strings: empty if selected, else why not.
    """

    ids: tuple[str, ...]
    cluster: NDArray[np.int32]
    rank: NDArray[np.int32]
    ifd: Floats
    cutoff: Floats
    selected: Bools
    reason: tuple[str, ...]


def select(
    ids: Sequence[str],
    *,
    strategy: Strategy = "cdas",
    ratio: float = 0.4,
    seed: int = 0,
    ifd: Column | None = None,
    status: Column | None = None,
    cluster: Column | None = None,
    response_tokens: Column | None = None,
    penalty: Column | None = None,
    language: Column | None = None,
    floor: float = 0.0,
) -> Selection:
    """Choose round-half-up(ratio * N) of the N records given (fewer only where fewer are eligible).

    A strategy that looks at IFD takes only eligible records: status ok or truncated, IFD finite and below 1.
    `cdas-paper` has its own budget, see `cdas_paper`; `full` takes every record whatever the ratio.

    Args:
        ids: N unique ids: the whole curated pool, records without a score too.
        strategy: see docs/sample.md.
        ratio: share of the pool, above 0 and at most 1.
        seed: of `random` and `diversity`.
        ifd: N values in the order of `ids`, or a mapping by id; None and NaN mean no score.
        status: score status of each record; left out, each record with a finite IFD counts as ok.
        cluster: cluster number of each record.
        response_tokens: length of each response in tokens.
        penalty: what is taken off the IFD of each record where records are ranked by it; eligibility does not change.
        language: language of each record's code, "" where unknown; used by `floor`.
        floor: each cluster and each known language gets at least this part of its proportional share, see `raise_to_floor`.

    Raises:
        InputError: no records, duplicate ids, lengths that differ, ratio outside (0, 1], an unknown strategy, or no
            column that the strategy needs.
    """
    given = {"ifd": ifd, "status": status, "cluster": cluster, "response_tokens": response_tokens}
    _check(strategy, ratio, given)
    tie = id_ranks(ids)
    count = len(ids)
    scores = np.full(count, np.nan) if ifd is None else _numbers("ifd", ifd, ids)
    states = None if status is None else [str(value) for value in _values("status", status, ids)]
    eligible = np.isfinite(scores) & (scores < IFD_LIMIT)
    if states is not None:
        eligible &= np.fromiter((value in RANKED_STATUSES for value in states), np.bool_, count)
    labels = None if cluster is None else _integers("cluster", cluster, ids)
    group = np.zeros(count, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1].astype(np.int64)
    whole, wanted = np.zeros(count, np.int64), budget(ratio, count)
    key = scores if penalty is None else scores - _numbers("penalty", penalty, ids)
    if not 0 <= floor <= 1:
        raise InputError(f"sample.floor = {floor}: must be from 0 to 1 (a part of each group's proportional share)")

    if strategy == "cdas":
        selected = cdas(key, eligible, group, tie, ratio)
    elif strategy == "cdas-paper":
        selected = cdas_paper(key, eligible, group, tie, ratio)
    elif strategy == "complexity":
        selected = eligible & (_place(whole, ~eligible, -key, tie) < wanted)
    elif strategy == "diversity":
        sizes = np.bincount(group)
        selected = _place(group, seeded_hash(ids, seed), tie) < allot(wanted, sizes, sizes)[group]
    elif strategy == "random":
        selected = _place(whole, seeded_hash(ids, seed), tie) < wanted
    elif strategy == "longest":
        assert response_tokens is not None
        length = _integers("response_tokens", response_tokens, ids)
        selected = _place(whole, -length, tie) < wanted
    else:
        selected = np.ones(count, np.bool_)

    if floor > 0:
        groups = [] if labels is None else [group]
        if language is not None:
            names = [str(value) for value in _values("language", language, ids)]
            groups.append(np.unique(names, return_inverse=True)[1].astype(np.int64) - (0 if "" not in names else 1))
        ranked = "ifd" in NEEDS[strategy]
        order = key if ranked else -seeded_hash(ids, seed).astype(np.float64)
        selected = raise_to_floor(
            selected, eligible if ranked else np.ones(count, np.bool_), order, groups, tie, floor * ratio
        )

    rank = np.where(eligible, _place(group, ~eligible, -key, tie) + 1, 0)
    if "ifd" in NEEDS[strategy]:
        cutoff = _cutoffs(scores, selected, group if "cluster" in NEEDS[strategy] else whole)
        reason = _reasons(selected, scores, states)
    else:
        cutoff = np.full(count, np.nan)
        reason = tuple("" if taken else NOT_TAKEN[strategy] for taken in selected.tolist())
    return Selection(
        ids=tuple(ids),
        cluster=np.full(count, -1, np.int32) if labels is None else labels.astype(np.int32),
        rank=rank.astype(np.int32),
        ifd=scores,
        cutoff=cutoff,
        selected=selected,
        reason=reason,
    )


def cdas(ifd: Floats, eligible: Bools, cluster: Ints, tie: Ints, ratio: float) -> Bools:
    """Complexity and Diversity Aware Sampling (CodeACT, arXiv 2408.02193) with an exact budget: bool [N].

    The budget is round-half-up(ratio * N) of the whole pool, at most the number of eligible records. Clusters share it
    in proportion to their size in the pool (`allot`); each gives its eligible records of highest IFD.

    Args:
        ifd: float64 [N].
        eligible: bool [N].
        cluster: int64 [N], numbered from 0 without gaps.
        tie: int64 [N], decides between equal IFD: the smaller goes first.
        ratio: share of the pool, above 0 and at most 1.
    """
    sizes = np.bincount(cluster)
    caps = np.bincount(cluster[eligible], minlength=len(sizes))
    quotas = allot(min(budget(ratio, len(ifd)), int(caps.sum())), sizes, caps)
    return eligible & (_place(cluster, ~eligible, -ifd, tie) < quotas[cluster])


def cdas_paper(ifd: Floats, eligible: Bools, cluster: Ints, tie: Ints, ratio: float) -> Bools:
    """CDAS as the authors' script does it: of each cluster the first int(eligible * ratio) by IFD: bool [N].

    That is fewer than ratio * N. Source: https://github.com/Kyle-Lyu/CodeACT, CDAS/select_data.py. Arguments as `cdas`.
    The product is in floating point, as there: int(100 * 0.29) is 28. A failed score takes no part here; the script
    counts it as IFD 0.
    """
    caps = np.bincount(cluster[eligible], minlength=int(cluster.max(initial=-1)) + 1)
    quotas = (caps * ratio).astype(np.int64)
    return eligible & (_place(cluster, ~eligible, -ifd, tie) < quotas[cluster])


def raise_to_floor(
    selected: Bools, eligible: Bools, value: Floats, groups: Sequence[Ints], tie: Ints, share: float
) -> Bools:
    """Exchange records until each group holds floor(share * its size) selected ones, or all its eligible ones: bool [N].

    The number selected stays. What comes in is the group's eligible record of highest `value`; what goes out is the selected
    record of lowest value whose groups all stay at their floors, if there is one.

    Args:
        selected: bool [N].
        eligible: bool [N].
        value: float64 [N].
        groups: groupings, each int64 [N]; below 0 belongs to no group.
        tie: int64 [N], decides between equal values: the smaller comes first.
        share: the part of a group that its floor is, from 0 to 1.
    """
    chosen = selected.copy()
    best_first = np.lexsort((tie, -np.nan_to_num(value, nan=-np.inf)))
    floors: list[Ints] = []
    for group in groups:
        inside = group >= 0
        sizes = np.bincount(group[inside])
        caps = np.bincount(group[inside & (eligible | selected)], minlength=len(sizes))
        floors.append(np.minimum((sizes * share + 1e-9).astype(np.int64), caps))
    for group, floor in zip(groups, floors, strict=True):
        for number in range(len(floor)):
            while int(chosen[group == number].sum()) < floor[number]:
                incoming = next((i for i in best_first if group[i] == number and eligible[i] and not chosen[i]), None)
                spare = [
                    np.bincount(g[chosen & (g >= 0)], minlength=len(f)) > f for g, f in zip(groups, floors, strict=True)
                ]
                outgoing = next(
                    (
                        i
                        for i in best_first[::-1]
                        if chosen[i]
                        and group[i] != number
                        and all(g[i] < 0 or s[g[i]] for g, s in zip(groups, spare, strict=True))
                    ),
                    None,
                )
                if incoming is None or outgoing is None:
                    break
                chosen[incoming], chosen[outgoing] = True, False
    return chosen


def budget(ratio: float, count: int) -> int:
    """round-half-up(ratio * count), exact in the decimal that was typed: 0.29 of 50 is 14.5, hence 15 (not 14.499...).

    Raises:
        InputError: ratio is not above 0 and at most 1.
    """
    if not 0 < ratio <= 1:
        raise InputError(f"sample.ratio = {ratio}: must be above 0 and at most 1 (the share of the pool to keep)")
    return int((Decimal(repr(float(ratio))) * count).to_integral_value(ROUND_HALF_UP))


def allot(total: int, sizes: Ints, caps: Ints) -> Ints:
    """Share `total` among groups in proportion to `sizes`, none above its cap, by largest remainder: int64 [groups].

    What a full group cannot take is shared again, in the same way, among those with room. Equal remainders go to the
    lower group number. Integer arithmetic throughout. A total above the sum of the caps gives the caps. No cap may
    exceed its group's size.
    """
    quotas = np.zeros(len(sizes), np.int64)
    left = min(total, int(caps.sum()))
    while left > 0:
        weight = np.where(quotas < caps, sizes, 0).astype(np.int64)
        share, remainder = np.divmod(left * weight, weight.sum())
        for group in np.lexsort((np.arange(len(sizes)), -remainder))[: left - int(share.sum())]:
            share[group] += 1
        given = np.minimum(share, caps - quotas)
        quotas += given
        left -= int(given.sum())
    return quotas


def id_ranks(ids: Sequence[str]) -> Ints:
    """Position of each id in sorted order: int64 [N].

    Raises:
        InputError: no ids, or one occurs twice.
    """
    if not len(ids):
        raise InputError("there are no records to sample from; the pool is empty after curation")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    ordered = [ids[i] for i in order]
    for left, right in pairwise(ordered):
        if left == right:
            raise InputError(f"the id {left!r} occurs twice; make ids unique")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def seeded_hash(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """64 bits of BLAKE2b over seed and id: a random order of the records that no change of order or pool disturbs."""
    prefix = hashlib.blake2b(f"{seed}:".encode(), digest_size=8)
    digests = bytearray()
    for identity in ids:
        state = prefix.copy()
        state.update(identity.encode("utf-8", "surrogatepass"))
        digests += state.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def _place(group: Ints, *keys: NDArray[Any]) -> Ints:
    """0-based place of each row inside its group, sorted by the keys in turn."""
    order = np.lexsort((*reversed(keys), group))
    sizes = np.bincount(group)
    place = np.empty(len(group), np.int64)
    place[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place


def _cutoffs(ifd: Floats, selected: Bools, group: Ints) -> Floats:
    lowest = np.full(int(group.max()) + 1, np.inf)
    np.minimum.at(lowest, group[selected], ifd[selected])
    return np.where(np.isfinite(lowest), lowest, np.nan)[group]


def _reasons(selected: Bools, ifd: Floats, states: list[str] | None) -> tuple[str, ...]:
    reasons = np.where(selected, "", np.where(ifd >= IFD_LIMIT, "ifd>=1", "below cut")).astype(object)
    reasons[~np.isfinite(ifd)] = "status:nonfinite"
    if states is not None:
        for index, state in enumerate(states):
            if state not in RANKED_STATUSES:
                reasons[index] = f"status:{state}"
    return tuple(reasons.tolist())


def _check(strategy: str, ratio: float, given: Mapping[str, Column | None]) -> None:
    known = get_args(Strategy)
    if strategy not in known:
        near = nearest(strategy, known)
        hint = f"did you mean {near!r}?" if near else f"the strategies are {', '.join(known)}"
        raise InputError(f"sample.strategy = {strategy!r}: unknown; {hint}")
    budget(ratio, 0)
    for name in NEEDS[strategy]:
        if given[name] is None:
            raise InputError(
                f"strategy {strategy!r} needs {name!r} for every record; give it or choose another strategy"
            )


def _values(name: str, column: Column, ids: Sequence[str]) -> Sequence[Any] | NDArray[Any]:
    if isinstance(column, Mapping):
        missing = next((identity for identity in ids if identity not in column), None)
        if missing is not None:
            raise InputError(f"{name!r} has no value for record {missing!r}; run the stage again on the same records")
        return [column[identity] for identity in ids]
    if len(column) != len(ids):
        raise InputError(f"{name!r} has {len(column)} values for {len(ids)} ids; one per record is needed")
    return column


def _numbers(name: str, column: Column, ids: Sequence[str]) -> Floats:
    try:
        return np.array(_values(name, column, ids), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name!r} holds a value that is not a number: {error}") from error


def _integers(name: str, column: Column, ids: Sequence[str]) -> Ints:
    values = _numbers(name, column, ids)
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        raise InputError(f"{name!r} holds a value that is not a whole number")
    return values.astype(np.int64)
