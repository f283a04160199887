"""The one home of statistics: every figure with an interval, a test or a rank in it is made here.

`agreement` (of two rankings or two selections of one pool), `rates` (pass@k, means over tasks and their intervals), `paired` (two sides on
the same tasks), `crossed` (tables of seeds and items), `terms` (words that set groups of texts apart). scipy where it has the thing.
"""

from __future__ import annotations

from codeact.statistics.agreement import (
    NORMAL_QUANTILE,
    chance_overlap,
    jaccard,
    mid_ranks,
    spearman,
    spearman_interval,
    token_share,
    top,
)
from codeact.statistics.crossed import MeanSquares, crossed_interval, mean_squares, smallest_found
from codeact.statistics.paired import (
    mcnemar,
    paired_difference,
    paired_values,
    pass_interval,
    shared_items,
)
from codeact.statistics.rates import CONFIDENCE, RESAMPLES, Estimate, mean_estimate, pass_at_k, rate_estimate
from codeact.statistics.terms import distinctive_terms

__all__ = [
    "CONFIDENCE",
    "NORMAL_QUANTILE",
    "RESAMPLES",
    "Estimate",
    "MeanSquares",
    "chance_overlap",
    "crossed_interval",
    "distinctive_terms",
    "jaccard",
    "mcnemar",
    "mean_estimate",
    "mean_squares",
    "mid_ranks",
    "paired_difference",
    "paired_values",
    "pass_at_k",
    "pass_interval",
    "rate_estimate",
    "shared_items",
    "smallest_found",
    "spearman",
    "spearman_interval",
    "token_share",
    "top",
]
