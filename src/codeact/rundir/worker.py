"""The other end of `processes`: a process that reads tables from its parent and answers with what its worker makes of them."""

from __future__ import annotations

import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from codeact.errors import InputError
from codeact.progress import SILENT

if TYPE_CHECKING:
    import pyarrow as pa

DONE, REFUSED, FAILED = b"d", b"r", b"f"


def serve(handle: int) -> None:
    """Answer until the parent is gone.

    Args:
        handle: file number of the line to the parent. First comes the pickled maker of the worker, then tables.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    line = Connection(handle)
    try:
        make_worker = pickle.loads(line.recv_bytes())  # of the parent, which runs the same code
        work = None
        while True:
            shard = table_from(line.recv_bytes())
            try:
                work = work or make_worker()
                answer = DONE + table_bytes(work(shard, SILENT))
            except InputError as error:
                answer = REFUSED + str(error).encode("utf-8", "backslashreplace")
            except Exception as error:  # noqa: BLE001  whatever it is, the parent says it with the partition's name
                answer = FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
            line.send_bytes(answer)
    except (EOFError, ConnectionError):
        sys.exit(0)


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
