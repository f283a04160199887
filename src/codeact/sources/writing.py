"""Rows to the text forms that are not JSON, and packed bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import InputError


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
