"""Long stages in shards: each finished shard is on disk, so a killed run redoes at most one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codeact.config import Recipe
from codeact.errors import CodeactError
from codeact.progress import track
from codeact.rundir import ranks
from codeact.rundir.local import Backend, MakeWorker, run_local
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
    """Apply a worker to `table` in shards of `shard_size` rows and return the results in the table's order.

    Shards that an interrupted run finished are read, not computed again (`Store.begin` removed those of another
    configuration). A shard's name ends in the digest of its content: one that was damaged is computed again. While the workers
    run, no finished shard is held in memory.
    """
    import pyarrow as pa

    folder = store.path(f"shards/{stage}")
    shards = {n: table.slice(n * shard_size, shard_size) for n in range(-(-table.num_rows // shard_size))}
    missing = {n: shard for n, shard in shards.items() if read_sealed(folder, f"{n:06d}") is None}
    done = table.num_rows - sum(shard.num_rows for shard in missing.values())
    with track(label, table.num_rows, "records", done=done) as progress:
        for number, result in backend(make_worker, missing, progress):
            write_sealed(result, folder, f"{number:06d}")
    finished = [read_sealed(folder, f"{n:06d}") for n in shards]
    if any(one is None for one in finished):
        raise CodeactError(f"{folder}: a shard that was just written cannot be read again; look at the disk, and start the same command again")
    return pa.concat_tables(finished)
