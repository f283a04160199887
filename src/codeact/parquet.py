"""Tables as Parquet files: written whole or not at all, read whole, by column, or a row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError
from codeact.files import Whole, atomic

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET: Mapping[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def _settings(schema: pa.Schema) -> Mapping[str, Any]:
    """`PARQUET`; columns of vectors without a dictionary, which takes twice as long as all else there, and is given up for their many values."""
    import pyarrow as pa

    plain = [f.name for f in schema if not pa.types.is_nested(f.type)]
    vectors = any(pa.types.is_fixed_size_list(f.type) and pa.types.is_floating(f.type.value_type) for f in schema)
    return {**PARQUET, "use_dictionary": plain} if vectors else PARQUET


def write_parquet(table: pa.Table, path: str | Path, whole: Whole | None = None) -> None:
    """Write an Arrow table atomically (zstd, every page with its checksum); `whole` as in `files.atomic`."""
    import pyarrow.parquet as pq

    with atomic(path, whole=whole) as handle:
        pq.write_table(table, handle, **_settings(table.schema))


def write_parquet_parts(parts: Iterable[pa.Table], path: str | Path) -> None:
    """Write tables of one schema, at least one, as the row groups of a Parquet file, atomically; one is in memory at a time."""
    import pyarrow.parquet as pq

    left = iter(parts)
    first = next(left)
    with atomic(path) as handle, pq.ParquetWriter(handle, first.schema, **_settings(first.schema)) as out:
        for part in chain([first], left):
            out.write_table(part)


def parquet_bytes(table: pa.Table) -> pa.Buffer:
    """An Arrow table as a Parquet file in memory, a buffer (zstd, every page with its checksum)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_settings(table.schema))
    return sink.getvalue()


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns, as an Arrow table; the pages' checksums, where there are some, are verified.

    Raises:
        InputError: no such file, it is not Parquet, or it is damaged.
    """
    with opened(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def row_groups(path: str | Path) -> list[int]:
    """The number of rows of each row group of a Parquet file.

    Raises:
        InputError: as `read_parquet`.
    """
    import pyarrow.parquet as pq

    with _readable(path) as file:
        told = pq.read_metadata(file)
        return [told.row_group(n).num_rows for n in range(told.num_row_groups)]


def parquet_columns(path: str | Path) -> list[str]:
    """The names of the columns of a Parquet file.

    Raises:
        InputError: as `read_parquet`.
    """
    import pyarrow.parquet as pq

    with _readable(path) as file:
        return list(pq.read_schema(file).names)


def read_row_group(path: str | Path, number: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One row group of a Parquet file, or some of its columns, in the order of the file.

    Raises:
        InputError: as `read_parquet`.
    """
    import pyarrow.parquet as pq

    with _readable(path) as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
        return file.read_row_group(number, columns=None if columns is None else list(columns), use_threads=False)


def refuse_twice(columns: Sequence[str], where: str) -> None:
    """Columns of the same name: a row would keep the last.

    Raises:
        InputError: two are called alike.
    """
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: two columns are called {twice!r}; rename one")


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile` to be read piece by piece; the pages' checksums, where there are some, are verified.

    Raises:
        InputError: as `read_parquet`; also two columns of one name.
    """
    import pyarrow.parquet as pq

    with _readable(path) as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
        refuse_twice(file.schema_arrow.names, str(path))
        yield file


@contextmanager
def _readable(path: str | Path) -> Iterator[pa.OSFile]:
    """The file, opened by its name's bytes as Python knows them: of a path pyarrow's readers make UTF-8, or an address."""
    import pyarrow as pa

    try:
        with pa.OSFile(os.fsencode(path)) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is not a readable Parquet file, or damaged: {reason}; put the file back, or remove it and make it anew"
        ) from error
