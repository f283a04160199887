"""Stages `evaluate_base`, `evaluate_tuned`, `evaluate_control`: the model before, after, and after training on the control; on the same tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from codeact.config import EvaluateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation import journal
from codeact.evaluation.held_out import check_file
from codeact.evaluation.sets import unpinned_files
from codeact.evaluation.sets.own import is_file
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store, file_digest, kept_digest
from codeact.stages.judge import NO_EFFECT

# Raised with the answers' version, and by itself where verdicts, or what is told of them, change: answers on the disk are then kept.
VERSION = journal.VERSION + 11
TRAINED = {"tuned": "train", "control": "train_control"}  # model -> the stage that makes it
EVALUATIONS = ("evaluate_base", *(f"evaluate_{side}" for side in TRAINED))


def check(recipe: Recipe, stages: Collection[str]) -> None:
    """Refuse to ask an endpoint for the answers of a model that this run trains: it has the one that its server loaded.

    Args:
        recipe: the whole configuration.
        stages: names of those that are going to run.

    Raises:
        InputError: so it is.
    """
    if recipe.evaluate.endpoint and not {f"evaluate_{side}" for side in TRAINED}.isdisjoint(stages):
        raise InputError(
            "evaluate.endpoint: its server holds another model than the one that is trained here, and would answer for both; leave evaluate.endpoint"
            " out (evaluate.backend generates here), or train with evaluate.enabled=false, serve the trained model, and give its name to"
            " codeact evaluate NAME --endpoint ADDRESS"
        )


def stage_base(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder evaluate/base."""
    return Stage(
        "evaluate_base", (), lambda: {"model": inputs.model(), **_settings(recipe)}, VERSION,
        lambda store: evaluate(store, recipe, "base"), ("evaluate/base",), "evaluate/base/results.json",
        shared=True, loads_model=True,
    )  # fmt: skip


def stage_trained(recipe: Recipe, side: str) -> Stage:
    """Writes the folder evaluate/tuned, or evaluate/control."""
    return Stage(
        f"evaluate_{side}", (TRAINED[side],), lambda: _settings(recipe), VERSION,
        lambda store: evaluate(store, recipe, side), (f"evaluate/{side}",), f"evaluate/{side}/results.json",
        loads_model=True,
    )  # fmt: skip


def _settings(recipe: Recipe) -> Mapping[str, Any]:
    """What decides the figures beside the model. A newer `evaluate.asked_since` is among them: it wants other answers."""
    held = recipe.evaluate.held_out
    given = recipe.evaluate.model_dump(exclude={*NO_EFFECT, *(() if held else ("held_out",))})
    found = {**given, "seed": recipe.seed, **own_files(recipe.evaluate)}
    return found | ({"read_as": recipe.model.model_dump(include={"template", "max_length"})} if held else {})


def own_files(config: EvaluateConfig) -> dict[str, Any]:
    """Digests of the files that decide what is measured and that may change under their names: `task_files`, by name, of one's own tasks;
    `published`, by name, of published sets that no hash pins; `held_out`, and `solved`, the samples of `evaluate.solve_rate_of`.
    Each only where there is one.

    Raises:
        InputError: there is no file `evaluate.held_out`.
    """
    own = {name: file_digest(Path(name)) for name in config.tasks if is_file(name) and Path(name).is_file()}
    found: dict[str, Any] = {"task_files": own} if own else {}
    published = {name: [kept_digest(path) for path in files] for name in config.tasks if (files := unpinned_files(name))}
    if published:
        found["published"] = published
    solved = Path(config.solve_rate_of, "samples.jsonl")
    if config.solve_rate_of and solved.is_file():
        found["solved"] = file_digest(solved)
    if config.held_out:
        check_file(config.held_out)
        found["held_out"] = file_digest(Path(config.held_out))
    return found


def evaluate(store: Store, recipe: Recipe, side: str) -> Mapping[str, Any]:
    """Benchmark the base model, or one that this run trained."""
    from codeact.evaluation.run import evaluate_model
    from codeact.training.sft import tuned_model

    m, trained = recipe.model, TRAINED.get(side)
    results = evaluate_model(
        str(tuned_model(store.path(trained))) if trained else m.name, store.path(f"evaluate/{side}"),
        model=m.model_copy(update={"revision": None}) if trained else m, config=recipe.evaluate, seed=recipe.seed,
    )  # fmt: skip
    keys = ("pass@1", "bits_per_byte")
    return {
        task: {k: value.get(k) for k in keys}
        for task, value in results.items()
        if isinstance(value, dict) and "version" in value
    }
