"""Records to training samples: which tokens are learnt, and what becomes of the records that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from codeact.amounts import amount
from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.lm.prompts import Encoded, RefusedError, Template, Turn, encode, special_ids
from codeact.packing.overlong import IGNORE, Overlong, apply_overlong
from codeact.progress import SILENT, Progress
from codeact.records import Record
from codeact.types import Ints, Tokenizer

IntArray = NDArray[np.int32]


class Sample(TypedDict):
    """One training sample, int32 [n] each: `labels` is `input_ids` where a token is learnt, else -100; its first is -100."""

    id: str
    input_ids: IntArray
    labels: IntArray


@dataclass(frozen=True)
class Tokenised:
    """Training samples, and what became of the records that are longer than the model's length.

    Attributes:
        samples: in the order of the records.
        truncated: records that were cut.
        split: records that became several samples.
        dropped: records left out: too long under "drop", or with no answer left after the cut.
        refused: id and reason of each record left out that the template does not take, or that has nothing to learn.
        notes: what the template does otherwise in training than in generation, one line each.
        stops: special tokens that end a last answer: those of end-of-turn markers, and EOS where it was added.
    """

    samples: list[Sample]
    truncated: int = 0
    split: int = 0
    dropped: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    stops: tuple[int, ...] = ()

    @property
    def lengths(self) -> Ints:
        """Tokens of each sample."""
        return np.array([len(sample["input_ids"]) for sample in self.samples], dtype=np.int64)


def tokenise_records(
    records: Sequence[Record],
    template: Template,
    tokenizer: Tokenizer,
    max_length: int,
    train_on_prompt: bool = DEFAULTS.train.train_on_prompt,
    overlong: Overlong = DEFAULTS.pack.overlong,
    progress: Progress = SILENT,
    required: bool = True,
) -> Tokenised:
    """Tokenise conversations for training.

    Learnt is every assistant turn from where the generation prompt ends, with its end-of-turn marker (EOS where the
    template leaves the last turn open), but for turns that are context only; with `train_on_prompt` every token but the
    first. Nothing is kept after the last learnt turn's marker. A record that the template does not take is left out.

    Args:
        records: the conversations.
        template: how a conversation becomes text.
        tokenizer: a fast Hugging Face tokenizer.
        max_length: most tokens of a sample.
        train_on_prompt: also learn the instruction.
        overlong: `truncate` cuts and keeps the marker of the answer that it cuts; `split` makes consecutive samples, each starting afresh;
            `drop` leaves the record out; `error` raises (see `codeact.packing.overlong.apply_overlong`).
        progress: advanced by each record.
        required: False where it is no fault that no sample is left (records held out for validation).

    Raises:
        InputError: no records; a record too long under `error`; none left, where they are `required`.
    """
    if not records:
        raise InputError("there is nothing to train on: the data set is empty; give at least one record")
    if max_length < 2:
        raise InputError(f"model.max_length = {max_length}: a training sample needs at least 2 tokens")
    samples: list[Sample] = []
    refused: list[tuple[str, str]] = []
    notes: dict[str, None] = {}
    stops: set[int] = set()
    special = special_ids(tokenizer)
    truncated = split = dropped = 0
    for record in records:
        progress.advance()
        try:
            coded = encode(record.messages, template, tokenizer, add_eos=True, tools=record.tools)
        except RefusedError as error:
            refused.append((record.id, str(error)))
            continue
        turns = [turn for turn in coded.turns if turn.learn and turn.end > turn.start and turn.stop > 1]
        if not turns:
            refused.append((record.id, f"record {record.id!r} has no assistant tokens to learn"))
            continue
        notes |= dict.fromkeys(coded.notes)
        marker = coded.input_ids[turns[-1].end : turns[-1].stop]
        stops |= {next((i for i in marker if i in special), -1)}
        size = turns[-1].stop
        if size <= max_length:
            samples.append(_sample(record.id, coded, turns, train_on_prompt))
            continue
        if overlong == "error":
            raise InputError(
                f"record {record.id!r} has {size} tokens, more than model.max_length = {max_length}; "
                "raise model.max_length, or set pack.overlong to truncate, split or drop"
            )
        pieces = _fit(record.id, coded, turns, max_length, overlong, train_on_prompt)
        samples += pieces
        truncated += overlong == "truncate" and len(pieces) > 0
        split += overlong == "split" and len(pieces) > 0
        dropped += not pieces
    if required and not samples:
        raise InputError(_nothing_left(dropped, refused, max_length, overlong))
    return Tokenised(
        samples, truncated, split, dropped, tuple(refused), tuple(notes), tuple(sorted(stops - {-1}))
    )  # fmt: skip


def _nothing_left(dropped: int, refused: Sequence[tuple[str, str]], max_length: int, overlong: str) -> str:
    too_long = f"longer than model.max_length = {max_length} tokens (pack.overlong = {overlong}); raise model.max_length"
    if not refused:
        return f"there is nothing to train on: {f'all {dropped} records are' if dropped > 1 else 'the only record is'} {too_long}"
    first, reason = refused[0]
    others = f"; {amount(dropped, 'record is', 'records are')} {too_long}" if dropped else ""
    return f"there is nothing to train on: {amount(len(refused), 'record is', 'records are')} refused; the first, {first!r}: {reason}{others}"


def hold_out(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Records to learn from and records held out for validation, each in their order: a seeded random `share`, at least one.

    Raises:
        InputError: a share is asked for and there are fewer than two records.
    """
    if share == 0 or not records:
        return list(records), []
    if len(records) < 2:
        raise InputError(
            f"train.validation = {share} holds out at least one record, and there is only one; set train.validation=0"
        )
    count = min(max(1, round(share * len(records))), len(records) - 1)
    # a stream of its own: the same seed also orders the records
    chosen = set(np.random.default_rng([seed, 1]).permutation(len(records))[:count].tolist())
    return (
        [record for n, record in enumerate(records) if n not in chosen],
        [records[n] for n in sorted(chosen)],
    )


def _sample(identity: str, coded: Encoded, turns: Sequence[Turn], train_on_prompt: bool) -> Sample:
    """The sample up to the last turn's marker."""
    ids = np.array(coded.input_ids[: turns[-1].stop], dtype=np.int32)
    labels = ids.copy() if train_on_prompt else _answers(ids, turns)
    labels[:1] = IGNORE
    return {"id": identity, "input_ids": ids, "labels": labels}


def _answers(ids: IntArray, turns: Sequence[Turn]) -> IntArray:
    labels = np.full_like(ids, IGNORE)
    for turn in turns:
        labels[turn.start : turn.stop] = ids[turn.start : turn.stop]
    return labels


def _fit(
    identity: str, coded: Encoded, turns: Sequence[Turn], max_length: int, overlong: Overlong, train_on_prompt: bool
) -> list[Sample]:
    """The samples that one too long becomes. A cut in a question leaves what was answered before; none: nothing."""
    whole = _sample(identity, coded, turns, train_on_prompt)
    ending: Sequence[int] = ()
    if overlong == "truncate":
        # where the prompt alone fills the length, nothing of an answer and its marker is left to learn
        reached = [turn for turn in turns if turn.start < max_length - 1]
        if not reached:
            return []
        whole["labels"] = _answers(whole["input_ids"], reached)
        ending = coded.input_ids[reached[-1].end : reached[-1].stop]
    pieces: list[Sample] = []
    for piece in apply_overlong([whole], max_length, overlong, ending or None).samples:
        ids, labels = (np.asarray(piece[key], dtype=np.int32) for key in ("input_ids", "labels"))
        if overlong == "truncate":
            kept = int(np.flatnonzero(labels != IGNORE)[-1]) + 1
            ids = ids[:kept]
            labels = ids.copy() if train_on_prompt else labels[:kept]
        labels[0] = IGNORE
        pieces.append({"id": identity, "input_ids": ids, "labels": labels})
    return pieces
