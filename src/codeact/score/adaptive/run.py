"""Adaptive scoring of records with a model: full scores where they matter, predictions where they decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codeact.config import DEFAULTS
from codeact.draws import seeded_order
from codeact.errors import InputError
from codeact.progress import SILENT, Progress
from codeact.records import Record
from codeact.score.adaptive.decide import Facts, Measure, Pool, decide
from codeact.score.adaptive.features import describe
from codeact.score.adaptive.resume import Continued
from codeact.score.ifd import Score, Scorer, TurnScore, to_score
from codeact.score.sequences import Prepared
from codeact.statuses import ESTIMATED, Status
from codeact.types import Bools, Floats, Ints

Through = Callable[[Continued, Sequence[str]], Measure]
"""Makes of what runs the model, and the ids of its records, what is asked."""


@dataclass(frozen=True)
class AdaptiveScores:
    """One entry per record, in their order.

    Attributes:
        scores: full scores; a record that was not scored in full has no figures and the status `estimated`.
        log_ifd: float64 [N], measured or predicted; NaN where there is neither.
        doubt: float64 [N], probability that a prediction is on the wrong side of its cut; 0 where it is measured.
        tokens: model tokens computed, those of an earlier, interrupted run too.
        tokens_in_full: model tokens of scoring every record in full.
        expected_agreement: Jaccard index of the selection with that of full scoring, as the doubts have it.
    """

    scores: list[Score]
    log_ifd: Floats
    doubt: Floats
    tokens: int
    tokens_in_full: int
    expected_agreement: float


def score_adaptive(
    records: Sequence[Record],
    scorer: Scorer,
    selected: Callable[[Floats], Bools],
    group: Ints,
    *,
    agreement: float = DEFAULTS.score.agreement,
    seed: int = 0,
    given: Floats | None = None,
    through: Through | None = None,
    in_full: Callable[[Sequence[Record]], Sequence[Score]] | None = None,
    progress: Progress = SILENT,
) -> AdaptiveScores:
    """Score records as far as a selection needs it; see `codeact.score.adaptive.decide`.

    Conversations of several assistant turns are scored in full.

    Args:
        records: the pool.
        scorer: with the default variant, whose passes score the same tokens.
        selected: log IFD of all records (NaN: none) -> bool [N], whom the selection takes.
        group: int64 [N], clusters, numbered from 0; zeros where the selection has none.
        agreement: expected Jaccard index with the selection of full scoring at which to stop; 0.5 to 0.999.
        seed: of the order of the records, whose start is scored in full first.
        given: log IFD of records that have a full score already, NaN for the others.
        through: what the model is asked through, such as one that keeps what was measured; None: nothing.
        in_full: scores conversations of several turns; None: `scorer`.
        progress: advances by one per record in all.

    Raises:
        InputError: the paper's variant, or `agreement` out of range.
        CodeactError: the model cannot go on from kept keys and values.
    """
    if scorer.variant != "default":
        raise InputError(
            "adaptive scoring needs score.variant=default: the paper's two passes do not score the same tokens"
        )
    if not 0.5 <= agreement <= 0.999:
        raise InputError(f"score.agreement = {agreement}: must be from 0.5 to 0.999")
    prepared = scorer.prepare(records)
    have = np.full(len(records), np.nan) if given is None else given.astype(np.float64).copy()
    scores = [blank(item, ESTIMATED) for item in prepared]
    turns = [n for n, item in enumerate(prepared) if len(item.streams) > 2 and np.isnan(have[n])]
    for index, score in zip(turns, (in_full or scorer.score)([records[n] for n in turns]), strict=True):
        scores[index] = score
        have[index] = np.log(score.ifd) if score.ifd else np.nan
    full = sum(len(stream.ids) - 1 for item in prepared for stream in item.streams)
    spent = sum(len(stream.ids) - 1 for n in turns for stream in prepared[n].streams)
    part = np.array([n for n, item in enumerate(prepared) if len(item.streams) == 2 and np.isnan(have[n])], np.int64)
    progress.advance(len(records) - len(part))
    if not len(part):
        return AdaptiveScores(scores, have, np.zeros(len(records)), spent, full, 1.0)
    measure = Continued(scorer.model, [prepared[n] for n in part], scorer.batch_tokens)
    doubt = np.zeros(len(records))

    found = decide(
        _facts([records[n] for n in part], [prepared[n] for n in part], seed),
        measure if through is None else through(measure, [records[n].id for n in part]),
        Pool(selected, group, have, part),
        agreement=agreement,
        progress=progress,
    )
    have[part], doubt[part] = found.log_ifd, found.doubt
    for index, record in enumerate(part.tolist()):
        if found.exact[index]:
            losses = [found.evidence.cond[index], found.evidence.uncond[index]]
            scores[record] = to_score(prepared[record], losses)
    return AdaptiveScores(scores, have, doubt, spent + measure.tokens, full, found.expected_agreement)


def _facts(records: Sequence[Record], prepared: Sequence[Prepared], seed: int) -> Facts:
    tokens = []
    for item in prepared:
        stream, start = item.conditional[0], item.conditional[0].spans[0].start
        tokens.append((stream.ids[:start], stream.ids[start:]))
    return Facts(
        features=describe([(record.instruction, record.response) for record in records], tokens),
        prompt_tokens=np.array([item.prompt_tokens for item in prepared], np.int64),
        response_tokens=np.array([item.response_tokens for item in prepared], np.int64),
        order=seeded_order([record.id for record in records], seed),
    )


def blank(prepared: Prepared, status: Status) -> Score:
    """The score of a record that the model has not run on: no figures; `status` where it has tokens to score."""
    turns = [
        TurnScore(
            None, None, None, turn.response_tokens, turn.prompt_tokens, status if turn.response_tokens else turn.status
        )
        for turn in prepared.turns
    ]
    own = status if prepared.streams else prepared.status
    lengths = prepared.response_tokens, prepared.prompt_tokens
    return Score(prepared.id, None, None, None, *lengths, own, tuple(turns), detail=prepared.detail)
