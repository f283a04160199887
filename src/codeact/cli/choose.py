"""Commands that choose: run, demo, select and one per stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codeact import config
from codeact.cli.options import (
    NONE,
    Data,
    Dtype,
    Embedder,
    Force,
    Json,
    Limit,
    Mapping_,
    MaxLength,
    MaybeOutput,
    Model,
    Plan,
    Rows,
    RunDir,
    Seed,
    Settings,
    Template,
    Verbose,
    app,
    numbers,
    one_or_many,
    planned,
    prepare,
    recipe_keys,
    result,
    run_recipe,
    say,
    shared_keys,
    stage_recipe,
)
from codeact.records import reading_lines


@app.command()
def run(
    recipe: Annotated[
        Path, typer.Argument(help="YAML recipe, or the name of a shipped one (codeact recipes)", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value overrides, for example sample.ratio=0.3", show_default=False)
    ] = None,
    plan: Plan = False,
    force: Force = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run a whole recipe: records, selection, training, evaluation, report. Run it again to go on or to redo what changed."""
    prepare(verbose)
    if plan:
        from codeact import api

        planned(api.plan(recipe, overrides or ()), as_json)
        return
    run_recipe(str(recipe), overrides or (), as_json, force)


@app.command()
def demo(
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value overrides", show_default=False)] = None,
    force: Force = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """The whole of codeact at small size: a 135M model on functions of Python's standard library, in minutes on two cores."""
    prepare(verbose)
    run_recipe("demo", overrides or (), as_json, force)


@app.command()
def select(
    data: Data,
    output: Rows,
    model: Model = "",
    ratio: Annotated[float, typer.Option(help="share of the pool to keep")] = 0.4,
    strategy: Annotated[str, typer.Option(help=", ".join(config.STRATEGIES))] = "cdas",
    embedder: Embedder = None,
    mapping: Mapping_ = NONE,
    limit: Limit = None,
    dtype: Dtype = "auto",
    max_length: MaxLength = 2048,
    template: Template = "auto",
    seed: Seed = 0,
    run_dir: RunDir = None,
    settings: Settings = NONE,
    plan: Plan = False,
    force: Force = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write the rows of DATA that MODEL learns most from, untouched and in their order."""
    from codeact import api

    prepare(verbose)
    extra = {
        "model.dtype": dtype,
        "model.max_length": max_length,
        "model.template": template,
        **shared_keys(mapping, settings),
    }
    if plan:
        planned(
            api.plan_select(
                data, model=model, ratio=ratio, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit,
                seed=seed, settings=extra,
            ),
            as_json,
        )  # fmt: skip
        return
    chosen = api.select(
        data, model=model, ratio=ratio, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit, seed=seed,
        settings=extra, say=say, quiet=False, force=force,
    )  # fmt: skip
    summary = {**chosen.summary, "output": str(output)}
    result(summary, as_json, "\n".join(_selected(summary, output, chosen.run_dir)), output)


def _selected(summary: dict[str, Any], output: Path, run_dir: Path) -> list[str]:
    from codeact.statistics import length_line

    lines = [
        f"{summary['selected']} of {summary['pool']} records -> {output}  (every decision: {run_dir / 'ledger.parquet'})"
    ]
    if summary.get("token_share") is not None:
        lines.append(f"they hold {summary['token_share']:.0%} of the response tokens")
    if summary.get("ifd_length_spearman") is not None:
        lines.append(length_line(summary["ifd_length_spearman"], summary["ifd_length_interval"]))
    lines += [f"short in the selection: {warning}" for warning in summary.get("coverage_warnings") or ()]
    return [*lines, *reading_lines(summary["reading"])]


def _curated(summary: dict[str, Any], folder: Path) -> list[str]:
    """What curation dropped, reason by reason, as a table."""
    kept, dropped = int(summary["kept"]), dict(summary["dropped"])
    dropped |= {f"refused: {reason}": n for reason, n in summary["reading"]["rejected"].items() if reason != "limit"}
    total = kept + sum(dropped.values())
    rows = [("kept", kept), *sorted(dropped.items(), key=lambda item: (-item[1], item[0]))]
    rows += [(f"verdict {name}", count) for name, count in sorted(summary.get("verdicts", {}).items())]
    lines = [f"{name:<22}{count:>10,}{count / total:>8.1%}" for name, count in rows]
    if summary.get("near a benchmark"):
        lines.append(
            f"{summary['near a benchmark']} kept records are near a benchmark's task: read {folder / 'review.jsonl'}"
        )
    if summary.get("benchmarks"):
        lines.append(
            f"benchmarks looked for: {', '.join(f'{name} ({n:,})' for name, n in summary['benchmarks'].items())}"
        )
    if summary.get("contamination not checked"):
        lines.append(f"contamination was not checked: {summary['contamination not checked']}")
    return [*lines, f"dropped records with the evidence: {folder / 'dropped.jsonl'}"]


def _run_stage(
    name: str, keys: dict[str, Any], output: Path | None, run_dir: Path | None, embedder: str | None, as_json: bool, force: bool
) -> None:
    from codeact import api

    recipe = stage_recipe(name, keys, output, run_dir, embedder, needs_model=name == "sample")
    embeds = name == "curate" and (recipe.curate.semantic is not None or recipe.curate.neighbours is not None)
    summary = api.run_stages(recipe, [name, "refine"] if embeds else [name], output, say=say, quiet=False, force=force)
    folder = Path(recipe.run_dir)
    written = "rows" if name == "curate" and output else "table"
    lines = [*reading_lines(summary["reading"]), f"{written}: {output or folder / f'{name}.parquet'}"]
    result(summary, as_json, "\n".join([*_curated(summary, folder), *lines] if name == "curate" else lines), output)


def _stage_command(name: str, about: str) -> None:
    """A stage that does not read the model that will be trained."""

    def command(
        data: Data, output: MaybeOutput = None, embedder: Embedder = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = 0,
        run_dir: RunDir = None, settings: Settings = NONE, force: Force = False, as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        prepare(verbose)
        keys = {"data.source": one_or_many(data), "data.limit": limit, "seed": seed, **shared_keys(mapping, settings)}
        _run_stage(name, keys, output, run_dir, embedder, as_json, force)

    command.__doc__ = about
    app.command(name)(command)


_stage_command("curate", "Drop broken, duplicate and benchmark-contaminated records of DATA; write the rest untouched.")
_stage_command("embed", "Embed the instructions of DATA.")
_stage_command("cluster", "Embed and cluster the instructions of DATA.")
_stage_command("judge", "Let a language model rate every record of DATA (recipe section judge, with --set).")
_stage_command("tags", "Let a language model tag every instruction of DATA (recipe section judge, with --set).")


@app.command()
def sample(
    data: Data, output: MaybeOutput = None, model: Model = "",
    embedder: Embedder = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = 0, dtype: Dtype = "auto",
    max_length: MaxLength = 2048, template: Template = "auto", run_dir: RunDir = None, settings: Settings = NONE,
    force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Choose records of DATA (embed, cluster, score, sample) and write the selection table."""
    prepare(verbose)
    keys = recipe_keys(data, model, dtype, max_length, template, limit, seed) | shared_keys(mapping, settings)
    _run_stage("sample", keys, output, run_dir, embedder, as_json, force)


@app.command()
def stability(
    run_dir: Annotated[Path, typer.Argument(help="run directory of select, sample or run", show_default=False)],
    seeds: Annotated[str, typer.Option(help="of K-means and of the draw, comma-separated")] = "0,1,2,3,4",
    ks: Annotated[str, typer.Option(help="numbers of clusters, comma-separated")] = "5,10,20,40",
    scores: Annotated[list[str], typer.Option(help="NAME=score.parquet of the same records by another model; may be repeated")] = NONE,
    strategy: Annotated[str | None, typer.Option(help="instead of the run's own")] = None,
    ratio: Annotated[float | None, typer.Option(help="instead of the run's own")] = None,
    as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Say how much of a selection is chance: its overlap with those of other seeds, numbers of clusters and scoring models."""
    from codeact import api
    from codeact.errors import InputError

    prepare(verbose)
    others = dict(pair.partition("=")[::2] for pair in scores)
    if not all(name and path for name, path in others.items()):
        raise InputError("--scores is of the form NAME=FILE, for example gpt2=gpt2/score.parquet")
    found = api.stability(
        run_dir, seeds=numbers("--seeds", seeds), ks=numbers("--ks", ks), scores=others, strategy=strategy, ratio=ratio
    )
    result(found, as_json, "\n".join(found["lines"]))
