"""Which records share a band of their MinHash, for as many as there are: bands are grouped one after the other, by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codeact.curate.spool import Spool
from codeact.types import Ints

BLOCK_ROWS = 8192
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class Bands:
    """The bands of one sketch after the other, on the disk: a number of 64 bits each, equal where all hashes of the band are.

    Args:
        bands: of a sketch.
        rows: hashes of a band.
        folder: as of `Spool`.
    """

    def __init__(self, bands: int, rows: int, folder: Path | None = None) -> None:
        self.bands, self.rows = bands, rows
        self._columns = Spool(folder)  # by turns of the bands, a block of records each
        self._waiting: list[NDArray[np.unsignedinteger]] = []

    def append(self, hashes: NDArray[np.unsignedinteger]) -> None:
        """The hashes of the next record, at least `bands * rows`."""
        self._waiting.append(hashes[: self.bands * self.rows])
        if len(self._waiting) == BLOCK_ROWS:
            self._write()

    def _write(self) -> None:
        hashes = np.array(self._waiting).astype(np.uint64).reshape(len(self._waiting), self.bands, self.rows)
        mixed = np.zeros(hashes.shape[:2], np.uint64)
        for at in range(self.rows):
            mixed = (mixed ^ hashes[:, :, at]) * _MIX
            mixed ^= mixed >> _SHIFT
        for column in np.ascontiguousarray(mixed.T):
            self._columns.append(column.tobytes())
        self._waiting = []

    def column(self, band: int) -> NDArray[np.uint64]:
        """One band of all records, in their order."""
        if self._waiting:
            self._write()
        blocks = range(band, len(self._columns), self.bands)
        return np.frombuffer(b"".join(self._columns[number] for number in blocks), np.uint64)

    def shared(self) -> Ints:
        """The numbers of the records that share a band with another, ascending."""
        found = np.zeros(len(self.column(0)), np.bool_)
        for band in range(self.bands):
            column = self.column(band)
            order = np.argsort(column)
            same = column[order[1:]] == column[order[:-1]]
            found[order[1:][same]] = found[order[:-1][same]] = True
        return np.flatnonzero(found)


class Earlier:
    """For each of some records, those before it in an order that share a band with it. Memory holds 12 bytes a record and band.

    Args:
        bands: of all records.
        order: numbers of the records that count, the first first.
    """

    def __init__(self, bands: Bands, order: Ints) -> None:
        shape = len(order), bands.bands
        self._begin, self._place = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self._sorted: Sequence[NDArray[np.int32]] = [
            self._group(band, bands.column(band)[order]) for band in range(bands.bands)
        ]

    def _group(self, band: int, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The places in the order, those of one key together and ascending; notes where each one's key begins, and where it is itself."""
        places = np.argsort(keys, kind="stable").astype(np.int32)
        first = np.ones(len(places), np.bool_)
        first[1:] = keys[places[1:]] != keys[places[:-1]]
        there = np.arange(len(places), dtype=np.int32)
        self._begin[places, band] = np.maximum.accumulate(np.where(first, there, 0))
        self._place[places, band] = there
        return places

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        """The places of those before the record at this place, ascending."""
        begin, end = self._begin[place], self._place[place]
        found = [self._sorted[band][begin[band] : end[band]] for band in np.flatnonzero(end > begin).tolist()]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int32)
