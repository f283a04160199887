"""What finished stages are worth once the settings of a run directory change: one that was made with others does not count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.config import Recipe, kept_recipe
from codeact.errors import InputError
from codeact.pipeline.plan import plan
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store, digest


class Named(Inputs):
    """Data, models and files by their names alone, without a look at them: to compare two recipes."""

    def identity(self) -> Mapping[str, Any]:
        return {"data": self.recipe.data.model_dump(mode="json")}

    def facts(self, name: str, revision: str | None = None) -> dict[str, Any]:
        return {"identity": [name, revision], **self.recipe.model.model_dump(mode="json", include={"dtype", "device", "max_length", "template"})}

    def embedder_files(self) -> Mapping[str, str]:
        return {}

    def benchmark_digests(self) -> Mapping[str, str]:
        return dict.fromkeys(self.recipe.curate.benchmark_files, "")

    def target(self) -> Mapping[str, Any]:
        return {"target": self.recipe.sample.target, "map": self.recipe.sample.target_map}

    def listed(self) -> Mapping[str, Any]:
        return {"listed": self.recipe.sample.listed}


def doubt_others(store: Store, recipe: Recipe) -> None:
    """Mark the finished stages that the recipe of the run directory, which is about to be replaced, makes otherwise than `recipe`.

    Whoever reads the directory before their turn comes must not show them as results of the new settings.
    """
    file = store.path("recipe.yaml")
    before, after = _configs(file) if file.exists() else {}, _digests(recipe)
    for name, config in after.items():
        if store.marker(name) is not None and before.get(name) != config:
            store.doubt(name)


def _configs(file: Path) -> Mapping[str, str]:
    """Of a recipe in a file; none where it cannot be read any more."""
    try:
        return _digests(kept_recipe(file.parent))
    except InputError:
        return {}


def _digests(recipe: Recipe) -> dict[str, str]:
    return {stage.name: digest([stage.config(), stage.needs]) for stage in plan(recipe, Named(recipe))}
