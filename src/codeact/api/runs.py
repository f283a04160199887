"""Recipes made to run: `plan`, `run`, and single stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from codeact import config, row_output
from codeact.api.run_directory import Reported, write_reported
from codeact.config import Recipe
from codeact.errors import InputError
from codeact.files import Whole, name_of
from codeact.lm.hardware import UTILISATION
from codeact.locks import one_writer
from codeact.mirror import name_of_run, working_copy
from codeact.outputs import Run, check_file, note_ahead, note_file
from codeact.pipeline.plan import chosen
from codeact.pipeline.ready import say_unused
from codeact.pipeline.run import pipeline_run
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store
from codeact.storage import Source


def plan(
    recipe: Recipe | str | Path, overrides: Iterable[str] = (), *, gpu: str = "", gpus: int = 1, price: float | None = None,
    utilisation: float = UTILISATION, parameters: float | None = None, records: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What `run` would do and cost: stages, tokens, FLOPs, hours, memory and money; nothing is written.

    Args:
        recipe, overrides: as `run`.
        gpu: h100, a100, l4, 4090, t4, or this-machine, which is measured; empty: an A100 and an H100.
        gpus: how many of them.
        price: of one for an hour, in any currency.
        utilisation: share of the peak that is taken to be reached: an assumption.
        parameters: of the model, instead of its configuration: no model is looked for then.
        records: how many the data will have, where those given are a sample, or not at hand.

    Returns:
        The fields of `codeact.pipeline.forecast.Forecast`, and `lines` for people.

    Raises:
        InputError: bad input or configuration.
    """
    from codeact.pipeline.budget import Budget
    from codeact.pipeline.forecast import forecast

    whole = recipe if isinstance(recipe, Recipe) else config.load_recipe(recipe, overrides)
    found = forecast(whole, budget=Budget(gpu, gpus, price, utilisation, parameters, records))
    return {**found.summary(), "lines": found.lines()}


def run(
    recipe: Recipe | str | Path,
    overrides: Iterable[str] = (),
    *,
    force: bool = False,
) -> Path:
    """Run a whole recipe, records to report, and return the path of report.html, of a run at an address in its working copy.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        overrides: `key=value`.
        force: take a `run_dir` over that holds files of the run's names which no run wrote.

    Raises:
        InputError: bad input or configuration.
        CodeactError: a stage failed; finished work is kept and the next run goes on from it.
    """
    return run_reported(recipe, overrides, force=force).page


def run_reported(recipe: Recipe | str | Path, overrides: Iterable[str] = (), *, force: bool = False) -> Reported:
    """`run`, and the figures of its report.

    Raises:
        InputError, CodeactError: as `run`.
    """
    whole = recipe if isinstance(recipe, Recipe) else config.load_recipe(recipe, overrides)
    if not isinstance(recipe, Recipe):
        _keep_recipe(Path(recipe), Path(whole.run_dir))
    with working_copy(whole.run_dir) as folder:
        own = whole.model_copy(update={"run_dir": folder})
        say_unused(own, [stage.name for stage in chosen(own, Inputs(own))], changed=True)
        with pipeline_run(own, force=force) as store:
            return write_reported(store.root)


def _keep_recipe(file: Path, run_dir: Path) -> None:
    """Refuse a recipe of the user's own hand that lies where the run writes its whole recipe.

    Raises:
        InputError: it does.
    """
    kept = run_dir / "recipe.yaml"
    if not (file.is_file() and kept.is_file() and file.samefile(kept)):
        return
    if file.read_text(encoding="utf-8") != yaml.safe_dump(config.read_yaml(file), sort_keys=False):
        raise InputError(
            f"recipe {file} lies in its own run_dir, where the run writes recipe.yaml; move it, or name another run_dir"
        )


@one_writer("output", addresses=True)
def run_stages(
    recipe: Recipe,
    targets: Sequence[str],
    output: Path | None,
    *,
    force: bool = False,
    also: Callable[[Path], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Run the stages that `targets` need, copy the last one's table to `output`, and return its marker's summary.

    With `force` an `output` is replaced that another run wrote; never one of the inputs. `also` reads the run's folder, before another
    process can work in it; what it returns is added.

    Raises:
        InputError: bad input or configuration.
    """
    with working_copy(recipe.run_dir) as folder:
        return _run_stages(recipe.model_copy(update={"run_dir": folder}), targets, output, force, also)


def _run_stages(
    recipe: Recipe, targets: Sequence[str], output: Path | None, force: bool, also: Callable[[Path], Mapping[str, Any]] | None
) -> dict[str, Any]:
    inputs = Inputs(recipe)
    writer = Run(targets[0], inputs.name, inputs.paths(), force)
    if output is not None:
        rows = targets[-1] in ("curate", "refine")
        row_output.check_writable(output, rows and inputs.delimited)
        check_file(output, writer, Path(recipe.run_dir))
    say_unused(recipe, [stage.name for stage in chosen(recipe, inputs, targets)])
    with pipeline_run(recipe, targets, inputs, force=force) as store:
        if output is not None:
            there = check_file(output, writer, store.root)  # a file may have come meanwhile
            _export(store, targets[-1], inputs, output, there, note_ahead(output, writer, store.root))
            note_file(output, writer, store.root)
        return {**_summary(store, targets[-1], output), **(also(store.root) if also is not None else {})}


def _summary(store: Store, last: str, output: Path | None) -> dict[str, Any]:
    marker = store.marker(last) or {}
    summary = dict(marker.get("summary", {}))
    if last == "refine":  # goes on where curate ended
        first = dict((store.marker("curate") or {}).get("summary", {}))
        summary = {**first, **summary, "dropped": {**first["dropped"], **summary["dropped"]}}
    read = dict((store.marker("records") or {}).get("summary", {}))
    return {
        "stage": last,
        "run_dir": name_of_run(store.root),
        "output": name_of(output) if output else None,
        **summary,
        "reading": read,
    }


def estimate_scores(recipe: Recipe) -> dict[str, Any]:
    """What scoring the recipe's data will take; see `codeact.pipeline.forecast.forecast_scores`.

    Raises:
        InputError: no usable data, or no such model.
    """
    from codeact.pipeline.forecast import forecast_scores

    return forecast_scores(recipe, Inputs(recipe))


def _export(store: Store, stage: str, inputs: Inputs, output: Path, replace: bool, whole: Whole) -> None:
    if stage in ("curate", "refine"):
        kept = tables.ids_of(store.table(stage, ["id", "kept"]), "kept")
        rows = tables.keep_ids(store.table("records", ["id", "row"]), kept)["row"].to_pylist()
        row_output.write_rows(inputs.source, rows, output, replace=replace, whole=whole)
        return
    table = store.table(stage)
    row_output.write_rows(
        Source(stage, table.to_pylist(), table), range(table.num_rows), output, replace=replace, whole=whole
    )
