"""Runs a stage's shards one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from codeact.progress import SILENT, Progress

if TYPE_CHECKING:
    import pyarrow as pa

Worker = Callable[["pa.Table", Progress], "pa.Table"]
MakeWorker = Callable[[], Worker]


class Backend(Protocol):
    """Runs the same worker over shards of a table, anywhere, in any order."""

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)` as shards finish.

        `make_worker` is picklable and is called once per process: it loads the model and returns the function that
        turns one Arrow table into another.
        """


def run_local(
    make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT
) -> Iterator[tuple[int, pa.Table]]:
    """Every shard in order, in this process; see `Backend`."""
    if not shards:
        return
    worker = make_worker()
    for number, shard in shards.items():
        yield number, worker(shard, progress)
