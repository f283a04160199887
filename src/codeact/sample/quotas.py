"""How many records each group gives, and which: budgets, quotas of clusters, and floors. Integer arithmetic throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.amounts import is_number
from codeact.errors import InputError
from codeact.sample.orders import fair_order, marked, take
from codeact.types import Bools, Floats, Ints


def budget(ratio: float, count: int) -> int:
    """round-half-up(ratio * count), exact in the decimal that was typed: 0.29 of 50 is 14.5, hence 15 (not 14.499...).

    Raises:
        InputError: ratio is not above 0 and at most 1.
    """
    if not is_number(ratio) or not 0 < ratio <= 1:
        raise InputError(f"sample.ratio = {ratio!r}: must be above 0 and at most 1 (the share of the pool to keep)")
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


@dataclass(frozen=True)
class Placed:
    """Records in the order in which they may be taken.

    Attributes:
        eligible: bool [N], may be taken at all.
        place: int64 [N], 0-based place inside its group, the eligible ones first.
        group: int64 [N], numbered from 0 without gaps; each gives its share.
        tokens: int64 [N], what each record costs; None: the budget counts records.
    """

    eligible: Bools
    place: Ints
    group: Ints
    tokens: Ints | None = None


def exactly(placed: Placed, ratio: float) -> Bools:
    """The budget met exactly: round-half-up(ratio * N) records, or as nearly as whole records allow that share of the tokens: bool [N].

    Records: groups share the budget in proportion to their size in the pool, eligible or not (`allot`). Tokens: the groups'
    orders are merged so that each gives the same share of its tokens (`orders.fair_order`).
    """
    eligible, place, group, tokens = placed.eligible, placed.place, placed.group, placed.tokens
    if tokens is not None:
        merged = fair_order(group, place, tokens, eligible)
        return marked(take(merged, tokens, budget(ratio, int(tokens.sum()))), len(group))
    sizes = np.bincount(group)
    caps = np.bincount(group[eligible], minlength=len(sizes))
    quotas = allot(budget(ratio, len(group)), sizes, caps)
    return eligible & (place < quotas[group])


def as_published(placed: Placed, ratio: float) -> Bools:
    """CDAS as the authors' script counts: of each cluster int(eligible * ratio) records: bool [N].

    That is fewer than ratio * N. Source: https://github.com/Kyle-Lyu/CodeACT, CDAS/select_data.py. The product is in floating
    point, as there: int(100 * 0.29) is 28. A failed score takes no part here; the script counts it as IFD 0.
    """
    caps = np.bincount(placed.group[placed.eligible], minlength=int(placed.group.max(initial=-1)) + 1)
    quotas = (caps * ratio).astype(np.int64)
    return placed.eligible & (placed.place < quotas[placed.group])


def everything(placed: Placed, ratio: float) -> Bools:
    """All records, whatever the ratio: bool [N]."""
    return np.ones(len(placed.group), np.bool_)


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
    return exactly(Placed(eligible, place_in(cluster, ~eligible, -ifd, tie), cluster), ratio)


def raise_to_floor(
    selected: Bools, eligible: Bools, value: Floats, groups: Sequence[Ints], tie: Ints, share: float
) -> Bools:
    """Exchange records until each group holds its floor, share * its size rounded up, or all its eligible ones: bool [N].

    A group whose floor would be less than one record has none. The number selected stays. What comes in is the group's eligible
    record of highest `value`; what goes out is the selected record of lowest value whose groups all stay at their floors, if
    there is one.

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
    worst_first = best_first[::-1]
    floors: list[Ints] = []
    for group in groups:
        inside = group >= 0
        sizes = np.bincount(group[inside], minlength=1)
        caps = np.bincount(group[inside & (eligible | selected)], minlength=len(sizes))
        wanted = sizes * share
        floors.append(np.minimum(np.where(wanted >= 1, np.ceil(wanted - 1e-9), 0).astype(np.int64), caps))
    counts = [np.bincount(g[chosen & (g >= 0)], minlength=len(f)) for g, f in zip(groups, floors, strict=True)]
    for index, (group, floor) in enumerate(zip(groups, floors, strict=True)):
        for number in range(len(floor)):
            waiting = best_first[((group == number) & eligible & ~chosen)[best_first]]
            for incoming in waiting[: max(0, int(floor[number] - counts[index][number]))].tolist():
                free = chosen & (group != number)
                for g, f, n in zip(groups, floors, counts, strict=True):
                    free &= (g < 0) | (n > f)[g]
                if not free.any():
                    break
                outgoing = int(worst_first[np.argmax(free[worst_first])])
                chosen[incoming], chosen[outgoing] = True, False
                for g, n in zip(groups, counts, strict=True):
                    n[g[incoming]] += g[incoming] >= 0
                    n[g[outgoing]] -= g[outgoing] >= 0
    return chosen


def place_in(group: Ints, *keys: NDArray[Any]) -> Ints:
    """0-based place of each row inside its group, sorted by the keys in turn: int64 [N]; `group` is numbered from 0."""
    order = np.lexsort((*reversed(keys), group))
    sizes = np.bincount(group)
    place = np.empty(len(group), np.int64)
    place[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place
