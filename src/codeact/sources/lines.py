"""JSON lines that stay on the disk: the rows of a large file, and of any file the bytes of its lines."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zlib
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, overload

from codeact.errors import InputError
from codeact.sources.objects import parse
from codeact.sources.text import COMPRESSED

Row = Mapping[str, Any]
T = TypeVar("T")

LINE_KINDS = (".jsonl", ".ndjson")
PLACED = 4096
WHOLE = 1 << 24
"""Bytes of a file (unpacked) up to which its rows are kept in memory."""
PACKED = 4
"""What unpacking makes of a byte, about."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Lines:
    """The lines of a JSONL file that are not blank, in order, without a byte order mark; read anew each time.

    Attributes:
        path: the file, packed where its name says so.
        seen: size, time and place of the file when it was first read.
    """

    path: Path
    seen: tuple[int, ...]

    def __iter__(self) -> Iterator[bytes]:
        with open_packed(self.path) as file:
            yield from _said(file)

    def between(self, start: int, end: int) -> bytes:
        """The bytes of a file that is not packed, from the beginning of a line to that of another: see `lines_in`."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def changed(self) -> bool:
        """Whether the file is not the one that was first read."""
        return has_changed(self.path, self.seen)


def lines_in(content: bytes) -> Iterator[bytes]:
    """The lines of a part of a file that are not blank: of what `Lines.between` gives."""
    yield from _said(io.BytesIO(content))


def _said(file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file that are not blank, without byte order marks: files put together hold some further down."""
    for line in file:
        said = line.removeprefix(BOM)
        if not _is_blank(said):
            yield said


class OnDisk(Sequence[Row]):
    """Rows that are decoded each time they are wanted."""

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """All keys, in the order in which they are met."""

    @abstractmethod
    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        """The rows at these positions, which ascend."""

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        wanted = range(len(self))[at]
        if isinstance(wanted, int):
            return next(self.picked([wanted]))
        found = dict(zip(sorted(wanted), self.picked(sorted(wanted)), strict=True))
        return [found[n] for n in wanted]


class LineRows(OnDisk):
    """The objects of a JSONL file, decoded each time they are wanted: for files that are too large for the memory.

    Attributes:
        lines: the file.
        offsets: of every `PLACED`-th row from the first on the byte at which its line begins, and the file's size; empty for a packed file.
    """

    def __init__(self, lines: Lines, count: int, columns: Iterable[str], offsets: Sequence[int] = ()) -> None:
        self.lines, self._columns, self._count, self.offsets = lines, list(columns), count, tuple(offsets)

    @property
    def columns(self) -> list[str]:
        return self._columns

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        self.check_same()
        for line in self.lines:
            yield json.loads(line.decode("utf-8"))
        self.check_same()

    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        self.check_same()
        for line in passed(self.lines, positions):
            yield json.loads(line.decode("utf-8"))
        self.check_same()

    def check_same(self) -> None:
        """Refuse a file that is not the one that was first read.

        Raises:
            InputError: it was changed.
        """
        check_unchanged(self.lines.path, self.lines.seen)


class JoinedRows(OnDisk):
    """The rows of several sources, one behind the other."""

    def __init__(self, parts: Sequence[Sequence[Row]]) -> None:
        self.parts = parts

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for part in self.parts for name in columns_of(part)))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Row]:
        for part in self.parts:
            yield from part

    def picked(self, positions: Sequence[int]) -> Iterator[Row]:
        start = 0
        for part in self.parts:
            inside = positions[bisect_left(positions, start) : bisect_left(positions, start + len(part))]
            yield from picked(part, [at - start for at in inside])
            start += len(part)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """All keys of the rows, in the order in which they are met."""
    return rows.columns if isinstance(rows, OnDisk) else list(dict.fromkeys(key for row in rows for key in row))


def check_positions(positions: Sequence[int], count: int) -> None:
    """Refuse positions, which ascend, of rows that are not there.

    Raises:
        InputError: the last lies behind the last of `count` rows.
    """
    if len(positions) and positions[-1] >= count:
        raise InputError(f"row {positions[-1] + 1} is wanted, and the data have {count} rows: they changed; start the same command again")


def picked(rows: Sequence[Row], positions: Sequence[int]) -> Iterator[Row]:
    """The rows at these positions, which ascend: of rows on the disk in one pass, as far as the last.

    Raises:
        InputError: there are fewer rows.
    """
    check_positions(positions, len(rows))
    if not isinstance(rows, OnDisk):
        yield from (rows[at] for at in positions)
        return
    yield from rows.picked(positions)


def passed(rows: Iterable[T], positions: Sequence[int]) -> Iterator[T]:
    """`picked` by going through the rows, as far as the last."""
    wanted = iter(positions)
    next_ = next(wanted, None)
    if next_ is None:
        return
    at = -1
    for at, row in enumerate(rows):
        while at == next_:
            yield row
            next_ = next(wanted, None)
        if next_ is None:
            return
    check_positions([next_], at + 1)


def picked_lines(lines: Lines, positions: Sequence[int]) -> Iterator[bytes]:
    """The lines at these positions, which ascend, as they are; each with its end.

    Raises:
        InputError: there are fewer lines.
    """
    for line in passed(lines, positions):
        yield line if line.endswith(b"\n") else line + b"\n"


def read_lines(path: Path) -> tuple[Lines, Sequence[Row]] | None:
    """The lines of a JSONL file and its rows, those of a large file on the disk; None where there is something to say about it."""
    try:
        lines = Lines(path, state_of(path))
        packed = path.suffix.lower() in COMPRESSED
        size = lines.seen[0] * (PACKED if packed else 1)
        rows: list[Row] = []
        columns: dict[str, None] = {}
        count = 0
        ends, offsets = _Ends(path), list[int]()
        for line in _said(ends):
            row = parse(line.decode("utf-8"))
            if not isinstance(row, dict):
                return None
            if count % PLACED == 0:
                offsets.append(ends.start)
            count += 1
            if size <= WHOLE:
                rows.append(row)
            elif not columns.keys() >= row.keys():
                columns |= dict.fromkeys(row)
    except (ValueError, RecursionError, EOFError, OSError, zlib.error, lzma.LZMAError):
        return None
    if not count:
        return None
    return lines, rows or LineRows(lines, count, columns, () if packed else (*offsets, lines.seen[0]))


class _Ends:
    """The lines of a file; `start` is the byte at which the last of them began."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, 0

    def __iter__(self) -> Iterator[bytes]:
        end = 0
        with open_packed(self.path) as file:
            for line in file:
                self.start, end = end, end + len(line)
                yield line


def beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file, unpacked; what can be read of it."""
    try:
        with open_packed(path) as file:
            return file.read(size)
    except (EOFError, OSError, zlib.error, lzma.LZMAError):
        return b""


def _is_blank(line: bytes) -> bool:
    if line[:1] == b"{":
        return False
    return line.isspace() or not line.decode("utf-8").strip()


def state_of(path: Path) -> tuple[int, ...]:
    """Size, time and place of a file."""
    there = path.stat()
    return there.st_size, there.st_mtime_ns, there.st_ino


def has_changed(path: Path, seen: tuple[int, ...]) -> bool:
    """Whether a file is not the one of which `state_of` was `seen`."""
    return not path.exists() or state_of(path) != seen


def check_unchanged(path: Path, seen: tuple[int, ...]) -> None:
    """Refuse a file that is not the one that was first read.

    Raises:
        InputError: it has changed, or is gone.
    """
    if has_changed(path, seen):
        raise InputError(f"{path} changed while it was read; start the same command again")


def open_packed(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name says that it is packed."""
    kind = path.suffix.lower()
    if kind == ".zst":
        return _open_zst(path)
    module = {".gz": gzip, ".bz2": bz2, ".xz": lzma}.get(kind)
    file: IO[bytes] = path.open("rb") if module is None else module.open(path, "rb")
    return file


def _open_zst(path: Path) -> io.BufferedReader:
    import pyarrow as pa

    return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(os.fsencode(path)), "zstd"))
