"""`select`: rows of a file, a list or a data set in, the chosen rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from codeact import config, row_output
from codeact.amounts import amount
from codeact.api.data import Data, open_data
from codeact.api.run_directory import explain, stability
from codeact.config import Recipe
from codeact.errors import InputError, require
from codeact.exporting import export
from codeact.files import cache_dir, is_remote
from codeact.locks import one_writer
from codeact.mirror import name_of_run, working_copy
from codeact.outputs import Run, check_file, note_ahead, note_file, run_dir_beside
from codeact.pipeline import plan
from codeact.pipeline.ready import say_unused
from codeact.pipeline.run import pipeline_run
from codeact.records.given import is_dataset
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store, digest
from codeact.sample.strategies import known
from codeact.sources.lines import picked
from codeact.sources.names import STDIN, as_list
from codeact.stages.sample import why_a_model
from codeact.storage import Source

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

    from codeact.pipeline.stability import Choices

SELECTION_STAGES = ("sample",)
NAMELESS = "model"  # of a plan that is given its parameters alone


@dataclass(frozen=True)
class Selection:
    """What `select` chose.

    Attributes:
        indices: positions of the chosen rows in the data, ascending; `dataset.select(selection.indices)` works.
        table: one row per record of the pool: `id, cluster, rank, ifd, cutoff, selected, reason`.
        summary: counts and figures, as `codeact select --json` prints them.
        run_dir: the run directory with every stage's table; of one at an address, its working copy.
        data: what was given to `select`.
        source: all rows.
    """

    indices: list[int]
    table: pa.Table
    summary: dict[str, Any]
    run_dir: Path
    source: Source = field(repr=False, compare=False)
    data: Data | None = field(default=None, repr=False, compare=False)

    @cached_property
    def rows(self) -> list[Mapping[str, Any]]:
        """The chosen rows, untouched, in the order of the input; those of large files are read when they are first asked for.

        Arrays, scalars and absent values of NumPy and pandas in a list of rows are Python's own.
        """
        return list(picked(self.source.rows, self.indices))

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    @property
    def dataset(self) -> Dataset:
        """The chosen rows as a `datasets.Dataset`, with the features of the one that was given.

        Raises:
            MissingExtraError: the package `datasets` is not installed.
            InputError: rows without common types; `rows` holds them as they are.
        """
        if is_dataset(self.data):
            return self.data.select(self.indices)
        datasets = require("datasets", "datasets", "selection.dataset")
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        try:
            return datasets.Dataset.from_dict({name: [row.get(name) for row in self.rows] for name in columns})
        except (ValueError, TypeError, OverflowError) as error:  # pyarrow's own are among these
            raise InputError(f"these rows have no common types ({error}); take selection.rows") from error

    def explain(self, record_id: str = "", *, row: int | None = None, find: str = "", tokens: bool = False) -> dict[str, Any]:
        """Why one record was kept or dropped: `codeact.explain` of this run."""
        return explain(self.run_dir, record_id, row=row, find=find, tokens=tokens)

    def stability(self, **choices: Unpack[Choices]) -> dict[str, Any]:
        """How much of the selection is chance: `codeact.stability` of this run."""
        return stability(self.run_dir, **choices)

    def export(self, to: str, output: str | Path, *, model: str | PathLike[str] = "", force: bool = False) -> dict[str, Any]:
        """The chosen records for another training tool: `codeact.export` of this run."""
        return export(self.run_dir, to, output, model=model, force=force)


@one_writer("output", addresses=True)
def select(
    data: Data,
    *,
    model: str | PathLike[str] = "",
    ratio: float | None = None,
    unit: str | None = None,
    strategy: str | None = None,
    embedder: str | PathLike[str] | None = None,
    output: str | Path | None = None,
    run_dir: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: Sequence[float] | None = None,
    force: bool = False,
) -> Selection:
    """Choose the part of an instruction data set to train `model` on; by default at random from every cluster, the longest answers left out.

    Args:
        data: what `codeact.storage.read_rows` reads (files, folders, patterns, a Hugging Face data set name), a list of
            dictionaries or a `datasets.Dataset`.
        model: the causal LM that is going to be trained: hub name, folder, GGUF file or `demo`.
        ratio: share of the pool to keep, in (0, 1]; default: the recipe's, 0.4.
        unit: what that is a share of: the response "tokens" (default), or the "records", as in most papers.
        strategy: one of docs/strategies.md: trim-diversity (default), cdas (the hardest of every cluster, arXiv 2408.02193), random, ...
        embedder: sentence-transformers name or folder (default: all-mpnet-base-v2, as in the paper), or `demo`.
        output: also write the chosen rows here; the suffix decides the form, `-` is JSON lines on stdout.
        run_dir: where every stage's table goes; by default beside `output`, else in the user's cache; a folder or an address. A
            second call with the same directory redoes only what changed.
        limit: use a seeded random sample of this many records.
        seed: of every random choice.
        settings: further recipe keys, for example `{"model.max_length": 1024, "curate.dedup": False}`.
        weights: one for each name of `data`: what it gives of the selection, relative to the others (`data.sources`).
        force: replace an `output` that another run wrote; never one of the inputs.

    Raises:
        InputError: bad data, an unknown key, a value out of range, or a model that does not exist.
    """
    recipe, source, target = _select_recipe(
        data, model=model, ratio=ratio, unit=unit, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit,
        seed=seed, settings=settings, weights=weights,
    )  # fmt: skip
    with working_copy(recipe.run_dir) as folder:
        return _select(recipe.model_copy(update={"run_dir": folder}), data, source, target, force)


def _select(recipe: Recipe, data: Data, source: Source | None, target: Path | None, force: bool) -> Selection:
    inputs = Inputs(recipe, source)
    writer = Run("select", inputs.name, inputs.paths(), force)
    if target is not None:
        row_output.check_writable(target, inputs.delimited)
        check_file(target, writer, Path(recipe.run_dir))
    say_unused(recipe, [stage.name for stage in plan.chosen(recipe, inputs, SELECTION_STAGES)])
    with pipeline_run(recipe, SELECTION_STAGES, inputs, force=force) as store:
        chosen = _selection(store, inputs.source, data)
        if target is not None:
            there = check_file(target, writer, store.root)  # a file may have come meanwhile
            row_output.write_rows(
                inputs.source, chosen.indices, target, replace=there, whole=note_ahead(target, writer, store.root)
            )
            note_file(target, writer, store.root)
    return chosen


class SelectArguments(TypedDict, total=False):
    """What of `select`'s arguments says what is chosen, beside the data."""

    model: str | PathLike[str]
    ratio: float | None
    unit: str | None
    strategy: str | None
    embedder: str | PathLike[str] | None
    output: str | Path | None
    run_dir: str | Path | None
    limit: int | None
    seed: int | None
    settings: Mapping[str, Any] | None
    weights: Sequence[float] | None


def plan_select(data: Data, *, budget: Mapping[str, Any] | None = None, **arguments: Unpack[SelectArguments]) -> dict[str, Any]:
    """What `select` with the same arguments would do and cost; nothing is written. See `plan`.

    Args:
        data, arguments: as `select`.
        budget: gpu, gpus, price, utilisation, parameters and records, as `plan`.

    Raises:
        InputError: as `select`.
    """
    from codeact.pipeline.budget import Budget
    from codeact.pipeline.forecast import forecast

    counted = Budget(**budget or {})
    if counted.parameters is not None and "model.name" not in (arguments.get("settings") or {}):
        arguments["model"] = arguments.get("model") or NAMELESS
    recipe, source, _ = _select_recipe(data, **arguments)
    found = forecast(recipe, SELECTION_STAGES, Inputs(recipe, source), counted)
    return {**found.summary(), "lines": found.lines()}


def _select_recipe(data: Data, **arguments: Unpack[SelectArguments]) -> tuple[Recipe, Source | None, Path | None]:
    """The recipe of `select`'s arguments, the rows where they are in memory, and the output."""
    source, name = open_data(data)
    output, run_dir = arguments.get("output"), arguments.get("run_dir")
    target = Path(output) if output is not None else None
    own = config.given({
        **_data_keys(name, source, arguments.get("weights")),
        "data.limit": arguments.get("limit"),
        "model.name": arguments.get("model") or None,
        "sample.ratio": arguments.get("ratio"),
        "sample.unit": arguments.get("unit"),
        "sample.strategy": arguments.get("strategy"),
        "seed": arguments.get("seed"),
        "embed.model": arguments.get("embedder"),
        "run_dir": run_dir or None,
    })
    keys = config.joined(own, arguments.get("settings") or {})
    if "run_dir" not in keys:
        keys["run_dir"] = str(_run_dir(target, name, source))
    recipe = config.load_recipe(extra={"evaluate.enabled": False, **keys})
    if not recipe.model.name and (why := why_a_model(recipe.sample)):
        raise InputError(why)
    return recipe, source, target


def _data_keys(name: str | tuple[str, ...], source: Source | None, weights: Sequence[float] | None) -> dict[str, Any]:
    """The recipe keys that name the data: one source, or with weights a mixture."""
    if weights is None:
        return {"data.source": name}
    names = as_list(name)
    if source is not None:
        raise InputError("weights: the rows are in memory, as one source; write them to files, or leave the weights out")
    if len(weights) != len(names):
        raise InputError(f"weights: {len(weights)} for {amount(len(names), 'source')} of data; give one for each")
    return {"data.sources": [{"path": one, "weight": weight} for one, weight in zip(names, weights, strict=True)]}


def _run_dir(target: Path | None, name: str | tuple[str, ...], source: Source | None) -> Path:
    if target is not None and str(target) != STDIN and not is_remote(target):
        return run_dir_beside(target)
    names = [one if is_remote(one) else str(Path(one).resolve()) for one in as_list(name)]
    return cache_dir() / "runs" / digest(names if source is None else list(source.rows))


def _sources(stages: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of a mixture: what was read of each source, and what it gave."""
    read, gave = (stages["records"] or {}).get("sources"), (stages["sample"] or {}).get("sources")
    return {name: {**read[name], **gave[name]} for name in gave} if read and gave else None


def _selection(store: Store, source: Source, data: Data) -> Selection:
    table = store.table("sample")
    indices = sorted(tables.keep_ids(store.table("records", ["id", "row"]), tables.ids_of(table, "selected"))["row"].to_pylist())
    marker = store.marker("sample") or {}
    stages = {name: (store.marker(name) or {}).get("summary") for name in ("records", "curate", "score", "lengths", "sample")}
    summary = {
        **marker.get("summary", {}),
        "known": known(str(marker["summary"]["strategy"])) if marker else None,
        "stages": {k: v for k, v in stages.items() if v},
        "sources": _sources(stages),
        "reading": stages["records"],
        "run_dir": name_of_run(store.root),
    }
    return Selection(indices, table, summary, store.root, source, data)
