"""Which finished results of a comparison still stand: those of the same settings, data, files and code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.comparison.grid import FIRST_DEFAULTS
from codeact.comparison.split import HELD_OUT_FILE, POOL_FILE
from codeact.config import Recipe
from codeact.lm.identity import model_identity
from codeact.pipeline.plan import chosen
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import digest, file_digest
from codeact.stages.evaluate import own_files

VERSION = 2  # of what a comparison does itself: the held-out loss, and what a result holds
BASE, TUNED = "evaluate_base", "evaluate_tuned"
RESULT = "result.json"
FAILED = "failed.json"  # why a cell has no result
LOADED = "loaded for "  # before a stage's name: what its endpoint has loaded


@dataclass(frozen=True, slots=True)
class Facts:
    """What results depend on beside their recipes.

    Attributes:
        data: digests of the pool and of the held-out records.
        seen: what `contents` has read, by what was asked of it: weights are large, and cells name the same ones.
    """

    data: Mapping[str, Any]
    seen: dict[str, str] = field(default_factory=dict)


def read_facts(root: Path) -> Facts:
    """As the files of the comparison in this folder are now."""
    held_out = root / HELD_OUT_FILE
    return Facts({"pool": file_digest(root / POOL_FILE), "held_out": file_digest(held_out) if held_out.exists() else None})


def signed(recipe: Recipe, facts: Facts, last: str) -> dict[str, Any]:
    """What a result says of what it is made of: `key`, of settings, data and code, and `contents`."""
    return {"key": _key(recipe, facts, last), "contents": contents(recipe, last, facts.seen)}


def kept(folder: Path, recipe: Recipe, facts: Facts, last: str, name: str = RESULT) -> dict[str, Any] | None:
    """The result in this folder (or its failure, `FAILED`), if it is whole and made of the same as one that would be made now.

    Raises:
        InputError: a model or a file that the recipe names is not there.
    """
    found = storage.read_checked(folder / name)
    if found is None or found.get("key") != _key(recipe, facts, last):
        return None
    return found if _same_contents(found.get("contents"), contents(recipe, last, facts.seen)) else None


def _same_contents(before: object, now: Mapping[str, str]) -> bool:
    """Whether a result was made of what `contents` finds now. What an endpoint has loaded counts where it was known then and is known now."""
    if not isinstance(before, Mapping):
        return False
    unknown = {name for name in before.keys() ^ now.keys() if name.startswith(LOADED)}
    return {k: v for k, v in before.items() if k not in unknown} == {k: v for k, v in now.items() if k not in unknown}


def contents(recipe: Recipe, last: str, seen: dict[str, str]) -> dict[str, str]:
    """Digests of what the models and files hold, which may change under one name, of those that the stages up to `last` read; and
    what an endpoint says that it has loaded.

    Raises:
        InputError: one is not there.
    """
    inputs, m, judge, sample = Inputs(recipe), recipe.model, recipe.judge, recipe.sample
    planned = chosen(recipe, inputs, (last,))
    stages = {stage.name for stage in planned}
    parts: dict[str, tuple[bool, Any, Callable[[], Any]]] = {  # whether it is read, what names it, and how it is read
        "model": (True, [m.name, m.revision, m.template], lambda: [model_identity(m.name, m.revision), inputs.template()]),
        "tasks": (True, [recipe.evaluate.tasks, recipe.evaluate.held_out, recipe.evaluate.solve_rate_of], lambda: own_files(recipe.evaluate)),
        "benchmarks": ("curate" in stages, recipe.curate.model_dump(mode="json"), inputs.benchmark_digests),
        "embedder": (not stages.isdisjoint({"embed", "tags"}), [recipe.embed.model, recipe.embed.revision], inputs.embedder_files),
        "proxy": ("proxy" in stages, recipe.score.proxy, lambda: model_identity(recipe.score.proxy)),
        "judge": ("judge" in stages and not judge.endpoint, judge.model, lambda: model_identity(judge.model)),
        "target": (not stages.isdisjoint({"target", "rds", "dsir"}), [sample.target, sample.target_map], inputs.target),
        "listed": ("listed" in stages, sample.listed, inputs.listed),
    }
    found: dict[str, str] = {}
    for what, (is_read, named, read) in parts.items():
        if is_read:
            asked = digest([what, named])
            if asked not in seen:
                seen[asked] = digest(read())
            found[what] = seen[asked]
    for stage in planned:
        if stage.loaded is not None:
            asked = digest([stage.name, judge.endpoint, judge.model, recipe.score.endpoint, recipe.score.endpoint_model, m.name])
            if asked not in seen:
                seen[asked] = stage.loaded()
            if seen[asked]:
                found[f"{LOADED}{stage.name}"] = seen[asked]
    return found


def versions(recipe: Recipe, last: str) -> dict[str, int]:
    """The version of every stage that decides a result, by its name, and of the comparison itself.

    They are the stages that `last` needs, and `score`, whose tokens are counted and whose losses the held-out loss is.
    """
    return {stage.name: stage.version for stage in chosen(recipe, Inputs(recipe), (last, "score"))} | {"compare": VERSION}


def _key(recipe: Recipe, facts: Facts, last: str) -> str:
    return digest([deciding_settings(recipe), facts.data, versions(recipe, last)])


def deciding_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings of a cell that differ from the defaults, as of when results were first kept, so that no later default voids a result.

    Neither where it lies nor settings without effect, or that later versions add, are among them.
    """
    unused = {"train": recipe.train.WITHOUT_EFFECT, "pack": recipe.pack.WITHOUT_EFFECT}
    left_out: dict[str, Any] = {"run_dir": True, "data": {"source"}, "workers": True, **unused}
    tree: dict[str, Any] = recipe.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    for key, first in FIRST_DEFAULTS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        own = {**tree.pop(section, {}), name: value}
        if value == first:
            del own[name]
        if own:
            tree[section] = own
    return tree
