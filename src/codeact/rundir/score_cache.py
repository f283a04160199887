"""Scores that outlive a run: one row per record content, kept apart by everything else that decides a score.

    <folder>/<context>/context.json           what the rows below were made with
    <folder>/<context>/<number>-<keys>-<content>.parquet   finished shards, written atomically and never changed

`context` is a digest of the model's identity, dtype, template, maximum length, variant and the version of the stage `score`, so a
changed model never reuses a score; `key` is a digest of a record's messages. Another ratio, another strategy or more records cost
only what is new.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import storage
from codeact.files import cache_dir
from codeact.progress import track
from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.shards import Backend, MakeWorker, read_sealed, sealed, write_sealed
from codeact.rundir.store import digest

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "key"
CHUNK_ROWS = 1024  # read as Python objects at a time


@dataclass(frozen=True)
class ScoreCache:
    """The rows of one context.

    Attributes:
        folder: where its shards lie.
        context: what they are made with; it is written with the first of them.
    """

    folder: Path
    context: Mapping[str, Any]

    def find(self, keys: Sequence[str]) -> pa.Table | None:
        """The rows of those keys that are there, one each, in no order; None where there is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(sorted(set(keys)), pa.string())
        found = []
        for file in sealed(self.folder, "*-*-*.parquet"):
            table = read_sealed(self.folder, file.stem.rpartition("-")[0])
            if table is None:
                continue  # damaged: its records are scored again
            table = table.filter(pc.is_in(table[KEY], value_set=wanted))
            if table.num_rows:
                found.append(table)
        if not found:
            return None
        whole = pa.concat_tables(found)
        _, first = _first_rows(whole[KEY].to_pylist())
        return whole.take(first)

    def add(self, keys: Sequence[str], table: pa.Table) -> None:
        """Keep finished rows; those of one call are one file, there wholly or not at all."""
        import pyarrow as pa

        if not (self.folder / "context.json").exists():
            storage.write_json(self.folder / "context.json", dict(self.context))
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
        number = len(sealed(self.folder, "*.parquet"))
        kept = table.drop_columns("id").append_column(KEY, pa.array(keys, pa.string()))
        write_sealed(kept, self.folder, f"{number:06d}-{name}")


def shared_folder() -> Path:
    """Where scores are kept between runs: `CODEACT_SCORES`, else `scores` in the cache directory."""
    return Path(os.environ["CODEACT_SCORES"]) if "CODEACT_SCORES" in os.environ else cache_dir() / "scores"


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
    table: pa.Table,
    make_worker: MakeWorker,
    *,
    backend: Backend,
    shard_size: int,
    label: str,
) -> tuple[pa.Table, int]:
    """Apply a worker to the records that the cache lacks, a shard at a time.

    A shard is kept as soon as it is finished, so a killed run goes on where it was, in this run directory or another.

    Returns:
        The results in the table's order, and how many rows were there before.
    """
    import pyarrow as pa

    parts = (table.slice(at, CHUNK_ROWS) for at in range(0, table.num_rows, CHUNK_ROWS))
    keys = [record_key(record) for part in parts for record in tables.records_from(part)]
    there = cache.find(keys)
    known = set(there[KEY].to_pylist()) if there is not None else set()
    firsts = _first_rows(keys)[1]
    # shards are cut from the whole table, so a resumed run batches, and so rounds, as one that was never stopped
    shards = [
        [index for index in firsts[at : at + shard_size] if keys[index] not in known]
        for at in range(0, len(firsts), shard_size)
    ]
    new = [index for shard in shards for index in shard]
    with track(label, table.num_rows, "records", done=table.num_rows - len(new)) as progress:
        for number, result in backend(make_worker, _Shards(table, shards), progress):
            cache.add([keys[index] for index in shards[number]], result)
    whole = cache.find(keys) if new else there
    if whole is None:
        raise LookupError(f"the score cache {cache.folder} lost the rows just written to it")
    index = {key: at for at, key in enumerate(whole[KEY].to_pylist())}
    rows = whole.take([index[key] for key in keys]).drop_columns(KEY)
    return rows.add_column(0, "id", pa.array(table["id"].to_pylist(), pa.string())), table.num_rows - len(new)


class _Shards(Mapping[int, "pa.Table"]):
    """The rows of each shard that is not empty, cut from the table only when they are asked for."""

    def __init__(self, table: pa.Table, rows_of: Sequence[Sequence[int]]) -> None:
        self.table = table
        self.rows_of = {number: rows for number, rows in enumerate(rows_of) if rows}

    def __getitem__(self, number: int) -> pa.Table:
        return self.table.take(self.rows_of[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows_of)

    def __len__(self) -> int:
        return len(self.rows_of)


def _first_rows(keys: Sequence[str]) -> tuple[list[str], list[int]]:
    """Distinct keys in their order, and the place where each comes first."""
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return list(first), list(first.values())
