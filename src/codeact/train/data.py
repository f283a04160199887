"""Records to training samples: which tokens are learnt, and what becomes of the records that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from codeact.errors import InputError
from codeact.packing.fit import Overlong, apply_overlong
from codeact.progress import track
from codeact.prompts import Encoded, Template, encode
from codeact.records import Record

IGNORE = -100
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
    """

    samples: list[Sample]
    truncated: int = 0
    split: int = 0
    dropped: int = 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample."""
        return np.array([len(sample["input_ids"]) for sample in self.samples], dtype=np.int64)


def tokenise(
    records: Sequence[Record],
    template: Template,
    tokenizer: Any,
    max_length: int,
    train_on_prompt: bool = False,
    overlong: Overlong = "truncate",
    quiet: bool = True,
) -> Tokenised:
    """Tokenise conversations for training.

    Learnt are every assistant turn's content and its end-of-turn marker (EOS where the template leaves the last turn
    open); with `train_on_prompt` every token but the first. Nothing is kept after the last assistant turn's marker.

    Args:
        records: the conversations.
        template: how a conversation becomes text.
        tokenizer: a fast Hugging Face tokenizer.
        max_length: most tokens of a sample.
        train_on_prompt: also learn the instruction.
        overlong: `truncate` cuts and keeps the end-of-turn marker; `split` makes consecutive samples, each starting afresh;
            `drop` leaves the record out; `error` raises (see `packing.fit.apply_overlong`).
        quiet: no progress bar.

    Raises:
        InputError: no records; a record without anything to learn; a record too long under `error`; none left.
    """
    if not records:
        raise InputError("there is nothing to train on: the data set is empty; give at least one record")
    if max_length < 2:
        raise InputError(f"model.max_length = {max_length}: a training sample needs at least 2 tokens")
    samples: list[Sample] = []
    truncated = split = dropped = 0
    with track("tokenise", len(records), quiet=quiet) as progress:
        for record in records:
            sample, first = _labelled(
                record.id, encode(record.messages, template, tokenizer, add_eos=True), train_on_prompt
            )
            progress.advance()
            size = len(sample["input_ids"])
            if first == size:
                raise InputError(f"record {record.id!r} has no assistant tokens to learn; remove it from the data")
            if size <= max_length:
                samples.append(sample)
                continue
            if overlong == "error":
                raise InputError(
                    f"record {record.id!r} has {size} tokens, more than model.max_length = {max_length}; "
                    "raise model.max_length, or set pack.overlong to truncate, split or drop"
                )
            # where the prompt alone fills the length, the cut would teach to stop in the middle of a question
            keep = overlong != "truncate" or first < max_length - 1
            pieces = _fit(sample, max_length, overlong) if keep else []
            samples += pieces
            truncated += overlong == "truncate" and len(pieces) > 0
            split += overlong == "split" and len(pieces) > 0
            dropped += not pieces
    if not samples:
        raise InputError(
            f"there is nothing to train on: all {dropped} records are longer than model.max_length = {max_length} tokens "
            f"(pack.overlong = {overlong}); raise model.max_length"
        )
    return Tokenised(samples, truncated, split, dropped)


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


def _labelled(identity: str, encoded: Encoded, train_on_prompt: bool) -> tuple[Sample, int]:
    """The sample up to the last turn's marker, and the position of its first assistant token (its size: there is none)."""
    ids = np.array(encoded.input_ids[: encoded.turns[-1].stop] if encoded.turns else [], dtype=np.int32)
    answer = np.full_like(ids, IGNORE)
    for turn in encoded.turns:
        if turn.end > turn.start:
            answer[turn.start : turn.stop] = ids[turn.start : turn.stop]
    answer[:1] = IGNORE
    learnt = np.flatnonzero(answer != IGNORE)
    labels = ids.copy() if train_on_prompt else answer
    labels[:1] = IGNORE
    return {"id": identity, "input_ids": ids, "labels": labels}, int(learnt[0]) if len(learnt) else len(ids)


def _fit(sample: Sample, max_length: int, overlong: Overlong) -> list[Sample]:
    marker = int(sample["input_ids"][-1])
    pieces: list[Sample] = []
    for piece in apply_overlong([sample], max_length, overlong, marker).samples:
        ids, labels = (np.asarray(piece[key], dtype=np.int32) for key in ("input_ids", "labels"))
        labels[0] = IGNORE
        pieces.append({"id": sample["id"], "input_ids": ids, "labels": labels})
    return pieces
