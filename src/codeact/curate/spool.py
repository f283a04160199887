"""What a step over all records keeps of each of them, on the disk: memory holds eight bytes of it."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from codeact.files import told
from codeact.types import Ints

SPLIT = 32
WAITING = 1 << 16
"""Numbers that are counted before they go to the disk."""


class Spool:
    """Pieces of bytes, appended one by one and read in any order. The file has no name: it goes with this object, or the process.

    Args:
        folder: where the file lies; None: where the system has its temporary files.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        with told(self._folder):
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  closed with this object
        self._ends = array("q", [0])
        self._written = True

    def append(self, data: bytes) -> None:
        """Add a piece behind the others."""
        with told(self._folder):
            self._ends.append(self._ends[-1] + self._file.write(data))
        self._written = False

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if not self._written:
            with told(self._folder):
                self._file.flush()
            self._written = True
        start = self._ends[number]
        return os.pread(self._file.fileno(), self._ends[number + 1] - start, start)

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def sizes(self) -> Ints:
        """Of each piece its bytes, int64."""
        ends = np.array(self._ends, np.int64)
        return ends[1:] - ends[:-1]


class Counts:
    """How often each of many numbers of 64 bits was seen, counted on the disk: memory holds a part of them at a time.

    Args:
        folder: as of `Spool`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._pieces = Spool(folder)  # by turns of the parts
        self._waiting: list[int] = []

    def add(self, numbers: Iterable[int]) -> None:
        """Each of these was seen once more."""
        self._waiting += numbers
        if len(self._waiting) > WAITING:
            self._write()

    def _write(self) -> None:
        seen = np.array(self._waiting, np.int64)
        for part in range(SPLIT):
            self._pieces.append(seen[seen % SPLIT == part].tobytes())
        self._waiting = []

    def often(self, least: int) -> frozenset[int]:
        """Those that were seen `least` times or more."""
        self._write()
        found: list[int] = []
        for part in range(SPLIT):
            pieces = b"".join(self._pieces[number] for number in range(part, len(self._pieces), SPLIT))
            seen, counts = np.unique(np.frombuffer(pieces, np.int64), return_counts=True)
            found += seen[counts >= least].tolist()
        return frozenset(found)
