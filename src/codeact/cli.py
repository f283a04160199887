"""The `codeact` command. Exit status: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from codeact import __version__, config
from codeact.config import Recipe
from codeact.errors import CodeactError, InputError

app = typer.Typer(
    name="codeact",
    help="Choose the part of an instruction data set that a code LLM learns most from, train on it without padding, prove the gain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    str, typer.Argument(help=".jsonl, .json or .parquet file, or a Hugging Face data set name", show_default=False)
]
Model = Annotated[
    str, typer.Option("--model", help="hub name, local folder, GGUF file, or demo (SmolLM2-135M-Instruct)")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="where the result is written", show_default=False)]
MaybeOutput = Annotated[
    Path | None, typer.Option("--output", "-o", help="where the table is written (.parquet, .jsonl, .json)")
]
Embedder = Annotated[
    str | None,
    typer.Option(help="sentence-transformers name or folder, or demo (all-MiniLM-L6-v2) [default: all-mpnet-base-v2]"),
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16")]
MaxLength = Annotated[int, typer.Option(help="tokens; longer responses are truncated with a status")]
Seed = Annotated[int, typer.Option(help="seed of every random choice")]
Limit = Annotated[int | None, typer.Option(help="use a seeded random sample of this many records")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="show tracebacks and library warnings")]
Mapping_ = Annotated[
    list[str], typer.Option("--map", help="FIELD=COLUMN, for example instruction=question; may be repeated")
]
Settings = Annotated[
    list[str], typer.Option("--set", help="KEY=VALUE, any recipe key, for example cluster.k=20; may be repeated")
]
RunDir = Annotated[
    Path | None, typer.Option(help="directory of the stages' tables; give the same one again to reuse what is done")
]
Template = Annotated[str, typer.Option(help="auto, question (the paper's), alpaca, chat, or a jinja file")]
NONE: list[str] = []


def _version(value: bool) -> None:
    if value:
        typer.echo(f"codeact {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value overrides, for example sample.ratio=0.3", show_default=False)
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run a whole recipe: records, selection, training, evaluation, report. Run it again to go on or to redo what changed."""
    _prepare(verbose)
    _run(config.load_recipe(recipe, overrides or ()), as_json)


@app.command()
def demo(
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value overrides", show_default=False)] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """The whole of codeact at small size: a 135M model on functions of Python's standard library, in minutes on two cores."""
    _prepare(verbose)
    _run(config.load_recipe(_shipped("demo.yaml"), overrides or ()), as_json)


@app.command()
def select(
    data: Data,
    output: Output,
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
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write the rows of DATA that MODEL learns most from, untouched and in their order."""
    from codeact import api

    _prepare(verbose)
    extra = {
        "model.dtype": dtype,
        "model.max_length": max_length,
        "model.template": template,
        **_shared(mapping, settings),
    }
    chosen = api.select(
        data, model=model, ratio=ratio, strategy=strategy, embedder=embedder, output=output, run_dir=run_dir, limit=limit, seed=seed,
        settings=extra, say=_say, quiet=False,
    )  # fmt: skip
    summary = {**chosen.summary, "output": str(output)}
    _result(summary, as_json, "\n".join(_selected(summary, output, chosen.run_dir)))


def _selected(summary: dict[str, Any], output: Path, run_dir: Path) -> list[str]:
    lines = [
        f"{summary['selected']} of {summary['pool']} records -> {output}  (every decision: {run_dir / 'ledger.parquet'})"
    ]
    if summary.get("token_share") is not None:
        lines.append(f"they hold {summary['token_share']:.0%} of the response tokens")
    if summary.get("ifd_length_spearman") is not None:
        lines.append(
            f"IFD against response length: Spearman {summary['ifd_length_spearman']:.2f}; hard is in part long"
        )
    return lines


def _curated(summary: dict[str, Any], folder: Path) -> list[str]:
    """What curation dropped, reason by reason, as a table."""
    kept, dropped = int(summary["kept"]), dict(summary["dropped"])
    total = kept + sum(dropped.values())
    rows = [("kept", kept), *sorted(dropped.items(), key=lambda item: (-item[1], item[0]))]
    rows += [(f"verdict {name}", count) for name, count in sorted(summary.get("verdicts", {}).items())]
    lines = [f"{name:<22}{count:>10,}{count / total:>8.1%}" for name, count in rows]
    return [*lines, f"dropped records with the evidence: {folder / 'dropped.jsonl'}"]


def _stage_command(name: str, about: str, needs_model: bool) -> None:
    def command(
        data: Data, output: MaybeOutput = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = 0,
        model: Model = "", embedder: Embedder = None, dtype: Dtype = "auto", max_length: MaxLength = 2048, template: Template = "auto",
        run_dir: RunDir = None, settings: Settings = NONE, as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        from codeact import api

        _prepare(verbose)
        extra = _recipe_keys(data, model, dtype, max_length, template, limit, seed) | _shared(mapping, settings)
        if embedder is not None:
            extra["embed.model"] = embedder
        if needs_model and not model:
            raise InputError(f"codeact {name} needs the model that will be trained; name it with --model")
        folder = run_dir or (output.with_name(f"{output.stem}.codeact") if output else Path("runs") / name)
        recipe = config.load_recipe(extra={**extra, "run_dir": str(folder)})
        summary = api.run_stages(recipe, [name], output, say=_say, quiet=False)
        where = f"table: {output or folder / f'{name}.parquet'}"
        _result(summary, as_json, "\n".join([*_curated(summary, folder), where]) if name == "curate" else where)

    command.__doc__ = about
    app.command(name)(command)


_stage_command(
    "curate", "Drop broken, duplicate and benchmark-contaminated records of DATA; write the rest untouched.", False
)
_stage_command("embed", "Embed the instructions of DATA.", False)
_stage_command("cluster", "Embed and cluster the instructions of DATA.", False)
_stage_command("score", "Score every record of DATA with MODEL: IFD, negative log-likelihoods, status.", True)
_stage_command("sample", "Choose records of DATA (embed, cluster, score, sample) and write the selection table.", True)


@app.command()
def pack(
    data: Data, model: Model, mapping: Mapping_ = NONE, limit: Limit = None, max_length: MaxLength = 2048, template: Template = "auto",
    batch_size: Annotated[int, typer.Option(help="records per batch")] = 16, seed: Seed = 0, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Show how much of each batch of DATA would be padding: pad to max, dynamic padding, Dynamic Pack."""
    from codeact import api

    _prepare(verbose)
    extra = _recipe_keys(data, model, "auto", max_length, template, limit, seed) | _shared(mapping, [])
    report = api.padding(data, config.load_recipe(extra={**extra, "train.batch_size": batch_size}))
    lines = [f"{name:<24} {method['padding_rate']:7.2%} padding" for name, method in report["methods"].items()]
    _result(report, as_json, "\n".join(lines))


@app.command()
def train(
    data: Data, model: Model, output: Output,
    method: Annotated[str, typer.Option(help="full or lora")] = "full",
    epochs: Annotated[float, typer.Option(help="passes over the data")] = 3,
    learning_rate: Annotated[float, typer.Option(help="peak learning rate")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="records per forward pass")] = 16,
    mapping: Mapping_ = NONE, limit: Limit = None, dtype: Dtype = "auto", max_length: MaxLength = 2048, template: Template = "auto",
    seed: Seed = 0, settings: Settings = NONE, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Fine-tune MODEL on DATA with Dynamic Pack; run it again after a kill to go on."""
    from codeact import api

    _prepare(verbose)
    given = {
        "train.method": method,
        "train.epochs": epochs,
        "train.learning_rate": learning_rate,
        "train.batch_size": batch_size,
    }
    extra = _recipe_keys(data, model, dtype, max_length, template, limit, seed) | given | _shared(mapping, settings)
    summary = api.train(data, output, config.load_recipe(extra=extra), quiet=False)
    _result(
        summary, as_json, f"loss {summary['first_loss']:.4f} -> {summary['final_loss']:.4f}; model: {summary['model']}"
    )


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="hub name, folder, LoRA adapter, GGUF file, or demo", show_default=False)],
    output: Output,
    tasks: Annotated[str, typer.Option(help="comma-separated, for example humaneval+,mbpp+")] = "humaneval",
    data_dir: Annotated[Path | None, typer.Option("--data", envvar="CODEACT_DATA", help="folder of benchmark files")] = None,
    samples: Annotated[Path | None, typer.Option(help="grade these ready generations (JSONL) instead of generating")] = None,
    prompting: Annotated[str, typer.Option(help="base or instruct")] = "base",
    limit: Annotated[int | None, typer.Option(help="generate for this many tasks, evenly spaced")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="longest generation")] = 512,
    batch_size: Annotated[int, typer.Option(help="prompts per batch")] = 32,
    dtype: Dtype = "auto", max_length: MaxLength = 2048, seed: Seed = 0,
    unsafe_no_sandbox: Annotated[bool, typer.Option("--unsafe-no-sandbox", help="run generated code without isolation (recorded in the results)")] = False,
    settings: Settings = NONE, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Benchmark MODEL: pass@1 with intervals in a sandbox, and bits per byte of the reference solutions."""
    from codeact import api

    _prepare(verbose)
    extra = {
        "model.name": model, "model.dtype": dtype, "model.max_length": max_length, "seed": seed,
        "evaluate.tasks": [t.strip() for t in tasks.split(",") if t.strip()], "evaluate.prompting": prompting,
        "evaluate.generate_limit": limit, "evaluate.max_new_tokens": max_new_tokens, "evaluate.batch_size": batch_size,
        "evaluate.unsafe_no_sandbox": unsafe_no_sandbox,
    }  # fmt: skip
    recipe = config.load_recipe(extra=extra | _shared([], settings))
    results = api.evaluate(model, output, recipe=recipe, samples=samples, data_dir=data_dir, quiet=False)
    _result(results, as_json, f"results: {output / 'results.json'}")


@app.command()
def harvest(
    roots: Annotated[list[str], typer.Argument(help="source folders; stdlib is Python's own library", show_default=False)],
    output: Output,
    min_tokens: Annotated[int, typer.Option(help="shortest response, Python lexical tokens")] = 20,
    max_tokens: Annotated[int, typer.Option(help="longest response, Python lexical tokens")] = 1500,
    limit: Limit = None, seed: Seed = 0, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Make instruction records from the documented functions of Python source trees."""
    from codeact import api

    _prepare(verbose)
    made = api.harvest(roots, output, min_tokens=min_tokens, max_tokens=max_tokens, limit=limit, seed=seed, quiet=False)
    _result(made, as_json, f"{made['records']} records -> {output}")


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write report.html and report.json of a run again and print the main figures."""
    _prepare(verbose)
    _show(run_dir, as_json)


@app.command()
def explain(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    record_id: Annotated[str, typer.Argument(help="id of a record (see ledger.parquet)", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Say why a record was kept or dropped."""
    from codeact import api

    _prepare(verbose)
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
    _result(found, as_json, "\n".join(lines))


@app.command()
def doctor(as_json: Json = False, verbose: Verbose = False) -> None:
    """Show versions, device, sandbox and installed extras of this machine."""
    from codeact import api

    _prepare(verbose)
    found = api.doctor()
    lines = [f"{key:<22} {value}" for key, value in found.items() if key != "extras"]
    lines += [
        f"extra {name:<16} {'installed' if there else f'missing: pip install codeact[{name}]'}"
        for name, there in found["extras"].items()
    ]
    _result(found, as_json, "\n".join(lines))


def _run(recipe: Recipe, as_json: bool) -> None:
    from codeact import api

    api.run(recipe, say=_say, quiet=False)
    _show(Path(recipe.run_dir), as_json)


def _show(run_dir: Path, as_json: bool) -> None:
    from codeact import api, storage

    page = api.report(run_dir)
    if as_json:
        typer.echo(json.dumps(storage.read_json(run_dir / "report.json"), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title=f"codeact: {run_dir}")
    for name, value in api.summary_rows(run_dir):
        table.add_row(name, value)
    Console().print(table)
    hint = "" if page.suffix == ".html" else "  (for report.html: pip install 'codeact[report]')"
    typer.echo(f"report: {page}{hint}")


def _recipe_keys(
    data: str, model: str, dtype: str, max_length: int, template: str, limit: int | None, seed: int
) -> dict[str, Any]:
    return {
        "data.source": data, "data.limit": limit, "seed": seed, "model.name": model, "model.dtype": dtype,
        "model.max_length": max_length, "model.template": template,
    }  # fmt: skip


def _shared(mapping: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
    import yaml

    extra: dict[str, Any] = {}
    for option, pairs in (("--map", mapping), ("--set", settings)):
        for pair in pairs:
            key, sign, value = pair.partition("=")
            if not sign or not key or not value:
                raise InputError(
                    f"{option} {pair!r} is not of the form {'FIELD=COLUMN' if option == '--map' else 'KEY=VALUE'}"
                )
            if option == "--map":
                extra.setdefault("data.map", {})[key] = value
            else:
                extra[key] = yaml.safe_load(value)
    return extra


def _shipped(name: str) -> Path:
    here = Path(__file__).parent
    places = (here / "recipes" / name, here.parents[1] / "recipes" / name)
    found = next((p for p in places if p.is_file()), None)
    if found is None:
        raise InputError(f"recipe {name} is not part of this installation; take it from the project's recipes/ folder")
    return found


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _result(value: Any, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)


_verbose = False


def _prepare(verbose: bool) -> None:
    global _verbose
    _verbose = verbose
    if not verbose:
        import logging
        import os
        import warnings

        warnings.filterwarnings("ignore")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        for name in ("transformers", "huggingface_hub", "sentence_transformers", "httpx"):
            logging.getLogger(name).setLevel(logging.ERROR)


def main() -> None:
    """Entry point: errors become one line and an exit status."""
    # Some releases of typer carry their own copy of click: take the base class from what typer exports.
    usage_error: Any = typer.BadParameter.__base__
    try:
        status = app(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except usage_error as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted; finished work is kept: run the same command again to go on", err=True)
        sys.exit(130)
    except CodeactError as error:
        if _verbose:
            raise
        typer.echo(f"codeact: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if _verbose:
            raise
        typer.echo(f"codeact: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(2)
