"""Commands of the panel "Whole runs": run, demo, select, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codeact import config
from codeact.amounts import amount
from codeact.cli.options import (
    NONE,
    Data,
    Dtype,
    Embedder,
    Force,
    Gpu,
    Gpus,
    Json,
    Limit,
    Mapping_,
    MaxLength,
    Model,
    Parameters,
    Plan,
    Price,
    Records,
    Rows,
    RunDir,
    Seed,
    Settings,
    Template,
    Utilisation,
    budget,
    decimals,
    key_option,
    planned,
    result,
    run_recipe,
    with_settings,
)
from codeact.errors import CodeactError
from codeact.files import name_of
from codeact.mirror import name_of_run
from codeact.records import reading_lines
from codeact.terminal import visible


def run(
    recipe: Annotated[
        Path, typer.Argument(help="YAML recipe, or the name of a shipped one (codeact recipes)", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value overrides, for example sample.ratio=0.3", show_default=False)
    ] = None,
    plan: Plan = False,
    gpu: Gpu = "", gpus: Gpus = 1, price: Price = None, utilisation: Utilisation = None, parameters: Parameters = "", records: Records = None,
    force: Force = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Run a whole recipe: records, selection, training, evaluation, report. Run it again to go on or to redo what changed.

    Example: codeact run demo sample.ratio=0.3
    """
    counted = budget(plan, gpu, gpus, price, utilisation, parameters, records)
    if plan:
        from codeact import api

        planned(api.plan(recipe, overrides or (), **counted), as_json)
        return
    run_recipe(str(recipe), overrides or (), as_json, force)


def demo(
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value overrides", show_default=False)] = None,
    plan: Plan = False,
    gpu: Gpu = "", gpus: Gpus = 1, price: Price = None, utilisation: Utilisation = None, parameters: Parameters = "", records: Records = None,
    force: Force = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """The whole of codeact at small size: a 135M model on functions of Python's standard library, in minutes on two cores.

    Example: codeact demo run_dir=runs/mine
    """
    run(Path("demo"), overrides, plan, gpu, gpus, price, utilisation, parameters, records, force, as_json)


def select(
    data: Data,
    output: Rows,
    model: Model = "",
    ratio: Annotated[float | None, key_option("sample.ratio", "share of the pool to keep")] = None,
    unit: Annotated[str | None, key_option("sample.unit", "what --ratio counts: tokens (of the responses) or records")] = None,
    strategy: Annotated[str | None, key_option("sample.strategy", "trim-diversity, cdas, random, longest, ...: codeact keys sample.strategy")] = None,
    embedder: Embedder = None,
    mapping: Mapping_ = NONE,
    limit: Limit = None,
    dtype: Dtype = None,
    max_length: MaxLength = None,
    template: Template = None,
    seed: Seed = None,
    run_dir: RunDir = None,
    weights: Annotated[str, typer.Option(help="one weight for each DATA: its share of the selection, for example 7,3")] = "",
    settings: Settings = NONE,
    plan: Plan = False,
    gpu: Gpu = "", gpus: Gpus = 1, price: Price = None, utilisation: Utilisation = None, parameters: Parameters = "", records: Records = None,
    force: Force = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write the chosen part of DATA, untouched and in its order. By default: a random part of every topic, without the longest answers.

    Example: codeact select data.jsonl --model demo --ratio 0.4 -o selected.jsonl
    """
    from codeact import api

    own = config.given({"model.dtype": dtype, "model.max_length": max_length, "model.template": template})
    extra = with_settings(own, mapping, settings)
    counted = budget(plan, gpu, gpus, price, utilisation, parameters, records)
    if plan:
        planned(
            api.plan_select(
                data, model=model, ratio=ratio, unit=unit, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir,
                limit=limit, seed=seed, settings=extra, weights=decimals("--weights", weights), budget=counted,
            ),
            as_json,
        )  # fmt: skip
        return
    chosen = api.select(
        data, model=model, ratio=ratio, unit=unit, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit,
        seed=seed, settings=extra, weights=decimals("--weights", weights), force=force,
    )  # fmt: skip
    summary = {**chosen.summary, "output": name_of(output)}
    result(summary, as_json, "\n".join(_selected(summary, output, chosen.run_dir)), output)


def _selected(summary: dict[str, Any], output: Path, run_dir: Path) -> list[str]:
    from codeact.sample.mixture import source_lines
    from codeact.score.length import length_line

    lines = [
        f"{summary['selected']:,} of {amount(summary['pool'], 'record')} -> {name_of(output)}  (every decision: {name_of_run(run_dir / 'ledger.parquet')})"
    ]
    lines += [f"of {line}" for line in source_lines(summary["sources"])]
    if summary.get("token_share") is not None:
        lines.append(f"they hold {summary['token_share']:.0%} of the response tokens")
    if summary.get("ifd_length_spearman") is not None:
        lines.append(length_line(summary["ifd_length_spearman"], summary["ifd_length_interval"]))
    lines += [summary[line] for line in ("shortfall", "unlearnable_line") if summary.get(line)]
    lines += [f"short in the selection: {warning}" for warning in summary.get("coverage_warnings") or ()]
    if summary.get("known"):
        lines.append(summary["known"])
    return [*lines, *reading_lines(summary["reading"])]


def compare(
    recipe: Annotated[Path, typer.Argument(help="YAML file, or the name of a shipped one such as compare", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value overrides, for example rates=[0.4]", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(help="begin no further training after this time; run again to go on")] = None,
    plan: Plan = False,
    gpu: Gpu = "", gpus: Gpus = 1, price: Price = None, utilisation: Utilisation = None, parameters: Parameters = "", records: Records = None,
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Train and evaluate strategies x rates x seeds, at equal records and at equal tokens; run it again to go on.

    Example: codeact compare compare recipe.data.source=data.jsonl --plan
    """
    from codeact import api

    counted = budget(plan, gpu, gpus, price, utilisation, parameters, records)
    if plan:
        planned(api.compare_plan(recipe, overrides or (), counted), as_json)
        return
    summary = api.compare(recipe, overrides or (), minutes=minutes, force=force)
    if as_json:
        result(summary, True, "")
    else:
        _compared(summary)
    if failed := [one["cell"] for one in summary["failed"]]:
        raise CodeactError(
            f"{len(failed)} of {amount(summary['cells']['planned'], 'training')} failed: {', '.join(failed)};"
            f" the others are kept: change what made {'it' if len(failed) == 1 else 'them'} fail, and run the same command again"
        )


def _compared(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codeact.comparison.power import smallest_told
    from codeact.reporting.compare import failures, proxies, tables

    console = Console()
    console.print(f"done: {summary['cells']['done']} of {amount(summary['cells']['planned'], 'training')}")
    for title, header, rows in tables(summary):
        table = Table(*header, title=Text(visible(title)), title_justify="left")
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        console.print(table)
    for line in failures(summary):
        typer.echo(visible(line))
    for line in (*(uneven["line"] for uneven in summary["uneven"]), *summary["cautions"]):
        typer.echo(visible(f"warning: {line}"))
    if summary["smallest_seen"]:
        told = smallest_told(summary["smallest_seen"])
        typer.echo(f"smaller differences than these are missed in more than one of five such comparisons: {told}")
    if known := proxies(summary):
        typer.echo(f"known of the measures: {known}")
    typer.echo(visible(f"page: {summary['page']}"))
