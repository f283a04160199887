"""Long stages in shards: each finished shard is on disk, so a killed run redoes at most one."""

from __future__ import annotations

from typing import Any

from codeact import storage
from codeact.backends.local import Backend, MakeWorker, run_local
from codeact.config import Recipe
from codeact.pipeline.store import Store
from codeact.progress import track


def choose_backend(recipe: Recipe) -> Backend:
    """The backend that the recipe names."""
    if recipe.backend == "ray":
        from codeact.backends.ray_data import RayBackend

        return RayBackend(recipe.workers)
    return run_local


def run_shards(
    store: Store,
    stage: str,
    table: Any,
    make_worker: MakeWorker,
    *,
    backend: Backend,
    shard_size: int,
    label: str,
    quiet: bool,
) -> Any:
    """Apply a worker to `table` in shards of `shard_size` rows and return the results in the table's order.

    Shards that an interrupted run finished are read, not computed again (`Store.begin` removed those of another
    configuration).
    """
    import pyarrow as pa

    folder = store.path(f"shards/{stage}")
    files = {n: folder / f"{n:06d}.parquet" for n in range(-(-table.num_rows // shard_size))}
    missing = {n: table.slice(n * shard_size, shard_size) for n, file in files.items() if not file.exists()}
    done = table.num_rows - sum(shard.num_rows for shard in missing.values())
    with track(label, table.num_rows, "records", done=done, quiet=quiet) as progress:
        for number, result in backend(make_worker, missing, progress):
            storage.write_parquet(result, files[number])
    return pa.concat_tables([storage.read_parquet(file) for file in files.values()])
