"""CSV, JSON lists and Arrow tables that stay on the disk: their rows are decoded anew each time they are wanted."""

from __future__ import annotations

import csv
import io
import json
import lzma
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from codeact.errors import InputError
from codeact.sources.delimited import known_rows, literal_rows, quoted_rows, tell_literal
from codeact.sources.lines import PACKED, WHOLE, OnDisk, Row, check_unchanged, open_packed, passed, state_of
from codeact.sources.objects import DECODER
from codeact.sources.tables import BATCH
from codeact.sources.text import COMPRESSED

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1 << 20
_BLANKS = " \t\n\r"


class TextRows(OnDisk):
    """The rows of a large text file.

    Args:
        path: the file, packed where its name says so.
        read: gives its rows, one after the other.
        count: of the rows.
        columns: all keys, in the order in which they are met.
        seen: size, time and place of the file when it was first read.
    """

    def __init__(self, path: Path, read: Callable[[], Iterator[Row]], count: int, columns: Sequence[str], seen: tuple[int, ...]) -> None:
        self.path, self.read, self._count, self._columns, self.seen = path, read, count, list(columns), seen

    @property
    def columns(self) -> list[str]:
        return self._columns

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        self._same()
        yield from self.read()
        self._same()

    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        return passed(self, positions)

    def _same(self) -> None:
        check_unchanged(self.path, self.seen)


class ArrowRows(OnDisk):
    """The rows of an Arrow table, which the operating system reads from its file when they are wanted."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @property
    def columns(self) -> list[str]:
        return list(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, len(self), BATCH):
            yield from self.table.slice(start, BATCH).to_pylist()

    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        for start in range(0, len(self), BATCH):
            low, high = bisect_left(positions, start), bisect_left(positions, start + BATCH)
            if low < high:
                yield from self.table.slice(start, BATCH).take([at - start for at in positions[low:high]]).to_pylist()


def arrow_rows(table: pa.Table) -> Sequence[Row]:
    """The rows of a table: in memory, where they are few."""
    if table.nbytes > WHOLE:
        return ArrowRows(table)
    rows: list[Row] = table.to_pylist()
    return rows


def large_delimited(path: Path, delimiter: str | None) -> TextRows | None:
    """The rows of a large CSV or TSV file; None for a small one, and where there is something to say about it (see `delimited.delimited`)."""
    found = _large(path, lambda: _delimited(path, delimiter, quoted_rows), lambda: _delimited(path, delimiter, known_rows))
    if found is None:
        found = _large(path, lambda: _delimited(path, delimiter, literal_rows))
        if found is not None:
            tell_literal(str(path), len(found.columns))
    return found


def large_list(path: Path) -> TextRows | None:
    """The rows of a large JSON list of objects; None for a small one, and for every other document."""
    return _large(path, lambda: _elements(path, DECODER), lambda: _elements(path, json.JSONDecoder()))


def _large(path: Path, first: Callable[[], Iterator[Row]], again: Callable[[], Iterator[Row]] | None = None) -> TextRows | None:
    """The rows, which the first pass looks through, and later passes read quicker, where they can."""
    try:
        seen = state_of(path)
        if seen[0] * (PACKED if path.suffix.lower() in COMPRESSED else 1) <= WHOLE:
            return None
        columns: dict[str, None] = {}
        count = 0
        for row in first():
            count += 1
            if not columns.keys() >= row.keys():
                columns |= dict.fromkeys(row)
    except (ValueError, RecursionError, EOFError, OSError, zlib.error, lzma.LZMAError, csv.Error, InputError):
        return None
    return TextRows(path, again or first, count, list(columns), seen) if count else None


def _text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_packed(path), encoding="utf-8-sig", newline="")


def _delimited(path: Path, delimiter: str | None, read: Callable[[TextIO, str, str | None], Iterator[Row]]) -> Iterator[Row]:
    with _text(path) as text:
        yield from read(text, str(path), delimiter)


def _elements(path: Path, decoder: json.JSONDecoder) -> Iterator[Row]:
    """The objects of a list, of which a megabyte of text is in memory.

    Raises:
        ValueError: it is no list of objects.
    """
    with _text(path) as file:
        text, at, before = file.read(CHUNK), 0, ""
        while True:
            while at < len(text) and text[at] in _BLANKS:
                at += 1
            sign = text[at : at + 1]
            if sign == "{" and before in ("[", ","):
                try:
                    row, at = decoder.raw_decode(text, at)
                    yield row
                    before = "}"
                    continue
                except json.JSONDecodeError:
                    pass  # perhaps its end was not read yet
            elif sign in ("[", ",", "]") and sign and before + sign in ("[", "[]", "},", "}]"):
                before, at = sign, at + 1
                continue
            elif sign:
                raise ValueError("no list of objects")
            more = file.read(max(CHUNK, len(text) - at))
            if not more:
                if sign or before != "]":
                    raise ValueError("the list does not end")
                return
            text, at = text[at:] + more, 0
