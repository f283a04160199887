"""Commands of the panel "Tools": what helps before a run and after it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from codeact import shipped
from codeact.amounts import amount
from codeact.cli.explanation import explanation, show_colours
from codeact.cli.options import (
    NONE,
    Data,
    Force,
    Json,
    Limit,
    Mapping_,
    Output,
    Seed,
    Settings,
    field_map,
    key_option,
    names,
    numbers,
    one_or_many,
    result,
    with_settings,
)
from codeact.errors import InputError
from codeact.records import possible_line


def records(
    data: Data,
    show: Annotated[int, typer.Option(help="number of records to print in full", min=0)] = 3,
    split: Annotated[str | None, key_option("data.split", "split of a data set")] = None,
    mapping: Mapping_ = NONE, as_json: Json = False,
) -> None:  # fmt: skip
    """Show how the rows of DATA are read, as turns, which are refused and why, and which columns are not read.

    Example: codeact records data.jsonl --show 3
    """
    from codeact import api

    found = api.preview(one_or_many(data), mapping=field_map(mapping), split=split, show=show)
    lines, problem = found.pop("lines"), found.pop("problem")
    result(found, as_json, "\n".join(lines))
    if problem:
        raise InputError(problem)


def harvest(
    roots: Annotated[list[str], typer.Argument(help="source folders; stdlib is Python's own library", show_default=False)],
    output: Output,
    languages: Annotated[str | None, key_option("data.harvest.languages", "c, cpp, go, java, javascript, python, rust, typescript, with commas")] = None,
    include: Annotated[list[str], key_option("data.harvest.include", "read only files that fit, for example 'src/*'; may be repeated")] = NONE,
    exclude: Annotated[list[str], key_option("data.harvest.exclude", "leave these out, for example legacy or '*_old.py'; may be repeated")] = NONE,
    commits: Annotated[int | None, key_option("data.harvest.commits", "also read this many newest commits; those that change one function become records")] = None,
    min_tokens: Annotated[int | None, key_option("data.harvest.min_tokens", "shortest response, lexical tokens")] = None,
    max_tokens: Annotated[int | None, key_option("data.harvest.max_tokens", "longest response, lexical tokens")] = None,
    held_out: Annotated[float, typer.Option(help="share of the records, in whole files, written beside the output for measuring")] = 0.0,
    keep_secrets: Annotated[bool, typer.Option("--keep-secrets", help="also functions that hold keys, passwords or e-mail addresses")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="also undocumented functions, described by the endpoint of judge.endpoint")] = False,
    limit: Limit = None, seed: Seed = None, settings: Settings = NONE, force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Make instruction records from the documented functions of source trees.

    Example: codeact harvest stdlib src --limit 500 -o harvest.jsonl
    """
    from codeact import api

    made = api.harvest(
        roots, output, languages=None if languages is None else names(languages), include=include or None,
        exclude=exclude or None, commits=commits, held_out=held_out, min_tokens=min_tokens, max_tokens=max_tokens, limit=limit, seed=seed,
        force=force, keep_secrets=keep_secrets, describe=describe, settings=with_settings({}, NONE, settings),
    )  # fmt: skip
    lines = [f"{amount(made['records'], 'record')} -> {made['output']}"]
    if "of_commits" in made:
        lines.append(f"of them from commits: {made['of_commits']:,}")
    if describe:
        lines.append(f"{made['described']:,} of them described by the endpoint" + (f", ${made['usd']:.2f}" if made["usd"] else ""))
    if made["held_out"]:
        held = made["held_out"] / (made["records"] + made["held_out"])
        lines.append(f"{amount(made['held_out'], 'record')} of other files ({held:.0%}) -> {made['held_out_output']}")
    left_out = sorted(made["skipped"].items(), key=lambda item: (-item[1], item[0]))
    if left_out:
        lines.append("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in left_out))
    if possible := made["possible_secrets"]:
        lines.append(possible_line(len(possible), possible))
    result(made, as_json, "\n".join([*lines, *made["problems"]]))


def export(
    run_dir: Annotated[Path, typer.Argument(help="run directory of `select` or `run`", show_default=False)],
    to: Annotated[str, typer.Option(help="trl, axolotl, llama-factory, torchtune or datasets")],
    output: Output,
    model: Annotated[str, typer.Option(help="model to train, if the run has none or you want another")] = "",
    force: Annotated[bool, typer.Option("--force", help="replace files of these names in the folder")] = False,
    as_json: Json = False,
) -> None:
    """Write a run's chosen records, also as the tokens of codeact's own training, the tool's configuration and a data card.

    Example: codeact export selected.codeact --to trl -o sft
    """
    from codeact import api

    made = api.export(run_dir, to, output, model=model, force=force)
    lines = [f"{amount(made['records'], 'record')} -> {made['output']}: {', '.join(made['files'])}"]
    result(made, as_json, "\n".join([*lines, *(f"mind: {warning}" for warning in made["warnings"])]))


def merge(
    adapter: Annotated[Path, typer.Argument(help="folder of a LoRA adapter", show_default=False)],
    output: Output, dtype: Annotated[str, typer.Option(help="auto (the base model's), float32, bfloat16, float16")] = "auto",
    force: Force = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Merge the LoRA ADAPTER into its base model.

    Example: codeact merge tuned/adapter -o merged
    """
    from codeact import api

    made = api.merge(adapter, output, dtype=dtype, force=force)
    result(made, as_json, f"{made['base']} + {adapter} -> {output} ({made['dtype']})")


def explain(
    run_dir: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    record_id: Annotated[str, typer.Argument(help="id of a record, or how it begins (see ledger.parquet)", show_default=False)] = "",
    row: Annotated[int | None, typer.Option(help="instead of an id: row of the data, the first is 1")] = None,
    find: Annotated[str, typer.Option(help="instead of an id: a text that the record holds")] = "",
    tokens: Annotated[bool, typer.Option("--tokens", help="load the model and show what the instruction saves on each token")] = False,
    as_json: Json = False,
) -> None:
    """Say why a record was kept or dropped, beside which others, and which settings would change it.

    Example: codeact explain selected.codeact --find "binary search"
    """
    from codeact import api

    found = api.explain(run_dir, record_id, row=row, find=find, tokens=tokens)
    result(found, as_json, "" if as_json else "\n".join(explanation(found)))
    if not as_json and "tokens" in found:
        show_colours(found["tokens"])


def diff(
    first: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    second: Annotated[Path, typer.Argument(help="another one, of the same data", show_default=False)],
    show: Annotated[int, typer.Option(min=0, help="records of each side that are shown")] = 5,
    as_json: Json = False,
) -> None:
    """Say what one run selected and another did not, and why.

    Example: codeact diff selected.codeact other.codeact --show 20
    """
    from codeact import api
    from codeact.pipeline.difference import diff_lines

    found = api.diff(first, second)
    result(found, as_json, "\n".join(diff_lines(found, show)))


def stability(
    run_dir: Annotated[Path, typer.Argument(help="run directory of select, sample or run", show_default=False)],
    seeds: Annotated[str, typer.Option(help="seeds for K-means and the draw, comma-separated")] = "0,1,2,3,4",
    ks: Annotated[str, typer.Option(help="numbers of clusters, comma-separated")] = "5,10,20,40",
    scores: Annotated[list[str], typer.Option(help="NAME=score.parquet of the same records by another model; may be repeated")] = NONE,
    strategy: Annotated[str | None, typer.Option(help="strategy, instead of the run's own")] = None,
    ratio: Annotated[float | None, typer.Option(help="ratio, instead of the run's own")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say how much of a selection is chance: its overlap with those of other seeds, numbers of clusters and scoring models.

    Example: codeact stability selected.codeact --ks 5,10,20
    """
    from codeact import api

    others = dict(pair.partition("=")[::2] for pair in scores)
    if not all(name and path for name, path in others.items()):
        raise InputError("--scores is of the form NAME=FILE, for example gpt2=gpt2/score.parquet")
    found = api.stability(
        run_dir, seeds=numbers("--seeds", seeds), ks=numbers("--ks", ks), scores=others, strategy=strategy, ratio=ratio
    )
    result(found, as_json, "\n".join(found["lines"]))


def recipes(
    name: Annotated[str, typer.Argument(help="print this one", show_default=False)] = "",
    copy: Annotated[bool, typer.Option("--copy", help="write NAME into this folder instead, to change it")] = False,
    path: Annotated[bool, typer.Option("--path", help="print where NAME lies instead of its text")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """List the recipes that come with codeact, for run, compare and accelerate launch; print one, or copy it.

    Example: codeact recipes demo --copy
    """
    if copy:
        if not name:
            raise InputError("--copy needs the name of a recipe: codeact recipes demo --copy")
        own = shipped.copy(name, Path())
        result({"name": name, "path": str(own)}, as_json, f"{own} is written; change it, and give it instead of {name}")
        return
    if name:
        file = shipped.find(name)
        text = file.read_text(encoding="utf-8")
        found = {"name": name, "path": str(file), "text": text}
        result(found, as_json, str(file) if path else text.rstrip("\n"))
        return
    known = {one: shipped.about(one) for one in shipped.names()}
    lines = [f"{one:<28} {line}" for one, line in known.items()]
    result({"folder": str(shipped.folder()), "recipes": known}, as_json, "\n".join(lines))


def docs(
    page: Annotated[str, typer.Argument(help="print this one", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """List the pages of the documentation, which come with codeact; print one.

    Example: codeact docs scoring
    """
    if page:
        text = shipped.page(page)
        result({"page": page, "text": text}, as_json, text.rstrip("\n"))
        return
    known = shipped.pages()
    result(known, as_json, "\n".join(f"{name:<28} {heading}" for name, heading in known.items()))


def keys(
    part: Annotated[str, typer.Argument(help="a section or a key; all, if none is named", show_default=False)] = "",
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema for editors")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print all as the page `recipe`")] = False,
    as_json: Json = False,
) -> None:
    """Show every recipe key, or those of PART: what it takes, its default, what it does.

    Example: codeact keys sample
    """
    from codeact import recipe_keys

    if schema or markdown:
        typer.echo(recipe_keys.json_schema() if schema else recipe_keys.markdown(), nl=False)
        return
    found = recipe_keys.recipe_keys(part)
    lines = [f"{key.name} = {key.default}\n    {key.type}\n    {key.description}" for key in found]
    result([asdict(key) for key in found], as_json, "\n".join(lines))


def tasks(
    check: Annotated[
        str | None, typer.Option(help="run the canonical solutions of this set, or of this .jsonl file of your own, in the sandbox", show_default=False)
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data", envvar="CODEACT_DATA", help="folder of benchmark files")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """List the task sets of `evaluate`: versions, licences, where the data come from; or check your own file.

    Example: codeact tasks --check mine.jsonl
    """
    from codeact.evaluation.set_checks import check_lines, check_tasks, task_table

    if check is not None:
        found = check_tasks(check, data_dir)
        result(found, as_json, "\n".join(check_lines(found)))
        if found["failed"]:
            raise typer.Exit(1)
        return
    table = task_table()
    lines = [
        f"{', '.join(f['names'])}\n    versions: {', '.join(f['versions'])}; {', '.join(f['languages'])}\n    {f['source']}; {f['licence']}"
        for f in table
    ]
    result(table, as_json, "\n".join([*lines, "FILE.jsonl\n    tasks of your own: codeact docs own-tasks"]))


def doctor(as_json: Json = False) -> None:
    """Show versions, device, sandbox and installed extras of this machine.

    Example: codeact doctor --json
    """
    from codeact import api

    found = api.doctor()
    lines = [f"{key:<22} {value}" for key, value in found.items() if key not in ("extras", "sandboxes", "languages")]
    for name, probe in found["sandboxes"].items():
        told = f"holds: {len(probe['blocked'])} attacks blocked ({', '.join(probe['blocked'])})"
        lines.append(f"sandbox {name:<14} {told if probe['holds'] else 'not used: ' + probe['problem']}")
    lines += [
        f"language {name:<13} {'installed' if not one['missing'] else 'missing: apt-get install ' + one['install']}"
        for name, one in found["languages"].items()
    ]
    missing = "missing: pip install 'codeact[{}]'"  # in quotes: zsh takes brackets for a pattern
    lines += [f"extra {name:<16} {'installed' if there else missing.format(name)}" for name, there in found["extras"].items()]
    result(found, as_json, "\n".join(lines))
