"""How far two rankings, or two choices, of one pool agree; and what a choice holds of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from codeact.errors import InputError
from codeact.types import Bools, Floats, Ints

NORMAL_QUANTILE = 1.959964  # of a two-sided 95 % interval
ONE_VALUE = 1e-12  # relative: means of equal counts that were added in another order differ in their last bits


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rank correlation (ties get their mean rank) over the pairs in which both values are finite.

    Values are tied where they differ by less than 1e-12 of themselves, as means of equal counts may: rounding decides no rank.
    Sums of half ranks are exact, so the sign is, and a perfect correlation is 1.0, where `scipy.stats.spearmanr` often gives 1 - 1e-16.

    None where it is undefined: fewer than two such pairs, or one side constant.

    Raises:
        InputError: the lengths differ.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise InputError(f"spearman: shapes {list(left.shape)} and {list(right.shape)}; two equal lengths are needed")
    both = np.isfinite(left) & np.isfinite(right)
    if not both.any():
        return None
    x, y = (ranks - ranks.mean() for ranks in (_ranks(left[both]), _ranks(right[both])))
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


def _ranks(values: Floats) -> Floats:
    """Ranks of finite values from 1, equal ones sharing their mean rank."""
    from scipy.stats import rankdata

    order = np.argsort(values, kind="stable")
    ordered = values[order]
    apart = np.diff(ordered) > ONE_VALUE * np.maximum(np.abs(ordered[1:]), np.abs(ordered[:-1]))
    found: Floats = np.empty(len(values))
    found[order] = rankdata(np.concatenate(([0], np.cumsum(apart))))
    return found


def spearman_interval(rho: float, records: int) -> list[float] | None:
    """95 % interval of a rank correlation by Fisher's z with the variance of Bonett and Wright (2000, doi:10.1007/BF02294183).

    None for fewer than four records. Where the ranks agree in full the formula has no width; there its inner end is that of the next
    value that ranks without ties can have, 1 - 12 / (n^3 - n), and the outer end is 1.
    """
    if records < 4:
        return None
    most = 1.0 - 12.0 / (records**3 - records)
    value = max(-most, min(most, rho))
    half = NORMAL_QUANTILE * math.sqrt((1.0 + value * value / 2.0) / (records - 3))
    ends = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return [min(ends[0], rho) if rho > -1.0 else -1.0, max(ends[1], rho) if rho < 1.0 else 1.0]


def mid_ranks(values: Floats) -> Floats:
    """Where each of float64 [N] stands among them, from 0 to 1: (rank - 1/2) / N; equal values share the mean of their ranks.

    NaN stays NaN and does not count.
    """
    from scipy.stats import rankdata

    found: Floats = (rankdata(values, nan_policy="omit") - 0.5) / max(1, int((~np.isnan(values)).sum()))
    return found


def jaccard(one: Bools, two: Bools) -> float:
    """Size of the intersection over size of the union; 1 for two empty selections."""
    union = int((one | two).sum())
    return int((one & two).sum()) / union if union else 1.0


def chance_overlap(ratio: float) -> float:
    """Jaccard index of two independent random selections of this share, for a large pool: ratio / (2 - ratio)."""
    return ratio / (2.0 - ratio)


def token_share(selected: ArrayLike, tokens: ArrayLike) -> float | None:
    """Share of all response tokens that the selected records hold, 0 to 1; None where there are no tokens.

    Raises:
        InputError: the lengths differ.
    """
    mask, counts = np.asarray(selected, dtype=np.bool_), np.asarray(tokens, dtype=np.int64)
    if mask.shape != counts.shape:
        raise InputError(
            f"token_share: shapes {list(mask.shape)} and {list(counts.shape)}; two equal lengths are needed"
        )
    total = int(counts.sum())
    return int(counts[mask].sum()) / total if total else None


def top(values: Floats | Ints, count: int) -> Bools:
    """The `count` highest values, of equal ones the first: bool [N]."""
    chosen = np.zeros(len(values), np.bool_)
    chosen[np.argsort(-values, kind="stable")[:count]] = True
    return chosen
