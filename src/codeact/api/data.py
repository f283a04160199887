"""Data before a run: how its rows are read (`preview`), and records made of source code (`harvest`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from codeact import config, row_output, storage
from codeact.amounts import amount, check_whole
from codeact.api.describing import check_endpoint, described
from codeact.errors import InputError
from codeact.files import name_of
from codeact.locks import one_writer
from codeact.outputs import Run, check_file
from codeact.pipeline.ready import say_unused
from codeact.records import Reading, Record, read_source, reading_lines
from codeact.records.given import is_dataset, plain_rows, rows_of
from codeact.rundir import tables
from codeact.sources.names import as_list
from codeact.storage import Source

if TYPE_CHECKING:
    from datasets import Dataset

CUT = 400  # characters of a turn that are shown


# what the functions of the public surface take as data; a text, because `datasets` is an extra
Data: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]] | Sequence[Mapping[str, Any]] | Dataset"


def preview(
    data: Data, *, mapping: Mapping[str, str] | None = None, split: str | None = None, show: int = 3
) -> dict[str, Any]:
    """Read data files or rows and say what became of every row; nothing is written and no model is loaded.

    Args:
        data: what `codeact.storage.read_rows` reads, a list of dictionaries, or a `datasets.Dataset`.
        mapping: field -> column, as `--map`.
        split: of a data set that is named.
        show: the first so many records are given in full, and the first rejected row of every reason.

    Returns:
        `source, rows, records, rejected, first_rejected, not_read, forms, refused` (the first rejected row of each reason),
        `shown` (`id, row, messages, tools`), and for people `lines` and `problem` (what is wrong where no row is usable, else "").

    Raises:
        InputError: the data cannot be read, its columns are unknown, `split` is given of rows, or `show` is below 0.
    """
    check_whole("show", show, 0)
    source, names = open_data(data)
    if source is not None and split is not None:
        raise InputError(f"split={split!r} is of a data set that is named; rows that are given have no splits: leave it out")
    reading = read_source(source or storage.read_rows(names, split or config.DEFAULTS.data.split), mapping)
    firsts = {
        r.reason: {"row": r.row + 1, "id": r.id, "detail": r.detail, "place": reading.locate(r.row)}
        for r in reversed(reading.rejected)
    }
    shown = [_plain(record) for record in reading.records[:show]]
    found = {
        "source": reading.where, **reading.summary(), "forms": dict(reading.forms), "refused": firsts, "shown": shown,
    }  # fmt: skip
    return {**found, "lines": _lines(reading, found), "problem": reading.problem}


@one_writer("output", addresses=True)
def harvest(
    roots: str | PathLike[str] | Sequence[str | PathLike[str]],
    output: str | Path,
    *,
    languages: Sequence[str] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    commits: int | None = None,
    min_tokens: int | None = None,
    max_tokens: int | None = None,
    held_out: float = 0.0,
    limit: int | None = None,
    seed: int | None = None,
    force: bool = False,
    keep_secrets: bool = False,
    describe: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the documented functions of source trees as instruction records.

    Args:
        roots: source folders; `stdlib` is Python's own library.
        output: the file; its suffix decides the form.
        languages: of the functions: python, c, cpp, go, java, javascript, rust, typescript.
        include: patterns such as `src/*`: only files that fit one are read.
        exclude: patterns such as `legacy` or `*_old.py` of what is left out.
        commits: so many of each root's newest commits: one that changes one function is a record too, its message and the function
            before -> the function after.
        min_tokens, max_tokens: shortest and longest response, in lexical tokens.
        held_out: share of the records, in whole files, that goes to `NAME.held-out.SUFFIX` instead: for measuring, never for training.
        limit: a seeded random sample of this many.
        seed: of that sample.
        force: replace an `output` that another run wrote.
        keep_secrets: also functions that hold keys, passwords or e-mail addresses; with `describe` they are sent to the endpoint too.
        describe: also functions without documentation; the endpoint of `judge.endpoint` says what they are for. With `limit` only those
            of the sample are sent.
        settings: recipe key -> value, of `data.harvest` and `judge`; keys that arguments stand for are refused.

    Returns:
        `records` (written), `held_out` (likewise), `found`, `skipped` (reason -> functions or files), `problems` (one line a file),
        `possible_secrets` (places of kept functions that hold what may be a secret or an e-mail address), `output`;
        with `commits` also `of_commits` (how many of `records`); with `describe` also `described` (records) and `usd` (what that cost).

    Raises:
        InputError: a number out of range, a root that does not exist, nothing in it is usable, or `describe` without an endpoint.
        CodeactError: the endpoint's budget is spent or too much of it failed; its answers are kept, so run it again.
    """
    from codeact import harvesting

    roots, output = as_list(roots), Path(output)
    recipe = config.load_recipe(extra=config.joined(config.given({
        "data.limit": limit, "seed": seed, "data.harvest.min_tokens": min_tokens, "data.harvest.max_tokens": max_tokens,
        "data.harvest.languages": languages, "data.harvest.include": include, "data.harvest.exclude": exclude,
        "data.harvest.commits": commits,
        "data.harvest.secrets": [] if keep_secrets else None,
    }), settings or {}))  # fmt: skip
    say_unused(recipe, ["judge"] if describe else ["harvest"])
    own = recipe.data.harvest
    harvesting.check_share(held_out)  # before hours of reading, not after
    if describe:
        check_endpoint(recipe.judge)
    beside = output.with_name(f"{output.name.partition('.')[0]}.held-out{''.join(output.suffixes)}")
    told = Run("harvest", ", ".join(roots), tuple(roots), force)
    there = _claimed((output, beside) if held_out else (output,), told)
    found = harvesting.harvest_functions(**{**own.model_dump(), "roots": roots}, undocumented=describe)
    count, spent = len(found.records), 0.0
    found = replace(found, records=tables.limited(found.records, recipe.data.limit, recipe.seed))
    if describe:
        found, spent = described(found, recipe)
    if not found.records:
        raise InputError(
            f"no {'' if describe else 'documented '}function of {own.min_tokens} to {own.max_tokens} tokens in {', '.join(roots)}; skipped: {dict(found.skipped)}"
        )
    kept, held = harvesting.hold_out(found.records, held_out, recipe.seed)
    _write_harvest({beside: held, output: kept}, there)
    return {
        "records": len(kept),
        "held_out": len(held),
        "held_out_output": name_of(beside) if held else None,
        "found": count,
        **({"described": sum(harvesting.DESCRIBED_BY in r.meta for r in found.records), "usd": spent} if describe else {}),
        **({"of_commits": sum("commit" in r.meta for r in kept)} if own.commits else {}),
        "skipped": dict(found.skipped),
        "problems": list(found.problems),
        "possible_secrets": list(found.possible),
        "output": name_of(output),
    }


def _claimed(outputs: Iterable[Path], told: Run) -> dict[Path, bool]:
    """Whether each output is there already and may be replaced; one that may not be written is refused."""
    there = {}
    for path in outputs:
        row_output.check_writable(path)
        there[path] = check_file(path, told)
    return there


def _write_harvest(outputs: Mapping[Path, Sequence[Record]], there: Mapping[Path, bool]) -> None:
    from codeact.harvesting import to_rows

    for path, records in outputs.items():
        if records:
            rows = to_rows(records)
            row_output.write_rows(Source("the harvest", rows), range(len(rows)), path, replace=there[path])


def open_data(data: Data) -> tuple[Source | None, str | tuple[str, ...]]:
    """Rows that are in memory already, else None; and the names of the data as a recipe holds them.

    Raises:
        InputError: neither paths nor rows.
    """
    if isinstance(data, str | PathLike):
        return None, fspath(data)
    if isinstance(data, Sequence) and data and all(isinstance(name, str | PathLike) for name in data):
        names = tuple(fspath(name) for name in cast("Sequence[str | PathLike[str]]", data))
        return None, names[0] if len(names) == 1 else names
    if is_dataset(data):
        table = data.with_format("arrow")[:]
        return Source("the data set", table.to_pylist(), table), "memory"
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return Source("the list", plain_rows(data)), "memory"
    raise InputError(
        f"data is {type(data).__name__}; give paths, a data set name, a list of dictionaries or a datasets.Dataset{rows_of(data)}"
    )


def _plain(record: Record) -> dict[str, Any]:
    """A record as JSON: fields of a turn that are empty are left out, calls and tools are objects."""
    turns = []
    for m in record.messages:
        turn: dict[str, Any] = {"role": m.role, "content": m.content}
        turn |= {key: getattr(m, key) for key in ("reasoning", "name", "tool_call_id") if getattr(m, key)}
        if m.tool_calls:
            turn["tool_calls"] = json.loads(m.tool_calls)
        if not m.learn:
            turn["learn"] = False
        turns.append(turn)
    tools = json.loads(record.tools) if record.tools else []
    return {"id": record.id, "row": record.meta["row"] + 1, "messages": turns, "tools": tools}


def _lines(reading: Reading, found: Mapping[str, Any]) -> list[str]:
    forms = ", ".join(f"{name} {count:,}" for name, count in reading.forms.items())
    lines = [
        f"{reading.where}: {amount(found['rows'], 'row')}, {amount(found['records'], 'record')}" + (f" ({forms})" if forms else "")
    ]
    for reason, first in found["refused"].items():
        lines.append(f"refused: {reason} {found['rejected'][reason]:,}; the first: {first['place']}: {first['detail']}")
    lines += reading_lines({**found, "rejected": {}})
    for one in found["shown"]:
        lines.append(f"\n[row {one['row']}] {one['id']}")
        if one["tools"]:
            names = [str(tool.get("function", tool).get("name", "?")) for tool in one["tools"]]
            lines.append(f"  tools: {', '.join(names)}")
        for turn in one["messages"]:
            lines += _turn_lines(turn)
    return lines


def _turn_lines(turn: Mapping[str, Any]) -> list[str]:
    who = turn["role"] + (f" {turn['name']}" if turn.get("name") else "")
    note = "" if turn.get("learn", True) else " (not learnt)"
    lines = []
    if turn.get("reasoning"):
        lines.append(f"  {who}{note}, thinking: {_cut(turn['reasoning'])}")
    if turn["content"] or not (turn.get("reasoning") or turn.get("tool_calls")):
        lines.append(f"  {who}{note}: {_cut(turn['content'])}")
    for call in turn.get("tool_calls", ()):
        function = call["function"]
        lines.append(f"  {who}{note} calls {function['name']}({json.dumps(function['arguments'], ensure_ascii=False)})")
    return lines


def _cut(text: str) -> str:
    shown = text if len(text) <= CUT else f"{text[:CUT]} ... ({len(text):,} characters)"
    return shown.replace("\n", "\n    ")
