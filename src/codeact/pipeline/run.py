"""Runs a plan in a run directory: reuses what is complete, redoes what changed, writes the ledger and the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import yaml

from codeact import mirror, progress, storage
from codeact.config import Recipe
from codeact.files import write_text
from codeact.judge.costs import LEDGER
from codeact.lm.devices import choose_device
from codeact.logs import RUN_LOG, may_hold_log, run_log
from codeact.outputs import OUTPUTS, Run, claim_folder, standing, taken_back
from codeact.pipeline import ready
from codeact.pipeline.changed import doubted_by, origin, say_other_data
from codeact.pipeline.ledger import write_dropped, write_ledger
from codeact.pipeline.plan import chosen, plan
from codeact.rundir import ranks
from codeact.rundir.faults import PartitionError
from codeact.rundir.inputs import Inputs
from codeact.rundir.processes import kept_processes
from codeact.rundir.stage import Stage, other_weights, turn
from codeact.rundir.store import LOCK, Store, now
from codeact.rundir.versions import joint_versions, versions
from codeact.stages.pool import check_quotas, pool_stages

log = logging.getLogger(__name__)
MAX_LISTED = 20
"""Parts of a list that the log shows."""
SUMMARIES = ("report.html", "report.json", "ledger.parquet", "dropped.jsonl")
"""Written at the end of a run, from the tables of its stages."""


def run_pipeline(
    recipe: Recipe,
    targets: Iterable[str] | None = None,
    inputs: Inputs | None = None,
    *,
    shared_runs: Sequence[Store] = (),
    force: bool = False,
) -> Store:
    """Run the stages that `targets` need (default: all) and return the run's store; one line per stage is logged at INFO.

    Args:
        recipe: the whole configuration; `recipe.run_dir` is created.
        targets: stage names of the plan.
        inputs: the data and the model, where the caller has opened them already.
        shared_runs: other run directories; a stage that is `shared` and that one of them has finished alike is taken over from it.
        force: take a folder over that holds files of these names which no run wrote.

    Raises:
        InputError: bad input, configuration or output folder.
        CodeactError: a stage failed; finished work is kept.
        SystemExit: with status 0, in the processes of a launch that are not the first: they have helped, and are done.
    """
    with pipeline_run(recipe, targets, inputs, shared_runs=shared_runs, force=force) as store:
        return store


@contextmanager
def pipeline_run(
    recipe: Recipe,
    targets: Iterable[str] | None = None,
    inputs: Inputs | None = None,
    *,
    shared_runs: Sequence[Store] = (),
    force: bool = False,
) -> Iterator[Store]:
    """`run_pipeline`, for a block that reads what was made: until it ends, no other process works in the run directory.

    Raises:
        InputError, CodeactError, SystemExit: as `run_pipeline`.
    """
    store = Store(Path(recipe.run_dir))
    inputs = inputs or Inputs(recipe)
    stages = chosen(recipe, inputs, targets)
    names = {stage.name for stage in stages}
    inputs.check(names)
    ready.check(recipe, names, {name for name in names if store.marker(name) is not None})
    if ranks.mine() > 0:
        _help(store, stages)
    own = {RUN_LOG} if may_hold_log(store.path(RUN_LOG)) else set()  # such a file is nobody's but a run's
    there, written = standing(store.root), _names(recipe, inputs)
    claim_folder(store.root, written - own, Run("run", "", inputs.paths(), force), store.has_begun())

    def finished() -> bool:  # helpers of a launch follow the folder
        return ranks.world() > 1 or any(store.path("markers").glob("*.json"))

    with store.lock():
        with taken_back(there, finished, written | {LOCK}), run_log(store.root, log) as note, ranks.first(store.root), kept_processes():
            _make(store, recipe, inputs, stages, shared_runs, note)
        yield store


def _make(
    store: Store, recipe: Recipe, inputs: Inputs, stages: Sequence[Stage], shared_runs: Sequence[Store], note: Callable[[str], None]
) -> None:
    """Do what is to be done of the stages, and write what is told of them all."""
    done: dict[str, str] = {}
    if doubted := doubted_by(store, recipe):
        _drop_summaries(store)  # whenever this run stops, none of them lies beside tables of another choice
    for name in doubted:
        store.doubt(name)
    told = recipe.model_dump(mode="json") | ({"run_dir": mirror.name_of_run(store.root)} if mirror.is_mirrored(store.root) else {})
    write_text(store.path("recipe.yaml"), yaml.safe_dump(told, sort_keys=False))
    for before, stage in zip(("", *(stage.name for stage in stages)), stages, strict=False):
        if before == pool_stages(recipe.curate)[-1] and any(one.name == "sample" for one in stages):
            check_quotas(store, recipe)  # before anything is scored
        here = turn(stage, store, done)
        done[stage.name] = here.fingerprint
        if here.kept:
            store.trust(stage.name)
            note(f"{stage.name}: done before, kept")
            continue
        if fault := store.fault(stage.name) or here.replaced:
            note(f"{stage.name}: {fault}; done again")
        _drop_summaries(store)
        other = _shared_run(stage, here.fingerprint, store, shared_runs)
        if other is not None:
            store.take_stage(stage.name, other, stage.files, here.made_from)
            note(f"{stage.name}: shared from {other.root.name}")
            continue
        started = now()
        log.debug("%s: begins", stage.name)
        if stage.name == "records":
            say_other_data(store, inputs)
        loaded = stage.loaded() if stage.loaded is not None else ""
        store.begin(stage.name, here.fingerprint, stage.files)
        summary = _worked(stage, store)
        marker: dict[str, Any] = {
            "stage": stage.name, "fingerprint": here.fingerprint, "config": here.config,
            "inputs": {name: done[name] for name in stage.needs}, "made_from": dict(here.made_from),
            "seconds": round(now() - started, 2), "summary": summary, "versions": _made_with(stage, recipe),
        }  # fmt: skip
        if stage.name == "records":
            marker |= origin(inputs)
        if loaded:
            marker["loaded"] = loaded
        store.finish(stage.name, marker, stage.files)
        note(f"{stage.name}: {brief(summary)} ({marker['seconds']:.0f} s)")
    made = {stage.name: found for stage in plan(recipe, inputs) if (found := store.marker(stage.name)) is not None}
    storage.write_json(store.path("versions.json"), joint_versions(made))
    write_ledger(store, recipe)
    if "curate" in done:
        write_dropped(store, inputs.source.rows)


def _drop_summaries(store: Store) -> None:
    there = [path for name in SUMMARIES if (path := store.path(name)).exists()]
    for path in there:
        path.unlink()
    if there:
        mirror.sync(store.root)


def _made_with(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """The versions, the machine, and where a model ran its device."""
    found = versions()
    if not stage.loads_model:
        del found["device"]
    else:
        found["device"] = "ray" if stage.in_shards and recipe.backend == "ray" else choose_device(recipe.model.device).type
    return found


def _worked(stage: Stage, store: Store) -> Mapping[str, Any]:
    """The stage's work; an error that names partitions says whose they are."""
    try:
        return stage.work(store)
    except PartitionError as error:
        raise PartitionError(f"{stage.name}: {error}") from error


def _help(store: Store, stages: Sequence[Stage]) -> NoReturn:
    """What a process that is not the first of its launch does of a run: its part of the shards, without a word."""
    progress.show(False)
    ranks.follow(store.root, {stage.name: partial(stage.work, store) for stage in stages if stage.in_shards})
    raise SystemExit(0)


def _shared_run(stage: Stage, fingerprint: str, asking: Store, shared_runs: Sequence[Store]) -> Store | None:
    """The first other run directory that has done this stage with this fingerprint."""
    others = (store for store in shared_runs if stage.shared and store.root.resolve() != asking.root.resolve())
    return next((store for store in others if store.is_done(stage.name, fingerprint) and not other_weights(stage, store)), None)


def _names(recipe: Recipe, inputs: Inputs) -> set[str]:
    """Everything that a run writes directly in its directory."""
    stages = plan(recipe, inputs)
    files = {name.partition("/")[0] for stage in stages for name in stage.files}
    return {*files, *SUMMARIES, "recipe.yaml", "versions.json", "markers", "shards", RUN_LOG, OUTPUTS, LEDGER}


def brief(summary: object) -> str:
    """A stage's figures on one line, without the lines for people among them."""
    if not isinstance(summary, dict):
        return str(summary)
    return _listed({str(key).replace("_", " "): value for key, value in summary.items() if not str(key).endswith("_line")})


def _listed(figures: dict[str, object]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in figures.items() if value not in ({}, [], None))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "(" + _listed(value) + ")"
    if isinstance(value, list | tuple):
        return "[" + ", ".join([*map(_short, value[:MAX_LISTED]), *(["..."] if len(value) > MAX_LISTED else [])]) + "]"
    return str(value)
