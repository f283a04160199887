"""Stages `train` and `train_control`: fine-tune on the chosen records, and in the very same way on those of the control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeact.config import Recipe
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.checkpoints import VERSION


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder train/: the tuned model or adapter, and summary.json."""
    return _stage("train", "sample", recipe, inputs)


def stage_control(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder train_control/, as `stage`."""
    return _stage("train_control", "control", recipe, inputs)


def _stage(name: str, choice: str, recipe: Recipe, inputs: Inputs) -> Stage:
    """The training on what `choice` chose, into the folder `name`."""
    settings = recipe.train.deciding()
    packing = recipe.pack.model_dump(exclude=recipe.pack.WITHOUT_EFFECT)

    def config() -> Mapping[str, Any]:
        return {"model": inputs.model(), **settings, "pack": packing, "seed": recipe.seed_of("train")}

    return Stage(
        name, (choice,), config, VERSION, lambda store: train(store, recipe, name, choice), (name,), f"{name}/summary.json",
        loads_model=True,
    )  # fmt: skip


def train(store: Store, recipe: Recipe, folder: str, choice: str) -> Mapping[str, Any]:
    """Fine-tune on the records of `choice`; a killed training goes on from its last checkpoint."""
    from codeact.training.sft import fine_tune

    return fine_tune(
        selected_records(store, choice), store.path(folder),
        model=recipe.model, train=recipe.train, pack=recipe.pack, seed=recipe.seed_of("train"),
    )  # fmt: skip
