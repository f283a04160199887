"""What finished stages are worth once the settings of a run directory change: one that was made with others does not count."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from codeact import mirror
from codeact.config import Recipe, SampleConfig, kept_recipe
from codeact.errors import InputError
from codeact.pipeline.plan import plan
from codeact.redact import redact
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store, digest

log = logging.getLogger(__name__)
NAMED = 3
"""Files of the data that a line names."""


class Named(Inputs):
    """Data, models and files by their names alone, without a look at them: to compare two recipes."""

    def identity(self) -> Mapping[str, Any]:
        return {"data": self.recipe.data.model_dump(mode="json")}

    def facts(self, name: str, revision: str | None = None) -> dict[str, Any]:
        return {"identity": [name, revision], **self.recipe.model.model_dump(mode="json", include={"dtype", "device", "max_length", "template"})}

    def embedder_files(self) -> Mapping[str, str]:
        return {"embedder_commit": self.recipe.embed.revision or ""}

    def benchmark_digests(self) -> Mapping[str, str]:
        return dict.fromkeys(self.recipe.curate.benchmark_files, "")

    def target(self) -> Mapping[str, Any]:
        return {"target": self.recipe.sample.target, "map": self.recipe.sample.target_map}

    def listed(self) -> Mapping[str, Any]:
        return {"listed": self.recipe.sample.listed}


def doubted_by(store: Store, recipe: Recipe) -> list[str]:
    """The finished stages that the recipe of the run directory, which is about to be replaced, makes otherwise than `recipe`.

    They are for `Store.doubt`: whoever reads the directory before their turn comes must not show them as results of the new settings.
    """
    finished = {stage.name for stage in plan(recipe, Named(recipe)) if store.marker(stage.name) is not None}
    if not finished:
        return []
    try:
        before = kept_recipe(store.root)
    except InputError:  # of another release, or damaged
        before = None
    if before == recipe:
        return []
    if before is not None and "sample" in finished:
        say_unnamed(before.sample, recipe.sample)
    known = _configs(before, finished) if before is not None else {}
    return [name for name, config in _configs(recipe, finished).items() if config is None or known.get(name) != config]


def say_unnamed(before: SampleConfig, sample: SampleConfig) -> None:
    """One line where a selection was made by another strategy or unit than the default, and is gone on with without a word on them."""
    kept = {key: getattr(before, key) for key in ("strategy", "unit") if key not in sample.model_fields_set and getattr(before, key) != getattr(sample, key)}
    if kept:
        said = ", ".join(f"sample.{key}={value}" for key, value in kept.items())
        now = ", ".join(str(getattr(sample, key)) for key in kept)
        log.warning("the selection here was made with %s; this call does not say so and means %s: say it to keep that selection", said, now)


def say_other_data(store: Store, inputs: Inputs) -> None:
    """One line where the records of a run directory, which are about to be read anew, came from other data: the directory is taken over.

    A file that was edited where it lies, or was moved as it is, is no other.
    """
    marker, found = store.marker("records"), origin(inputs)
    if marker is None:
        return
    before, now = _read_from(marker), _read_from(found)
    moved = bool(found["source"]) and _digests(marker) == _digests(found)
    if before and before != now and not moved:
        log.warning(
            "%s: its records came from %s, and come from %s now: what was made of the former is replaced. To keep both, give another --run-dir",
            mirror.name_of_run(store.root), before, now,
        )  # fmt: skip


def origin(inputs: Inputs) -> dict[str, Any]:
    """What the marker of `records` says of where its rows are from: `source`, as `Inputs.origin`, and `data`, the name. A file may be edited or gone
    when a reader asks."""
    return {"source": inputs.origin(), "data": redact(inputs.name, environment={})}


def _digests(told: Mapping[str, Any]) -> list[str]:
    return sorted(file["sha256"] for file in told.get("source", ()))


def _read_from(told: Mapping[str, Any]) -> str:
    """The files that rows came from, else the name of the data; empty where neither is known."""
    paths = [file["path"] for file in told.get("source", ())]
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more if paths else str(told.get("data", ""))


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
