"""Append-only JSONL files that a killed evaluation goes on from: each row carries the key of what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import files, mirror, storage

Row = dict[str, Any]
RESULTS = "results.json"  # an evaluation is finished where it lies beside its rows
VERSION = 5  # of what an evaluation makes of a task; raised where answers or their programs change, and old ones are made anew
SYNC_S = 60.0  # what lies behind an address too is copied up so often
LATER = frozenset({"check", "task_set", "solution", "status", "plus_status", "detail"})  # what is not the answer itself


def row_key(*parts: object) -> str:
    """Hash of everything that an answer depends on: the model, the input, the settings. `parts` must be JSON values."""
    return hashlib.sha256(json.dumps((VERSION, *parts), ensure_ascii=True).encode("ascii")).hexdigest()[:32]


def resume(path: Path, keys: Iterable[str]) -> dict[str, Row]:
    """Rows of `path` whose key is wanted, by key; what `append` adds to keeps those alone. The rows of a finished evaluation stay as they are.

    A last line that was cut off, a row whose `check` is not that of its content, and anything else that is no row, is
    dropped: that task is done again.

    Raises:
        InputError: the file cannot be written.
    """
    wanted = set(keys)
    found = {file: _rows(file, wanted) for file in (path, unfinished(path)) if file.exists()}
    growing = _growing(path)
    if growing in found:
        storage.write_jsonl(growing, found[growing].values())
    return {key: row for rows in found.values() for key, row in rows.items()}


def finish(folder: Path, files: Mapping[str, Iterable[Row] | None], results: Mapping[str, Any]) -> None:
    """Put the rows and the results of an evaluation in the place of an earlier one's, when all of them are on the disk.

    A kill on the way leaves no results.json, and every row for the next start.

    Args:
        folder: of the evaluation.
        files: name -> rows; None: there is to be no such file.
        results: the content of results.json.

    Raises:
        InputError: the disk is full or a file cannot be written; the earlier evaluation is still there.
    """
    for name, rows in files.items():
        if rows is not None:
            storage.write_jsonl(unfinished(folder / name), rows)
    storage.write_json(unfinished(folder / RESULTS), results)
    (folder / RESULTS).unlink(missing_ok=True)
    for name, rows in files.items():
        if rows is None:
            (folder / name).unlink(missing_ok=True)
            unfinished(folder / name).unlink(missing_ok=True)
        else:
            unfinished(folder / name).replace(folder / name)
    unfinished(folder / RESULTS).replace(folder / RESULTS)


def unfinished(path: Path) -> Path:
    """Where an evaluation that is made anew puts its rows, beside those of the finished one."""
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")


def _growing(path: Path) -> Path:
    """The file that `append` adds to: that of a finished evaluation is left alone until the next is finished."""
    return unfinished(path) if (path.parent / RESULTS).exists() else path


def _rows(path: Path, wanted: Container[object]) -> dict[str, Row]:
    text = path.read_bytes().decode("utf-8", errors="replace")
    # not splitlines(): an answer may hold U+2028; and what follows the last newline was cut off
    rows = [_parse(line) for line in text.split("\n")[:-1]]
    return {row["key"]: row for row in rows if isinstance(row, dict) and row.get("key") in wanted and row.get("check") == _check(row)}


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add finished rows to those that `resume` found, each with the `check` of its content; they are on the disk when this returns.

    Raises:
        InputError: the disk is full or the file cannot be written.
    """
    for row in rows:
        row["check"] = _check(row)
    text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    growing = _growing(path)
    files.append(growing, text.encode("ascii"))
    mirror.sync(growing, every=SYNC_S)


def _check(row: Row) -> str:
    """16 hex digits over the answer, and not over what grading adds to it."""
    return row_key(sorted((name, value) for name, value in row.items() if name not in LATER))[:16]


def _parse(line: str) -> object:
    try:
        found: object = json.loads(line)
        return found
    except (ValueError, RecursionError):
        return None
