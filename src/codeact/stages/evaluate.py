"""Stages `evaluate_base` and `evaluate_tuned`: the model before and after, on the same tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeact.config import Recipe
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store

VERSION = 1
EVALUATIONS = ("evaluate_base", "evaluate_tuned")


def stage_base(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder evaluate/base."""
    settings = {**recipe.evaluate.model_dump(), "seed": recipe.seed}
    return Stage(
        "evaluate_base", (), lambda: {"model": inputs.model(), **settings}, VERSION,
        lambda store: evaluate(store, recipe, inputs, tuned=False), ("evaluate/base",), "evaluate/base/results.json",
        shared=True, loads_model=True,
    )  # fmt: skip


def stage_tuned(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder evaluate/tuned."""
    settings = {**recipe.evaluate.model_dump(), "seed": recipe.seed}
    return Stage(
        "evaluate_tuned", ("train",), lambda: settings, VERSION,
        lambda store: evaluate(store, recipe, inputs, tuned=True), ("evaluate/tuned",), "evaluate/tuned/results.json",
        loads_model=True,
    )  # fmt: skip


def evaluate(store: Store, recipe: Recipe, inputs: Inputs, tuned: bool) -> Mapping[str, Any]:
    """Benchmark the base or the tuned model."""
    from codeact.evaluation.run import evaluate_model
    from codeact.training.sft import tuned_model

    m = recipe.model
    name = str(tuned_model(store.path("train"))) if tuned else m.name
    results = evaluate_model(
        name, store.path("evaluate/tuned" if tuned else "evaluate/base"),
        model=m.model_copy(update={"revision": None}) if tuned else m, config=recipe.evaluate, seed=recipe.seed,
    )  # fmt: skip
    keys = ("pass@1", "bits_per_byte")
    return {
        task: {k: value.get(k) for k in keys}
        for task, value in results.items()
        if isinstance(value, dict) and "version" in value
    }
