"""Commands that train and prove: pack, train, merge, evaluate, harvest, report, compare, explain, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from codeact import config
from codeact.cli.options import (
    NONE,
    Data,
    Dtype,
    Force,
    Json,
    Limit,
    Mapping_,
    MaxLength,
    Model,
    Output,
    Plan,
    Seed,
    Settings,
    Template,
    Verbose,
    app,
    planned,
    prepare,
    recipe_keys,
    result,
    say,
    shared_keys,
    show,
)
from codeact.records import reading_lines


@app.command()
def pack(
    data: Data, model: Model, mapping: Mapping_ = NONE, limit: Limit = None, max_length: MaxLength = 2048, template: Template = "auto",
    batch_size: Annotated[int, typer.Option(help="records per batch")] = 16, seed: Seed = 0, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Show how much of each batch of DATA would be padding: pad to max, dynamic padding, Dynamic Pack."""
    from codeact import api

    prepare(verbose)
    extra = recipe_keys(data, model, "auto", max_length, template, limit, seed) | shared_keys(mapping, [])
    report = api.padding(data, config.load_recipe(extra={**extra, "train.batch_size": batch_size}))
    lines = [f"{name:<24} {method['padding_rate']:7.2%} padding" for name, method in report["methods"].items()]
    result(report, as_json, "\n".join([*lines, *reading_lines(report["reading"])]))


@app.command()
def train(
    data: Data, model: Model, output: Output,
    method: Annotated[str, typer.Option(help="full, lora or qlora")] = "full",
    epochs: Annotated[float, typer.Option(help="passes over the data")] = 3,
    learning_rate: Annotated[float, typer.Option(help="peak learning rate")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="records per batch")] = 16,
    validation: Annotated[float, typer.Option(help="share of the records held out for a validation loss")] = 0.0,
    report_to: Annotated[list[str], typer.Option(help="tensorboard, wandb or trackio, beside metrics.jsonl; may be repeated")] = NONE,
    merge: Annotated[bool, typer.Option(help="LoRA: also write the merged model")] = True,
    mapping: Mapping_ = NONE, limit: Limit = None, dtype: Dtype = "auto", max_length: MaxLength = 2048, template: Template = "auto",
    seed: Seed = 0, settings: Settings = NONE, force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Fine-tune MODEL on DATA with Dynamic Pack; run it again after a kill to go on."""
    from codeact import api

    prepare(verbose)
    given = {
        "train.method": method,
        "train.epochs": epochs,
        "train.learning_rate": learning_rate,
        "train.batch_size": batch_size,
        "train.validation": validation,
        "train.report_to": report_to,
        "train.merge": merge,
    }
    extra = recipe_keys(data, model, dtype, max_length, template, limit, seed) | given | shared_keys(mapping, settings)
    summary = api.train(data, output, config.load_recipe(extra=extra), quiet=False, force=force)
    watched = (
        f"; validation loss {summary['first_validation_loss']:.4f} -> {summary['final_validation_loss']:.4f}"
        if "final_validation_loss" in summary
        else ""
    )
    losses = f"loss {summary['first_loss']:.4f} -> {summary['final_loss']:.4f}{watched}"
    lines = [*reading_lines(summary["reading"]), f"{losses}; model: {summary['model']}"]
    result(summary, as_json, "\n".join(lines))


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(help="folder of a LoRA adapter", show_default=False)],
    output: Output, dtype: Annotated[str, typer.Option(help="auto (the base model's), float32, bfloat16, float16")] = "auto",
    force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Merge the LoRA ADAPTER into its base model."""
    from codeact import api

    prepare(verbose)
    made = api.merge(adapter, output, dtype=dtype, force=force)
    result(made, as_json, f"{made['base']} + {adapter} -> {output} ({made['dtype']})")


@app.command()
def evaluate(
    output: Output,
    model: Annotated[str | None, typer.Argument(help="hub name, folder, LoRA adapter, GGUF file, or demo; not needed with --samples", show_default=False)] = None,
    tasks: Annotated[str, typer.Option(help="comma-separated, for example humaneval+,mbpp+")] = "humaneval",
    data_dir: Annotated[Path | None, typer.Option("--data", envvar="CODEACT_DATA", help="folder of benchmark files")] = None,
    samples: Annotated[Path | None, typer.Option(help="grade these ready generations (JSONL) instead of generating")] = None,
    sanitize: Annotated[bool, typer.Option("--sanitize", help="the samples are chat answers: run the program in each")] = False,
    prompting: Annotated[str, typer.Option(help="base or instruct")] = "base",
    limit: Annotated[int | None, typer.Option(help="generate for this many tasks, evenly spaced")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="longest generation")] = 512,
    batch_size: Annotated[int, typer.Option(help="prompts per batch")] = 32,
    temperature: Annotated[float, typer.Option(help="0: the most likely token; above: sampling, for pass@k")] = 0.0,
    samples_per_task: Annotated[int, typer.Option(help="generations per task, for pass@k; needs a temperature")] = 1,
    backend: Annotated[str, typer.Option(help="transformers, or vllm (an extra, for GPUs)")] = "transformers",
    against: Annotated[Path | None, typer.Option(help="folder of an earlier evaluation: also show the paired differences to it")] = None,
    dtype: Dtype = "auto", max_length: MaxLength = 2048, template: Template = "auto", seed: Seed = 0,
    unsafe_no_sandbox: Annotated[bool, typer.Option("--unsafe-no-sandbox", help="run generated code without isolation (recorded in the results)")] = False,
    settings: Settings = NONE, force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Benchmark MODEL: pass@1 with intervals in a sandbox, and bits per byte of the reference solutions."""
    from codeact import api

    prepare(verbose)
    extra = {
        **({} if model is None else {"model.name": model}),
        "model.dtype": dtype, "model.max_length": max_length, "model.template": template, "seed": seed,
        "evaluate.temperature": temperature, "evaluate.samples_per_task": samples_per_task, "evaluate.backend": backend,
        "evaluate.tasks": [t.strip() for t in tasks.split(",") if t.strip()], "evaluate.prompting": prompting,
        "evaluate.generate_limit": limit, "evaluate.max_new_tokens": max_new_tokens, "evaluate.batch_size": batch_size,
        "evaluate.unsafe_no_sandbox": unsafe_no_sandbox,
    }  # fmt: skip
    recipe = config.load_recipe(extra=extra | shared_keys([], settings))
    results = api.evaluate(model, output, recipe=recipe, samples=samples, sanitized=sanitize, data_dir=data_dir, against=against, quiet=False, force=force)
    result(results, as_json, "\n".join([*api.result_lines(results), f"results: {output / 'results.json'}"]))


@app.command()
def harvest(
    roots: Annotated[list[str], typer.Argument(help="source folders; stdlib is Python's own library", show_default=False)],
    output: Output,
    min_tokens: Annotated[int, typer.Option(help="shortest response, Python lexical tokens")] = 20,
    max_tokens: Annotated[int, typer.Option(help="longest response, Python lexical tokens")] = 1500,
    keep_secrets: Annotated[bool, typer.Option("--keep-secrets", help="also functions that hold keys, passwords or e-mail addresses")] = False,
    limit: Limit = None, seed: Seed = 0, force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Make instruction records from the documented functions of Python source trees."""
    from codeact import api

    prepare(verbose)
    made = api.harvest(
        roots, output, min_tokens=min_tokens, max_tokens=max_tokens, limit=limit, seed=seed, quiet=False,
        force=force, keep_secrets=keep_secrets,
    )  # fmt: skip
    result(made, as_json, "\n".join([f"{made['records']} records -> {output}", *made["problems"]]))


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write report.html and report.json of a run again and print the main figures."""
    prepare(verbose)
    show(run_dir, as_json)


@app.command()
def compare(
    recipe: Annotated[Path, typer.Argument(help="YAML file, or the name of a shipped one such as compare", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value overrides, for example rates=[0.4]", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(help="begin no further training after this time; run again to go on")] = None,
    plan: Plan = False,
    force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Train and evaluate strategies x rates x seeds, at equal records and at equal tokens; run it again to go on."""
    from codeact import api

    prepare(verbose)
    if plan:
        planned(api.compare_plan(recipe, overrides or ()), as_json)
        return
    summary = api.compare(recipe, overrides or (), minutes=minutes, say=say, quiet=False, force=force)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    from codeact.reporting.compare import tables

    console = Console()
    console.print(f"{summary['cells']['done']} of {summary['cells']['planned']} trainings are done")
    for title, header, rows in tables(summary):
        table = Table(*header, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for uneven in summary["uneven"]:
        typer.echo(f"warning: {uneven['line']}")
    typer.echo(f"page: {summary['page']}" if summary["page"] else "for compare.html: pip install 'codeact[report]'")


@app.command()
def explain(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    record_id: Annotated[str, typer.Argument(help="id of a record (see ledger.parquet)", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say why a record was kept or dropped."""
    from codeact import api

    prepare(verbose)
    found = api.explain(run_dir, record_id)
    record = found.get("record") or {}
    lines = [
        f"{key:<15} {value}"
        for key, value in found.items()
        if key not in ("record", "score") and value not in (None, "")
    ]
    lines += [
        f"{key:<15} {value}" for key, value in (found.get("score") or {}).items() if key not in ("id", "turns", "ifd")
    ]
    lines += [f"\n[{m['role']}]\n{m['content']}" for m in record.get("messages", [])]
    result(found, as_json, "\n".join(lines))


@app.command()
def doctor(as_json: Json = False, verbose: Verbose = False) -> None:
    """Show versions, device, sandbox and installed extras of this machine."""
    from codeact import api

    prepare(verbose)
    found = api.doctor()
    lines = [f"{key:<22} {value}" for key, value in found.items() if key not in ("extras", "sandboxes")]
    for name, probe in found["sandboxes"].items():
        told = f"holds: {len(probe['blocked'])} attacks blocked ({', '.join(probe['blocked'])})"
        lines.append(f"sandbox {name:<14} {told if probe['holds'] else 'not used: ' + probe['problem']}")
    lines += [
        f"extra {name:<16} {'installed' if there else f'missing: pip install codeact[{name}]'}"
        for name, there in found["extras"].items()
    ]
    result(found, as_json, "\n".join(lines))
