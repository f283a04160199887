"""What is ranked, and the figures that several parts tell of it: Spearman's correlation with its interval and its words, shares of tokens.

The run's summary, the terminal, `--json` and the report all take them from here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codeact.errors import InputError

MEASURED = ("ok", "truncated")  # statuses of records whose IFD the model measured
ESTIMATED = "estimated"  # adaptive scoring ranks by its estimate what it did not score in full
RANKED = (*MEASURED, ESTIMATED)
NORMAL_QUANTILE = 1.959964  # of a two-sided 95 % interval

Floats = NDArray[np.float64]


def ranked_ifd(table: Any) -> Floats:
    """The IFD by which the records of a score table are ranked: measured, or estimated by adaptive scoring.

    Returns:
        float64 [N] in the order of the table; NaN where the status says that the record is not ranked.
    """
    status = np.array(table["status"].to_pylist(), object)
    ifd = np.array(table["ifd"].to_pylist(), np.float64)
    if "ifd_estimate" in table.column_names:
        estimate = np.array(table["ifd_estimate"].to_pylist(), np.float64)
        ifd = np.where(status == ESTIMATED, estimate, ifd)
    ranked = np.isin(status, RANKED) & np.isfinite(ifd)
    return np.where(ranked, ifd, np.nan)


def length_figures(ifd: ArrayLike, response_tokens: ArrayLike, selected: ArrayLike) -> dict[str, Any] | None:
    """How IFD follows response length, and what a selection holds of both, over the records that are ranked.

    Args:
        ifd: float [N], NaN where a record is not ranked.
        response_tokens: int [N], negative where unknown.
        selected: bool [N].

    Returns:
        `records` (ranked), `spearman` and its 95 % `interval`, `selected`, `record_share`, `response_tokens`, `selected_tokens`,
        `token_share`, `median_tokens_selected`, `median_tokens_not_selected`; None where no record is ranked.
    """
    values, tokens = np.asarray(ifd, np.float64), np.asarray(response_tokens, np.int64)
    chosen = np.asarray(selected, np.bool_)
    known = np.isfinite(values) & (tokens >= 0)
    if not known.any():
        return None
    values, tokens, chosen = values[known], tokens[known], chosen[known]
    found = spearman(values, tokens)
    return {
        "records": len(values),
        "spearman": found,
        "interval": None if found is None else spearman_interval(found, len(values)),
        "selected": int(chosen.sum()),
        "record_share": float(chosen.mean()),
        "response_tokens": int(tokens.sum()),
        "selected_tokens": int(tokens[chosen].sum()),
        "token_share": token_share(chosen, tokens),
        "median_tokens_selected": float(np.median(tokens[chosen])) if chosen.any() else None,
        "median_tokens_not_selected": float(np.median(tokens[~chosen])) if not chosen.all() else None,
    }


def spearman_interval(rho: float, records: int) -> list[float] | None:
    """95 % interval of a rank correlation by Fisher's z with the variance of Bonett and Wright (2000, doi:10.1007/BF02294183).

    None for fewer than four records.
    """
    if records < 4:
        return None
    if abs(rho) >= 1.0:
        return [rho, rho]
    half = NORMAL_QUANTILE * math.sqrt((1.0 + rho * rho / 2.0) / (records - 3))
    return [math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)]


def relation(rho: float | None, interval: list[float] | None) -> str:
    """What a rank correlation of IFD and response length says, in words: no more than its size, sign and interval bear.

    Sizes are on Cohen's scale (1988): below 0.1 negligible, 0.3 weak, 0.5 moderate, above strong.
    """
    if rho is None:
        return "not defined for these records"
    if interval is None:
        return "too few records to say whether they are related"
    if interval[0] <= 0.0 <= interval[1]:
        return "no clear relation"
    size = abs(rho)
    if size < 0.1:
        return "hardly any relation"
    name = "weak" if size < 0.3 else "moderate" if size < 0.5 else "strong"
    return f"{name}: longer responses tend to have a {'higher' if rho > 0 else 'lower'} IFD"


def length_line(rho: float | None, interval: list[float] | None) -> str:
    """One line for a terminal: the correlation, its interval and `relation`."""
    value = "" if rho is None else f"Spearman {rho:.2f}"
    between = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"IFD against response length: {value}{between}{'; ' if value else ''}{relation(rho, interval)}"


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rank correlation (ties get their mean rank) over the pairs in which both values are finite.

    None where it is undefined: fewer than two such pairs, or one side constant.

    Raises:
        InputError: the lengths differ.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise InputError(f"spearman: shapes {list(left.shape)} and {list(right.shape)}; two equal lengths are needed")
    both = np.isfinite(left) & np.isfinite(right)
    x, y = mean_ranks(left[both]), mean_ranks(right[both])
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


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


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1 of float64 [N]; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = (last - (counts - 1) / 2.0)[inverse]
    return found
