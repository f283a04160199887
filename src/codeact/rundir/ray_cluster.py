"""Runs a stage's shards on a Ray cluster, one model per actor. The only module that imports ray."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from codeact.errors import CodeactError, InputError, require
from codeact.lm.identity import Place, kept_digests, take_digests
from codeact.progress import SILENT, Progress
from codeact.rundir.faults import Fault, Faults, attempt
from codeact.rundir.nodes import Fact, check_alike, look, version_fault
from codeact.rundir.shards import MakeWorker, Worker
from codeact.rundir.versions import packages
from codeact.rundir.worker import table_bytes, table_from

if TYPE_CHECKING:
    import pyarrow as pa

CPUS = 4
"""Per actor at most, where the number of actors is not given."""
USED = 0.9
"""Share of the CPUs that actors take at least: a small node may stay idle, for fewer models in memory."""
TRIES = 3
"""Processes that may end over a shard before it counts as the cause."""
WAIT_S = 300.0
"""For a node that is free, while no actor works."""
LOOK_S = 5.0
CONNECT_S = 10.0
"""For the port of the cluster's head."""
NO_SHARD = -1


class RayBackend:
    """See `codeact.rundir.shards.Backend`.

    Args:
        workers: actors at most; 0 means one per GPU of the cluster, or one per four CPUs (fewer on small nodes).
        model: whether each actor runs a model; else it asks for one CPU and no GPU, and 0 workers means one per CPU.
        whole: the results are of use only together, so that the first shard that never ends well ends the work.
        facts: what the workers read: a node that has something else, or other versions, is refused.
    """

    def __init__(self, workers: int = 0, *, model: bool = True, whole: bool = False, facts: Sequence[Fact] = ()) -> None:
        self.workers, self.model, self.whole, self.facts = workers, model, whole, facts

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)` in the order in which actors finish them.

        An actor holds one shard at a time, cut from its table when the actor is free for it. A shard whose process
        ends goes to another actor; one that fails does not stop the others.

        Raises:
            InputError: no cluster answers, no node has a CPU or a GPU, or none is free for five minutes; a node has another model or
                file under the same name than this machine, or another version of what decides results.
            PartitionError: shards that fail, or over which three processes end, by name, after all others are done.
        """
        if not shards:
            return
        ray = _connected()
        task = _Task(make_worker, tuple(self.facts), look(self.facts), kept_digests(), self.model)
        pool = _Pool(ray, fitting(_alive(ray), self.workers, model=self.model), task, shards, progress, Faults(shards, self.whole))
        yield from pool.results()


def _connected() -> ModuleType:
    """Ray, connected to the cluster that RAY_ADDRESS names, else to one on this machine.

    Raises:
        InputError: none answers.
    """
    ray = require("ray", "ray", "the ray backend")
    if ray.is_initialized():
        return ray
    _check_port(os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"backend=ray: no cluster answers ({_line(error)}); look at RAY_ADDRESS. A cluster with a token, as ray start makes by default from"
            " Ray 2.60 on, wants it here too: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        ) from error
    return ray


def _check_port(address: str) -> None:
    """Say at once that nothing listens; Ray itself would wait for minutes.

    Raises:
        InputError: nothing listens at this `host:port`.
    """
    try:
        parts = urlsplit(f"//{address.removeprefix('ray://')}")
        host, port = parts.hostname, parts.port
    except ValueError:  # Ray says what is wrong with it
        return
    if not host or port is None:
        return
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        raise InputError(
            f"backend=ray: nothing answers at RAY_ADDRESS={address} ({error.strerror or error}); give the address of the cluster's head, or start"
            " one there: ray start --head"
        ) from error


@dataclass(frozen=True)
class Resources:
    """Actors that fit on the nodes.

    Attributes:
        actors: how many at the same time.
        cpus: of each.
        gpus: of each.
    """

    actors: int
    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"{self.cpus} CPU{'s' * (self.cpus != 1)}" + " and a GPU" * self.gpus

    def fits(self, node: Mapping[str, float]) -> bool:
        """Whether a node could ever give what an actor asks for."""
        return node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus


def fitting(nodes: Sequence[Mapping[str, float]], workers: int = 0, *, model: bool = True) -> Resources:
    """What each actor asks for, so that a node can give it: more than one has, it never gives.

    Args:
        nodes: resources of each node, by Ray's names.
        workers: actors at most; 0: as many as fit.
        model: whether each actor runs a model.

    Raises:
        InputError: no node has a CPU or a GPU.
    """
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1] if model else []
    if with_gpu:
        actors = sum(int(node["GPU"]) for node in with_gpu)
        cpus = min(CPUS, *(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpu))
        return Resources(min(workers or actors, actors), cpus, 1)
    cores = [int(node.get("CPU", 0)) for node in nodes]
    if not any(cores):
        raise InputError(
            f"backend=ray: none of the cluster's {len(nodes)} nodes has a CPU or a GPU to give; add a node"
            " (ray start --num-cpus=N), or use backend=local"
        )

    if not model:
        return Resources(min(workers or sum(cores), sum(cores)), 1, 0)

    def room(cpus: int) -> int:
        return sum(have // cpus for have in cores)

    if workers:
        cpus = next((n for n in range(max(cores), 1, -1) if room(n) >= workers), 1)
        return Resources(min(workers, room(cpus)), cpus, 0)
    cpus = next(n for n in range(min(CPUS, max(cores)), 0, -1) if room(n) * n >= USED * sum(cores))
    return Resources(room(cpus), cpus, 0)


@dataclass(frozen=True)
class _Task:
    """What actors are made for.

    Attributes:
        make_worker: loads the model.
        facts, found: what it reads, and what that is on this machine.
        digests: of files that an actor need not read where it sees them as this machine does.
        model: whether a model runs.
    """

    make_worker: MakeWorker
    facts: tuple[Fact, ...]
    found: list[str]
    digests: Mapping[Place, str]
    model: bool


class _Pool:
    """Actors, what each is doing, and the shards that are left."""

    def __init__(
        self, ray: ModuleType, resources: Resources, task: _Task, shards: Mapping[int, pa.Table], progress: Progress, faults: Faults
    ) -> None:
        self.ray, self.resources, self.shards, self.progress = ray, resources, shards, progress
        self.model, self.task = task.model, ray.put(task)
        self.actor = ray.remote(_ShardActor)
        self.left = deque(shards)
        self.doing: dict[Any, tuple[Any, str, int]] = {}  # what is awaited -> actor, its step, the shard
        self.ended: dict[int, int] = {}
        self.faults = faults

    def results(self) -> Iterator[tuple[int, pa.Table]]:
        try:
            for _ in range(min(self.resources.actors, len(self.shards))):
                self._start()
            while self.doing:
                for awaited in self._wait():
                    yield from self._take(awaited)
        finally:
            for actor, *_ in self.doing.values():
                self.ray.kill(actor)
        self.faults.check()

    def _start(self) -> None:
        actor = self.actor.options(num_cpus=self.resources.cpus, num_gpus=self.resources.gpus).remote()
        self.doing[actor.placed.remote()] = (actor, "placed", NO_SHARD)

    def _wait(self) -> list[Any]:
        since = time.monotonic()
        while True:
            done: list[Any] = self.ray.wait(list(self.doing), num_returns=1, timeout=LOOK_S)[0]
            if done:
                return done
            if any(step != "placed" for _, step, _ in self.doing.values()):
                continue
            if not any(map(self.resources.fits, _alive(self.ray))):
                raise InputError(
                    f"backend=ray: no node of the cluster has {self.resources} any more; finished shards are kept: start the"
                    " same command again for the nodes that are left"
                )
            self.progress.advance(0.0, f"waiting for a node with {self.resources} free")
            if time.monotonic() - since > WAIT_S:
                raise InputError(
                    f"backend=ray: no node had {self.resources} free for {WAIT_S:.0f} s; end what holds them"
                    " (ray status), or use backend=local"
                )

    def _take(self, awaited: object) -> Iterator[tuple[int, pa.Table]]:
        """Look at what an actor has done, and give it the next shard."""
        actor, step, shard = self.doing.pop(awaited)
        errors = self.ray.exceptions
        try:
            found = self.ray.get(awaited)
        except errors.RayTaskError as error:  # the model cannot be loaded, or an input is refused: so it is for every shard
            self.ray.kill(actor)
            if isinstance(error.cause, CodeactError):
                raise error.cause from None
            raise
        except errors.RayError as error:  # its process or node is gone, out of memory, or what it made is lost
            self.ray.kill(actor)
            self._replace(shard, error)
            return
        if step == "work" and isinstance(found, Fault):
            self.faults.add(shard, found)
        elif step == "work":
            table = table_from(found)
            self.faults.passed()
            self.progress.advance(table.num_rows)
            yield shard, table
        if step == "placed":
            if fault := version_fault(*(found or (None, "of the cluster")), model=self.model):
                self.ray.kill(actor)
                raise InputError(f"backend=ray: {fault}")
            self.doing[actor.load.remote(self.task)] = (actor, "load", NO_SHARD)
        elif self.left:
            shard = self.left.popleft()
            self.doing[actor.work.remote(table_bytes(self.shards[shard]))] = (actor, "work", shard)
            self.ended.pop(NO_SHARD, None)
        else:
            self.ray.kill(actor)

    def _replace(self, shard: int, error: Exception) -> None:
        """Another actor for one whose process or node has ended."""
        self.ended[shard] = self.ended.get(shard, 0) + 1
        if self.ended[shard] < TRIES:
            if shard != NO_SHARD:
                self.left.appendleft(shard)
        elif shard == NO_SHARD:
            raise CodeactError(
                f"backend=ray: {TRIES} processes ended while they loaded the model ({_line(error)}); is there memory for it?"
            ) from error
        else:
            self.faults.add(shard, Fault(f"its process ended {TRIES} times ({_line(error)})"))
        if self.left:
            self._start()


class _ShardActor:
    def __init__(self) -> None:
        self.worker: Worker | None = None

    def placed(self) -> tuple[Mapping[str, str | None], str]:
        """Answers as soon as a node has taken the actor: the versions there, and the node's name."""
        return packages(), platform.node()

    def load(self, task: _Task) -> None:
        take_digests(task.digests)
        check_alike(task.facts, task.found)
        self.worker = task.make_worker()

    def work(self, table: bytes) -> bytes | Fault:
        assert self.worker is not None
        made = attempt(self.worker, partial(table_from, table))
        return made if isinstance(made, Fault) else table_bytes(made)


def _alive(ray: ModuleType) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]
