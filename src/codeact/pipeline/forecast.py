"""What a run would do and cost, before anything is written and without the model's weights: stages, tokens, FLOPs, hours, memory, money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from codeact.amounts import amount, columns
from codeact.config import EvaluateConfig, Recipe, Unit
from codeact.errors import CodeactError, InputError
from codeact.lm import models
from codeact.lm.hardware import UTILISATION
from codeact.lm.identity import resolve, resolve_embedder
from codeact.mirror import reading_copy
from codeact.pipeline.budget import Budget, Work, device_lines, notes_of, times
from codeact.pipeline.plan import chosen
from codeact.pipeline.sizes import (
    Lengths,
    Shape,
    divided_memory,
    find_model,
    model_shape,
    pass_tokens,
    read_config,
    record_lengths,
    training_memory,
    typical_lengths,
)
from codeact.records import Record, reading_lines
from codeact.rundir.inputs import HARVEST, Inputs
from codeact.rundir.stage import turn
from codeact.rundir.store import Store
from codeact.sample.mixture import quotas
from codeact.sample.strategies import find
from codeact.score import cost
from codeact.stages.evaluate import EVALUATIONS, TRAINED
from codeact.storage import source_files

LOOKED_UP = {"embed", "proxy", "score", "lengths", "hidden", "learn", "pack", "train", "train_control", *EVALUATIONS}  # stages whose models may lie at the hub


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `forecast` found.

    Attributes:
        stages: stage -> "done before, kept" or "to do".
        records: that enter the pool, before curation.
        selected: that would be trained on: at most, or with a budget of tokens as many as there are if they are of average length.
        score_tokens: model tokens of both scoring passes; 0 where nothing is scored.
        score_flops: of these.
        trainings: how many are to do: of the selection, and of the control.
        train_tokens: of all epochs of all trainings, without padding; 0 where nothing is trained.
        train_flops: of these.
        memory: bytes of training by part, on one device; empty where nothing is trained.
        memory_divided: the same on each of several devices under FSDP; with one device as `memory`.
        evaluations: how many models are to be evaluated.
        generated_tokens: at most, by each evaluation.
        sources: of a mixture, source -> {"weight", "records", "quota"}: what enters the pool, and what it gives of the selection.
        decode_bytes: bytes of weights that all evaluations read at most.
        devices: device -> see `budget.times`.
        about: what is to be said of the data, the model and the budget.
        notes: the same, and what the figures assume and leave out.
        unit: what the budget counts, `records` or `tokens`.
        told: on the devices, for people: a name and what is told of it.
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
    memory_divided: Mapping[str, float]
    evaluations: int
    generated_tokens: int
    sources: Mapping[str, Mapping[str, Any]]
    decode_bytes: float
    devices: Mapping[str, Mapping[str, Any]]
    about: tuple[str, ...]
    notes: tuple[str, ...]
    unit: Unit
    told: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        total = sum(self.memory.values()) / 1e9
        found = [*self.stages.items(), ("records", f"{self.records:,}; selected {'about' if self.unit == 'tokens' else 'at most'} {self.selected:,}")]
        found += [
            ("source", f"{name}: {amount(one['records'], 'record')}" + (f", gives {one['quota']:,}" if one["quota"] is not None else ""))
            for name, one in self.sources.items()
        ]
        if self.score_tokens:
            found.append(("score", f"{self.score_tokens:,} tokens, {self.score_flops:.3g} FLOPs"))
        if self.train_tokens:
            both = "; two trainings, of the selection and of the control" if self.trainings > 1 else ""
            found.append(("train", f"{self.train_tokens:,} tokens, {self.train_flops:.3g} FLOPs{both}"))
            parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in self.memory.items())
            found.append(("memory", f"{total:.1f} GB ({parts})"))
        if self.generated_tokens:
            each = "each model" if self.evaluations == 1 else f"each of {self.evaluations} models"
            found.append(("evaluate", f"at most {self.generated_tokens:,} generated tokens for {each}"))
        return [*columns([*found, *self.told]), *(f"note: {note}" for note in self.notes)]

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return {key: value for key, value in asdict(self).items() if key not in ("told", "about")}


class _Planned(Inputs):
    """Inputs of a plan. Stages that read what is not looked for, or not at hand, count as to do.

    Args:
        inputs: the data and the model.
        data, models: whether they are looked for.
    """

    def __init__(self, inputs: Inputs, data: bool, models: bool) -> None:
        super().__init__(inputs.recipe, inputs.given, inputs.known)
        self.data, self.models = data, models

    def identity(self) -> Mapping[str, Any]:
        """Without the data, nothing that any finished stage was made from."""
        return super().identity() if self.data else {"data": "not looked for"}

    def facts(self, name: str, revision: str | None = None) -> dict[str, Any]:
        """Without the models, the same."""
        return super().facts(name, revision) if self.models else {"identity": f"{name}, not looked for"}

    def embedder_files(self) -> Mapping[str, str]:
        """The same of an embedder, which a plan does not need."""
        try:
            return super().embedder_files() if self.models else {"embedder_commit": "not looked for"}
        except InputError:
            return {"embedder_commit": "not at hand"}


def forecast(
    recipe: Recipe, targets: Iterable[str] | None = None, inputs: Inputs | None = None, budget: Budget | None = None
) -> Forecast:
    """Stages, tokens, FLOPs, hours, memory and money of `pipeline.run` with the same arguments. Nothing is written.

    Training costs three forward passes a token (Kaplan et al., arXiv 2001.08361), four with gradient checkpointing; LoRA, which
    makes no gradients of the frozen weights, two or three. Memory: weights, gradients and Adam's two moments in float32 (16
    bytes a trained weight, 0.5 to 4 a frozen one), and activations of one forward pass. Generation reads the 16-bit weights once for
    each token of a batch.

    Args:
        recipe, targets, inputs: as `run_pipeline`.
        budget: devices, price, and what stands for a model or for data that are not at hand.

    Raises:
        InputError: bad data or configuration, or a model whose configuration cannot be read.
    """
    budget, inputs = budget or Budget(), inputs or Inputs(recipe)
    inputs = _Planned(inputs, budget.records is None or not elsewhere(inputs), budget.parameters is None)
    stages = chosen(recipe, inputs, targets)
    names = {stage.name for stage in stages}
    records, notes = _data(inputs, names, budget)
    notes += _not_at_hand(recipe, names, budget)
    done: dict[str, str] = {}
    states: dict[str, str] = {}
    with reading_copy(recipe.run_dir, to_plan=True) as folder:
        for stage in stages:
            here = turn(stage, Store(folder), done)
            done[stage.name] = here.fingerprint
            states[stage.name] = "done before, kept" if here.kept else "to do"
    todo = {name for name, state in states.items() if state == "to do"}
    count = budget.records or len(records)
    selected = max(1, round(recipe.sample.ratio * count)) if find(recipe.sample.strategy).counts else count
    trainings, evaluations = len(todo & {*TRAINED.values()}), len(todo & {*EVALUATIONS})
    score_tokens, score_flops, train_tokens, train_flops, decode = 0, 0.0, 0, 0.0, 0.0
    memory: dict[str, float] = {}
    divided: dict[str, float] = {}
    generated, remark = generated_tokens(recipe.evaluate, budget.parameters is None) if evaluations else (0, "")
    if trainings or generated or "score" in todo:
        shape = model_shape(recipe, budget.parameters)
        known = budget.parameters is None
        lengths = record_lengths(records, recipe, known, shape.context) if records else typical_lengths(recipe.model.max_length)
        notes += [*shape.notes, *(lengths.notes if trainings or "score" in todo else ())]
        if "score" in todo:
            scale = count / lengths.looked_at
            score_tokens = round(scale * sum(lengths.scoring))
            score_flops = scale * cost.forward_flops(shape.cost, lengths.scoring, lengths.scored)
        if trainings:
            tokens, flops = _training(recipe, selected, lengths, shape)
            train_tokens, train_flops = trainings * tokens, trainings * flops
            memory = _memory(recipe, lengths, shape)
            divided = divided_memory(memory, budget.gpus, shape)
            notes.append("selected records are taken to be of average length; strategies that follow IFD take longer ones")
        decode = evaluations * weight_reads(recipe.evaluate, generated, shape.parameters)
    notes += [*_counting_notes(recipe, names, todo), *_judge_notes(recipe, records, todo), *([remark] if remark else [])]
    work = Work(score_flops, train_flops, decode, memory, divided, score_on_all=recipe.backend == "ray")
    devices = times(work, budget)
    told = tuple(device_lines(devices, work, budget))
    assumed = [*notes_of(budget, devices, work), "curation may drop records; embedding, clustering and graders are not counted"]
    return Forecast(
        states, count, selected, score_tokens, score_flops, trainings, train_tokens, train_flops, memory, divided, evaluations,
        generated, _sources(recipe, inputs, records) if records and "sample" in names else {}, decode, devices, tuple(notes), (*notes, *assumed),
        _unit(recipe), told,
    )  # fmt: skip


def _unit(recipe: Recipe) -> Unit:
    """What the budget counts; all records, where there is none."""
    return recipe.sample.unit if find(recipe.sample.strategy).counts else "records"


def _counting_notes(recipe: Recipe, names: set[str], todo: set[str]) -> list[str]:
    """What the budget counts, where that is not known before the run."""
    notes = ["lengths are counted by the tokenizer alone: no pass of the model for the choice"] if "lengths" in todo and "score" not in names else []
    if _unit(recipe) == "tokens" and "sample" in names:
        quotas = ", and so are the quotas of data.sources" if recipe.data.weights else ""
        share = f"{recipe.sample.ratio:.0%} is a share of the response tokens{quotas}"
        notes.append(f"{share}: the default selects more records than this estimate, strategies that prefer long answers fewer")
    return notes


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


def elsewhere(inputs: Inputs) -> bool:
    """Whether the data are the hub's, or come on stdin."""
    data = inputs.recipe.data
    return inputs.given is None and data.source not in ("", HARVEST) and source_files(data.source, data.split) is None


def _data(inputs: Inputs, names: set[str], budget: Budget) -> tuple[list[Record], list[str]]:
    """The records, none where their number is told and they are not on this machine; and what is to be said of them."""
    away = elsewhere(inputs)
    if away and budget.records is not None:
        return [], []
    try:
        inputs.check(names - LOOKED_UP)
        records, reading = inputs.records()
    except InputError as error:
        if away:
            raise InputError(f"{error}; to plan without the data: --records N, how many they are, or data.source=FILE with a sample of them") from error
        raise
    sample = [f"planned for {amount(budget.records, 'record')} like these {len(records):,}"] if budget.records not in (None, len(records)) else []
    return records, [*reading_lines(reading.summary()), *sample]


def _not_at_hand(recipe: Recipe, names: set[str], budget: Budget) -> list[str]:
    """Models beside the one to be tuned: a plan does not need them, and says where they are not to be found."""
    if budget.parameters is not None:
        return ["no model is looked for; their stages are taken as to do"]
    if names & LOOKED_UP - {"embed", "proxy"}:
        find_model(recipe)
    found = []
    for stage, name, look in (("embed", recipe.embed.model, partial(resolve_embedder, revision=recipe.embed.revision)), ("proxy", recipe.score.proxy, resolve)):
        if stage in names:
            try:
                look(name)
            except InputError as error:
                found.append(f"not at hand for the run: {error}")
    return found


def _training(recipe: Recipe, selected: int, lengths: Lengths, shape: Shape) -> tuple[int, float]:
    """Tokens and FLOPs of one training on so many records."""
    if not lengths.training:
        raise InputError("nothing to train on: no record has a response that fits into model.max_length")
    train = recipe.train
    share = selected / len(lengths.training)
    scale = share * train.epochs
    passes = (3 if train.method == "full" else 2) + train.gradient_checkpointing
    choosing = share if train.token_share < 1 else 0.0  # one pass of the base model
    flops = (passes * scale + choosing) * cost.forward_flops(shape.cost, lengths.training, lengths.learnt)
    return round(scale * sum(lengths.training)), flops


def _memory(recipe: Recipe, lengths: Lengths, shape: Shape) -> dict[str, float]:
    mean = sum(lengths.training) / len(lengths.training)
    return training_memory(
        recipe.train, parameters=shape.parameters, adapter_parameters=shape.adapter, hidden=shape.hidden, layers=shape.layers,
        tokens=pass_tokens(recipe, mean),
    )  # fmt: skip


def weight_reads(config: EvaluateConfig, generated: int, parameters: float) -> float:
    """Bytes of 16-bit weights that an evaluation reads at most to generate so many tokens: every token of a batch reads them once."""
    return generated / config.batch_size * 2 * parameters


def generated_tokens(config: EvaluateConfig, strict: bool) -> tuple[int, str]:
    """Tokens that one evaluation generates at most, of the very tasks that it takes, their thoughts and all temperatures included; and what is to
    be said where the tasks are not at hand.

    Args:
        config: of the evaluation.
        strict: refuse a wrong name.

    Raises:
        InputError: a task set that there is none of, if `strict`.
    """
    from codeact.evaluation.task_selection import sets_of, to_generate

    if config.generate_limit == 0:
        return 0, ""
    try:
        sets = sets_of(config)
    except CodeactError as error:
        if strict and isinstance(error, InputError):  # a wrong name is the user's; a failed download stops no plan
            raise
        return 0, f"evaluation is not counted: {error}"
    tasks = sum(map(len, to_generate(sets, config).values()))
    each = config.thinking_tokens + config.max_new_tokens
    return tasks * config.samples_per_task * each * (1 + len(config.temperatures)), ""


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
        records, read_config(recipe), tokenizer,
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

    from codeact.judge import asking, ratings
    from codeact.judge.costs import estimate_cost
    from codeact.judge.kept import Cache
    from codeact.stages import judge

    if not recipe.judge.endpoint:
        return []
    asked = [(ratings.rubric(n).template, recipe.judge.max_tokens) for n in judge.rubrics(recipe) if "judge" in todo]
    asked += [("judge_tags", recipe.judge.tag_tokens)] if "tags" in todo else []
    lines = []
    for template, tokens in asked:
        with closing(Cache(asking.cache_file())) as cache:
            found = estimate_cost(ratings.render(template, records), asking.settings(recipe.judge, tokens), cache)
        lines.append(f"{template}: {found.line()}")
    return lines
