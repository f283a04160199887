"""Rows to the forms that are written: CSV, JSON, Arrow, standard output; and packed bytes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError
from codeact.files import Whole, atomic

if TYPE_CHECKING:
    import pyarrow as pa


def delimited_lines(rows: Sequence[Mapping[str, Any]], delimiter: str, name: str) -> Iterator[str]:
    """CSV or TSV with a header; a value is quoted where it must be.

    Args:
        rows: flat rows.
        delimiter: of the values.
        name: of the output, for messages.

    Raises:
        InputError: a value is a list or an object: it has no place in such a file.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    held = next((key for row in rows for key, value in row.items() if isinstance(value, list | tuple | Mapping)), None)
    if held is not None:
        raise InputError(
            f"output {name}: column {held!r} holds lists or objects, which CSV has no place for; write .jsonl or .parquet"
        )
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    table: list[list[Any]] = [columns, *([row.get(column) for column in columns] for row in rows)]
    for values in table:
        writer.writerow(values)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def packed(chunks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """The bytes as the suffix of `path` wants them: .gz, .zst, .bz2, .xz, else as they are. Equal rows give equal files."""
    kind = path.suffix.lower()
    if kind not in (".gz", ".zst", ".bz2", ".xz"):
        yield from chunks
        return
    whole = b"".join(chunks)
    if kind == ".gz":
        import gzip

        yield gzip.compress(whole, mtime=0)
    elif kind == ".bz2":
        import bz2

        yield bz2.compress(whole)
    elif kind == ".xz":
        import lzma

        yield lzma.compress(whole)
    else:
        import pyarrow as pa

        unpacked = pa.BufferOutputStream()
        with pa.CompressedOutputStream(unpacked, "zstd") as out:
            out.write(whole)
        yield unpacked.getvalue().to_pybytes()


def texts(rows: Sequence[Mapping[str, Any]], kind: str, path: Path) -> Iterator[bytes]:
    """The bytes of a text form that is no JSON lines, packed where the name says so."""
    if kind == ".json":
        lines: Iterable[str] = [json.dumps(list(rows), ensure_ascii=False, indent=1, default=str) + "\n"]
    else:
        lines = delimited_lines(rows, "," if kind == ".csv" else "\t", str(path))
    return packed((line.encode("utf-8", "backslashreplace") for line in lines), path)


def table_of(rows: Sequence[Mapping[str, Any]], path: Path) -> pa.Table:
    """Rows as an Arrow table.

    Raises:
        InputError: a column has values of no common type.
    """
    import pyarrow as pa

    columns = list(dict.fromkeys(key for row in rows for key in row))
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in columns})
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"output {path}: these rows have no common types ({' '.join(str(error).split())[:120]}); write them as .jsonl"
        ) from error


def write_arrow(table: pa.Table, path: Path, whole: Whole | None = None) -> None:
    """Write an Arrow file, whole or not at all; `whole` as in `files.atomic`."""
    import pyarrow as pa

    with atomic(path, whole=whole) as handle, pa.ipc.new_file(handle, table.schema) as out:
        out.write_table(table.unify_dictionaries())  # this form holds one dictionary a column


def to_stdout(lines: Iterable[bytes]) -> None:
    """UTF-8, as in a file, whatever the terminal's encoding is: in another one, JSON would not be JSON."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    for line in lines:
        if binary is None:
            sys.stdout.write(line.decode())
        else:
            binary.write(line)
    (binary or sys.stdout).flush()
