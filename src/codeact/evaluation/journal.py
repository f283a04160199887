"""Append-only JSONL files that a killed evaluation goes on from: each row carries the key of what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from codeact import files, mirror, storage

Row = dict[str, Any]
VERSION = 5  # of what an evaluation makes of a task; raised where answers or their programs change, and old ones are made anew
SYNC_S = 60.0  # what lies behind an address too is copied up so often
LATER = frozenset({"check", "task_set", "solution", "status", "plus_status", "detail"})  # what is not the answer itself


def row_key(*parts: object) -> str:
    """Hash of everything that an answer depends on: the model, the input, the settings. `parts` must be JSON values."""
    return hashlib.sha256(json.dumps((VERSION, *parts), ensure_ascii=True).encode("ascii")).hexdigest()[:32]


def resume(path: Path, keys: Iterable[str]) -> dict[str, Row]:
    """Rows of `path` whose key is wanted, by key; the file keeps those alone.

    A last line that was cut off, a row whose `check` is not that of its content, and anything else that is no row, is
    dropped: that task is done again.

    Raises:
        InputError: the file cannot be written.
    """
    wanted = set(keys)
    found: dict[str, Row] = {}
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    # not splitlines(): an answer may hold U+2028; and what follows the last newline was cut off
    for line in text.split("\n")[:-1]:
        row = _parse(line)
        if isinstance(row, dict) and row.get("key") in wanted and row.get("check") == _check(row):
            found[row["key"]] = row
    storage.write_jsonl(path, found.values())
    return found


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add finished rows, each with the `check` of its content; they are on the disk when this returns.

    Raises:
        InputError: the disk is full or the file cannot be written.
    """
    for row in rows:
        row["check"] = _check(row)
    text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    files.append(path, text.encode("ascii"))
    mirror.sync(path, every=SYNC_S)


def _check(row: Row) -> str:
    """16 hex digits over the answer, and not over what grading adds to it."""
    return row_key(sorted((name, value) for name, value in row.items() if name not in LATER))[:16]


def _parse(line: str) -> object:
    try:
        found: object = json.loads(line)
        return found
    except (ValueError, RecursionError):
        return None
