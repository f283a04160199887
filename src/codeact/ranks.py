"""Rank figures that several parts report: Spearman's correlation and the share of tokens that a selection holds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codeact.errors import InputError

Floats = NDArray[np.float64]


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
