"""Predictions of IFD from part of the evidence, learnt from the records that are scored in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from codeact.types import Bools, Floats, Ints

LEVELS = (32, 128, 512)  # response tokens after which a record may stop
LEAST = 25  # records that a fit needs
TREES = 100
POINTS = 25  # of the distribution of a prediction, for the cut of its group
GROWTH = 1.2  # learn anew when this many times more records are scored in full
SMALLEST_IFD = 1e-3  # a prediction without model evidence is not below it


@dataclass
class Evidence:
    """Losses of response tokens of N records, as far as measured, and what is known without the model.

    Attributes:
        features: float64 [N, F] of `codeact.score.adaptive.features.describe`.
        total: int64 [N], response tokens.
        cond: losses given the instruction, one array per record.
        uncond: losses alone.
        summaries: by level, the features of the records that have reached it.
    """

    features: Floats
    total: Ints
    cond: list[Floats]
    uncond: list[Floats]
    summaries: dict[int, dict[int, list[float]]]

    @classmethod
    def none(cls, features: Floats, total: Ints) -> Evidence:
        """Before the model has run."""
        empty = np.zeros(0)
        return cls(features, total, [empty] * len(total), [empty] * len(total), {level: {} for level in LEVELS})

    def add(self, record: int, cond: Floats, uncond: Floats) -> None:
        """Losses of the next response tokens of a record."""
        before = len(self.cond[record])
        self.cond[record] = np.concatenate([self.cond[record], cond])
        self.uncond[record] = np.concatenate([self.uncond[record], uncond])
        for level in LEVELS:
            if before < level <= len(self.cond[record]) and level < self.total[record]:
                self.summaries[level][record] = _summary(self.cond[record][:level], self.uncond[record][:level])

    @property
    def seen(self) -> Ints:
        """Response tokens measured of each record."""
        return np.array([len(part) for part in self.cond], np.int64)

    def log_ifd(self, record: int) -> float:
        """Of a record that is measured to its end."""
        return float(self.cond[record].mean() - self.uncond[record].mean())

    def at(self, level: int, records: Ints) -> Floats:
        """What is known of records at a level: [records, features]."""
        if level == 0:
            return self.features[records]
        known = np.array([self.summaries[level][record] for record in records.tolist()])
        return np.column_stack([known, self.features[records]])

    def gain(self, level: int, records: Ints) -> Floats:
        """Sum of loss given the instruction minus loss alone over the first `level` response tokens."""
        return np.array([self.summaries[level][r][-1] for r in records.tolist()]) if level else np.zeros(len(records))


def _summary(cond: Floats, uncond: Floats) -> list[float]:
    gain = cond - uncond
    half, quarter = len(gain) // 2, 3 * len(gain) // 4
    parts = (gain, gain[half:], gain[quarter:], cond, uncond, cond[half:])
    return [*(float(part.mean()) for part in parts), float(gain.sum())]


@dataclass
class Predictor:
    """Log IFD of every record, with the distribution of its error.

    Attributes:
        value: float64 [N]; measured where a record is scored in full, NaN where that gave no finite number.
        exact: bool [N], scored in full.
        drawn: bool [N], scored in full because they were drawn at random. Errors are measured on these where there are
            enough: the others were chosen for their doubt, and are not what the rest is like.
    """

    evidence: Evidence
    drawn: Bools

    def __post_init__(self) -> None:
        count = len(self.evidence.total)
        self.value, self.exact = np.full(count, np.nan), np.zeros(count, np.bool_)
        self._spread, self._level = np.zeros(count), np.full(count, -1, np.int64)
        self._fits: dict[int, _Fit] = {}
        self._learnt_from = 0

    def learn(self) -> bool:
        """Fit every level anew if there is enough more to learn from; whether it did."""
        usable = self.exact & np.isfinite(self.value)
        if usable.sum() < GROWTH * self._learnt_from:
            return False
        self._learnt_from = int(usable.sum())
        total = self.evidence.total
        for level in (0, *LEVELS):
            rows = np.flatnonzero(usable & (total > level))
            if len(rows) < LEAST:
                continue
            rest = total[rows] - level
            # without model evidence the IFD itself is predicted: its logarithm has outliers far from every cut
            target = (
                (self.value[rows] * total[rows] - self.evidence.gain(level, rows)) / rest
                if level
                else np.exp(self.value[rows])
            )
            self._fits[level] = _fit(self.evidence.at(level, rows), target, 1.0 / rest, self.drawn[rows])
        return True

    def update(self, records: Ints) -> None:
        """Take in what has been measured of these records."""
        seen, total = self.evidence.seen, self.evidence.total
        for record in records[seen[records] == total[records]].tolist():
            value = self.evidence.log_ifd(record)
            self.value[record], self.exact[record] = value if np.isfinite(value) else np.nan, True
        for level, fit in sorted(self._fits.items()):
            rows = records[~self.exact[records] & (seen[records] >= level)]
            if not len(rows):
                continue
            rest = total[rows] - level
            mean, spread = fit.model.predict(self.evidence.at(level, rows)), fit.spread(1.0 / rest)
            if level == 0:
                mean = np.maximum(mean, SMALLEST_IFD)
                self.value[rows], self._spread[rows] = np.log(mean), spread / mean
            else:
                self.value[rows] = (self.evidence.gain(level, rows) + rest * mean) / total[rows]
                self._spread[rows] = spread * rest / total[rows]
            self._level[rows] = level

    def inside(self, low: Floats, high: float) -> Floats:
        """Probability that the log IFD of each record is in [low, high): float64 [N].

        From the residuals of records that a fit had not seen. 0 or 1 where a record is scored in full, 0 where that gave no
        finite number, 0.5 where nothing is known.
        """
        chance = np.where(self.exact, ((self.value >= low) & (self.value < high)).astype(np.float64), 0.5)
        for level, fit in self._fits.items():
            rows = np.flatnonzero(~self.exact & (self._level == level))
            if len(rows):
                value, spread = self.value[rows], self._spread[rows]
                below = fit.probability_below((low[rows] - value) / spread)
                above = 1.0 - fit.probability_below((high - value) / spread)
                chance[rows] = np.clip(1.0 - below - above, 0.0, 1.0)
        return chance

    def support(self) -> tuple[Ints, Floats, Floats]:
        """The distributions of all records as points: records int64 [P], log IFD and weight float64 [P].

        One point of weight 1 where a record is scored in full, else `POINTS` quantiles of its error.
        """
        known = np.flatnonzero(self.exact & np.isfinite(self.value))
        records, values, weights = [known], [self.value[known]], [np.ones(len(known))]
        for level, fit in self._fits.items():
            rows = np.flatnonzero(~self.exact & (self._level == level))
            errors = np.quantile(fit.errors, (np.arange(POINTS) + 0.5) / POINTS)
            records.append(np.repeat(rows, POINTS))
            values.append((self.value[rows, None] + self._spread[rows, None] * errors).ravel())
            weights.append(np.full(len(rows) * POINTS, 1.0 / POINTS))
        return np.concatenate(records), np.concatenate(values), np.concatenate(weights)


@dataclass(frozen=True)
class _Fit:
    model: Any
    variance: Floats  # of the error: first + second / tokens predicted
    errors: Floats  # of held-out predictions over their spread, sorted

    def spread(self, inverse_rest: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(self.variance[0] + self.variance[1] * inverse_rest, 1e-10)), np.float64)

    def probability_below(self, scaled: Floats) -> Floats:
        return np.asarray((np.searchsorted(self.errors, scaled) + 0.5) / (len(self.errors) + 1), np.float64)


def _fit(features: Floats, target: Floats, inverse_rest: Floats, drawn: Bools) -> _Fit:
    """Extremely randomised trees (Geurts et al. 2006); the errors are those of the trees that had not seen a record."""
    from scipy.optimize import nnls
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(
        TREES, min_samples_leaf=2, max_features=0.5, bootstrap=True, oob_score=True, random_state=0
    )
    model.fit(features, target)
    honest = drawn if drawn.sum() >= LEAST else np.ones(len(target), np.bool_)
    error, inverse_rest = (target - model.oob_prediction_)[honest], inverse_rest[honest]
    variance, _ = nnls(np.column_stack([np.ones(len(error)), inverse_rest]), error**2)
    spread = np.sqrt(np.maximum(variance[0] + variance[1] * inverse_rest, 1e-10))
    return _Fit(model, variance, np.sort(error / spread))
