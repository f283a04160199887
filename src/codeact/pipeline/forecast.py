"""What a run would do and cost, before anything is written and without the model's weights: stages, tokens, FLOPs, hours, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import EvaluateConfig, Recipe, TrainConfig
from codeact.errors import InputError
from codeact.lm import models
from codeact.lm.forward import LOGITS_PER_CHUNK
from codeact.lm.identity import NO_CODE, UNREADABLE, no_model, resolve
from codeact.pipeline.plan import chosen
from codeact.records import Record, reading_lines
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import turn
from codeact.rundir.store import Store
from codeact.sample.mixture import quotas
from codeact.score import cost
from codeact.stages.evaluate import EVALUATIONS, TRAINED
from codeact.types import Tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from codeact.lm.prompts import Template

# Dense 16-bit peak in FLOP/s and memory in GB, from the makers' data sheets.
DEVICES: Mapping[str, tuple[float, float]] = {
    "A100 80GB": (cost.HARDWARE["A100 SXM (bf16)"], 80.0),
    "H100 80GB": (cost.HARDWARE["H100 SXM (bf16)"], 80.0),
}
# Share of the peak that training and scoring are taken to reach: an assumption, not measured on these devices.
UTILISATION = cost.UTILISATION
# Bytes of activations a token and layer keeps for the backward pass, per hidden unit, without attention scores
# (Korthikanti et al., arXiv 2205.05198, equation 2); with checkpointing only the layer's input in float32.
KEPT, KEPT_CHECKPOINTED = 34, 4
LOGIT_CHUNK = 3 * LOGITS_PER_CHUNK * 4  # bytes: logits, their gradient and one copy of them in float32


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `forecast` found.

    Attributes:
        stages: stage -> "done before, kept" or "to do".
        records: that enter the pool, before curation.
        selected: that would be trained on, at most.
        score_tokens: model tokens of both scoring passes; 0 where nothing is scored.
        score_flops: of these.
        trainings: how many are to do: of the selection, and of the control.
        train_tokens: of all epochs of all trainings, without padding; 0 where nothing is trained.
        train_flops: of these.
        memory: bytes of training by part; empty where nothing is trained.
        evaluations: how many models are to be evaluated.
        generated_tokens: at most, by each evaluation.
        sources: of a mixture, source -> {"weight", "records", "quota"}: what enters the pool, and what it gives of the selection.
        devices: device -> {"score_hours", "train_hours", "fits"}.
        notes: what the figures leave out.
    """

    stages: Mapping[str, str]
    records: int
    selected: int
    score_tokens: int
    score_flops: float
    trainings: int
    train_tokens: int
    train_flops: float
    memory: Mapping[str, float]
    evaluations: int
    generated_tokens: int
    sources: Mapping[str, Mapping[str, Any]]
    devices: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        total = sum(self.memory.values()) / 1e9
        found = [f"{name:<15} {state}" for name, state in self.stages.items()]
        found.append(f"records         {self.records:,}; selected at most {self.selected:,}")
        found += [
            f"source          {name}: {one['records']:,} records" + (f", gives {one['quota']:,}" if one["quota"] is not None else "")
            for name, one in self.sources.items()
        ]
        if self.score_tokens:
            found.append(f"score           {self.score_tokens:,} tokens, {self.score_flops:.3g} FLOPs")
        if self.train_tokens:
            both = "; two trainings, of the selection and of the control" if self.trainings > 1 else ""
            found.append(f"train           {self.train_tokens:,} tokens, {self.train_flops:.3g} FLOPs{both}")
            parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in self.memory.items())
            found.append(f"memory          {total:.1f} GB ({parts})")
        if self.generated_tokens:
            models = "each model" if self.evaluations == 1 else f"each of {self.evaluations} models"
            found.append(f"evaluate        at most {self.generated_tokens:,} generated tokens for {models}")
        for name, device in self.devices.items():
            hours = ", ".join(
                f"{what} {cost.duration(device[key])}"
                for what, key in (("score", "score_hours"), ("train", "train_hours"))
                if device[key]
            )
            fits = (
                ""
                if device["fits"] is None
                else "; training fits"
                if device["fits"]
                else "; training does not fit on one"
            )
            found.append(f"{name:<15} {hours or 'nothing to compute'}{fits}")
        return [*found, *(f"note: {note}" for note in self.notes)]

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def forecast(recipe: Recipe, targets: Iterable[str] | None = None, inputs: Inputs | None = None) -> Forecast:
    """Stages, tokens, FLOPs, hours and memory of `pipeline.run` with the same arguments. Nothing is written.

    Training costs three forward passes a token (Kaplan et al., arXiv 2001.08361), four with gradient checkpointing; LoRA, which
    makes no gradients of the frozen weights, two or three. Memory: weights, gradients and Adam's two moments in float32 (16
    bytes a trained weight, 2 to 4 a frozen one), and activations of one forward pass.

    Raises:
        InputError: bad data or configuration, or a model whose configuration cannot be read.
    """
    inputs = inputs or Inputs(recipe)
    stages = chosen(recipe, inputs, targets)
    names = {stage.name for stage in stages}
    inputs.check(names)
    store = Store(Path(recipe.run_dir))
    done: dict[str, str] = {}
    states: dict[str, str] = {}
    for stage in stages:
        here = turn(stage, store, done)
        done[stage.name] = here.fingerprint
        states[stage.name] = "done before, kept" if here.kept else "to do"
    todo = {name for name, state in states.items() if state == "to do"}
    records, reading = inputs.records()
    count = len(records)
    selected = count if recipe.sample.strategy == "full" else max(1, round(recipe.sample.ratio * count))
    notes = [
        *reading_lines(reading.summary()),
        f"hours assume {UTILISATION:.0%} of the device's 16-bit peak; not measured on these devices",
        "curation may drop records; embedding, clustering and graders are not counted",
    ]
    score_tokens, score_flops, train_tokens, train_flops = 0, 0.0, 0, 0.0
    memory: dict[str, float] = {}
    trainings, evaluations = len(todo & {*TRAINED.values()}), len(todo & {*EVALUATIONS})
    if trainings or "score" in todo:
        config, tokenizer = _config(recipe), models.load_tokenizer(recipe.model.name, recipe.model.revision)
        from codeact.lm.prompts import load_template
        from codeact.score import default_template

        template = load_template(recipe.model.template, tokenizer)
        asked = default_template(recipe.score.variant, tokenizer, recipe.model.template)
        if "score" in todo:
            found = cost.estimate(
                records, config, tokenizer,
                template=asked, variant=recipe.score.variant, max_length=recipe.model.max_length,
            )  # fmt: skip
            score_tokens, score_flops = found.tokens, found.flops
        if trainings:
            train_tokens, train_flops, memory = _training(recipe, records, selected, config, tokenizer, template)
            train_tokens, train_flops = trainings * train_tokens, trainings * train_flops
            notes.append(
                "selected records are taken to be of average length; strategies that follow IFD take longer ones"
            )
    notes += _judge_notes(recipe, records, todo)
    generated = 0
    if evaluations:
        generated = _generated(recipe.evaluate)
    need = sum(memory.values())
    devices = {
        name: {
            "score_hours": score_flops / (UTILISATION * peak) / 3600,
            "train_hours": train_flops / (UTILISATION * peak) / 3600,
            "fits": need <= size * 1e9 if memory else None,
        }
        for name, (peak, size) in DEVICES.items()
    }
    return Forecast(
        states,
        count,
        selected,
        score_tokens,
        score_flops,
        trainings,
        train_tokens,
        train_flops,
        memory,
        evaluations,
        generated,
        _sources(recipe, inputs, records) if "sample" in names else {},
        devices,
        tuple(notes),
    )


def _sources(recipe: Recipe, inputs: Inputs, records: list[Record]) -> dict[str, dict[str, Any]]:
    """What each source of a mixture has and gives, before curation.

    Raises:
        InputError: one has less than its quota of records.
    """
    of, weights = inputs.source.sources, recipe.data.weights
    if of is None:
        return {}
    counts = Counter(of[int(record.meta["row"])] for record in records)
    sizes = {name: counts[name] for name, _ in inputs.source.mixture}
    counted = weights and recipe.sample.unit == "records"
    given = quotas(sizes, weights, recipe.sample.ratio) if counted else {}
    return {name: {"weight": weights.get(name), "records": size, "quota": given.get(name)} for name, size in sizes.items()}


def _generated(config: EvaluateConfig) -> int:
    """Tokens that one evaluation generates at most: of the very tasks that it takes."""
    from codeact.evaluation.task_selection import load_sets, subset

    if config.generate_limit == 0:
        return 0
    sets = load_sets(config.tasks, None, config.skip_tasks)
    tasks = sum(len(subset(one.tasks, config.generate_limit, config.skip_tasks)) for one in sets)
    return tasks * config.samples_per_task * config.max_new_tokens


def forecast_scores(recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Tokens, FLOPs and hours of scoring the recipe's data in full, from the model's configuration and tokenizer alone.

    Returns:
        `codeact.score.cost.Estimate` as a mapping, `notes` on what it leaves out, and `lines` for people.

    Raises:
        InputError: no usable data, or no such model.
    """
    from codeact.score import default_template

    tokenizer = models.load_tokenizer(recipe.model.name, recipe.model.revision)
    records, reading = inputs.records()
    found = cost.estimate(
        records, _config(recipe), tokenizer,
        template=default_template(recipe.score.variant, tokenizer, recipe.model.template), variant=recipe.score.variant, max_length=recipe.model.max_length,
    )  # fmt: skip
    notes = [
        *reading_lines(reading.summary()),
        f"hours take {UTILISATION:.0%} of the data sheet's peak, which has not been measured on these devices",
        "curation, the score cache and adaptive scoring make it less",
    ]
    return {**asdict(found), "notes": notes, "lines": [*found.lines(), *notes]}


def _judge_notes(recipe: Recipe, records: list[Record], todo: set[str]) -> list[str]:
    """What the endpoint's requests will cost at most, answers in the cache not counted."""
    from contextlib import closing

    from codeact.judge import endpoint, ratings
    from codeact.stages import judge

    if not recipe.judge.endpoint:
        return []
    asked = [(ratings.rubric(n).template, recipe.judge.max_tokens) for n in judge.rubrics(recipe) if "judge" in todo]
    asked += [("judge_tags", recipe.judge.tag_tokens)] if "tags" in todo else []
    lines = []
    for template, tokens in asked:
        with closing(endpoint.Cache(judge.cache_file())) as cache:
            found = endpoint.estimate_cost(
                ratings.render(template, records), judge.settings(recipe.judge, tokens), cache
            )
        lines.append(f"{template}: {found.line()}")
    return lines


def training_memory(
    train: TrainConfig,
    *,
    parameters: int,
    adapter_parameters: int,
    hidden: int,
    layers: int,
    tokens: float,
    frozen_bytes: int = 2,
) -> dict[str, float]:
    """Bytes of training by part: weights, gradients, optimizer, activations.

    Args:
        train: method and gradient checkpointing.
        parameters: of the model.
        adapter_parameters: of LoRA; not read in full fine-tuning.
        hidden, layers: of the model.
        tokens: of one forward pass.
        frozen_bytes: of a frozen weight under LoRA.
    """
    full = train.method == "full"
    learnt = parameters if full else adapter_parameters
    # under autocast a 16-bit copy of the float32 weights is kept for the forward pass
    weights = parameters * (4 + 2) if full else parameters * frozen_bytes + learnt * 4
    per_layer = KEPT_CHECKPOINTED if train.gradient_checkpointing else KEPT
    activations = tokens * hidden * (layers * per_layer + (KEPT if train.gradient_checkpointing else 0)) + LOGIT_CHUNK
    return {"weights": weights, "gradients": 4 * learnt, "optimizer": 8 * learnt, "activations": activations}


def _training(
    recipe: Recipe,
    records: list[Record],
    selected: int,
    config: PretrainedConfig,
    tokenizer: Tokenizer,
    template: Template,
) -> tuple[int, float, dict[str, float]]:
    from codeact.score.sequences import build_sequences

    train, limit = recipe.train, recipe.model.max_length
    picked = np.unique(np.linspace(0, len(records) - 1, min(cost.SAMPLE, len(records))).round().astype(int))
    streams = [
        stream
        for n in picked
        for stream in build_sequences(records[n], template, tokenizer, "default", limit).conditional
    ]
    if not streams:
        raise InputError("nothing to train on: no record has a response that fits into model.max_length")
    lengths = [len(stream.ids) for stream in streams]
    learnt = sum(span.end - span.start for stream in streams for span in stream.spans)
    scale = selected / len(streams) * train.epochs
    passes = (3 if train.method == "full" else 2) + train.gradient_checkpointing
    flops = passes * scale * cost.forward_flops(cost.model_cost(config), lengths, learnt)
    parameters, adapter = _parameters(config, train.lora_r)
    text = config.get_text_config()
    memory = training_memory(
        train, parameters=parameters, adapter_parameters=adapter, hidden=text.hidden_size, layers=text.num_hidden_layers,
        tokens=_pass_tokens(recipe, float(np.mean(lengths))),
    )  # fmt: skip
    return round(scale * sum(lengths)), flops, memory


def _pass_tokens(recipe: Recipe, mean: float) -> float:
    """Tokens of one forward pass: those of the batch, or of as many full rows as a pass holds if they are fewer."""
    batch, rows = recipe.train.batch_size * mean, recipe.pack.rows_per_pass
    return min(batch, rows * recipe.model.max_length) if recipe.pack.scope != "none" and rows else batch


def _parameters(config: PretrainedConfig, rank: int) -> tuple[int, int]:
    """Parameters of the model, and of LoRA on all its linear layers but the output head (tied weights count once)."""
    import torch
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        model = build(config)
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return sum(p.numel() for p in model.parameters()), rank * sum(m.in_features + m.out_features for m in linear)


def _config(recipe: Recipe) -> PretrainedConfig:
    from transformers import AutoConfig

    where = resolve(recipe.model.name, recipe.model.revision)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(where, revision=recipe.model.revision, **NO_CODE)
    except UNREADABLE as error:
        raise InputError(no_model(recipe.model.name, error)) from error
    return config
