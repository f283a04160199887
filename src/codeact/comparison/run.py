"""`codeact compare`: trains and evaluates every cell of a grid on one score cache, and says what differs and how surely."""

from __future__ import annotations

import gc
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.amounts import amount
from codeact.comparison.forecast import GridForecast, forecast_grid
from codeact.comparison.grid import (
    HELD_OUT,
    Cell,
    Comparison,
    base_recipe,
    cells,
    same_at_every_seed,
    shared_recipes,
    source_recipe,
    without_rival,
)
from codeact.comparison.kept import BASE, FAILED, RESULT, TUNED, Facts, kept, read_facts, signed, versions
from codeact.comparison.measures import BITS, solution_characters
from codeact.comparison.results import summarise
from codeact.comparison.split import (
    HELD_OUT_FILE,
    POOL_FILE,
    POOLS_FILE,
    check_pools,
    check_seeds,
    divide,
    held_out_records,
    is_divided,
    pool_rows,
)
from codeact.config import Recipe
from codeact.errors import CodeactError, InputError
from codeact.evaluation.compare import MARGINS, PASS_AT, per_task
from codeact.locks import shared_lock, take
from codeact.outputs import Run, claim_folder, standing, taken_back
from codeact.pipeline import ready
from codeact.pipeline.budget import Budget
from codeact.pipeline.forecast import elsewhere
from codeact.pipeline.plan import chosen, plan
from codeact.pipeline.run import run_pipeline
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.inputs import HARVEST, Inputs
from codeact.rundir.store import Store
from codeact.score.response_loss import cut_line, response_losses
from codeact.stages.listed import all_rows, read_list, resolve
from codeact.stages.sample import counted_by, tables_for

log = logging.getLogger(__name__)
CELL_STAGES = ("curate", "score", "train", "evaluate_base")
WRITTEN = (POOL_FILE, HELD_OUT_FILE, POOLS_FILE, "split.json", "compare.json", "compare.html", "base", "cells", "shared")
READY = ".ready"  # a lock
SPLIT = ".split"  # another: whoever measures shares it, whoever divides the records has it alone
ALIKE = 3  # cells, of every entrant that is left, after which a fault that all share ends the call


def run_comparison(
    comparison: Comparison,
    *,
    minutes: float | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Run the cells that are not done, then write and return `compare.json`.

    A cell whose training or evaluation fails is named in `failed`, the others go on; the next call tries it again, after those
    that were not tried yet. Where all cells that the call tried failed for one reason, at least three and of every entrant that is
    left, the call ends.

    A cell ends with `result.json` in its run directory; the trained model is removed then. Stages before training are shared
    among the cells wherever their fingerprints agree. Killed, the same call goes on inside the cell it was in. Several
    processes may make the same call at once: each takes pools to score, then cells, that no other is in.

    What happens is logged at INFO, one line per stage and cell.

    Args:
        comparison: see `grid.Comparison`.
        minutes: begin no further cell after this time (a slice of a longer job); None: no limit.
        force: take a `run_dir` over that holds files of these names which no comparison wrote.

    Raises:
        InputError: bad data or configuration; or other settings would divide the records anew while another process measures.
        CodeactError: what all cells share failed; finished cells are kept.
    """
    with ExitStack() as held:
        return _compare(comparison, minutes, force, held)


def _compare(comparison: Comparison, minutes: float | None, force: bool, held: ExitStack) -> dict[str, Any]:
    started = time.monotonic()
    planned = cells(comparison)
    known = _check(comparison, planned)
    entrants = {cell.entrant: cell for cell in planned}.values()
    for cell in entrants:
        ready.check(cell.recipe, {*CELL_STAGES, *_made_for(cell)})
    root = Path(comparison.run_dir)
    read = (*Inputs(source_recipe(comparison)).paths(), *comparison.apart_from)
    signs = (("split.json", "held_out"), (f"base/{RESULT}", "key"))  # a file, and what it holds; cells restored from a file have no split
    begun = any(key in (storage.read_checked(root / name) or {}) for name, key in signs)
    there = standing(root)
    claim_folder(root, WRITTEN, Run("compare", "", read, force), begun)

    def out_of_time() -> bool:
        return minutes is not None and time.monotonic() - started > 60 * minutes

    waits = partial(log.info, "another process is dividing the records; waiting for it")
    with Store(root).wait_lock(READY, waits), taken_back(there, (root / "split.json").is_file, {*WRITTEN, READY, SPLIT}):
        held_out = _divided(comparison, root, held)
    for line in _cautions(comparison, pool_rows(root), held_out):
        log.warning("%s", line)
    facts = read_facts(root)
    left = [cell for cell in planned if _result(cell, facts) is None]
    if void := sum((Path(cell.recipe.run_dir) / RESULT).is_file() for cell in left):
        log.info("%d results of cells are of other settings, data, files or versions of the code, or damaged: done again", void)
    base = _base_recipe(comparison)
    if left or kept(root / "base", base, facts, BASE) is None:
        begin = sorted({counted_by(cell.recipe.sample) for cell in planned} | ({"cluster"} if any("embed" in _made_for(cell) for cell in entrants) else set()))
        jobs: dict[Path, Callable[[], Any]] = {Path(recipe.run_dir): partial(run_pipeline, recipe, begin) for recipe in shared_recipes(comparison)}
        jobs[root / "base"] = partial(_base, root, base, held_out)
        _make_ready(jobs)
    left.sort(key=lambda cell: (Path(cell.recipe.run_dir) / FAILED).is_file())
    tried: list[tuple[Cell, str]] = []
    for number, cell in enumerate(left, 1):
        if _all_alike(tried, left):
            untried = amount(len(left) - number + 1, "cell")
            log.warning("all %d cells that were tried failed for that reason; %s left: mend it and run the same command again", len(tried), untried)
            break
        if out_of_time():
            log.info("%d cells left; run the same command again to go on", len(left) - number + 1)
            break
        with Store(Path(cell.recipe.run_dir)).try_lock(".cell") as mine:
            if not mine:
                log.info("%s: another process is in it", cell.name)
            elif _result(cell, now := read_facts(root)) is None:  # else another process has done it meanwhile
                log.info("cell %d of %d: %s", len(planned) - len(left) + number, len(planned), cell.name)
                tried.append((cell, _try_cell(root, cell, held_out, now, known)))
    summary = gather(comparison)
    storage.write_json(root / "compare.json", summary)
    return summary


def _divided(comparison: Comparison, root: Path, held: ExitStack) -> list[Record]:
    """`divide`; then, until `held` is closed, no other process can divide the records anew."""
    lock = held.enter_context(shared_lock(root / SPLIT))
    if not is_divided(comparison, root) and not take(lock, wait=False):
        raise InputError(
            f"run directory {root}: another codeact process measures there, and these settings (data, map, held_out, seed, apart_from) would divide"
            " its records anew; wait for it or choose another run_dir"
        )
    records = divide(comparison, root)
    take(lock, wait=True, shared=True)
    return records


def _make_ready(jobs: Mapping[Path, Callable[[], Any]]) -> None:
    """Do what no other process is doing, then wait for the rest; a job that is done, or that a killed process left, is called again."""
    elsewhere = []
    for folder, job in jobs.items():
        with Store(folder).try_lock(READY) as mine:
            if mine:
                job()
            else:
                elsewhere.append(folder)
    for folder in elsewhere:
        with Store(folder).wait_lock(READY, partial(log.info, "another process is in %s; waiting for it", folder)):
            jobs[folder]()


def gather(comparison: Comparison) -> dict[str, Any]:
    """The content of `compare.json` from the cells that are done; nothing is run or written.

    Raises:
        InputError: the comparison has not begun in its run directory, or what it started from has changed since.
    """
    root, planned = Path(comparison.run_dir), cells(comparison)
    base = root / "base" / RESULT
    if storage.read_checked(base) is None:
        raise InputError(f"{root} holds no comparison that has begun ({base}); run `codeact compare` first")
    facts = read_facts(root)
    recipe = _base_recipe(comparison)
    measured = kept(root / "base", recipe, facts, BASE)
    if measured is None:
        raise InputError(f"{base} is of other settings, data, files or versions of the code than there are now; run `codeact compare` again")
    done = [(cell, found) for cell in planned if (found := _result(cell, facts)) is not None]
    solutions = solution_characters(recipe.evaluate)
    characters = {metric: solutions for metric in measured["values"] if metric.endswith(BITS)} | {HELD_OUT: measured.get("held_out_characters", {})}
    summary = summarise(comparison, done, planned, measured, characters)
    ended = {cell.name for cell, _ in done}
    failed = [(cell, found) for cell in planned if cell.name not in ended and (found := _result(cell, facts, FAILED)) is not None]
    return summary | {
        "failed": [{"cell": cell.name, "error": found["error"]} for cell, found in failed],
        "cautions": [*_cautions(comparison, pool_rows(root), held_out_records(comparison, root)), *summary["cautions"]],
    }


def _cautions(comparison: Comparison, rows: int | None, held_out: Sequence[Record]) -> list[str]:
    """What intervals and values do not hold, a line each; `rows` that the pools are drawn from, None: not known."""
    shared = None if rows is None else check_pools(comparison, rows)
    model = source_recipe(comparison).model
    cut = cut_line(held_out, model, HELD_OUT) if held_out else ""
    return [*([shared] if shared else []), *same_at_every_seed(comparison), *without_rival(comparison), *([cut] if cut else [])]


def plan_comparison(comparison: Comparison, budget: Budget | None = None) -> GridForecast:
    """What `compare` would still do and cost; nothing is run or written.

    Args:
        comparison: see `grid.Comparison`.
        budget: devices, price, and what stands for a model or for data that are not at hand.

    Raises:
        InputError: as `compare`.
    """
    planned, budget = cells(comparison), budget or Budget()
    if budget.parameters is None and budget.records is None:
        try:
            _check(comparison, planned)
        except CodeactError as error:  # a task set that is not at hand stops no plan: the forecast says what it does not count
            if isinstance(error, InputError):
                raise
    check_seeds(comparison)
    root = Path(comparison.run_dir)
    looked_for = budget.records is None or not elsewhere(Inputs(source_recipe(comparison)))
    divided = looked_for and is_divided(comparison, root)  # else the call divides the records anew, and nothing done is kept
    facts = read_facts(root) if divided else None
    done = {cell.name: found for cell in planned if facts and (found := _result(cell, facts)) is not None}
    base = _base_recipe(comparison)
    measured = facts is not None and kept(root / "base", base, facts, BASE) is not None
    forecast = forecast_grid(comparison, done, budget, None if measured else base)
    rows = pool_rows(root) if divided else None
    if rows is None and budget.records is None and comparison.pool_per_seed:
        rows = len(Inputs(source_recipe(comparison)).source.rows) - comparison.held_out
    held_out = held_out_records(comparison, root) if divided and budget.parameters is None else []
    return replace(forecast, notes=(*forecast.notes, *_cautions(comparison, rows, held_out)))


def _check_data(source: Recipe) -> None:
    """Refuse data that are not there by the key that names them: a shipped comparison names a file that the user does not know."""
    if source.data.source == HARVEST:
        return
    try:
        storage.check_source(source.data.names)
    except InputError as error:
        raise InputError(f"recipe.data.{'sources' if source.data.sources else 'source'}: {error}") from error


def _check(comparison: Comparison, planned: Sequence[Cell]) -> dict[str, int] | None:
    """Refuse missing data, models, judges, task sets and what a list names that is not there, before hours of scoring.

    Returns:
        id -> row of the whole data, which lists may name; None where no entrant is a list.
    """
    check_seeds(comparison)
    source = source_recipe(comparison)
    _check_data(source)
    entrants = {cell.entrant: cell for cell in planned}.values()
    Inputs(source).check({*CELL_STAGES, *({"embed"} if any("embed" in _made_for(cell) for cell in entrants) else set())})
    for cell in entrants:
        inputs = Inputs(cell.recipe.model_copy(update={"data": source.data}))
        on_demand = {stage.name for stage in plan(cell.recipe, inputs) if stage.on_demand} & {*tables_for(cell.recipe.sample)}
        if on_demand:
            inputs.check(on_demand)
    lists = dict.fromkeys(cell.recipe.sample.listed for cell in planned if "listed" in tables_for(cell.recipe.sample))
    known = all_rows(Inputs(source).read()) if lists else None
    for name in lists:
        resolve(read_list(name), known or {}, name)
    return known


def _made_for(cell: Cell) -> set[str]:
    """The stages up to the entrant's choice: one that reads no clusters needs no embedder."""
    return {stage.name for stage in chosen(cell.recipe, Inputs(cell.recipe), ("sample",))}


def _result(cell: Cell, facts: Facts, name: str = RESULT) -> dict[str, Any] | None:
    return kept(Path(cell.recipe.run_dir), cell.recipe, facts, TUNED, name)


def _base_recipe(comparison: Comparison) -> Recipe:
    return base_recipe(comparison, {"run_dir": str(Path(comparison.run_dir) / "base")})


def _base(root: Path, recipe: Recipe, held_out: Sequence[Record]) -> None:
    """The model before any training, measured as the cells are."""
    facts = read_facts(root)
    if kept(root / "base", recipe, facts, BASE) is not None:
        return
    log.info("base: the model before training")
    made_of = signed(recipe, facts, BASE)
    store = run_pipeline(recipe, (BASE,), shared_runs=_shared_runs(root))
    values = task_values(store.path("evaluate/base"))
    if held_out:
        values[HELD_OUT] = response_losses(recipe.model.name, held_out, recipe.model, HELD_OUT, recipe.model.revision)
    lengths = {record.id: len(record.response) for record in held_out}
    storage.write_checked(store.path(RESULT), {**made_of, "values": values, "held_out_characters": lengths})


def _try_cell(root: Path, cell: Cell, held_out: Sequence[Record], facts: Facts, known: Mapping[str, int] | None) -> str:
    """Run a cell; if it fails, keep and return why. What the operating system refuses, as on a full disk, is no fault of the cell and ends the call."""
    failure = Path(cell.recipe.run_dir) / FAILED
    failure.unlink(missing_ok=True)
    try:
        _run_cell(root, cell, held_out, facts, known)
    except CodeactError as error:
        if isinstance(error.__cause__, OSError):
            raise
        said = str(error)
    else:
        return ""
    log.warning("%s failed: %s", cell.name, said)
    storage.write_checked(failure, {**signed(cell.recipe, facts, TUNED), "error": said})
    _free_memory()
    return said


def _all_alike(tried: Sequence[tuple[Cell, str]], left: Sequence[Cell]) -> bool:
    """Whether cells of every entrant have failed, all for one reason: the rest would too, and each may take hours to get there."""
    reasons = {said for _, said in tried}
    return len(tried) >= ALIKE and len(reasons) == 1 and "" not in reasons and {cell.entrant for cell, _ in tried} == {cell.entrant for cell in left}


def _run_cell(
    root: Path,
    cell: Cell,
    held_out: Sequence[Record],
    facts: Facts,
    known: Mapping[str, int] | None,
) -> None:
    started, made_of = time.monotonic(), signed(cell.recipe, facts, TUNED)
    counted = counted_by(cell.recipe.sample)  # of its own pool, which is not the shared one where an entrant curates otherwise
    store = run_pipeline(cell.recipe, (TUNED, counted), Inputs(cell.recipe, known=known), shared_runs=_shared_runs(root))
    values = task_values(store.path("evaluate/tuned"))
    if held_out:
        values[HELD_OUT] = response_losses(str(store.path("train/model")), held_out, cell.recipe.model, HELD_OUT)
    trained = storage.read_json(store.path("train/summary.json"))
    sampled = store.table("sample")
    chosen = tables.ids_where(sampled, "selected")
    lengths = tables.in_order(store.table(counted, ["id", "response_tokens"]), chosen)["response_tokens"]
    result = {
        **made_of,
        "cell": {"entrant": cell.entrant, "strategy": cell.recipe.sample.strategy, "rate": cell.rate,
                 "unit": cell.unit, "seed": cell.seed},
        "versions": versions(cell.recipe, TUNED),
        "records": len(chosen),
        "pool": sampled.num_rows,
        "response_tokens": sum(lengths.to_pylist()),
        "training": {k: trained[k] for k in ("steps", "seconds", "tokens", "first_loss", "final_loss")},
        "seconds": round(time.monotonic() - started, 1),
        "values": values,
    }  # fmt: skip
    storage.write_checked(store.path(RESULT), result)
    for name in ("train/model", "train/adapter"):
        shutil.rmtree(store.path(name), ignore_errors=True)
    _free_memory()


def _free_memory() -> None:
    """Give the memory of the cell's models back before the next cell loads its own."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def task_values(folder: Path) -> dict[str, dict[str, float]]:
    """Metric -> task id -> value, for every task set and metric that was measured."""
    results = storage.read_json(folder / "results.json")
    found = {}
    for name, value in results.items():
        if isinstance(value, dict) and "version" in value:
            passes = [key for key in value if PASS_AT.fullmatch(key)]
            for metric in (*(() if name.endswith("+") else (BITS, *MARGINS)), *passes):
                if value.get(metric) is not None:
                    found[f"{name} {metric}"] = per_task(folder, name, metric)
    return found


def _shared_runs(root: Path) -> list[Store]:
    """Run directories of this comparison whose finished stages may be shared."""
    folders = [*sorted(root.glob("shared*")), root / "base", *sorted((root / "cells").glob("*"))]
    return [Store(folder) for folder in folders]
