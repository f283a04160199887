"""Bits per byte of answers that were kept out of training, such as those that `harvest --held-out` writes: a team's own code as the measure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError
from codeact.progress import SILENT, Progress
from codeact.records import Record, read_data
from codeact.statistics import mean_estimate
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    from codeact.evaluation.likelihood import Likelihood
    from codeact.lm.prompts import Template

NAME = "held-out"
"""What the set is called in results, reports and messages."""
# Characters of a turn by which a conversation is known; shorter ones ("Thanks", "continue", how help is offered) are in many.
LEAST = 100


def check_file(name: str) -> None:
    """Refuse a held-out file that is not there.

    Raises:
        InputError: it is not.
    """
    if not Path(name).is_file():
        raise InputError(f"evaluate.held_out: {name} is no file; `codeact harvest --held-out 0.1` writes one")


def load(name: str) -> tuple[list[Record], str]:
    """The records of a held-out file, read as data is, and the beginning of the file's SHA-256.

    Raises:
        InputError: no such file, or no usable record in it.
    """
    check_file(name)
    reading = read_data(name)
    if not reading.records:
        raise InputError(f"evaluate.held_out: {reading.problem or f'{name} holds no usable record'}")
    return reading.records, hashlib.sha256(Path(name).read_bytes()).hexdigest()[:12]


class HeldOut:
    """What must not be trained on: the questions and the answers of a held-out file."""

    def __init__(self, file: str) -> None:
        """Read it; raises InputError as `load`."""
        self.file = file
        self._known = {text for record in load(file)[0] for text in _texts(record)}

    def holds(self, record: Record) -> bool:
        """Whether what is asked or answered in all, an answer with its question, or a long turn is in the file too, but for blanks."""
        return not self._known.isdisjoint(_texts(record))


def _texts(record: Record) -> Iterator[tuple[str, ...]]:
    """What a record is known by: all that is asked, all that is answered, each learnt answer with its question, each long turn."""
    yield from ((side, text) for side, text in (("asked", _plain(record.instruction)), ("answered", _plain(record.response))) if text)
    question: list[str] = []
    answered = False
    for message in record.messages:
        said = _plain(f"{message.content}\n{message.tool_calls}")
        if message.role == "user":
            question = [said] if answered else [*question, said]
            answered = False
        elif message.role == "assistant":
            answered = True
        if message.role == "assistant" and message.learn and said and question:
            yield "exchange", " ".join(question), said
        if len(said) >= LEAST and (message.role == "user" or (message.role == "assistant" and message.learn)):
            yield "asked" if message.role == "user" else "answered", said


def _plain(text: str) -> str:
    return " ".join(text.split())


def task_id(record: Record) -> str:
    """Of a record in bits.jsonl: the set and the row, the first of which is 1."""
    return f"{NAME}/{int(record.meta['row']) + 1}"


def answers_bits(
    model: Model, tokenizer: Tokenizer, records: Sequence[Record], template: Template, *, max_length: int, progress: Progress = SILENT
) -> Iterator[list[Likelihood]]:
    """Likelihood of every record's answers, each given all that stands before it, as training presents them; yields some at a time.

    Args:
        model: a causal LM, in eval mode.
        tokenizer: of the model.
        records: those whose conversation is longer than `max_length` tokens, or that the template refuses, have no bits.
        template: of the training.
        max_length: tokens.
        progress: advanced by one for each record.
    """
    from codeact.evaluation.likelihood import GROUP, Likelihood
    from codeact.lm.streams import check_model, choose_batch_tokens, evenly, stream_losses
    from codeact.score.sequences import build_sequences

    check_model(model)
    budget = choose_batch_tokens(model)
    for start in range(0, len(records), GROUP):
        group = records[start : start + GROUP]
        ready = [build_sequences(record, template, tokenizer, "default", max_length) for record in group]
        whole = [i for i, one in enumerate(ready) if one.status == "ok"]
        streams = [ready[i].conditional[0] for i in whole]
        losses = stream_losses(model, streams, budget, evenly(progress, streams))
        progress.advance(len(group) - len(whole))
        bits = {i: float(nats.sum()) / math.log(2) for i, nats in zip(whole, losses, strict=True)}
        yield [
            Likelihood(
                task_id(record), bits[i] if i in bits and math.isfinite(bits[i]) else None, _bytes(record), ready[i].response_tokens
            )
            for i, record in enumerate(group)
        ]


def figures(records: Sequence[Record], bits: Mapping[str, Mapping[str, Any]], version: str, seed: int) -> dict[str, Any]:
    """What results.json holds of the set, in the form of a task set for which nothing was generated."""
    known = [bits[task_id(record)]["bits_per_byte"] for record in records]
    finite = [value for value in known if value is not None]
    estimate = mean_estimate(finite, seed) if finite else None
    return {
        "version": version,
        "bits_per_byte": estimate.value if estimate else None,
        "bits_per_byte_interval": estimate.ends() if estimate else None,
        "bits_per_byte_tasks": len(finite),
        "tasks": 0, "task_ids": [], "pass@1": None, "interval": None, "passed": 0, "tasks_in_set": len(records), "missing": [],
    }  # fmt: skip


def _bytes(record: Record) -> int:
    return sum(len(m.content.encode("utf-8", "surrogatepass")) for m in record.messages if m.role == "assistant" and m.learn)
