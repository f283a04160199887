"""What every node of a cluster must have alike: workers load models and files by name, each from its own machine."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codeact.config import ModelConfig, Recipe
from codeact.downloads import DEMO
from codeact.errors import InputError
from codeact.files import at_home
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.identity import hub_commit, hub_name, model_identity, resolve_embedder
from codeact.rundir.store import file_digest
from codeact.rundir.versions import packages

DECIDING = ("torch", "transformers", "sentence-transformers")
"""Packages that compute."""
COPY = "copy it to every node, or name a folder that all of them see"


@dataclass(frozen=True)
class Fact:
    """Something that decides a worker's results and that each machine finds by itself.

    Attributes:
        key: of the recipe, and its value.
        look: finds it on the machine where it is called.
        mend: what to do where machines differ; `{}` stands for what the driving one has.
    """

    key: str
    look: Callable[[], str]
    mend: str


def look(facts: Sequence[Fact]) -> list[str]:
    """What they are on this machine.

    Raises:
        InputError: something is not there.
    """
    return [fact.look() for fact in facts]


def check_alike(facts: Sequence[Fact], found: Sequence[str]) -> None:
    """Refuse this machine where it has something else under the same name.

    Args:
        facts: what is looked at.
        found: what `look` found on the machine that drives.

    Raises:
        InputError: it has, or it lacks it.
    """
    for fact, there in zip(facts, found, strict=True):
        try:
            here = fact.look()
        except InputError as error:
            raise InputError(f"node {platform.node()}: {error}") from error
        if here != there:
            mend = fact.mend.format(there.rpartition("@")[2])
            raise InputError(f"{fact.key}: node {platform.node()} has {here}, and the machine that drives {there}; {mend}")


def model_facts(model: ModelConfig, key: str = "model.name", *, weights: bool = True) -> list[Fact]:
    """What a worker reads that runs a model, or its tokenizer alone.

    Args:
        model: names it, its template and its dtype.
        key: of the recipe that names the model.
        weights: whether it is run.
    """
    name = f"{key}={model.name}"
    local = _local(model.name) is not None
    found = [Fact(name, partial(model_identity, model.name, model.revision), COPY if local else _pin(key))]
    if Path(model.template).is_file():
        found.append(Fact(f"model.template={model.template}", partial(_file, model.template), COPY))
    if weights:
        mend = "name one that all nodes are to compute in: model.dtype={}"
        found.append(Fact(f"model.dtype={model.dtype}", partial(_dtype, model.dtype, model.device), mend))
    return found


def embedder_facts(name: str, revision: str | None) -> list[Fact]:
    """What a worker reads that embeds."""
    return [Fact(f"embed.model={name}", partial(_embedder, name, revision), COPY if _local(name) is not None else "set embed.revision={}")]


def for_workers(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, where workers run elsewhere: they have another current folder."""
    if recipe.backend != "ray":
        return recipe
    model, score, judge = recipe.model, recipe.score, recipe.judge
    template = str(Path(model.template).absolute()) if Path(model.template).is_file() else model.template
    asked = score.endpoint_model or model.name if score.endpoint else score.endpoint_model  # an endpoint knows the name as it is written
    return recipe.model_copy(
        update={
            "model": model.model_copy(update={"name": _local(model.name) or model.name, "template": template}),
            "embed": recipe.embed.model_copy(update={"model": _local(recipe.embed.model) or recipe.embed.model}),
            "judge": judge if judge.endpoint else judge.model_copy(update={"model": _local(judge.model) or judge.model}),
            "score": score.model_copy(update={"endpoint_model": asked}),
        }
    )


def version_fault(there: Mapping[str, str | None] | None, node: str, *, model: bool) -> str | None:
    """Which package a node has in another version than this machine; None: none that decides results.

    Args:
        there: `packages()` of the node; None of a codeact that does not tell.
        node: its name.
        model: whether a model runs there; else only codeact is compared.
    """
    here = packages()
    for name in ("codeact", *(DECIDING if model else ())):
        mine, its = _public(here[name]), _public((there or {}).get(name))
        if mine != its:
            return (
                f"node {node} has {name} {its or 'of another version'}, and the machine that drives {mine or 'none'}; results of two versions would"
                " be mixed: install the same on every node"
            )
    return None


def _public(version: str | None) -> str | None:
    """Without the build (`+cpu`, `+cu130`): a cluster has nodes with GPUs and nodes without."""
    return version and version.partition("+")[0]


def _pin(key: str) -> str:
    return "set model.revision={}" if key == "model.name" else "name a folder that all of them see"


def _local(name: str) -> str | None:
    """The absolute path of a folder or GGUF file; None of a hub name and of `demo`."""
    path = at_home(name)
    return str(path.absolute()) if name not in ("", DEMO) and path.exists() else None


def _file(name: str) -> str:
    if not Path(name).is_file():
        raise InputError(f"{name} does not exist; {COPY}")
    return file_digest(Path(name))


def _dtype(name: str, device: str) -> str:
    return str(choose_dtype(name, choose_device(device))).removeprefix("torch.")


def _embedder(name: str, revision: str | None) -> str:
    where = resolve_embedder(name, revision)
    return file_digest(Path(where)) if Path(where).is_dir() else f"hub:{name}@{hub_commit(hub_name(name), revision, 'embedder')}"
