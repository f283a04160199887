"""What finished stages are worth once the settings of a run directory change: one that was made with others does not count."""

from __future__ import annotations

from collections.abc import Mapping
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
    finished = {stage.name for stage in plan(recipe, Named(recipe)) if store.marker(stage.name) is not None}
    if not finished:
        return
    try:
        before = kept_recipe(store.root)
    except InputError:  # of another release, or damaged
        before = None
    if before == recipe:
        return
    known = _configs(before, finished) if before is not None else {}
    for name, config in _configs(recipe, finished).items():
        if config is None or known.get(name) != config:
            store.doubt(name)


def _configs(recipe: Recipe, names: set[str]) -> dict[str, str | None]:
    """What decides the results of these stages, as far as the recipe tells; None where a file that it names is not there."""
    found = dict[str, str | None]()
    for stage in plan(recipe, Named(recipe)):
        if stage.name in names:
            try:
                found[stage.name] = digest([stage.config(), stage.needs])
            except InputError:
                found[stage.name] = None
    return found
