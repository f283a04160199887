"""pass@k, and means over tasks with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codeact.errors import InputError

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with its interval; `interval` is (low, high), None where one task says nothing of others."""

    value: float
    interval: tuple[float, float] | None
    tasks: int

    def ends(self) -> list[float] | None:
        """The interval as JSON has it."""
        return None if self.interval is None else list(self.interval)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that at least one of `k` samples passes: 1 - C(n - c, k) / C(n, k).

    Chen et al., "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374), equation 1.

    Args:
        samples: n, the samples drawn for the task.
        correct: c, those that passed.
        k: at most n.

    Raises:
        InputError: k, c or n out of range.
    """
    if not 1 <= k <= samples:
        raise InputError(
            f"pass@{k} needs at least {max(k, 1)} samples per task and k >= 1, but there are {samples}; draw more samples"
        )
    if not 0 <= correct <= samples:
        raise InputError(f"{correct} of {samples} samples cannot be correct")
    # The ratio of binomials as a product of k factors, which neither overflows nor cancels.
    missed = 1.0
    for drawn in range(k):
        missed *= max(samples - correct - drawn, 0) / (samples - drawn)
    return 1.0 - missed


def mean_estimate(values: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Mean over tasks with a 95 % percentile bootstrap interval (Efron 1979; 10,000 resamples of the tasks); None over one task.

    Args:
        values: one per task, for example its pass@1.

    Raises:
        InputError: there are no values.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InputError("an interval needs at least one task; there is none")
    return Estimate(float(data.mean()), _interval(data, seed) if data.size > 1 else None, data.size)


def rate_estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """Mean over tasks of a rate from 0 to 1, with a 95 % interval that is not empty where all tasks agree.

    Tasks that passed or failed, as with one greedy answer each: Wilson's interval (1927), which for 0 of 164 is
    [0, 0.023]. Shares (pass@k of several samples): the bootstrap of `mean_estimate`; where all tasks have the same share, no
    resample differs, and Wilson's interval for as many passes, which is at least as wide, is given.

    Args:
        values: one per task.

    Raises:
        InputError: there are no values.
    """
    estimate = mean_estimate(values, seed)
    shares = set(values)
    if len(shares) > 1 and not shares <= {0.0, 1.0}:
        return estimate
    from scipy.stats import binomtest

    passes = estimate.value * estimate.tasks
    low, high = (
        binomtest(count, estimate.tasks).proportion_ci(CONFIDENCE, method="wilson")[side]
        for side, count in enumerate((math.floor(passes + 1e-9), math.ceil(passes - 1e-9)))
    )
    return Estimate(estimate.value, (float(low), float(high)), estimate.tasks)


def _interval(data: np.ndarray, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    # Resampling values that repeat often (0 and 1) is drawing how often each value comes up.
    distinct, counts = np.unique(data, return_counts=True)
    draws = generator.multinomial(data.size, counts / data.size, size=RESAMPLES)
    means = draws @ distinct / data.size
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)
