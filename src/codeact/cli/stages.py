"""Commands of the panel "Stages": one per stage, in the order of the data's way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from codeact import config
from codeact.amounts import amount
from codeact.cli.options import (
    NONE,
    Command,
    Data,
    Dtype,
    Embedder,
    EmbedderAlone,
    Force,
    Json,
    Limit,
    Mapping_,
    MaxLength,
    MaybeOutput,
    MaybeRows,
    Model,
    Output,
    RunDir,
    Seed,
    Settings,
    Template,
    key_option,
    names,
    one_or_many,
    recipe_keys,
    result,
    show,
    stage_recipe,
    with_settings,
)
from codeact.errors import InputError
from codeact.mirror import folder_of, name_of_run
from codeact.records import reading_lines


def _run_stage(
    name: str, own: dict[str, Any], mapping: list[str], settings: list[str], output: Path | None, run_dir: Path | None,
    embedder: str | None, as_json: bool, force: bool,
) -> None:  # fmt: skip
    from codeact import api

    recipe = stage_recipe(name, own, mapping, settings, output, run_dir, embedder, needs_model=name == "sample")
    embeds = name == "curate" and (recipe.curate.semantic is not None or recipe.curate.neighbours is not None)
    summary = api.run_stages(
        recipe, [name, "refine"] if embeds else [name], output, force=force, also=_clusters if name == "cluster" else None
    )
    clusters = summary.pop("lines", [])
    folder = folder_of(recipe.run_dir)
    written = "rows" if name == "curate" and output else "table"
    lines = [*reading_lines(summary["reading"]), f"{written}: {summary['output'] or name_of_run(folder / f'{name}.parquet')}"]
    told = _curated(summary, folder) if name == "curate" else clusters
    result(summary, as_json, "\n".join([*told, *lines]), output)


def _clusters(folder: Path) -> dict[str, Any]:
    from codeact import api

    return {"lines": api.cluster_lines(folder)}


def _curated(summary: dict[str, Any], folder: Path) -> list[str]:
    """What curation dropped, reason by reason, as a table."""
    kept, dropped = int(summary["kept"]), dict(summary["dropped"])
    dropped |= {f"refused: {reason}": n for reason, n in summary["reading"]["rejected"].items() if reason != "limit"}
    total = kept + sum(dropped.values())
    rows = [("kept", kept), *sorted(dropped.items(), key=lambda item: (-item[1], item[0]))]
    rows += [(f"verdict {name}", count) for name, count in sorted(summary.get("verdicts", {}).items())]
    width = max(22, *(len(name) for name, _ in rows))
    lines = [f"{name:<{width}}{count:>10,}{count / total:>8.1%}" for name, count in rows]
    if summary.get("near a benchmark"):
        lines.append(
            f"kept, and near a benchmark's task: {amount(summary['near a benchmark'], 'record')}; read {name_of_run(folder / 'review.jsonl')}"
        )
    if summary.get("benchmarks"):
        missing = summary.get("benchmarks not at hand")
        lines.append(
            f"benchmarks looked for: {', '.join(f'{name} ({n:,})' for name, n in summary['benchmarks'].items())}"
            + (f"; not at hand, so not: {', '.join(missing)}" if missing else "")
        )
    if summary.get("contamination not checked"):
        lines.append(f"contamination was not checked: {summary['contamination not checked']}")
    if "possible_secrets" not in summary["reading"]:
        lines.append("secrets and personal data were not looked for: --set 'curate.secrets=[keys,passwords,emails]'")
    return [*lines, f"dropped records with the evidence: {folder / 'dropped.jsonl'}"]


def _stage_command(name: str, about: str, example: str) -> Command:
    """A stage that does not read the model that will be trained."""

    def command(
        data: Data, output: MaybeOutput = None, embedder: EmbedderAlone = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = None,
        run_dir: RunDir = None, settings: Settings = NONE, force: Force = False, as_json: Json = False,
    ) -> None:  # fmt: skip
        own = config.given({"data.source": one_or_many(data), "data.limit": limit, "seed": seed})
        _run_stage(name, own, mapping, settings, output, run_dir, embedder, as_json, force)

    command.__name__ = name
    command.__doc__ = f"{about}\n\nExample: codeact {name} {example}"
    return command


def curate(
    data: Data, output: MaybeRows = None, embedder: EmbedderAlone = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = None,
    run_dir: RunDir = None, settings: Settings = NONE, force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Drop broken, duplicate and benchmark-contaminated records of DATA; write the rest untouched.

    Example: codeact curate data.jsonl -o clean.jsonl
    """
    own = config.given({"data.source": one_or_many(data), "data.limit": limit, "seed": seed})
    _run_stage("curate", own, mapping, settings, output, run_dir, embedder, as_json, force)


embed = _stage_command(
    "embed",
    "Embed the instructions of DATA.",
    "data.jsonl -o vectors.parquet",
)
cluster = _stage_command(
    "cluster",
    "Embed and cluster the instructions of DATA.",
    "data.jsonl --set cluster.k=20 -o clusters.parquet",
)
def judge(
    data: Data, output: MaybeOutput = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = None,
    run_dir: RunDir = None, settings: Settings = NONE, force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Let a language model rate every record of DATA (recipe section judge, with --set).

    Example: codeact judge data.jsonl --set judge.endpoint=http://localhost:8000/v1 -o ratings.parquet
    """
    own = config.given({"data.source": one_or_many(data), "data.limit": limit, "seed": seed})
    _run_stage("judge", own, mapping, settings, output, run_dir, None, as_json, force)


tags = _stage_command(
    "tags",
    "Let a language model tag every instruction of DATA (recipe section judge, with --set).",
    "data.jsonl --set judge.endpoint=http://localhost:8000/v1 -o tags.parquet",
)


def score(
    data: Data, output: MaybeOutput = None, model: Model = "",
    variant: Annotated[str | None, key_option("score.variant", "default, or paper: the reference implementation's definition")] = None,
    adaptive: Annotated[bool | None, key_option("score.adaptive", "score in full only where it can change who is selected", "--adaptive")] = None,
    agreement: Annotated[float | None, key_option("score.agreement", "with --adaptive: expected Jaccard index with the selection of full scoring")] = None,
    ratio: Annotated[float | None, key_option("sample.ratio", "share that will be kept; used by --adaptive and in the summary")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="only print tokens, FLOPs and hours; no weights are loaded")] = False,
    show: Annotated[bool, typer.Option("--show", help="print the highest, the median and the lowest records")] = False,
    embedder: Embedder = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = None, dtype: Dtype = None,
    max_length: MaxLength = None, template: Template = None, run_dir: RunDir = None, settings: Settings = NONE,
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Score every record of DATA with MODEL: IFD, negative log-likelihoods, status. Run it again to go on or to reuse.

    Example: codeact score data.jsonl --model demo --estimate
    """
    from codeact import api

    own = {"score.variant": variant, "score.adaptive": adaptive, "score.agreement": agreement, "sample.ratio": ratio}
    keys = recipe_keys(data, model, dtype, max_length, template, limit, seed) | config.given(own)
    recipe = stage_recipe("score", keys, mapping, settings, output, run_dir, embedder, needs_model=True)
    if estimate:
        forecast = api.estimate_scores(recipe)
        result(forecast, as_json, "\n".join(forecast["lines"]))
        return
    found = api.run_stages(recipe, ["score"], output, force=force, also=partial(api.score_summary, examples=3 if show else 0))
    folder = folder_of(recipe.run_dir)
    result(found, as_json, "\n".join(_scored(found, found["output"] or name_of_run(folder / "score.parquet"))), output)


def _scored(found: dict[str, Any], table: str) -> list[str]:
    from codeact.score.length import length_line

    lines = []
    for name, rows in found.get("examples", {}).items():
        for row in rows:
            lines += [f"[{name}] {row['id']}  IFD {row['ifd']:.3f}  {amount(row['response_tokens'], 'response token')}"]
            lines += [f"    instruction: {row['instruction']}", f"    response:    {row['response']}"]
    if found.get("share_of_full_scoring") is not None:
        lines.append(
            f"adaptive: {found['share_of_full_scoring']:.1%} of the model tokens of full scoring,"
            f" expected agreement of the selection {found['expected_agreement']:.3f}"
        )
    length = found["length"]
    if length is not None:
        lines.append(
            f"{length_line(length['spearman'], length['interval'])}; the top {length['ratio']:.0%} by IFD hold"
            f" {length['token_share']:.0%} of the response tokens"
        )
    return [*lines, *reading_lines(found["reading"]), f"table: {table}"]


def sample(
    data: Data, output: MaybeOutput = None, model: Model = "",
    embedder: Embedder = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = None, dtype: Dtype = None,
    max_length: MaxLength = None, template: Template = None, run_dir: RunDir = None, settings: Settings = NONE,
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Choose records of DATA by the stages that the strategy reads, and write the selection table.

    Example: codeact sample data.jsonl --model demo --set sample.ratio=0.2 -o chosen.parquet
    """
    keys = recipe_keys(data, model, dtype, max_length, template, limit, seed)
    _run_stage("sample", keys, mapping, settings, output, run_dir, embedder, as_json, force)


def pack(
    data: Data, model: Model, mapping: Mapping_ = NONE, limit: Limit = None, max_length: MaxLength = None, template: Template = None,
    batch_size: Annotated[int | None, key_option("train.batch_size", "records per batch")] = None, seed: Seed = None,
    settings: Settings = NONE, as_json: Json = False,
) -> None:  # fmt: skip
    """Show how much of each batch of DATA would be padding, by five ways to build batches: padding to the maximum, Dynamic Pack and others.

    Example: codeact pack data.jsonl --model demo --batch-size 8
    """
    from codeact import api
    from codeact.pipeline.ready import say_unused

    own = recipe_keys(data, model, None, max_length, template, limit, seed) | config.given({"train.batch_size": batch_size})
    recipe = config.load_recipe(extra=with_settings(own, mapping, settings))
    say_unused(recipe, ["pack"])
    report = api.padding(data, recipe)
    lines = [f"{name:<24} {method['padding_rate']:7.2%} padding" for name, method in report["methods"].items()]
    result(report, as_json, "\n".join([*lines, *reading_lines(report["reading"])]))


def train(
    data: Data, model: Model, output: Output,
    method: Annotated[str | None, key_option("train.method", "full, lora or qlora")] = None,
    epochs: Annotated[float | None, key_option("train.epochs", "passes over the data")] = None,
    learning_rate: Annotated[float | None, key_option("train.learning_rate", "peak learning rate")] = None,
    batch_size: Annotated[int | None, key_option("train.batch_size", "records per batch")] = None,
    validation: Annotated[float | None, key_option("train.validation", "share of the records held out for a validation loss")] = None,
    report_to: Annotated[list[str], key_option("train.report_to", "tensorboard, wandb or trackio, beside metrics.jsonl; may be repeated")] = NONE,
    merge: Annotated[bool | None, key_option("train.merge", "LoRA: also write the merged model")] = None,
    mapping: Mapping_ = NONE, limit: Limit = None, dtype: Dtype = None, max_length: MaxLength = None, template: Template = None,
    seed: Seed = None, settings: Settings = NONE, force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Fine-tune MODEL on DATA with Dynamic Pack; run it again after a kill to go on.

    Example: codeact train selected.jsonl --model demo --method lora -o tuned
    """
    from codeact import api
    from codeact.pipeline.ready import say_unused

    own = {
        "train.method": method,
        "train.epochs": epochs,
        "train.learning_rate": learning_rate,
        "train.batch_size": batch_size,
        "train.validation": validation,
        "train.report_to": report_to or None,
        "train.merge": merge,
        "run_dir": str(output),
    }
    keys = recipe_keys(data, model, dtype, max_length, template, limit, seed) | config.given(own)
    recipe = config.load_recipe(extra=with_settings(keys, mapping, settings))
    say_unused(recipe, ["train"])
    summary = api.train(data, output, recipe, force=force)
    watched = (
        f"; validation loss {summary['first_validation_loss']:.4f} -> {summary['final_validation_loss']:.4f}"
        if "final_validation_loss" in summary
        else ""
    )
    losses = f"loss {summary['first_loss']:.4f} -> {summary['final_loss']:.4f}{watched}"
    lines = [*reading_lines(summary["reading"]), f"{losses}; model: {summary['model']}"]
    result(summary, as_json, "\n".join(lines))


def evaluate(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="where the result is written", show_default=False)] = None,
    model: Annotated[str | None, typer.Argument(help="hub name, folder, LoRA adapter, GGUF file, or demo; not needed with --samples", show_default=False)] = None,
    tasks: Annotated[str | None, key_option("evaluate.tasks", "comma-separated, for example humaneval+,mbpp+")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data", envvar="CODEACT_DATA", help="folder of benchmark files")] = None,
    held_out: Annotated[str | None, key_option("evaluate.held_out", "also bits per byte of the answers in this file")] = None,
    samples: Annotated[Path | None, typer.Option(help="grade these ready generations (JSONL) instead of generating")] = None,
    sanitize: Annotated[bool, typer.Option("--sanitize", help="extract the program from each chat answer of --samples and run it")] = False,
    prompting: Annotated[str | None, key_option("evaluate.prompting", "base, instruct, auto (by the model's template) or few-shot (mbpp)")] = None,
    thinking_tokens: Annotated[int | None, key_option("evaluate.thinking_tokens", "tokens that a reasoning model may think")] = None,
    limit: Annotated[int | None, key_option("evaluate.generate_limit", "generate for this many tasks, evenly spaced")] = None,
    max_new_tokens: Annotated[int | None, key_option("evaluate.max_new_tokens", "longest generation")] = None,
    batch_size: Annotated[int | None, key_option("evaluate.batch_size", "prompts per batch")] = None,
    temperature: Annotated[float | None, key_option("evaluate.temperature", "0: the most likely token; above: sampling, for pass@k")] = None,
    temperatures: Annotated[str | None, key_option("evaluate.temperatures", "further temperatures to draw samples at, such as 0.4,0.8")] = None,
    samples_per_task: Annotated[int | None, key_option("evaluate.samples_per_task", "generations per task, for pass@k; needs a temperature")] = None,
    backend: Annotated[str | None, key_option("evaluate.backend", "transformers, or vllm (an extra, for GPUs)")] = None,
    endpoint: Annotated[str | None, key_option("evaluate.endpoint", "OpenAI-compatible address that generates; MODEL is its name there")] = None,
    solve_rate: Annotated[str | None, key_option("evaluate.solve_rate", "only tasks that --solve-rate-of solves in this range of its samples, such as 0.1,0.9")] = None,
    solve_rate_of: Annotated[str | None, key_option("evaluate.solve_rate_of", "folder of that earlier evaluation")] = None,
    task: Annotated[str, typer.Option("--show", metavar="TASK", help="run a task's programs again: --show HumanEval/3 DIR")] = "",
    against: Annotated[Path | None, typer.Option(help="folder of an earlier evaluation: also show the paired differences to it")] = None,
    dtype: Dtype = None, max_length: MaxLength = None, template: Template = None, seed: Seed = None,
    unsafe_no_sandbox: Annotated[
        bool | None, key_option("evaluate.unsafe_no_sandbox", "run generated code without isolation (recorded in the results)", "--unsafe-no-sandbox")
    ] = None,
    settings: Settings = NONE, force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Benchmark MODEL: pass@1 with intervals in a sandbox, and bits per byte of the reference solutions.

    Example: codeact evaluate tuned/model --tasks humaneval+ --data benchmarks -o results
    """
    from codeact import api
    from codeact.pipeline.ready import say_unused

    asked = None if tasks is None else names(tasks)
    if task:
        if model is None:
            raise InputError("--show TASK needs the folder of a finished evaluation: codeact evaluate --show TASK DIR")
        found = api.show_task(model, task, tasks=asked or (), data_dir=data_dir, unsafe_no_sandbox=bool(unsafe_no_sandbox))
        result(found, as_json, "\n".join(api.task_lines(found)))
        return
    if output is None:
        raise InputError("codeact evaluate writes a folder of results; name it with -o")
    own = {
        "model.name": model, "model.dtype": dtype, "model.max_length": max_length, "model.template": template, "seed": seed,
        "evaluate.temperature": temperature, "evaluate.samples_per_task": samples_per_task, "evaluate.backend": backend,
        "evaluate.tasks": asked, "evaluate.prompting": prompting, "evaluate.held_out": held_out, "evaluate.thinking_tokens": thinking_tokens,
        "evaluate.endpoint": endpoint, "evaluate.solve_rate_of": solve_rate_of,
        "evaluate.temperatures": None if temperatures is None else names(temperatures),
        "evaluate.solve_rate": None if solve_rate is None else names(solve_rate),
        "evaluate.generate_limit": limit, "evaluate.max_new_tokens": max_new_tokens, "evaluate.batch_size": batch_size,
        "evaluate.unsafe_no_sandbox": unsafe_no_sandbox, "run_dir": str(output),
    }  # fmt: skip
    recipe = config.load_recipe(extra=with_settings(config.given(own), NONE, settings))
    say_unused(recipe, ["evaluate"])
    results = api.evaluate(
        model,
        output,
        recipe=recipe,
        samples=samples,
        sanitized=sanitize,
        data_dir=data_dir,
        against=against,
        force=force,
    )
    result(results, as_json, "\n".join([*api.result_lines(results), f"results: {output / 'results.json'}"]))


def report(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write report.html and report.json of a run or a selection, and print the main figures.

    Example: codeact report runs/demo
    """
    from codeact.api.run_directory import reported

    show(reported(run_dir), as_json)
