"""The other end of `processes`: a process that reads tables from its parent and answers with what its worker makes of them."""

from __future__ import annotations

import gc
import pickle
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from codeact.errors import InputError
from codeact.rundir.faults import Fault, attempt, reason

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.rundir.shards import MakeWorker, Worker

DONE, REFUSED, FAILED = b"d", b"r", b"f"
MODULES, MAKER, TABLE, NUMBER = b"i", b"m", b"t", b"n"


def serve(handle: int) -> None:
    """Answer until the parent is gone.

    Args:
        handle: file number of the line to the parent. A message begins with its kind: `MODULES` (names, to be imported ahead),
            `MAKER` (pickled: what makes the worker, and what reads a shard by its number), `TABLE` (a shard), `NUMBER` (of a
            shard). Only the last two are answered.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    sys.meta_path.insert(0, _WithoutPandas())
    line = Connection(handle)
    make_worker: MakeWorker
    read: Callable[[int], pa.Table]
    work: Worker | None = None
    try:
        while True:
            message = line.recv_bytes()
            kind, content = message[:1], message[1:]
            if kind == MODULES:
                for name in content.decode().split():
                    import_module(name)
                continue
            if kind == MAKER:
                work = None
                _give_back()
                make_worker, read = pickle.loads(content)  # of the parent, which runs the same code
                continue
            try:
                work = work or make_worker()
                made = attempt(work, partial(table_from, content) if kind == TABLE else partial(read, int(content)))
                answer = FAILED + _told(made.why) if isinstance(made, Fault) else DONE + table_bytes(made)
            except InputError as error:
                answer = REFUSED + _told(str(error))
            except Exception as error:  # noqa: BLE001  the worker cannot be made: the parent says it with the partition's name
                answer = FAILED + _told(reason(error))
            line.send_bytes(answer)
    except (EOFError, ConnectionError):
        sys.exit(0)


def _told(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _give_back() -> None:
    """Free what the stage before held: the next begins with as little as a fresh process."""
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()


class _WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas, wherever it is installed, before it makes its first array of a list: a third of a second and 40 MiB for nothing."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("no worker needs pandas", name=name)


def table_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return bytes(sink.getvalue())


def table_from(content: bytes) -> pa.Table:
    """The table of an Arrow stream."""
    import pyarrow as pa

    return pa.ipc.open_stream(content).read_all()
