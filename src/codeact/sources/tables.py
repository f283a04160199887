"""Parquet files that stay on the disk: rows and chosen rows of a large one, some hundred at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.parquet import opened
from codeact.sources.lines import WHOLE, OnDisk, Row, check_unchanged, state_of

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 512
"""Rows that are decoded at once."""


class TableRows(OnDisk):
    """The rows of a Parquet file, decoded each time they are wanted; `take` gives some as an Arrow table.

    Args:
        path: the file.

    Attributes:
        schema: the types of its columns.

    Raises:
        InputError: the file cannot be read, or two columns are called alike.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, state_of(path)
        with opened(path) as file:
            self.schema: pa.Schema = file.schema_arrow
            self._count = int(file.metadata.num_rows)

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for batch in self._batches():
            yield from batch.to_pylist()

    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        for batch in self._taken(positions):
            yield from batch.to_pylist()

    def take(self, positions: Sequence[int]) -> pa.Table:
        """The rows at these positions, which ascend, with their types."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self._taken(positions)), self.schema)

    def _taken(self, positions: Sequence[int]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        start, low = 0, 0
        for batch in self._batches():
            high = bisect_left(positions, start + batch.num_rows)
            if low < high:
                yield batch.take(pa.array([at - start for at in positions[low:high]], pa.int64()))
            if high == len(positions):
                return
            start, low = start + batch.num_rows, high

    def _batches(self) -> Iterator[pa.RecordBatch]:
        check_unchanged(self.path, self.seen)
        with opened(self.path) as file:
            yield from file.iter_batches(BATCH, use_threads=False)


class JoinedTables:
    """Tables of one schema, one behind the other, some of them on the disk."""

    def __init__(self, parts: Sequence[pa.Table | TableRows | JoinedTables]) -> None:
        self.parts = parts
        self.schema: pa.Schema = parts[0].schema

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def take(self, positions: Sequence[int]) -> pa.Table:
        """The rows at these positions, which ascend."""
        import pyarrow as pa

        found, start = [], 0
        for part in self.parts:
            inside = positions[bisect_left(positions, start) : bisect_left(positions, start + len(part))]
            wanted = [at - start for at in inside]
            found.append(part.take(pa.array(wanted, pa.int64())) if isinstance(part, pa.Table) else part.take(wanted))
            start += len(part)
        return pa.concat_tables(found)


def table_rows(path: Path) -> TableRows | None:
    """The rows of a Parquet file that is large once it is unpacked; None for a small one, and for one without rows.

    Raises:
        InputError: as `TableRows`.
    """
    with opened(path) as file:
        told = file.metadata
        size = sum(told.row_group(n).total_byte_size for n in range(told.num_row_groups))
        large = size > WHOLE and told.num_rows > 0
    return TableRows(path) if large else None
