"""Adaptive scoring: CDAS needs to know who is above its cluster's cut, not every score.

Every record starts with what costs no model tokens (`features`). A random pilot is scored in full; from it, and from every
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

from codeact.config import DEFAULTS
from codeact.progress import SILENT, Progress
from codeact.score.adaptive.predict import LEVELS, Evidence, Predictor
from codeact.types import Bools, Floats, Ints

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
        features: float64 [N, F] of `features.describe`.
        prompt_tokens: int64 [N].
        response_tokens: int64 [N], those that would be scored; at least 1.
        order: int64 [N], a random order that does not depend on the order of the file; its start is the pilot.
    """

    features: Floats
    prompt_tokens: Ints
    response_tokens: Ints
    order: Ints


@dataclass(frozen=True)
class Pool:
    """Whom a selection is made from: the N records of `Facts` and others whose log IFD is known.

    Attributes:
        selected: log IFD of all M records (NaN: none) -> bool [M], which are taken.
        group: int64 [M], clusters, numbered from 0.
        fixed: float64 [M], log IFD of the others; NaN for the N, and for those that have none.
        part: int64 [N], places of the N among the M.
    """

    selected: Callable[[Floats], Bools]
    group: Ints
    fixed: Floats
    part: Ints


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
    facts: Facts, measure: Measure, pool: Pool, *, agreement: float = DEFAULTS.score.agreement, progress: Progress = SILENT
) -> Outcome:
    """Measure as little as tells whom a selection takes.

    The cut of a cluster is where as many records are expected above it as the selection takes there; a record is in doubt
    by the probability that it is on the other side than where the selection puts it. With doubts that sum to W, a selection
    of B records agrees with that of full scoring by (B - W/2) / (B + W/2), the Jaccard index.

    Args:
        facts: of N records.
        measure: runs the model.
        pool: the selection that has to be known.
        agreement: Jaccard index at which to stop, above 0 and below 1.
        progress: advances by N in all, as the doubts shrink.
    """
    evidence = Evidence.none(facts.features, facts.response_tokens)
    everyone = np.arange(len(facts.response_tokens))
    pilot = facts.order[: max(PILOT_LEAST, round(PILOT_SHARE * len(everyone)))]
    predictor = Predictor(evidence, np.isin(everyone, pilot))
    _advance(evidence, measure, pilot, facts.response_tokens[pilot])
    measure.forget(pilot)
    predictor.update(pilot)
    reported, first = 0.0, None
    while True:
        if predictor.learn():
            predictor.update(everyone)
        doubt, wanted = _doubts(predictor, pool)
        expected, allowed = float(doubt.sum()), 2 * wanted * (1 - agreement) / (1 + agreement)
        first = expected if first is None else first
        share = 1.0 if expected <= allowed else max(reported, 1 - (expected - allowed) / max(first - allowed, 1e-9))
        progress.advance((share - reported) * len(everyone), f"expected agreement {_jaccard(wanted, expected):.3f}")
        reported = share
        if expected <= allowed:
            break
        seen = evidence.seen
        cost = 2 * facts.response_tokens + np.where(seen == 0, facts.prompt_tokens, 0) - 2 * seen
        worth = np.where(predictor.exact, 0.0, doubt / np.maximum(cost, 1))
        window = np.lexsort((everyone, -worth))[: measure.window]
        window = started = window[worth[window] > 0]
        if not len(window):
            break
        for level in (*LEVELS, int(facts.response_tokens.max())):
            upto = np.minimum(facts.response_tokens[window], level)
            going = upto > evidence.seen[window]
            if not going.any():
                continue
            ahead = window[going]
            _advance(evidence, measure, ahead, upto[going])
            predictor.update(ahead)
            doubt, _ = _doubts(predictor, pool)
            stays = np.ones(len(window), np.bool_)
            stays[going] = doubt[ahead] > WORTH_IT
            window = window[stays & ~predictor.exact[window]]
            if not len(window):
                break
        measure.forget(started)
    return Outcome(predictor.value, predictor.exact, doubt, _jaccard(wanted, expected), evidence)


def _doubts(predictor: Predictor, pool: Pool) -> tuple[Floats, int]:
    """Probability of each of the N records to be on the wrong side of its cut, and how many of all the selection takes.

    A record that is scored in full can be there too: taken in the place of one whose prediction is too low.
    """
    values = pool.fixed.copy()
    values[pool.part] = predictor.value
    taken = pool.selected(values)
    cut = _cuts(predictor, pool, taken)[pool.group[pool.part]]
    inside = predictor.inside(cut, LIMIT)
    return np.where(taken[pool.part], 1.0 - inside, inside), int(taken.sum())


def _cuts(predictor: Predictor, pool: Pool, taken: Bools) -> Floats:
    """By group: the log IFD above which, and below the limit, as many records are expected as are taken there.

    Not the lowest value taken: predictions lie closer together than what they predict.
    """
    records, values, weights = predictor.support()
    others = np.flatnonzero(np.isfinite(pool.fixed))
    group = np.concatenate([pool.group[pool.part[records]], pool.group[others]])
    values = np.concatenate([values, pool.fixed[others]])
    weights = np.concatenate([weights, np.ones(len(others))])
    below = values < LIMIT
    group, values, weights = group[below], values[below], weights[below]
    quota = np.bincount(pool.group[taken], minlength=int(pool.group.max()) + 1)
    cuts = np.full(len(quota), LIMIT)
    for number, count in enumerate(quota.tolist()):
        mine = np.flatnonzero(group == number)
        order = mine[np.argsort(-values[mine])]
        above = np.cumsum(weights[order])
        index = int(np.searchsorted(above, count - 1e-9))
        if index >= len(order) - 1:
            cuts[number] = -np.inf
        elif count:
            cuts[number] = (values[order[index]] + values[order[index + 1]]) / 2
    return cuts


def _advance(evidence: Evidence, measure: Measure, records: Ints, upto: Ints) -> None:
    for record, (cond, uncond) in zip(records.tolist(), measure(records, upto), strict=True):
        evidence.add(record, cond, uncond)


def _jaccard(wanted: int, wrong: float) -> float:
    return max(0.0, (wanted - wrong / 2) / (wanted + wrong / 2)) if wanted else 1.0
