"""Reading and writing data: JSONL, JSON, Parquet and Hugging Face data sets in; atomic files out."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from codeact.errors import InputError, require

READABLE = (".jsonl", ".json", ".parquet")
WRITABLE = READABLE


@dataclass(frozen=True)
class Source:
    """Rows as they were read.

    Attributes:
        name: what the user gave, for messages.
        rows: one dictionary per row, fields untouched.
        table: the Arrow table where the rows came from Parquet, else None; kept so that types survive a round trip.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    table: Any = None


def read_rows(source: str | Path, split: str = "train") -> Source:
    """Read a .jsonl, .json or .parquet file, or the split of a Hugging Face data set.

    A name is taken as a data set on the hub (or a data set folder) when it is no existing file and has no known suffix.

    Raises:
        InputError: missing or empty file, broken JSON (with its line), invalid UTF-8, rows that are not objects.
        MissingExtraError: a data set name without the `datasets` extra.
    """
    path = Path(source)
    check_source(source)
    if path.is_dir() or not path.exists():
        return _read_dataset(str(source), split)
    if path.suffix == ".parquet":
        return _read_parquet_source(path)
    if path.suffix not in READABLE:
        raise InputError(f"{source}: unknown file type {path.suffix!r}; the known ones are {', '.join(READABLE)}")
    text = _read_utf8(path)
    if not text.strip():
        raise InputError(f"{source} is empty; give at least one instruction/response pair")
    rows = _parse_jsonl(text, path) if path.suffix == ".jsonl" else _parse_json(text, path)
    return Source(str(source), rows)


def check_source(source: str | Path) -> None:
    """Refuse a name that can only be a missing file, without reading anything.

    Raises:
        InputError: no such file, and no name of a data set.
    """
    name = str(source)
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix != ""
    if looks_like_path and not Path(name).exists():
        raise InputError(
            f"{name} does not exist; give a .jsonl, .json or .parquet file or a Hugging Face data set name"
        )


def write_rows(source: Source, indices: Sequence[int], target: str | Path) -> None:
    """Write the chosen rows of `source`, untouched and in the order of the input, as .jsonl, .json or .parquet.

    Raises:
        InputError: the suffix of `target` is not one of these.
        InputError: the disk is full or the folder cannot be written; nothing half-written is left.
    """
    path = Path(target)
    check_writable(path)
    kept = sorted(indices)
    if path.suffix == ".parquet":
        import pyarrow as pa

        table = source.table
        write_parquet(
            pa.Table.from_pylist([dict(source.rows[i]) for i in kept]) if table is None else table.take(kept), path
        )
    elif path.suffix == ".json":
        write_text(path, json.dumps([source.rows[i] for i in kept], ensure_ascii=False, indent=1, default=str) + "\n")
    else:
        write_jsonl(path, (source.rows[i] for i in kept))


def check_writable(path: Path) -> None:
    """Say before the long work, not after it, that an output cannot be written.

    Raises:
        InputError: unknown suffix, a folder in the way, or a folder that cannot be written.
    """
    if path.suffix not in WRITABLE:
        raise InputError(f"output {path}: unknown file type {path.suffix!r}; use one of {', '.join(WRITABLE)}")
    if path.is_dir():
        raise InputError(f"output {path} is a folder; name a file in it")
    make_folder(path.parent)


def make_folder(path: Path) -> Path:
    """Create a folder and prove that a file can be written in it.

    Raises:
        InputError: it cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"output folder {path} cannot be written: {error.strerror}; choose another with -o or run_dir="
        ) from error
    return path


@contextmanager
def atomic(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path` and rename it over `path` when the block ends well; else remove it.

    Raises:
        InputError: the disk is full or the file cannot be written.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, encoding=encoding) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        mend = (
            "free some space and start again: finished work is kept"
            if error.errno == errno.ENOSPC
            else "choose another output"
        )
        raise InputError(f"{path} cannot be written: {error.strerror or error}; {mend}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path, "w") as handle:
        handle.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write one JSON document atomically. NaN and infinities are refused: a failed figure is null."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, atomically. Values that JSON lacks (dates) become text."""
    with atomic(path, "w") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def write_parquet(table: Any, path: str | Path) -> None:
    """Write an Arrow table atomically (zstd)."""
    import pyarrow.parquet as pq

    with atomic(path) as handle:
        pq.write_table(table, handle, compression="zstd")


def read_parquet(path: str | Path) -> Any:
    """Read a Parquet file as an Arrow table.

    Raises:
        InputError: no such file, or it is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file: {' '.join(str(error).split())[:200]}") from error


def read_json(path: str | Path) -> Any:
    """Read one JSON document.

    Raises:
        InputError: no such file or broken JSON.
    """
    try:
        return json.loads(_read_utf8(Path(path)))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: broken JSON: {error.msg}") from error


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read one JSON object per line; blank lines are skipped.

    Raises:
        InputError: no such file, broken JSON (with its line) or invalid UTF-8.
    """
    file = Path(path)
    if not file.exists():
        raise InputError(f"{path} does not exist")
    return _parse_jsonl(_read_utf8(file), file)


def _read_utf8(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: invalid UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}); "
            "convert the file, for example with: iconv -f latin1 -t utf-8"
        ) from error


def _parse_jsonl(text: str, path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = _json_fault(error)
            raise InputError(f"{path}, line {number}: broken JSON: {reason}; mend or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(
                f"{path}, line {number}: a {type(row).__name__} where an object is expected; one JSON object per line"
            )
        rows.append(row)
    return rows


def _json_fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def _parse_json(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not isinstance(error, json.JSONDecodeError):
            raise InputError(f"{path}: broken JSON: {_json_fault(error)}") from error
        if error.msg == "Extra data":
            hint = "; the file looks like one object per line: name it .jsonl"
        else:
            hint = "; mend the file"
        raise InputError(f"{path}, line {error.lineno}: broken JSON: {error.msg}{hint}") from error
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, list):
        raise InputError(f"{path}: a {type(value).__name__} at the top; a list of objects is expected")
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: a {type(row).__name__} where an object is expected")
    if not value:
        raise InputError(f"{path} holds no rows; give at least one instruction/response pair")
    return value


def _read_parquet_source(path: Path) -> Source:
    table = read_parquet(path)
    if table.num_rows == 0:
        raise InputError(f"{path} holds no rows; give at least one instruction/response pair")
    return Source(str(path), table.to_pylist(), table)


def _read_dataset(name: str, split: str) -> Source:
    datasets = require("datasets", "datasets", f"reading the Hugging Face data set {name!r} (no such file here)")
    try:
        loaded = (
            datasets.load_from_disk(name) if _is_saved_dataset(Path(name)) else datasets.load_dataset(name, split=split)
        )
        if isinstance(loaded, dict):
            if split not in loaded:
                raise InputError(
                    f"{name} has no split {split!r}; its splits are {', '.join(loaded)}: name one with data.split="
                )
            loaded = loaded[split]
    except (OSError, ValueError) as error:
        raise InputError(
            f"data set {name!r} (split {split!r}) cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from error
    if len(loaded) == 0:
        raise InputError(f"{name} holds no rows; give at least one instruction/response pair")
    table = loaded.with_format("arrow")[:]
    return Source(name, table.to_pylist(), table)


def _is_saved_dataset(path: Path) -> bool:
    return (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists()
