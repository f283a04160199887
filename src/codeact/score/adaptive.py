"""Adaptive scoring: CDAS needs to know who is above its cluster's cut, not every score.

Every record starts with what costs no model tokens (`cheap`). A random pilot is scored in full; from it, and from every
record scored in full later, `predict` learns IFD from what is known of a record: nothing of the model's yet, or the losses
of its first 32, 128 or 512 response tokens in both passes. Then the records whose side of the cut is most in doubt, for the
tokens that it takes, go on from where they stopped, until few enough are expected on the wrong side. Measured savings and
what did not work: docs/scoring.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from codeact.progress import SILENT, Progress
from codeact.score.predict import LEVELS, Bools, Evidence, Floats, Ints, Predictor

CutOf = Callable[[Floats], Floats]

PILOT_SHARE, PILOT_LEAST = 0.06, 64
WORTH_IT = 0.05  # a record in less doubt stops between two levels
LIMIT = 0.0  # log of the IFD at and above which nothing is selected


class Measure(Protocol):
    """Runs the model.

    Attributes:
        window: how many records may be between two levels at a time.
    """

    window: int

    def __call__(self, records: Ints, upto: Ints) -> list[tuple[Floats, Floats]]:
        """Losses of response tokens, given the instruction and alone, from where each record stopped up to `upto`."""

    def forget(self, records: Ints) -> None:
        """Drop what is kept for going on with these records; they can still be measured on, at the cost of starting again."""


@dataclass(frozen=True)
class Facts:
    """What is known of N records before the model runs.

    Attributes:
        features: float64 [N, F] of `cheap.describe`.
        prompt_tokens: int64 [N].
        response_tokens: int64 [N], those that would be scored; at least 1.
        order: int64 [N], a random order that does not depend on the order of the file; its start is the pilot.
    """

    features: Floats
    prompt_tokens: Ints
    response_tokens: Ints
    order: Ints


@dataclass(frozen=True)
class Outcome:
    """What `decide` found.

    Attributes:
        log_ifd: float64 [N], measured or predicted; NaN where the model gave no finite number.
        exact: bool [N], scored in full.
        doubt: float64 [N], probability that a predicted record is on the wrong side of its cut.
        expected_agreement: Jaccard of the selection with that of full scoring, as the doubts have it.
        evidence: the losses measured.
    """

    log_ifd: Floats
    exact: Bools
    doubt: Floats
    expected_agreement: float
    evidence: Evidence


def decide(
    facts: Facts, measure: Measure, cut_of: CutOf, wanted: int, *, agreement: float = 0.97, progress: Progress = SILENT
) -> Outcome:
    """Measure as little as tells whom a selection takes.

    With W records expected on the wrong side (the sum of the doubts), half of them taken and half of them left, a
    selection of B records agrees with that of full scoring by (B - W/2) / (B + W/2), the Jaccard index.

    Args:
        facts: of N records.
        measure: runs the model.
        cut_of: log IFD of all records -> the cut that each is compared with: float64 [N].
        wanted: B, how many records will be selected.
        agreement: Jaccard index at which to stop, above 0 and below 1.
        progress: advances by N in all, as the doubts shrink.
    """
    evidence = Evidence.none(facts.features, facts.response_tokens)
    predictor = Predictor(evidence)
    everyone = np.arange(len(facts.response_tokens))
    pilot = facts.order[: max(PILOT_LEAST, round(PILOT_SHARE * len(everyone)))]
    _advance(evidence, measure, pilot, facts.response_tokens[pilot])
    measure.forget(pilot)
    predictor.update(pilot)
    allowed = 2 * wanted * (1 - agreement) / (1 + agreement)
    reported, first = 0.0, None
    while True:
        if predictor.learn():
            predictor.update(everyone)
        doubt = predictor.doubt(cut_of(predictor.value), LIMIT)
        if len(pilot) < len(everyone) and not predictor.learnt:
            doubt = np.where(predictor.exact, 0.0, 1.0)
        expected = float(doubt.sum())
        first = expected if first is None else first
        share = 1.0 if expected <= allowed else max(reported, 1 - (expected - allowed) / max(first - allowed, 1e-9))
        progress.advance((share - reported) * len(everyone), f"expected agreement {_jaccard(wanted, expected):.3f}")
        reported = share
        if expected <= allowed:
            break
        seen = evidence.seen
        cost = 2 * facts.response_tokens + np.where(seen == 0, facts.prompt_tokens, 0) - 2 * seen
        window = np.lexsort((everyone, -doubt / np.maximum(cost, 1)))[: measure.window]
        window = started = window[doubt[window] > 0]
        for level in (*LEVELS, int(facts.response_tokens.max())):
            upto = np.minimum(facts.response_tokens[window], level)
            going = upto > evidence.seen[window]
            if not going.any():
                continue
            ahead = window[going]
            _advance(evidence, measure, ahead, upto[going])
            predictor.update(ahead)
            doubt = predictor.doubt(cut_of(predictor.value), LIMIT)
            stays = np.ones(len(window), np.bool_)
            stays[going] = doubt[ahead] > WORTH_IT
            window = window[stays & ~predictor.exact[window]]
            if not len(window):
                break
        measure.forget(started)
    return Outcome(predictor.value, predictor.exact, doubt, _jaccard(wanted, expected), evidence)


def group_cuts(selected: Callable[[Floats], Bools], group: Ints) -> CutOf:
    """The cut of each record's group: halfway between its lowest selected and its highest other value below the limit.

    Args:
        selected: log IFD of all records -> bool [N], which would be selected.
        group: int64 [N], numbered from 0.
    """
    groups = int(group.max()) + 1

    def cut_of(value: Floats) -> Floats:
        taken = selected(value)
        lowest, highest = np.full(groups, LIMIT), np.full(groups, -np.inf)
        np.minimum.at(lowest, group[taken], value[taken])
        other = ~taken & (value < LIMIT)
        np.maximum.at(highest, group[other], value[other])
        return np.where(np.isfinite(highest), (lowest + highest) / 2, -np.inf)[group]

    return cut_of


def _advance(evidence: Evidence, measure: Measure, records: Ints, upto: Ints) -> None:
    for record, (cond, uncond) in zip(records.tolist(), measure(records, upto), strict=True):
        evidence.add(record, cond, uncond)


def _jaccard(wanted: int, wrong: float) -> float:
    return max(0.0, (wanted - wrong / 2) / (wanted + wrong / 2)) if wanted else 1.0
