"""IFD over the tokens that the instruction moves: Selective IFD of T-SHIRT (arXiv 2506.01317)."""

from __future__ import annotations

import numpy as np

from codeact.types import Floats, Ints

STEPS_PER_NAT = 1024  # the differences are kept in such steps: two bytes a token, less than its text
KEPT_SHARE = 0.5


def kept(difference: Floats) -> tuple[int, ...]:
    """Differences of losses, float64 [tokens] in nats, as they are kept: whole steps, those beyond 32 nats as 32."""
    steps: list[int] = np.clip(np.rint(difference * STEPS_PER_NAT), -(2**15), 2**15 - 1).astype(np.int64).tolist()
    return tuple(steps)


def selective_ifd(steps: Ints, counts: Ints, share: float = KEPT_SHARE) -> Floats:
    """exp of the mean difference of the two losses over the informative tokens of each record: float64 [N].

    d_t = nll_cond - nll_uncond of token t. A token is informative if |d_t| is above the (1 - share) quantile of |d| over all tokens of all
    records: S-IFD of Fu, Hamman and Dutta (arXiv 2506.01317), as in their code (https://github.com/Dynamite321/T-SHIRT,
    compute_stat.py), with their default share of 0.5. A record without an informative token has NaN; there it counts as 1, the
    highest value of all. Their average over 30 noisy passes, and the choice of the steadiest half, are not made here.

    Args:
        steps: the differences of all records' tokens, record after record, in steps of 1/1024 nats.
        counts: int64 [N], tokens of each record; 0: no score.
        share: of the tokens that count as informative.
    """
    size = np.abs(steps)
    informative = size > (np.quantile(size, 1.0 - share) if len(size) else 0.0)
    record = np.repeat(np.arange(len(counts)), counts)[informative]
    sums = np.bincount(record, steps[informative], minlength=len(counts)) / STEPS_PER_NAT
    tokens = np.bincount(record, minlength=len(counts))
    means: Floats = np.divide(sums, tokens, out=np.full(len(counts), np.nan), where=tokens > 0)
    return np.exp(means)
