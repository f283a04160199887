"""Reading data: JSON, CSV, Parquet, Arrow and Hugging Face data sets. JSON documents and lines in and out, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from codeact.errors import InputError
from codeact.files import atomic, is_remote, write_text
from codeact.parquet import parquet_bytes as parquet_bytes
from codeact.parquet import read_parquet as read_parquet
from codeact.parquet import write_parquet as write_parquet
from codeact.sources.delimited import delimited
from codeact.sources.hub import read_dataset, table_digest
from codeact.sources.large import arrow_rows, large_delimited, large_list
from codeact.sources.lines import (
    LINE_KINDS,
    JoinedRows,
    Lines,
    OnDisk,
    beginning,
    read_lines,
)
from codeact.sources.names import DELIMITED, KINDS, STDIN, as_list, files_of, is_saved_dataset, kind_of, other_splits
from codeact.sources.remote import one_state
from codeact.sources.rows import json_document, json_lines, read_arrow
from codeact.sources.tables import JoinedTables, TableRows, table_rows
from codeact.sources.text import SAMPLE, converting, decode, read_bytes, refuse_encoding, refuse_other

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Rows as they were read.

    Attributes:
        name: what the user gave, for messages.
        rows: one dictionary per row, fields untouched; those of large files are decoded anew each time (`sources.lines`,
            `sources.tables`, `sources.large`).
        table: the Arrow table, or what takes rows of it from the disk, where the rows came from one, else None: so types survive a
            round trip.
        delimited: whether the rows came as CSV or TSV: only those can be written as such without loss.
        parts: of several files, each one's name and number of rows.
        mixture: of several sources, each one's name and number of rows.
        datasets: of each data set of the hub among them, its name and the digest of its rows.
        lines: of each part (of the one file, where there are no parts), its lines as they are; None where it has none.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    table: pa.Table | TableRows | JoinedTables | None = None
    delimited: bool = False
    parts: tuple[tuple[str, int], ...] = ()
    mixture: tuple[tuple[str, int], ...] = ()
    lines: tuple[Lines | None, ...] = ()
    datasets: tuple[tuple[str, str], ...] = ()

    @property
    def sources(self) -> list[str] | None:
        """The name of each row's source; None where they are not a mixture."""
        return [name for name, count in self.mixture for _ in range(count)] or None

    def locate(self, row: int) -> str:
        """Where a row stands, by its 0-based position: `row 3`, of several files with the file's name."""
        for name, count in self.parts:
            if row < count:
                return f"{name}, row {row + 1}"
            row -= count
        return f"row {row + 1}"


def read_rows(source: str | Path | Sequence[str | Path], split: str = "train", revision: str | None = None) -> Source:
    """Read data files, or the split of a Hugging Face data set.

    Args:
        source: a .jsonl, .ndjson, .json, .csv, .tsv, .parquet or .arrow file (the text forms also packed: .gz, .zst, .bz2, .xz), a
            folder of such files, a pattern with `*`, an address of either (`s3://...`), `-` for JSON lines or a list on stdin, several of these, or a
            name on the hub.
        split: of a data set, of a folder whose files are named after splits, and of a JSON object that holds several lists.
        revision: of the data sets of the hub among them: branch, tag or commit; None: the newest.

    Raises:
        InputError: missing or empty file, broken JSON (with its line), invalid UTF-8, rows that are not objects.
        MissingExtraError: a data set name without the `datasets` extra.
    """
    with one_state():
        return _read_names(as_list(source), split, revision)


def _read_names(names: list[str], split: str, revision: str | None) -> Source:
    check_source(names)
    parts = [part for name in names for part in _read_name(name, split, revision)]
    others = {name: found for name in names if (found := other_splits(name, split)) is not None}
    for name, files in others.items():
        _tell_left(name, split, files)
    if len(parts) == 1:
        return replace(parts[0], name=f"{parts[0].name} (1 file of split {split!r})") if others else parts[0]
    return join(parts, _joint_name(names, len(parts), f" of split {split!r}" if others else ""))


def _tell_left(name: str, split: str, others: Sequence[str]) -> None:
    if others:
        _tell(f"{name}: {split!r} is read; left out: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''} (data.split)")


@cache
def _tell(line: str) -> None:
    """Once a process: data are read several times."""
    log.warning("%s", line)


def read_mixture(sources: Sequence[tuple[str, str, str | None, str]]) -> Source:
    """Read several sources of a mixture, one behind the other.

    Args:
        sources: (what `read_rows` reads, split, revision, name) of each.

    Raises:
        InputError: as `read_rows`.
    """
    parts = [read_rows(path, split, revision) for path, split, revision, _ in sources]
    names = [name for *_, name in sources]
    mixture = tuple((name, len(part.rows)) for name, part in zip(names, parts, strict=True))
    return replace(join(parts, _joint_name(names, len(parts), "")), mixture=mixture)


def join(parts: Sequence[Source], name: str) -> Source:
    """Several sources, one behind the other, as one of this name."""
    tables = [part.table for part in parts if part.table is not None]
    same = len(tables) == len(parts) and all(table.schema == tables[0].schema for table in tables)
    lazy = any(isinstance(part.rows, OnDisk) for part in parts)
    return Source(
        name,
        JoinedRows([part.rows for part in parts]) if lazy else [row for part in parts for row in part.rows],
        JoinedTables(tables) if same and tables else None,
        all(part.delimited for part in parts),
        tuple(one for part in parts for one in part.parts or ((part.name, len(part.rows)),)),
        lines=tuple(one for part in parts for one in part.lines or (None,) * max(1, len(part.parts))),
        datasets=tuple(one for part in parts for one in part.datasets),
    )


def _read_name(name: str, split: str, revision: str | None) -> list[Source]:
    if name == STDIN:
        text = decode(sys.stdin.buffer.read(), "stdin")
        rows = json_document(text, "stdin", split)[0] if text.lstrip().startswith("[") else json_lines(text, "stdin")
        return [Source("stdin", _some(rows, "stdin"))]
    files = files_of(name, split)
    if files is None:
        table = read_dataset(name, split, revision)
        return [Source(name, arrow_rows(table), table, datasets=() if is_saved_dataset(Path(name)) else ((name, table_digest(table)),))]
    if not is_remote(name):
        return [_read_file(path, split) for path in files]
    from codeact.sources.remote import by_address

    try:
        parts = [_read_file(path, split) for path in files]
    except InputError as error:
        raise InputError(by_address(str(error), name)) from error
    return [replace(part, name=by_address(part.name, name)) for part in parts]


def _joint_name(names: list[str], count: int, note: str) -> str:
    if len(names) == 1:
        return f"{names[0]} ({count} files{note})"
    return " and ".join(names) if len(names) == 2 else f"{names[0]} and {len(names) - 1} more"


def _read_file(path: Path, split: str) -> Source:
    kind = kind_of(path)
    if kind in (".parquet", ".arrow"):
        if path.is_file():
            with path.open("rb") as file:
                refuse_other(file.read(64), str(path))
        large = table_rows(path) if kind == ".parquet" else None
        if large is not None:
            return Source(str(path), large, large)
        table = read_parquet(path) if kind == ".parquet" else read_arrow(path)
        return Source(str(path), _some(arrow_rows(table), str(path)), table)
    if kind not in KINDS:
        raise InputError(
            f"{path}: unknown file type {path.suffix!r}{converting(path)}; the known ones are {', '.join(KINDS)}, and .gz or .zst of the first five"
        )
    if kind in LINE_KINDS:
        refuse_encoding(beginning(path, SAMPLE), str(path))
        found = read_lines(path)
        if found is not None:
            return Source(str(path), found[1], lines=(found[0],))
    mark = "\t" if kind == ".tsv" else None
    if kind in (".json", *DELIMITED):
        refuse_encoding(beginning(path, SAMPLE), str(path))
        stays = large_list(path) if kind == ".json" else large_delimited(path, mark)
        if stays is not None:
            return Source(str(path), stays, delimited=kind in DELIMITED)
    text = decode(read_bytes(path), str(path))
    if not text.strip():
        raise InputError(f"{path} is empty; give at least one instruction/response pair")
    if kind in LINE_KINDS:
        rows = json_lines(text, str(path))
    elif kind == ".json":
        rows, others, texts = json_document(text, str(path), split)
        _tell_left(str(path), split, others)
        if texts:
            _tell(f"{path}: {', '.join(map(repr, texts))} beside the list of rows is not read; if the model has to know it, write it into each row")
    else:
        rows = delimited(text, str(path), mark)
    return Source(str(path), _some(rows, str(path)), delimited=kind in DELIMITED)


def _some(rows: Sequence[Mapping[str, Any]], name: str) -> Sequence[Mapping[str, Any]]:
    if not len(rows):
        raise InputError(f"{name} holds no rows; give at least one instruction/response pair")
    return rows


def check_source(source: str | Path | Sequence[str | Path]) -> None:
    """Refuse names that can only be missing files, without reading anything.

    Raises:
        InputError: no such file, and no name of a data set.
    """
    for name in as_list(source):
        looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix != ""
        if looks_like_path and files_of(name, "train") is None and not Path(name).exists():
            raise InputError(
                f"{name} does not exist; give a {', '.join(KINDS)} file, a folder of such, or a Hugging Face data set name"
            )


def is_delimited(files: Sequence[Path]) -> bool:
    """Whether there are files, and all are CSV or TSV by their names."""
    return bool(files) and all(kind_of(file) in DELIMITED for file in files)


def source_files(source: str | Path | Sequence[str | Path], split: str = "train") -> list[Path] | None:
    """The files that decide the rows of a source, in order; None where it is stdin or a data set of the hub.

    Raises:
        InputError: nothing fits a pattern, or a folder holds no data.
    """
    found: list[Path] = []
    for name in as_list(source):
        files = [Path(name)] if is_saved_dataset(Path(name)) else files_of(name, split)
        if files is None:
            return None
        found += files
    return found


def write_json(path: str | Path, value: object) -> None:
    """Write one JSON document atomically. NaN and infinities are refused: a failed figure is null."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_checked(path: str | Path, value: Mapping[str, Any]) -> None:
    """`write_json` of an object with one more key, `check`: a digest of the rest, for `read_checked`."""
    write_json(path, {**value, "check": _check(json.loads(json.dumps(dict(value))))})


def read_checked(path: str | Path) -> dict[str, Any] | None:
    """What `write_checked` wrote; None where it is not there or was damaged since. An object without `check` passes."""
    try:
        found = read_json(path)
    except (InputError, OSError):
        return None
    if not isinstance(found, dict) or found.get("check") not in (None, _check(found)):
        return None
    return found


def _check(value: Mapping[str, Any]) -> str:
    text = json.dumps({key: part for key, part in value.items() if key != "check"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@overload
def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping stays one."""


@overload
def plain(value: object) -> object:
    """Anything else becomes what JSON has for it."""


def plain(value: object) -> object:
    """Plain JSON values: numpy becomes Python, NaN and infinities become None, what JSON lacks (paths, dates) becomes text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, atomically. Values that JSON lacks (dates) become text."""
    with atomic(path, "w") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def utf8(text: str) -> str:
    """A text that UTF-8, and so Parquet and a terminal, can hold: half a surrogate pair becomes its escape, `\\ud83d`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_json(path: str | Path) -> Any:
    """Read one JSON document.

    Raises:
        InputError: no such file or broken JSON.
    """
    try:
        return json.loads(decode(read_bytes(Path(path)), str(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: broken JSON: {error.msg}") from error


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read one JSON object per line; blank lines are skipped.

    Raises:
        InputError: no such file, broken JSON (with its line) or invalid UTF-8.
    """
    return json_lines(decode(read_bytes(Path(path)), str(path)), str(path))
