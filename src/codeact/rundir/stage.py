"""What a stage is, and the rule that decides whether it has to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeact.errors import InputError
from codeact.rundir.store import Store, digest


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: also the name of its table, `<name>.parquet`, where it writes one.
        needs: stages whose results it reads.
        config: everything else that decides its result; called when the stage's turn comes, for it may fetch a model.
        version: of the code that does the work; raised with every change that changes results.
        work: does the work and returns a few figures for the marker.
        outputs: what it writes besides its table; removed before it runs anew.
        result: the file that says what it found, where that is not its table.
        on_demand: runs only where another stage reads its table.
        shared: another run directory's result of the same fingerprint may be taken over (the cells of a comparison do).
        loads_model: needs the device that the recipe names.
        in_shards: its records go through workers, by `backend`.
        loaded: asks the endpoint that does its work what it has loaded under the model's name; empty: it does not say, or cannot be
            reached. None: no endpoint does it.
    """

    name: str
    needs: tuple[str, ...]
    config: Callable[[], Mapping[str, Any]]
    version: int
    work: Callable[[Store], Mapping[str, Any]]
    outputs: tuple[str, ...] = ()
    result: str = ""
    on_demand: bool = False
    shared: bool = False
    loads_model: bool = False
    in_shards: bool = False
    loaded: Callable[[], str] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Everything that it writes in the run directory."""
        return (f"{self.name}.parquet", *self.outputs)

    @property
    def main_file(self) -> str:
        """The file that is there when the stage is done."""
        return self.result or f"{self.name}.parquet"

    def fingerprint(self, config: Mapping[str, Any], done: Mapping[str, str]) -> str:
        """Hash of the configuration, the fingerprints of the stages it needs, and the version of the code."""
        return digest(
            {
                "stage": self.name,
                "config": config,
                "inputs": {n: done[n] for n in self.needs},
                "version": self.version,
            }
        )


@dataclass(frozen=True)
class Turn:
    """What decides whether a stage runs when its turn comes.

    Attributes:
        config: what the stage's `config` returned.
        fingerprint: of the stage, from it and from the fingerprints of the stages that it reads.
        made_from: what it reads -> digest of what that stage wrote.
        kept: a result of exactly these is there, and whole: there is nothing to do.
        replaced: as `other_weights`, of a result that would be kept but for that.
    """

    config: Mapping[str, Any]
    fingerprint: str
    made_from: Mapping[str, str]
    kept: bool
    replaced: str


def turn(stage: Stage, store: Store, done: Mapping[str, str]) -> Turn:
    """Look whether a stage has to run.

    Args:
        stage: whose turn it is.
        store: the run directory.
        done: fingerprints of the stages before it.
    """
    config = stage.config()
    fingerprint = stage.fingerprint(config, done)
    made_from = {name: store.made(name) for name in stage.needs}
    is_done = store.is_done(stage.name, fingerprint, made_from)
    replaced = other_weights(stage, store) if is_done else ""
    return Turn(config, fingerprint, made_from, is_done and not replaced, replaced)


def other_weights(stage: Stage, store: Store) -> str:
    """What is said where a finished stage's endpoint has other weights loaded under the model's name now; empty: it has not, or nobody knows.

    It counts only where the server said it then and says it now. So an endpoint that is gone, or was silent, voids no answers.
    """
    before = (store.marker(stage.name) or {}).get("loaded")
    if stage.loaded is None or not before:
        return ""
    try:
        now = stage.loaded()
    except InputError:  # no key, no client: what is finished needs neither
        return ""
    return f"its endpoint had {before} loaded, and has {now} under that name now" if now and now != before else ""


def states(store: Store, stages: Sequence[Stage]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Status and marker of every stage of a run directory, without looking at the data or the model.

    Returns:
        name -> (status, marker): `done`; or, with an empty marker, `not run`, `unfinished` (no completion marker) or `outdated`
        (made with other settings than the directory has now, or from an earlier result of a stage that it reads).
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for stage in stages:
        present = store.path(stage.main_file).is_file()
        marker = store.marker(stage.name)
        if marker is None or not present:
            begun = present or marker is not None or (store.path("markers") / f"{stage.name}.started").exists()
            found[stage.name] = ("unfinished" if begun else "not run", {})
        elif not store.is_doubted(stage.name) and all(found.get(n, ("", {}))[1].get("fingerprint") == told for n, told in marker["inputs"].items()):
            found[stage.name] = ("done", marker)
        else:
            found[stage.name] = ("outdated", {})
    return found


def needed_for(stages: Sequence[Stage], targets: Iterable[str]) -> list[Stage]:
    """The stages that the targets need, directly or not, in the order of the plan."""
    by_name = {stage.name: stage for stage in stages}
    wanted: set[str] = set()
    open_ = list(targets)
    while open_:
        name = open_.pop()
        if name not in wanted:
            wanted.add(name)
            open_ += by_name[name].needs
    return [stage for stage in stages if stage.name in wanted]
