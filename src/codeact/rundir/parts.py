"""Tables in parts: each is read, or cut, only when it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeact import parquet
from codeact.types import Ints

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 4096
"""Rows of a part, and of a row group of the tables that are written in parts."""
TAPERED, PIECES, FIRST_PIECE = 2, 4, 1_000_000


class Parts(Mapping[int, "pa.Table"]):
    """Number -> part, in order.

    Args:
        rows: of the whole table.
        size: rows of each part; the last may have fewer.
        read: gives the part of a number.
        numbers: the parts that are meant; None: all.
        anywhere: whether another process can be given `read`, and reads the same.
    """

    def __init__(
        self, rows: int, size: int, read: Callable[[int], pa.Table], numbers: Iterable[int] | None = None, *, anywhere: bool = False
    ) -> None:
        self.num_rows, self.size, self.read, self.anywhere = rows, size, read, anywhere
        self.numbers = list(range(-(-rows // size)) if numbers is None else numbers)
        self._known = frozenset(self.numbers)

    def __getitem__(self, number: int) -> pa.Table:
        if number not in self._known:
            raise KeyError(number)
        return self.read(number)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, number: int) -> int:
        """How many rows a part has."""
        return min(self.size, self.num_rows - number * self.size)

    def only(self, numbers: Iterable[int]) -> Parts:
        """Those of these numbers."""
        return Parts(self.num_rows, self.size, self.read, numbers, anywhere=self.anywhere)


class Tapered(Parts):
    """The rows of other parts, of which the last `TAPERED` are cut in `PIECES` each: processes that share them end at about the same time.

    Pieces have numbers from `FIRST_PIECE` on, so that no part has the number of a piece.

    Args:
        whole: all parts of a table, whose size is a multiple of `PIECES`.
        numbers: the parts and pieces that are meant; None: all.
    """

    def __init__(self, whole: Parts, numbers: Iterable[int] | None = None) -> None:
        self.whole, self.kept, self.step = whole, max(0, len(whole) - TAPERED), whole.size // PIECES
        pieces = range(FIRST_PIECE, FIRST_PIECE + -(-(whole.num_rows - self.kept * whole.size) // self.step))
        read = partial(_read_tapered, whole.read, self.kept, self.step)
        super().__init__(whole.num_rows, whole.size, read, [*range(self.kept), *pieces] if numbers is None else numbers, anywhere=whole.anywhere)

    def rows(self, number: int) -> int:
        if number < FIRST_PIECE:
            return self.size
        return min(self.step, self.num_rows - self.kept * self.size - (number - FIRST_PIECE) * self.step)

    def only(self, numbers: Iterable[int]) -> Parts:
        return Tapered(self.whole, numbers)


def _read_tapered(read: Callable[[int], pa.Table], kept: int, step: int, number: int) -> pa.Table:
    if number < FIRST_PIECE:
        return read(number)
    part, piece = divmod(number - FIRST_PIECE, PIECES)
    return read(kept + part).slice(piece * step, step)


def rows_of(parts: Mapping[int, pa.Table], number: int) -> int:
    """How many rows a part has, without reading it where that is known."""
    return parts.rows(number) if isinstance(parts, Parts) else parts[number].num_rows


def table_parts(table: pa.Table, size: int) -> Parts:
    """A table in memory in parts of `size` rows."""
    return Parts(table.num_rows, size, lambda number: table.slice(number * size, size))


def file_parts(path: Path, columns: Sequence[str] | None = None, size: int = PART_ROWS) -> Parts:
    """A Parquet file in parts of `size` rows: its row groups where they have this size, else cut from the whole table.

    Raises:
        InputError: it cannot be read.
    """
    groups = parquet.row_groups(path)
    if all(rows == size for rows in groups[:-1]) and all(rows <= size for rows in groups[-1:]):
        return Parts(sum(groups), size, partial(parquet.read_row_group, path, columns=columns), anywhere=True)
    return table_parts(parquet.read_parquet(path, columns), size)


def by_part(parts: Parts, rows: Ints) -> Iterator[tuple[int, Ints]]:
    """The parts that hold these rows of the table, which ascend, and where in each they are."""
    for number in np.unique(rows // parts.size).tolist():
        start = number * parts.size
        low, high = np.searchsorted(rows, (start, start + parts.size))
        yield number, rows[low:high] - start


def taken(parts: Parts, rows: Ints) -> pa.Table:
    """These rows of the table, at least one, which ascend; only the parts that hold them are read."""
    import pyarrow as pa

    return pa.concat_tables([parts[number].take(pa.array(inside)) for number, inside in by_part(parts, rows)])


def regrouped(parts: Iterable[pa.Table], size: int = PART_ROWS) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows; the last may have fewer."""
    import pyarrow as pa

    open_: list[pa.Table] = []
    for part in parts:
        open_.append(part)
        while sum(one.num_rows for one in open_) >= size:
            whole = pa.concat_tables(open_)
            yield whole.slice(0, size)
            open_ = [whole.slice(size)] if whole.num_rows > size else []
    if open_:
        yield pa.concat_tables(open_)
