"""Stage `train`: fine-tune on the chosen records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeact.config import Recipe
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records

VERSION = 1


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes the folder train/: the tuned model or adapter, and summary.json."""
    settings = recipe.train.model_dump(exclude=recipe.train.WITHOUT_EFFECT)
    packing = recipe.pack.model_dump(exclude=recipe.pack.WITHOUT_EFFECT)

    def config() -> Mapping[str, Any]:
        return {"model": inputs.model(), **settings, "pack": packing, "seed": recipe.seed_of("train")}

    return Stage(
        "train", ("sample",), config, VERSION, lambda store: train(store, recipe, inputs), ("train",), "train/summary.json",
        loads_model=True,
    )  # fmt: skip


def train(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Fine-tune on the chosen records; a killed training goes on from its last checkpoint."""
    from codeact.training.sft import fine_tune

    return fine_tune(
        selected_records(store), store.path("train"),
        model=recipe.model, train=recipe.train, pack=recipe.pack, seed=recipe.seed_of("train"),
    )  # fmt: skip
