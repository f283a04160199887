"""Two choices from one pool, and what a choice holds of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from codeact.errors import InputError
from codeact.types import Bools, Floats, Ints


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
