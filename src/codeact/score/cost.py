"""What scoring will cost, before any weights are loaded: tokens, FLOPs, and hours on named hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.amounts import amount
from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.lm.hardware import CARDS, UTILISATION
from codeact.lm.models import context_length, projection_sizes
from codeact.lm.prompts import Template
from codeact.records import Record
from codeact.score.sequences import Prepared, build_sequences, default_template
from codeact.types import Tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What one token costs.

    Attributes:
        body_parameters: weights that every token is multiplied with: all but the embeddings and the output head, experts in
            proportion to those that a token visits.
        head_parameters: weights of the output head, which only scored positions go through.
        attention_width: heads times head size, summed over the layers.
    """

    body_parameters: int
    head_parameters: int
    attention_width: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `estimate` found.

    Attributes:
        records: how many are scored.
        sampled: how many of them were tokenised; the totals are scaled up from these.
        tokens: model tokens of both passes.
        scored_tokens: positions that go through the output head, both passes.
        flops: floating-point operations.
        hours: by hardware.
    """

    records: int
    sampled: int
    tokens: int
    scored_tokens: int
    flops: float
    hours: Mapping[str, float]

    def lines(self) -> list[str]:
        """A few lines for people."""
        counted = "" if self.sampled == self.records else f" (from a sample of {self.sampled:,})"
        return [
            f"{amount(self.records, 'record')}, {self.tokens:,} model tokens in two passes{counted}, {self.scored_tokens:,} of them scored; {self.flops:.3g} FLOPs",
            *(f"{name:<28} {duration(hours)}" for name, hours in self.hours.items()),
        ]


def estimate(
    records: Sequence[Record],
    config: PretrainedConfig,
    tokenizer: Tokenizer,
    *,
    template: Template | None = None,
    variant: str = DEFAULTS.score.variant,
    max_length: int = DEFAULTS.model.max_length,
    hardware: Mapping[str, float] | None = None,
) -> Estimate:
    """Tokens, FLOPs and hours of `score_ifd` with the same arguments.

    FLOPs are 2 per weight and token (Kaplan et al., arXiv 2001.08361) plus causal attention: 4 * width for each pair of a
    token and one it sees.

    Args:
        records: what would be scored; of more than 2,000, that many are tokenised, evenly spaced.
        config: the model's configuration (`transformers.AutoConfig`); no weights are needed.
        tokenizer: the model's.
        template, variant, max_length: as `score_ifd`.
        hardware: name -> sustained FLOP/s; default: 45 % of the peak of `lm.hardware.CARDS`.

    Raises:
        InputError: no records; or as `build_sequences`.
    """
    if not records:
        raise InputError("nothing to estimate: there are no records")
    template = template or default_template(variant, tokenizer)
    limit = min(max_length, context_length(config.get_text_config()) or max_length)
    picked = spread(records)
    lengths, scored = pass_lengths(build_sequences(record, template, tokenizer, variant, limit) for record in picked)
    scale = len(records) / len(picked)
    flops = scale * forward_flops(model_cost(config), lengths, scored)
    speeds = hardware or {f"{card.name} at {UTILISATION:.0%}": UTILISATION * card.flops for card in CARDS.values()}
    return Estimate(
        len(records),
        len(picked),
        round(scale * sum(lengths)),
        round(scale * scored),
        flops,
        {name: flops / speed / 3600 for name, speed in speeds.items()},
    )


def spread(records: Sequence[Record]) -> list[Record]:
    """The records, or of more than 2,000 that many, evenly spaced."""
    picked = np.unique(np.linspace(0, len(records) - 1, min(SAMPLE, len(records))).round().astype(int))
    return [records[index] for index in picked]


def pass_lengths(prepared: Iterable[Prepared]) -> tuple[list[int], int]:
    """Tokens of every forward pass of scoring these records, and how many positions go through the output head."""
    streams = [stream for item in prepared for stream in item.streams]
    return [len(stream.ids) - 1 for stream in streams], sum(span.end - span.start for stream in streams for span in stream.spans)


def forward_flops(cost: ModelCost, lengths: Sequence[int], scored: int) -> float:
    """FLOPs of one forward pass over sequences of these lengths, with the output head at `scored` positions."""
    sizes = np.asarray(lengths, np.float64)
    pairs = float((sizes * (sizes + 1) / 2).sum())
    return (
        2.0 * cost.body_parameters * float(sizes.sum())
        + 2.0 * cost.head_parameters * scored
        + 4.0 * cost.attention_width * pairs
    )


def model_cost(config: PretrainedConfig) -> ModelCost:
    """Count a model's weights from its configuration alone, on PyTorch's meta device.

    Raises:
        InputError: the configuration is not one of a causal LM.
    """
    import torch
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config
    try:
        with torch.device("meta"):
            model = build(config)
    except ValueError as error:
        raise InputError(
            f"{type(config).__name__} is not the configuration of a causal LM: {' '.join(str(error).split())[:120]}"
        ) from error
    text = config.get_text_config()
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    head = model.get_output_embeddings().weight
    experts = getattr(text, "num_local_experts", None) or getattr(text, "num_experts", None)
    visited = (getattr(text, "num_experts_per_tok", None) or experts or 1) / (experts or 1)
    body = sum(
        weight.numel() * (visited if ".experts." in name else 1.0)
        for name, weight in model.named_parameters()
        if id(weight) not in tables and weight is not head
    )
    return ModelCost(round(body), head.numel(), sum(queries for queries, _ in projection_sizes(text)))


def duration(hours: float) -> str:
    """`0.004` -> `14.4 s`, `2.5` -> `2.5 h`."""
    seconds = hours * 3600
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.1f} h"
