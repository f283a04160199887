"""Long stages in shards: each finished shard is on disk, so a killed run redoes at most one.

A finished shard is a sealed table: its file name holds the digest of its content, so it is there whole or not at all, and damage is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codeact import mirror, storage
from codeact.errors import CodeactError
from codeact.files import names_in, write_bytes
from codeact.progress import SILENT, Progress, track
from codeact.rundir.faults import Fault, Faults, attempt
from codeact.rundir.faults import Worker as Worker
from codeact.rundir.parts import PART_ROWS, Parts, table_parts
from codeact.rundir.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


MakeWorker = Callable[[], Worker]


class Backend(Protocol):
    """Runs the same worker over shards of a table, anywhere, in any order."""

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)` as shards finish.

        `make_worker` is picklable and is called once per process: it loads the model and returns the function that
        turns one Arrow table into another.

        Raises:
            InputError: a worker's own, at once.
            PartitionError: some shards failed, by name, after all others are done.
        """


def run_local(
    make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT, whole: bool = False
) -> Iterator[tuple[int, pa.Table]]:
    """Every shard in order, in this process; see `Backend`, and of `whole` `Faults`."""
    if not shards:
        return
    worker, faults = make_worker(), Faults(shards, whole)
    for number in shards:
        made = attempt(worker, partial(shards.__getitem__, number), progress)
        if isinstance(made, Fault):
            faults.add(number, made)
        else:
            faults.passed()
            yield number, made
    faults.check()


def run_shards(
    store: Store,
    stage: str,
    table: pa.Table | Parts,
    make_worker: MakeWorker,
    *,
    backend: Backend,
    label: str,
    shard_size: int = PART_ROWS,
) -> pa.Table:
    """`make_shards` of a table in shards of `shard_size` rows, or of parts that are the shards; returns the results in the table's order."""
    import pyarrow as pa

    shards = table if isinstance(table, Parts) else table_parts(table, shard_size)
    make_shards(store, stage, shards, make_worker, backend=backend, label=label)
    return pa.concat_tables(read_shards(store, stage, shards))


def make_shards(store: Store, stage: str, shards: Parts, make_worker: MakeWorker, *, backend: Backend, label: str) -> None:
    """Apply a worker to every shard, for `read_shards`.

    Shards that an interrupted run finished are read, not computed again (`Store.begin` removed those of another
    configuration). A shard's name ends in the digest of its content: one that was damaged is computed again. While the workers
    run, no finished shard is held in memory.
    """
    folder = store.path(f"shards/{stage}")
    missing = shards.only(n for n in shards if read_sealed(folder, f"{n:06d}") is None)
    done = shards.num_rows - sum(map(missing.rows, missing))
    with track(label, shards.num_rows, "records", done=done) as progress:
        for number, result in backend(make_worker, missing, progress):
            write_sealed(result, folder, f"{number:06d}")


def read_shards(store: Store, stage: str, shards: Parts) -> Generator[pa.Table, None, None]:
    """What `make_shards` left, shard by shard.

    Raises:
        CodeactError: one is damaged.
    """
    folder = store.path(f"shards/{stage}")
    for number in shards:
        found = read_sealed(folder, f"{number:06d}")
        if found is None:
            raise CodeactError(f"{folder}: a shard that was just written cannot be read again; look at the disk, and start the same command again")
        yield found


def write_sealed(table: pa.Table, folder: Path, name: str) -> None:
    """Write `<name>-<digest of the content>.parquet`, atomically; it is behind the address too when this returns, where there is one."""
    content = storage.parquet_bytes(table)
    write_bytes(folder / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.parquet", content)
    mirror.sync(folder)


def read_sealed(folder: Path, name: str) -> pa.Table | None:
    """The table that `write_sealed` wrote under this name; None where there is none, or none that is whole."""
    return next((table for path in sealed(folder, f"{name}-*.parquet") if (table := open_sealed(path)) is not None), None)


def open_sealed(path: Path, columns: Sequence[str] | None = None) -> pa.Table | None:
    """A table that `write_sealed` wrote, or some of its columns; None where it is gone, or is damaged and goes now."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = path.read_bytes()
    except FileNotFoundError:  # another process has finished the stage
        return None
    if path.stem.rpartition("-")[2] == hashlib.sha256(content).hexdigest()[:16]:
        return pq.read_table(pa.BufferReader(content), columns=None if columns is None else list(columns))
    with suppress(OSError):  # where it may not be removed, in a folder of others, it is made again beside it
        path.unlink(missing_ok=True)
    return None


def sealed(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder with such names, in order; none where there is no folder, or another process has just removed it."""
    return [folder / name for name in sorted(names_in(folder)) if fnmatchcase(name, pattern)]
