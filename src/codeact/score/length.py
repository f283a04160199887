"""How far scores follow response length, and alternatives that do not. Definitions: docs/scoring.md.

All functions take one entry per record; NaN marks a record without a score, and stays NaN.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from codeact.amounts import amount, check_whole, is_number
from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.statistics import chance_overlap, jaccard, mid_ranks, spearman, spearman_interval, token_share, top
from codeact.types import Bools, Floats, Ints

SIZES, SIZE_LIMITS = ("very weak", "weak", "moderate", "strong"), (0.1, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class LengthSummary:
    """What every score summary says about length.

    Attributes:
        scored: records with a score.
        spearman: rank correlation of the score with the response length; None where either is constant.
        ratio: share of the scored records that is selected.
        token_share: share of their response tokens that the selection holds.
        longest_overlap: Jaccard index of the selection and as many of the longest responses.
        chance_overlap: the same for a random selection of this size, in expectation: ratio / (2 - ratio).
    """

    scored: int
    spearman: float | None
    ratio: float
    token_share: float
    longest_overlap: float
    chance_overlap: float


def length_summary(
    score: ArrayLike,
    response_tokens: ArrayLike,
    selected: ArrayLike | None = None,
    ratio: float = DEFAULTS.sample.ratio,
) -> LengthSummary:
    """Compare scores, and a selection, with response length.

    Args:
        score: float [N], NaN where there is none.
        response_tokens: int [N].
        selected: bool [N]; default: the `ratio` of the records with the highest score.
        ratio: used without `selected`.

    Raises:
        InputError: arrays of different lengths, no numbers, a ratio that is not above 0 and at most 1, or no record has a score.
    """
    values, tokens = _pair(score, response_tokens)
    known = np.isfinite(values)
    if not known.any():
        raise InputError("no record has a score, so nothing can be said about length")
    if selected is None:
        if not is_number(ratio) or not 0 < ratio <= 1:
            raise InputError(f"ratio = {ratio!r}: must be above 0 and at most 1 (the share of the records)")
        wanted = max(1, round(ratio * int(known.sum())))
        chosen = top(np.where(known, values, -np.inf), wanted)
    else:
        chosen = _marks(selected, len(values)) & known
    longest = top(np.where(known, tokens, -1), int(chosen.sum()))
    share = float(chosen.sum() / known.sum())
    return LengthSummary(
        int(known.sum()),
        spearman(values[known], tokens[known]),
        share,
        token_share(chosen[known], tokens[known]) or 0.0,
        jaccard(chosen, longest) if chosen.any() else 0.0,
        chance_overlap(share),
    )


def length_figures(ifd: ArrayLike, response_tokens: ArrayLike, selected: ArrayLike) -> dict[str, Any] | None:
    """How IFD follows response length, and what a selection holds of both, over the records that are ranked.

    Args:
        ifd: float [N], NaN where a record is not ranked.
        response_tokens: int [N], negative where unknown.
        selected: bool [N].

    Returns:
        `records` (ranked), `spearman` and its 95 % `interval`, `selected`, `record_share`, `response_tokens`, `selected_tokens`,
        `token_share`, `median_tokens_selected`, `median_tokens_not_selected`; None where no record is ranked.

    Raises:
        InputError: arrays of different lengths, or no numbers.
    """
    values, tokens = _pair(ifd, response_tokens)
    chosen = _marks(selected, len(values))
    known = np.isfinite(values) & (tokens >= 0)
    if not known.any():
        return None
    values, tokens, chosen = values[known], tokens[known], chosen[known]
    found = spearman(values, tokens)
    interval = None if found is None else spearman_interval(found, len(values))
    return {"spearman": found, "interval": interval, **held_figures(tokens, chosen)}


def lengths_held(ifd: ArrayLike, response_tokens: ArrayLike, selected: ArrayLike) -> dict[str, Any] | None:
    """`length_figures`; where no record is ranked, `held_figures` of all whose length is known, and no correlation. None where none is."""
    if (found := length_figures(ifd, response_tokens, selected)) is not None:
        return found
    tokens, chosen = np.asarray(response_tokens, np.int64), np.asarray(selected, np.bool_)
    known = tokens >= 0
    return {"spearman": None, "interval": None, **held_figures(tokens[known], chosen[known])} if known.any() else None


def held_figures(tokens: Ints, chosen: Bools) -> dict[str, Any]:
    """What a selection holds of some records: those of `length_figures` that need no IFD. int64 [N] from 0, bool [N]."""
    return {
        "records": len(tokens),
        "selected": int(chosen.sum()),
        "record_share": float(chosen.mean()),
        "response_tokens": int(tokens.sum()),
        "selected_tokens": int(tokens[chosen].sum()),
        "token_share": token_share(chosen, tokens),
        "median_tokens_selected": float(np.median(tokens[chosen])) if chosen.any() else None,
        "median_tokens_not_selected": float(np.median(tokens[~chosen])) if not chosen.all() else None,
    }


def relation(rho: float | None, interval: list[float] | None) -> str:
    """What a rank correlation of IFD and response length says, in words: no more than its size, sign and interval bear.

    Sizes are on Cohen's scale (1988): below 0.1 very weak, 0.3 weak, 0.5 moderate, above strong. Where the ends of the interval
    differ in size both are named.
    """
    if rho is None:
        return "not defined for these records"
    if interval is None:
        return "too few records to say whether they are related"
    if interval[0] <= 0.0 <= interval[1]:
        return "no clear relation"
    least, most = sorted(map(_size, interval), key=SIZES.index)
    if most == SIZES[0]:
        return "hardly any relation"
    return f"{most if least == most else f'{least} to {most}'}: longer responses tend to have a {'higher' if rho > 0 else 'lower'} IFD"


def _size(rho: float) -> str:
    return SIZES[bisect_right(SIZE_LIMITS, abs(rho))]


def length_line(rho: float | None, interval: list[float] | None) -> str:
    """One line for a terminal: the correlation, its interval and `relation`."""
    value = "" if rho is None else f"Spearman {rho:.2f}"
    between = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"IFD against response length: {value}{between}{'; ' if value else ''}{relation(rho, interval)}"


def length_residual(ifd: ArrayLike, response_tokens: ArrayLike) -> Floats:
    """log IFD minus what an isotonic (monotone, here least-squares) fit on log length expects of it, fitted in this pool.

    The fit rises or falls as the rank correlation in the pool does. exp(residual) is how many times higher the IFD is than that of responses of
    this length; 0 is average. Rank by it, highest first.

    Returns:
        float64 [N].

    Raises:
        InputError: arrays of different lengths, or an IFD that is not above 0.
    """
    from sklearn.isotonic import IsotonicRegression

    values, tokens = _pair(ifd, response_tokens)
    known = np.isfinite(values)
    if (values[known] <= 0).any():
        raise InputError("an IFD is a ratio of perplexities, above 0; mark failed records with NaN")
    result = np.full(len(values), np.nan)
    if known.any():
        logs, lengths = np.log(values[known]), np.log(np.maximum(1, tokens[known]))
        found = spearman(lengths, logs)
        rising = found is not None and found >= 0
        result[known] = logs - IsotonicRegression(increasing=rising).fit_transform(lengths, logs)
    return result


def length_band_rank(score: ArrayLike, response_tokens: ArrayLike, bands: int = 10) -> Floats:
    """Mid-rank of each score among records of similar length, from 0 to 1; the highest score of a band is nearest 1.

    Bands hold equal numbers of records, shortest first; records of equal length may be divided among two bands, by
    their position. The top m % by this rank are the top m % of every band, up to rounding.

    Returns:
        float64 [N].

    Raises:
        InputError: arrays of different lengths, or `bands` below 1.
    """
    values, tokens = _pair(score, response_tokens)
    check_whole("bands", bands)
    known = np.flatnonzero(np.isfinite(values))
    ordered = known[np.argsort(tokens[known], kind="stable")]
    result = np.full(len(values), np.nan)
    for band in np.array_split(ordered, bands):
        result[band] = mid_ranks(values[band])
    return result


def position_matched_rank(prefix_log_ifd: Sequence[Sequence[float] | None]) -> Floats:
    """Mid-rank of each record's IFD over positions that all compared records have, from 0 to 1.

    Records are compared in bands by length: [1, 2), [2, 4), [4, 8), ... response tokens, and in the band from K on by the
    IFD of their first K tokens only. No position of a longer response then has an advantage.

    Args:
        prefix_log_ifd: log IFD over the first 1, 2, 4, ... tokens (`Score.prefix_log_ifd`); None or empty: no score.

    Returns:
        float64 [N].
    """
    depth = np.array([len(part) if part is not None else 0 for part in prefix_log_ifd], np.int64)
    last = np.array([part[-1] if part else np.nan for part in prefix_log_ifd], np.float64)
    result = np.full(len(depth), np.nan)
    for level in np.unique(depth[depth > 0]):
        band = np.flatnonzero(depth == level)
        result[band] = mid_ranks(last[band])
    return result


def _pair(score: ArrayLike, response_tokens: ArrayLike) -> tuple[Floats, Ints]:
    try:
        values, tokens = np.asarray(score, np.float64), np.asarray(response_tokens, np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(f"scores and lengths must be numbers, one of each per record: {error}") from error
    if values.shape != tokens.shape or values.ndim != 1:
        raise InputError(f"scores have shape {values.shape} and lengths {tokens.shape}; give one of each per record")
    return values, tokens


def _marks(selected: ArrayLike, records: int) -> Bools:
    chosen = np.asarray(selected, np.bool_)
    if chosen.shape != (records,):
        raise InputError(f"`selected` has shape {chosen.shape} for {amount(records, 'record')}; give one truth value per record")
    return chosen
