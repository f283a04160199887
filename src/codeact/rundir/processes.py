"""Runs a stage's partitions in processes of this machine; one that dies loses only the partition that it was at."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from codeact.errors import InputError
from codeact.lm.hardware import processors
from codeact.progress import SILENT, Progress
from codeact.rundir.faults import Fault, Faults
from codeact.rundir.parts import Parts, rows_of
from codeact.rundir.shards import MakeWorker, run_local
from codeact.rundir.worker import DONE, MAKER, MODULES, NUMBER, REFUSED, TABLE, table_bytes, table_from

if TYPE_CHECKING:
    import pyarrow as pa

WORTH_IT = 20_000
"""Records below which the start of a process costs more than it saves."""
MOST_TRIES = 3
_CHILD = "import sys; from codeact.rundir.worker import serve; serve(int(sys.argv[1]))"


_kept: ContextVar[list[_Child] | None] = ContextVar("kept processes", default=None)


@contextmanager
def kept_processes() -> Iterator[None]:
    """Within this block the processes of a backend with `keep` wait for the next one; with the block they end."""
    children: list[_Child] = []
    before = _kept.set(children)
    try:
        yield
    finally:
        _kept.reset(before)
        _end(children)


def start_ahead(processes: int, modules: Iterable[str]) -> None:
    """Start so many processes for the next backend (0: one for each processor), and let them import these modules meanwhile.

    Nothing is done outside a block of `kept_processes`.
    """
    children = _kept.get()
    count = processes or processors()
    if children is None or count < 2:
        return
    children += [_Child() for _ in range(count - len(children))]
    for child in children:
        child.send(MODULES + " ".join(modules).encode())


@dataclass(frozen=True)
class ProcessBackend:
    """See `local.Backend`. Few records, or one process, are done in this process.

    A partition whose process dies, or raises an error that is not the input's, is done again, three times in all. One
    that never ends well stops the run with its name, after the others are done: they are kept.

    Attributes:
        processes: how many; 0: one for each processor that this process may use.
        worth_it: records from which further processes are started.
        keep: whether its processes then wait for the next backend, inside `kept_processes`.
        whole: the results are of use only together, so that the first partition that never ends well ends the work.
    """

    processes: int = 0
    worth_it: int = WORTH_IT
    keep: bool = False
    whole: bool = False

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)` as shards finish.

        Raises:
            InputError: a worker's own.
            PartitionError: partitions failed three times each.
        """
        few = len(shards) < 2 or sum(rows_of(shards, number) for number in shards) < self.worth_it
        count = 1 if few else min(self.processes or processors(), len(shards))
        if count < 2:
            yield from run_local(make_worker, shards, progress, self.whole)
            return
        yield from _Pool(make_worker, shards, progress, count, self).results()


class _Child:
    """A process that makes one table of another.

    Attributes:
        shards: those that it was given: the one that it is at, and the one that comes next.
        told: whether it knows what to make.
    """

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(its.fileno())],
            pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        its.close()
        self.line = Connection(mine.detach())
        self.shards: deque[int] = deque()
        self.told = False

    def send(self, message: bytes) -> bool:
        """Whether it could be said: not to one that is gone."""
        try:
            self.line.send_bytes(message)
        except ConnectionError:
            return False
        return True

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


def _end(children: Iterable[_Child]) -> None:
    """Kill them all before one is waited for: a second interrupt, which comes meanwhile, leaves none behind."""
    ending = list(children)
    for child in ending:
        child.process.kill()
    for child in ending:
        child.end()


class _Pool:
    def __init__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress, processes: int, backend: ProcessBackend
    ) -> None:
        self.shards, self.progress, self.processes = shards, progress, processes
        self.numbered = isinstance(shards, Parts) and shards.anywhere
        self.maker = MAKER + pickle.dumps((make_worker, shards.read if isinstance(shards, Parts) and shards.anywhere else None))
        self.open = deque(shards)
        self.tries = dict.fromkeys(shards, 0)
        self.faults = Faults(shards, backend.whole)
        self.children: list[_Child] = []
        self.kept = _kept.get()
        self.keep = backend.keep

    def results(self) -> Iterator[tuple[int, pa.Table]]:
        try:
            self._start()
            while self.open or self._working():
                self._feed()
                for line in wait([child.line for child in self._working()]):
                    child = next(child for child in self.children if child.line is line)
                    found = self._receive(child)
                    if found is not None:
                        yield found
        finally:
            idle = self.children if self.keep and self.kept is not None and not self._working() else []
            _end([child for child in self.children if child not in idle])
            for child in idle:
                child.told = False
            if self.kept is not None:
                self.kept += idle
        self.faults.check()

    def _start(self) -> None:
        """Take over those that wait, and start what is missing, all before anything is said to one: they begin together."""
        while self.kept:
            child = self.kept.pop()
            if child.process.poll() is None and len(self.children) < self.processes:
                self.children.append(child)
            else:
                child.end()
        self.children += [_Child() for _ in range(self.processes - len(self.children))]

    def _working(self) -> list[_Child]:
        return [child for child in self.children if child.shards]

    def _feed(self) -> None:
        """Every idle process gets a partition, and the number of the next while there are enough; those that are gone are replaced."""
        while self.open and len(self._working()) < self.processes:
            child = next((child for child in self.children if not child.shards), None)
            if child is None:
                child = _Child()
                self.children.append(child)
            self._give(child)
        for child in self._working() if self.numbered else ():
            if len(self.open) > self.processes and len(child.shards) == 1:
                self._give(child)

    def _give(self, child: _Child) -> None:
        number = self.open.popleft()
        child.shards.append(number)
        told = child.told or child.send(self.maker)
        child.told = True
        content = NUMBER + str(number).encode() if self.numbered else TABLE + table_bytes(self.shards[number])
        if not (told and child.send(content)):
            self._again(child)

    def _receive(self, child: _Child) -> tuple[int, pa.Table] | None:
        try:
            answer = child.line.recv_bytes()
        except (EOFError, OSError):
            self._again(child)
            return None
        kind, content = answer[:1], answer[1:]
        if kind == REFUSED:
            raise InputError(content.decode("utf-8", "replace"))
        number = child.shards.popleft()
        if kind != DONE:
            self._count(number, content.decode("utf-8", "replace"))
            return None
        self.faults.passed()
        self.progress.advance(rows_of(self.shards, number))
        return number, table_from(content)

    def _again(self, child: _Child) -> None:
        """A process is gone: what it was at is done again, and what it was to do next as if it had never been given."""
        self.children.remove(child)
        number, *ahead = child.shards
        self.open.extendleft(reversed(ahead))
        self._count(number, child.end(grace=2.0))

    def _count(self, number: int, why: str) -> None:
        self.tries[number] += 1
        if self.tries[number] < MOST_TRIES:
            self.open.appendleft(number)  # those that wait for it in order need not wait for all
        else:
            self.faults.add(number, Fault(f"{why} ({MOST_TRIES} times)"))
