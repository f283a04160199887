"""Long stages in shards: each finished shard is on disk, so a killed run redoes at most one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.config import Recipe
from codeact.errors import CodeactError
from codeact.progress import track
from codeact.rundir import ranks
from codeact.rundir.local import Backend, MakeWorker, run_local
from codeact.rundir.parts import Parts, table_parts
from codeact.rundir.sealed import read_sealed, write_sealed
from codeact.rundir.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


def choose_backend(recipe: Recipe, stage: str) -> Backend:
    """The backend that the recipe names; for one of several processes that were started together, its part of them."""
    if recipe.backend == "ray":
        from codeact.rundir.ray_cluster import RayBackend

        return RayBackend(recipe.workers)
    return ranks.Shared(Path(recipe.run_dir), stage) if ranks.world() > 1 else run_local


def run_shards(
    store: Store,
    stage: str,
    table: pa.Table,
    make_worker: MakeWorker,
    *,
    backend: Backend,
    shard_size: int,
    label: str,
) -> pa.Table:
    """`make_shards` of `table` in shards of `shard_size` rows; returns the results in the table's order."""
    import pyarrow as pa

    shards = table_parts(table, shard_size)
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


def read_shards(store: Store, stage: str, shards: Parts) -> Iterator[pa.Table]:
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
