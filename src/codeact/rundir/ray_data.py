"""Runs a stage's shards on a Ray cluster, one model per actor. The only module that imports ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codeact.errors import require
from codeact.progress import SILENT, Progress
from codeact.rundir.local import MakeWorker


class RayBackend:
    """See `codeact.rundir.local.Backend`.

    Args:
        workers: actors at most; 0 means one per GPU of the cluster, or one per four CPUs where there is none.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, Any], progress: Progress = SILENT
    ) -> Iterator[tuple[int, Any]]:
        """Yield `(shard number, result table)` in the order in which actors finish them."""
        if not shards:
            return
        ray = require("ray", "ray", "the ray backend")
        require("ray.data", "ray", "the ray backend")
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level="warning")
        gpus = int(ray.cluster_resources().get("GPU", 0))
        cpus = int(ray.cluster_resources().get("CPU", 1))
        workers = min(self.workers or gpus or max(1, cpus // 4), len(shards))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [
            {"shard": number, "rows": shard.num_rows, "table": _to_bytes(shard)} for number, shard in shards.items()
        ]
        resources = {"num_gpus": 1} if gpus else {"num_cpus": max(1, cpus // workers)}
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _ShardActor, fn_constructor_args=(make_worker,), concurrency=workers, **resources
        )
        for row in data.iter_rows():
            progress.advance(row["rows"])
            yield row["shard"], _from_bytes(row["table"])


class _ShardActor:
    def __init__(self, make_worker: MakeWorker) -> None:
        self.worker = make_worker()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "table": _to_bytes(self.worker(_from_bytes(row["table"]), SILENT))}


def _to_bytes(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _from_bytes(data: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()
