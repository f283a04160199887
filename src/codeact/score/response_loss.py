"""How well a model expects the answers of records: the conditional pass of IFD alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codeact.amounts import amount
from codeact.config import ModelConfig
from codeact.progress import Progress, track
from codeact.records import Record

if TYPE_CHECKING:
    from codeact.lm.prompts import Template
    from codeact.score.sequences import Prepared
    from codeact.types import Tokenizer

ResponseLosses = Callable[[Sequence[Record], Progress], dict[str, float]]
"""Record id -> mean negative log-likelihood of its response given its instruction, in nats per token; none without a scorable token."""


def response_losses(model: str, records: Sequence[Record], config: ModelConfig, label: str, revision: str | None = None) -> dict[str, float]:
    """`ResponseLosses` of all the records at once.

    Args:
        model: name or folder; `config.name` is not read.
        records: with ids of their own.
        config: length, template, dtype and device.
        label: of the progress.
        revision: of a hub name; `config.revision`, which is the base model's, is not read.
    """
    measure = open_response_losses(model, config, revision)
    with track(label, len(records), "records") as progress:
        return measure(records, progress)


def open_response_losses(model: str, config: ModelConfig, revision: str | None = None) -> ResponseLosses:
    """Load a model for `ResponseLosses`; responses are cut at `config.max_length`.

    Args:
        model: name or folder; `config.name` is not read.
        config: length, template, dtype and device.
        revision: of a hub name; `config.revision`, which is the base model's, is not read.
    """
    from codeact.lm import models, prompts
    from codeact.lm.streams import check_model, choose_batch_tokens, evenly, stream_losses

    tokenizer = models.load_tokenizer(model, revision)
    network = models.load_model(model, revision=revision, dtype=config.dtype, device=config.device, attention="any")
    template = prompts.load_template(config.template, tokenizer)
    check_model(network)

    def measure(records: Sequence[Record], progress: Progress) -> dict[str, float]:
        ready = [item for item in _prepared(records, template, tokenizer, config) if item.conditional]
        progress.advance(len(records) - len(ready))
        streams = [item.conditional[0] for item in ready]
        losses = stream_losses(network, streams, choose_batch_tokens(network), evenly(progress, streams))
        return {item.id: float(np.mean(values)) for item, values in zip(ready, losses, strict=True)}

    return measure


def cut_line(records: Sequence[Record], config: ModelConfig, what: str) -> str:
    """For people: of how many records `ResponseLosses` measures only the beginning of the answer, or nothing; "" where all are measured whole.

    Args:
        records: that are measured.
        config: name, length and template; the tokenizer alone is read.
        what: the figure's name.
    """
    from codeact.lm import models, prompts

    tokenizer = models.load_tokenizer(config.name, config.revision)
    statuses = [item.status for item in _prepared(records, prompts.load_template(config.template, tokenizer), tokenizer, config)]
    cut, whole = statuses.count("truncated"), statuses.count("ok")
    none, of = len(records) - cut - whole, f"of {amount(len(records), 'answer')}"
    told = [f"{cut:,} {of} {'are' if cut > 1 else 'is'} measured only as far as model.max_length = {config.max_length} reaches"] if cut else []
    told += [f"{none:,} {of} {'have' if none > 1 else 'has'} no token that could be measured"] if none else []
    return f"{what}: {' and '.join(told)}" if told else ""


def _prepared(records: Sequence[Record], template: Template, tokenizer: Tokenizer, config: ModelConfig) -> list[Prepared]:
    from codeact.score.sequences import build_sequences

    return [build_sequences(record, template, tokenizer, "default", config.max_length) for record in records]
