"""Runs a stage's partitions in processes of this machine; one that dies loses only the partition that it was at."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from codeact.errors import CodeactError, InputError
from codeact.lm.hardware import processors
from codeact.progress import SILENT, Progress
from codeact.rundir.parts import rows_of
from codeact.rundir.shards import MakeWorker, run_local
from codeact.rundir.worker import DONE, REFUSED, table_bytes, table_from

if TYPE_CHECKING:
    import pyarrow as pa

WORTH_IT = 20_000
"""Records below which the start of a process costs more than it saves."""
MOST_TRIES = 3
_CHILD = "import sys; from codeact.rundir.worker import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True)
class ProcessBackend:
    """See `local.Backend`. Few records, or one process, are done in this process.

    A partition whose process dies, or raises an error that is not the input's, is done again, three times in all. One
    that never ends well stops the run with its name, after the others are done: they are kept.

    Attributes:
        processes: how many; 0: one for each processor that this process may use.
        worth_it: records from which further processes are started.
    """

    processes: int = 0
    worth_it: int = WORTH_IT

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)` as shards finish.

        Raises:
            InputError: a worker's own.
            CodeactError: a partition failed three times.
        """
        few = len(shards) < 2 or sum(rows_of(shards, number) for number in shards) < self.worth_it
        count = 1 if few else min(self.processes or processors(), len(shards))
        if count < 2:
            yield from run_local(make_worker, shards, progress)
            return
        yield from _Pool(make_worker, shards, progress, count).results()


class _Child:
    """A process that makes one table of another."""

    def __init__(self, make_worker: bytes) -> None:
        mine, its = socket.socketpair()
        path = os.pathsep.join(place for place in sys.path if place)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(its.fileno())],
            pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        its.close()
        self.line = Connection(mine.detach())
        self.shard: int | None = None
        self.line.send_bytes(make_worker)

    def end(self, grace: float = 0.0) -> str:
        """Kill it, `grace` seconds after its line was closed; how it ended, for people."""
        self.line.close()
        try:
            ended = self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "its process closed the line"
        return f"its process was ended by signal {-ended}" if ended < 0 else f"its process ended with status {ended}"


class _Pool:
    def __init__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress, processes: int
    ) -> None:
        self.make_worker, self.shards, self.progress, self.processes = (
            pickle.dumps(make_worker), shards, progress, processes,
        )  # fmt: skip
        self.open = deque(shards)
        self.tries = dict.fromkeys(shards, 0)
        self.failed: dict[int, str] = {}
        self.children: list[_Child] = []

    def results(self) -> Iterator[tuple[int, pa.Table]]:
        try:
            while self.open or any(child.shard is not None for child in self.children):
                self._feed()
                for line in wait([child.line for child in self.children if child.shard is not None]):
                    child = next(child for child in self.children if child.line is line)
                    found = self._receive(child)
                    if found is not None:
                        yield found
        finally:
            for child in self.children:
                child.end()
        if self.failed:
            first = min(self.failed)
            raise CodeactError(
                f"{len(self.failed)} of {len(self.shards)} partitions failed {MOST_TRIES} times each: {self._names()}; "
                f"{self.failed[first]}; the others are done and kept: mend the cause and start the same command again"
            )

    def _feed(self) -> None:
        """Every idle process gets a partition; new ones are started where there is more to do."""
        while self.open and len([c for c in self.children if c.shard is not None]) < self.processes:
            number = self.open.popleft()
            child = next((child for child in self.children if child.shard is None), None)
            try:
                if child is None:
                    child = _Child(self.make_worker)
                    self.children.append(child)
                child.shard = number
                child.line.send_bytes(table_bytes(self.shards[number]))
            except ConnectionError:
                self._again(child, number)

    def _receive(self, child: _Child) -> tuple[int, pa.Table] | None:
        number = child.shard
        assert number is not None
        try:
            answer = child.line.recv_bytes()
        except (EOFError, OSError):
            self._again(child, number)
            return None
        kind, content = answer[:1], answer[1:]
        if kind == REFUSED:
            raise InputError(content.decode("utf-8", "replace"))
        child.shard = None
        if kind != DONE:
            self._count(number, content.decode("utf-8", "replace"))
            return None
        self.progress.advance(rows_of(self.shards, number))
        return number, table_from(content)

    def _again(self, child: _Child | None, number: int) -> None:
        """A process is gone, or could not be started: what it was to do is done again."""
        if child is None:
            self._count(number, "no process could be started")
            return
        self.children.remove(child)
        self._count(number, child.end(grace=2.0))

    def _count(self, number: int, why: str) -> None:
        self.tries[number] += 1
        if self.tries[number] < MOST_TRIES:
            self.open.appendleft(number)  # those that wait for it in order need not wait for all
        else:
            self.failed[number] = why

    def _names(self) -> str:
        """`partition 3 (records 'a' to 'b')`, of at most three."""
        said = []
        for number in sorted(self.failed)[:3]:
            ids = self.shards[number]["id"]
            said.append(f"partition {number} (records {ids[0].as_py()!r} to {ids[-1].as_py()!r})")
        return ", ".join(said) + (" and others" if len(self.failed) > 3 else "")
