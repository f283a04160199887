"""Scores that outlive a run: one row per record content, kept apart by everything else that decides a score.

    <folder>/<context>/context.json           what the rows below were made with
    <folder>/<context>/<number>-<keys>-<content>.parquet   finished shards, written atomically and never changed

`context` is a digest of the model's identity, dtype, template, maximum length, variant and the version of the stage `score`, so a
changed model never reuses a score; `key` is a digest of a record's messages. Another ratio, another strategy or more records cost
only what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact import storage
from codeact.errors import CodeactError
from codeact.files import names_in
from codeact.progress import track
from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.parts import PART_ROWS, Parts, table_parts, taken
from codeact.rundir.shards import Backend, MakeWorker, open_sealed, sealed, write_sealed
from codeact.rundir.store import digest
from codeact.types import Ints

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "key"
CHUNK_ROWS = 1024  # read as Python objects at a time
KEPT = 512  # finished shards
SHARD, LARGE_SHARD, LARGE = 128, 1024, 1_000_000
"""Records of a shard, and of one in a pool of at least `LARGE` records: each shard is a file."""


class Places:
    """Where the rows of some keys are.

    Args:
        files: finished shards.
        file: of each key, the number of the file that has its row; -1: none has.
        row: its number there.
        kept: files that are held in memory at most.
    """

    def __init__(self, files: Sequence[Path], file: Ints, row: Ints, kept: int = KEPT) -> None:
        self.files, self.file, self.row = files, file, row
        self._open = lru_cache(maxsize=kept)(open_sealed)

    def rows(self, keys: Ints) -> pa.Table:
        """The rows of the keys with these numbers, at least one, in this order.

        Raises:
            CodeactError: a file is gone, or damaged.
        """
        import pyarrow as pa

        file, row = self.file[keys], self.row[keys]
        order = np.argsort(file, kind="stable")
        numbers, starts = np.unique(file[order], return_index=True)
        found = []
        for number, inside in zip(numbers.tolist(), np.split(row[order], starts[1:]), strict=True):
            table = self._open(self.files[number])
            if table is None:
                raise CodeactError(f"{self.files[number]}: scores that were there cannot be read again; look at the disk, and start the same command again")
            found.append(table.take(pa.array(inside)))
        return pa.concat_tables(found).take(pa.array(np.argsort(order)))


@dataclass(frozen=True)
class ScoreCache:
    """The rows of one context.

    Attributes:
        folder: where its shards lie.
        context: what they are made with; it is written with the first of them.
    """

    folder: Path
    context: Mapping[str, Any]

    def places(self, keys: pa.Array) -> Places:
        """Where the row of each key is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        files, kept = list[Path](), list[pa.ChunkedArray]()
        for file in sealed(self.folder, "*-*-*.parquet"):
            table = open_sealed(file, [KEY])
            if table is not None:  # else its records are scored again
                files.append(file)
                kept.append(table[KEY])
        ends = np.cumsum([0, *map(len, kept)])
        there = pa.chunked_array([chunk for column in kept for chunk in column.chunks], pa.string())
        at = pc.fill_null(pc.index_in(keys, value_set=there), -1).to_numpy().astype(np.int64)
        number = np.where(at < 0, -1, np.searchsorted(ends, at, side="right") - 1)
        return Places(files, number, at - ends[number])

    def find(self, keys: Sequence[str]) -> pa.Table | None:
        """The rows of those keys that are there, one each, in no order; None where there is none."""
        import pyarrow as pa

        distinct = pa.array(sorted(set(keys)), pa.string())
        found = self.places(distinct)
        there = np.flatnonzero(found.file >= 0)
        return found.rows(there) if len(there) else None

    def add(self, keys: Sequence[str], table: pa.Table) -> None:
        """Keep finished rows; those of one call are one file, there wholly or not at all."""
        import pyarrow as pa

        if not (self.folder / "context.json").exists():
            storage.write_json(self.folder / "context.json", dict(self.context))
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
        number = sum(name.endswith(".parquet") for name in names_in(self.folder))
        kept = table.drop_columns("id").append_column(KEY, pa.array(keys, pa.string()))
        write_sealed(kept, self.folder, f"{number:06d}-{name}")


def open_cache(folder: Path, context: Mapping[str, Any]) -> ScoreCache:
    """The rows under `folder` that were made with exactly this `context`."""
    return ScoreCache(folder / digest(context), context)


def record_key(record: Record) -> str:
    """128 bits over all that is said: what two data sets that share a record have in common."""
    text = "\0".join(f"{message.role}\1{message.content}" for message in record.messages)
    plain = Record("", tuple(Message(message.role, message.content) for message in record.messages))
    if (record.messages, record.tools) != (plain.messages, plain.tools):
        text += f"\0{record.messages!r}\0{record.tools}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def run_cached(
    cache: ScoreCache,
    table: pa.Table | Parts,
    make_worker: MakeWorker,
    *,
    backend: Backend,
    shard_size: int,
    label: str,
) -> tuple[Parts, int]:
    """Apply a worker to the records that the cache lacks, a shard at a time. A part of the records, and of the results, is in memory at a time.

    A shard is kept as soon as it is finished, so a killed run goes on where it was, in this run directory or another. With a `shard_size`
    of 0 it has the `shard_records` of the table.

    Returns:
        The results in the table's order, and how many rows were there before.
    """
    import pyarrow as pa

    parts = table if isinstance(table, Parts) else table_parts(table, CHUNK_ROWS)
    ids, keys = _ids_and_keys(parts)
    found = cache.places(keys)
    firsts = _first_rows(keys)
    # shards are cut from the whole table, so a resumed run batches, and so rounds, as one that was never stopped
    size = shard_size or shard_records(len(keys))
    cut = [firsts[at : at + size] for at in range(0, len(firsts), size)]
    shards = {number: new for number, rows in enumerate(cut) if len(new := rows[found.file[rows] < 0])}
    missing = sum(map(len, shards.values()))
    with track(label, len(keys), "records", done=len(keys) - missing) as progress:
        for number, result in backend(make_worker, _Shards(parts, shards), progress):
            cache.add(keys.take(pa.array(shards[number])).to_pylist(), result)
    found = cache.places(keys) if missing else found
    if np.any(found.file < 0):
        raise LookupError(f"the score cache {cache.folder} lost the rows just written to it")

    def part(number: int) -> pa.Table:
        own = np.arange(number * PART_ROWS, min((number + 1) * PART_ROWS, len(keys)))
        return found.rows(own).drop_columns(KEY).add_column(0, "id", ids.take(pa.array(own)))

    return Parts(len(keys), PART_ROWS, part), len(keys) - missing


def shard_records(records: int) -> int:
    """How many records a shard has where none is asked for, in a pool of so many."""
    return LARGE_SHARD if records >= LARGE else SHARD


def _ids_and_keys(parts: Parts) -> tuple[pa.Array, pa.Array]:
    """Of every record of a table: its id, and its key."""
    import pyarrow as pa

    ids, keys = [pa.array([], pa.string())], [pa.array([], pa.string())]
    for part in parts.values():
        ids.append(part["id"].combine_chunks())
        keys.append(pa.array([record_key(record) for record in tables.records_from(part)], pa.string()))
    return pa.concat_arrays(ids), pa.concat_arrays(keys)


class _Shards(Mapping[int, "pa.Table"]):
    """The rows of each shard, read only when they are asked for."""

    def __init__(self, parts: Parts, rows_of: Mapping[int, Ints]) -> None:
        self.parts, self.rows_of = parts, rows_of

    def __getitem__(self, number: int) -> pa.Table:
        return taken(self.parts, self.rows_of[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows_of)

    def __len__(self) -> int:
        return len(self.rows_of)


def _first_rows(keys: pa.Array) -> Ints:
    """The places where each distinct key comes first, in order."""
    seen = keys.dictionary_encode().indices.to_numpy()  # numbered as they come
    return np.flatnonzero(np.diff(np.maximum.accumulate(seen), prepend=-1)).astype(np.int64)
