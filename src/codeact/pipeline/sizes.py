"""How large a model, its training and a set of records are, from what is at hand: a configuration, or a number of parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codeact.config import Recipe, TrainConfig
from codeact.errors import InputError
from codeact.lm import models
from codeact.lm.forward import LOGITS_PER_CHUNK
from codeact.lm.identity import NO_CODE, no_model, resolve, unreadable
from codeact.records import Record
from codeact.score import cost
from codeact.types import Tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Bytes of activations a token and layer keeps for the backward pass, per hidden unit, without attention scores
# (Korthikanti et al., arXiv 2205.05198, equation 2); with checkpointing only the layer's input in float32.
KEPT, KEPT_CHECKPOINTED = 34, 4
LOGIT_CHUNK = 3 * LOGITS_PER_CHUNK * 4  # bytes: logits, their gradient and one copy of them in float32
# Bytes of a frozen weight: 16 bits; NF4 with double quantisation 4.127 bits (Dettmers et al., arXiv 2305.14314, section 3)
FROZEN, FROZEN_4BIT = 2.0, 4.127 / 8
# hidden size / layers of a model of which only the number of parameters is known: LLaMA 7B has 128, its relatives 117 to 128.
ASPECT = 128
# UTF-8 bytes of a token where no tokenizer is at hand: SmolLM2's has 3.7 on Evol-Instruct code.
BYTES_PER_TOKEN = 3.7
# Mean bytes of an instruction and of an answer of the 1,966 Evol-Instruct code records that docs/experiments.md uses: stands for data that
# are not at hand.
TYPICAL = (325.0, 981.0)
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's size decides.

    Attributes:
        cost: of a token.
        parameters: of the model; tied weights count once.
        adapter: parameters of LoRA on all its linear layers but the output head.
        hidden, layers: of the model.
        context: longest sequence; None where that is not known.
        notes: how it is known, where not from its configuration.
    """

    cost: cost.ModelCost
    parameters: int
    adapter: int
    hidden: int
    layers: int
    context: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the records that were looked at.

    Attributes:
        looked_at: how many records.
        scoring: tokens of every forward pass of scoring.
        scored: positions of these that go through the output head.
        training: tokens of every training sample.
        learnt: positions of these that are learnt.
        notes: how they are known, where not from the tokenizer.
    """

    looked_at: int
    scoring: list[int] = field(default_factory=list)
    scored: int = 0
    training: list[int] = field(default_factory=list)
    learnt: int = 0
    notes: tuple[str, ...] = ()


def parse_count(text: str, option: str) -> float:
    """`6.7B`, `135M`, `6.7e9` as a number.

    Raises:
        InputError: another form, or not above 0.
    """
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)\s*([KMBGT]?)", text.strip(), flags=re.IGNORECASE)
    try:
        value = float(found[1]) * _UNITS[found[2].upper()] if found else 0.0
    except ValueError:
        value = 0.0
    if not value > 0:
        raise InputError(f"{option} {text!r}: give a number above 0, for example 6.7B, 135M or 6.7e9")
    return value


def model_shape(recipe: Recipe, parameters: float | None) -> Shape:
    """The shape of the recipe's model: from its configuration, or of a model of so many parameters.

    Raises:
        InputError: its configuration cannot be read.
    """
    if parameters is None:
        return shape_of(read_config(recipe), recipe.train.lora_r)
    return shape_from_count(parameters, recipe.train.lora_r)


def shape_of(config: PretrainedConfig, rank: int) -> Shape:
    """From a configuration, on PyTorch's meta device; no weights are needed."""
    parameters, adapter = count_parameters(config, rank)
    text = config.get_text_config()
    return Shape(cost.model_cost(config), parameters, adapter, text.hidden_size, text.num_hidden_layers, models.context_length(text))


def shape_from_count(parameters: float, rank: int) -> Shape:
    """A dense decoder with 12 hidden^2 weights a layer (Kaplan et al., arXiv 2001.08361, table 1), hidden = 128 layers.

    LoRA's maps are those of such a layer with a gated MLP: 4 of hidden x hidden, 3 between hidden and 8/3 hidden.
    """
    layers = max(1, round((parameters / (12 * ASPECT**2)) ** (1 / 3)))
    hidden = round((parameters / (12 * layers)) ** 0.5)
    adapter = round(rank * layers * (4 * 2 + 3 * (1 + 8 / 3)) * hidden)
    note = (
        f"the model is taken as a dense one of {parameters / 1e9:.3g}B parameters, about {layers} layers of {hidden:,}, embeddings and head"
        " counted as its other weights; a folder with its config.json as model.name is exact"
    )
    return Shape(cost.ModelCost(round(parameters), 0, layers * hidden), round(parameters), adapter, hidden, layers, None, (note,))


def count_parameters(config: PretrainedConfig, rank: int) -> tuple[int, int]:
    """Parameters of the model, and of LoRA on all its linear layers but the output head (tied weights count once)."""
    import torch
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        model = build(config)
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return sum(p.numel() for p in model.parameters()), rank * sum(m.in_features + m.out_features for m in linear)


def find_model(recipe: Recipe) -> str:
    """The folder or hub name of the recipe's model.

    Raises:
        InputError: there is none; the message says how to plan without it.
    """
    try:
        return resolve(recipe.model.name, recipe.model.revision)
    except InputError as error:
        raise InputError(f"{error}; to plan without the model: --parameters 6.7B, or as model.name a folder with its config.json") from error


def read_config(recipe: Recipe) -> PretrainedConfig:
    """The configuration of the recipe's model.

    Raises:
        InputError: there is none.
    """
    from transformers import AutoConfig

    where = find_model(recipe)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(where, revision=recipe.model.revision, **NO_CODE)
    except unreadable() as error:
        raise InputError(no_model(recipe.model.name, error)) from error
    return config


def record_lengths(records: Sequence[Record], recipe: Recipe, known: bool, longest: int | None = None) -> Lengths:
    """Tokens of these records in scoring and in training; of more than 2,000, that many are looked at, evenly spaced.

    Args:
        records: at least one.
        recipe: its model, template, variant and length.
        known: the model may be looked up by its name; if not, or where it has no tokenizer, bytes are counted.
        longest: context of the model.
    """
    from codeact.lm.prompts import load_template
    from codeact.score import default_template
    from codeact.score.sequences import build_sequences

    some = cost.spread(records)
    tokenizer = _tokenizer(recipe) if known else None
    if tokenizer is None:
        return rough_lengths(some, recipe.model.max_length)
    m, variant = recipe.model, recipe.score.variant
    asked, trained = default_template(variant, tokenizer, m.template), load_template(m.template, tokenizer)
    limit = min(m.max_length, longest or m.max_length)
    both = [(asked, variant, limit), (trained, "default", m.max_length)]
    made = [[build_sequences(record, template, tokenizer, kind, most) for record in some] for template, kind, most in dict.fromkeys(both)]
    scoring, scored = cost.pass_lengths(made[0])
    streams = [stream for item in made[-1] for stream in item.conditional]
    learnt = sum(span.end - span.start for stream in streams for span in stream.spans)
    return Lengths(len(some), scoring, scored, [len(stream.ids) for stream in streams], learnt)


def rough_lengths(records: Sequence[Record], limit: int) -> Lengths:
    """The same from the bytes of the texts: 3.7 of a token, each sample cut at `limit` tokens."""
    def bytes_of(record: Record, answers: bool) -> int:
        return sum(len(m.content.encode("utf-8", "replace")) for m in record.messages if (m.role == "assistant") is answers)

    note = f"no tokenizer is at hand: a token is taken as {BYTES_PER_TOKEN:g} bytes of text, which fits English and code"
    return _from_bytes([(bytes_of(r, False), bytes_of(r, True)) for r in records], limit, note)


def typical_lengths(limit: int) -> Lengths:
    """Of data that are not at hand: one record of the mean size of Evol-Instruct's."""
    told = " and ".join(f"{size / BYTES_PER_TOKEN:.0f}" for size in TYPICAL)
    return _from_bytes([TYPICAL], limit, f"the data are not at hand: records are taken to have {told} tokens (instruction, answer), as Evol-Instruct's")


def _from_bytes(sizes: Sequence[tuple[float, float]], limit: int, note: str) -> Lengths:
    training = [max(1, min(limit, round((asked + answer) / BYTES_PER_TOKEN))) for asked, answer in sizes]
    alone = [max(1, min(limit, round(answer / BYTES_PER_TOKEN))) for _, answer in sizes]
    learnt = sum(min(a, b) for a, b in zip(training, alone, strict=True))
    return Lengths(len(sizes), [*training, *alone], 2 * learnt, training, learnt, (note,))


def training_memory(
    train: TrainConfig,
    *,
    parameters: int,
    adapter_parameters: int,
    hidden: int,
    layers: int,
    tokens: float,
) -> dict[str, float]:
    """Bytes of training by part, on one device that holds everything: weights, gradients, optimizer, activations.

    Args:
        train: method and gradient checkpointing.
        parameters: of the model.
        adapter_parameters: of LoRA; not read in full fine-tuning.
        hidden, layers: of the model.
        tokens: of one forward pass.
    """
    full = train.method == "full"
    learnt = parameters if full else adapter_parameters
    frozen = FROZEN_4BIT if train.method == "qlora" else FROZEN
    # under autocast a 16-bit copy of the float32 weights is kept for the forward pass
    weights = parameters * (4 + 2) if full else parameters * frozen + learnt * 4
    per_layer = KEPT_CHECKPOINTED if train.gradient_checkpointing else KEPT
    activations = tokens * hidden * (layers * per_layer + (KEPT if train.gradient_checkpointing else 0)) + LOGIT_CHUNK
    return {"weights": weights, "gradients": 4 * learnt, "optimizer": 8 * learnt, "activations": activations}


def divided_memory(memory: dict[str, float], gpus: int, shape: Shape) -> dict[str, float]:
    """The same for each of several GPUs under FSDP's full sharding: weights, gradients and optimizer are divided, activations are not.

    `gathered`: the 16-bit weights of two layers, the one at work and the next, which FSDP fetches ahead (PyTorch's documentation of FSDP 2).
    """
    if gpus == 1:
        return memory
    parts = {name: size if name == "activations" else size / gpus for name, size in memory.items()}
    return {**parts, "gathered": 2 * 2 * shape.parameters / max(shape.layers, 1)}


def pass_tokens(recipe: Recipe, mean: float) -> float:
    """Tokens of one forward pass: those of the batch, or of as many full rows as a pass holds if they are fewer."""
    batch, rows = recipe.train.batch_size * mean, recipe.pack.rows_per_pass
    return min(batch, rows * recipe.model.max_length) if recipe.pack.scope != "none" and rows else batch


def _tokenizer(recipe: Recipe) -> Tokenizer | None:
    try:
        return models.load_tokenizer(recipe.model.name, recipe.model.revision)
    except InputError:
        return None
