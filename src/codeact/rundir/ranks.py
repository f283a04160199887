"""Several processes of one launch (`torchrun`, `accelerate launch`) share a stage's shards through the run directory; no other connection.

The first process (RANK 0) runs the pipeline. The others wait for a stage that goes in shards, take shards that nobody has taken, and end
with the first. Under the run directory:

    .ranks/job                   the launch that the others follow
    .ranks/<job>/<rank>          changes every second while the process lives
    .ranks/<job>/<stage>.open    the first has begun this stage; the shards that it waits for
    .ranks/<job>/<stage>/000012  who takes shard 12: made once, so that one process has it
    .ranks/<job>/<stage>/000012.failed   it could not do it: the first tries it too
    .ranks/<job>/end             there is nothing left to do
    shards/<stage>/handed/       shards that the others have finished, until the first has taken them over

A shard is one forward computation of its own, so who does it changes no figure. The others write nothing into the run directory but shards
that the first waits for: one that comes late, when a stage is over, must not meet its folder being removed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.config import Recipe
from codeact.errors import CodeactError
from codeact.files import make_folder, write_text
from codeact.progress import SILENT, Progress
from codeact.rundir.faults import Fault, Faults, attempt
from codeact.rundir.nodes import Fact, check_alike, look
from codeact.rundir.processes import WORTH_IT, ProcessBackend
from codeact.rundir.shards import Backend, MakeWorker, Worker, read_sealed, run_local, write_sealed

if TYPE_CHECKING:
    import pyarrow as pa

BEAT_S = 1.0
DEAD_S = 60.0
"""Without a beat a process counts as dead; on the same machine its end is seen at once."""
LOOK_S = 0.1
FOLDER = ".ranks"


def world() -> int:
    """How many processes this launch has."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def mine() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK") or 0)


class HelpedError(Exception):
    """All shards of a stage are taken: what a process that is not the first has to do is done."""


@contextmanager
def first(run_dir: Path) -> Iterator[None]:
    """What the first process does inside, the others may help with; nothing where it is the only one."""
    if world() == 1:
        yield
        return
    shutil.rmtree(run_dir / FOLDER, ignore_errors=True)
    job = uuid.uuid4().hex
    make_folder(run_dir / FOLDER / job)
    with _beating(run_dir / FOLDER / job / "0"):
        write_text(run_dir / FOLDER / "job", job)
        yield
        since = time.monotonic()
        while not all((run_dir / FOLDER / job / str(rank)).exists() for rank in range(world())):  # those that start slowly find it alive
            if time.monotonic() - since > DEAD_S:
                break
            time.sleep(LOOK_S)
        (run_dir / FOLDER / job / "end").touch()


def follow(run_dir: Path, stages: Mapping[str, Callable[[], object]]) -> None:
    """What the other processes do: help with each stage that the first begins, until it has ended.

    Args:
        run_dir: of the run.
        stages: name -> the stage's work, which goes through `Shared` and so ends with `HelpedError`.

    Raises:
        CodeactError: the first process has died.
    """
    job = _job(run_dir)
    left = dict(stages)
    watch = _Watch(job / "0")
    with _beating(job / str(mine())):
        while not (job / "end").exists():
            name = next((name for name in left if (job / f"{name}.open").exists()), None)
            if name is not None:
                try:
                    left.pop(name)()
                except HelpedError:
                    continue
            if watch.dead():
                raise CodeactError("the first process has ended; finished shards are kept: start the same command again")
            time.sleep(LOOK_S)


class Shared:
    """See `codeact.rundir.shards.Backend`. One for each stage and process.

    Args:
        run_dir: of the run.
        stage: its name.
        facts: what its workers read: a process that has something else is refused.
    """

    def __init__(self, run_dir: Path, stage: str, facts: Sequence[Fact] = ()) -> None:
        self.stage, self.rank, self.facts = stage, mine(), facts
        self.job = run_dir / FOLDER / (run_dir / FOLDER / "job").read_text(encoding="utf-8")
        self.claims = self.job / stage
        self.handed = run_dir / "shards" / stage / "handed"

    def __call__(
        self, make_worker: MakeWorker, shards: Mapping[int, pa.Table], progress: Progress = SILENT
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(shard number, result table)`: the process's own, and in the first one those of the others too.

        Raises:
            HelpedError: not the first process, and no shard is left to take.
            InputError: not the first process, and another model or file under the same name than that one has.
            CodeactError: a process has died over a shard.
            PartitionError: shards failed here and in the process that had them; all others are done.
        """
        make_folder(self.claims)
        workers: list[Worker] = []
        faults = Faults(shards)

        def compute(number: int) -> Iterator[tuple[int, pa.Table]]:
            if not workers:
                workers.append(make_worker())
            made = attempt(workers[0], partial(shards.__getitem__, number), progress if self.rank == 0 else SILENT)
            if isinstance(made, Fault):
                if self.rank:
                    (self.claims / f"{number:06d}.failed").touch()
                faults.add(number, made)
            else:
                faults.passed()
                yield number, made

        opened = self.job / f"{self.stage}.open"
        if self.rank:
            told = json.loads(opened.read_text(encoding="utf-8"))
            wanted = set(told["shards"])
            if wanted:
                check_alike(self.facts, told["found"])
            for number in shards:
                if number in wanted and self._claim(number):
                    for _, table in compute(number):
                        write_sealed(table, self.handed, f"{number:06d}")
            raise HelpedError
        waiting = set(shards)
        for number, table in self._taken_over(waiting, shards, compute):  # what an earlier launch left
            self._claim(number)
            yield number, table
        write_text(opened, json.dumps({"shards": sorted(waiting), "found": look(self.facts) if waiting else []}))
        for number in shards:
            if number in waiting and self._claim(number):
                waiting.discard(number)
                yield from compute(number)
                yield from self._taken_over(waiting, shards, compute, progress)
        watches: dict[int, _Watch] = {}
        while waiting:
            yield from self._taken_over(waiting, shards, compute, progress)
            for number in [n for n in waiting if (self.claims / f"{n:06d}.failed").exists()]:
                waiting.discard(number)
                yield from compute(number)
            for number in waiting:
                self._see_that_it_lives(number, watches)
            time.sleep(LOOK_S if waiting else 0)
        faults.check()

    def _claim(self, number: int) -> bool:
        try:
            with (self.claims / f"{number:06d}").open("x", encoding="utf-8") as made:
                made.write(str(self.rank))
        except FileExistsError:
            return False
        return True

    def _taken_over(
        self, waiting: set[int], shards: Mapping[int, pa.Table], compute: Callable[[int], Iterator[tuple[int, pa.Table]]], progress: Progress = SILENT
    ) -> Iterator[tuple[int, pa.Table]]:
        """The shards that other processes have finished. One of other records (the score cache grew meanwhile) is computed here."""
        names = [path.name for path in self.handed.iterdir()] if self.handed.is_dir() else []
        for number in sorted({int(name[:6]) for name in names if name[:6].isdigit()} & waiting):
            table = read_sealed(self.handed, f"{number:06d}")
            if table is None:
                continue
            waiting.discard(number)
            if table["id"].combine_chunks() != shards[number]["id"].combine_chunks():
                yield from compute(number)
            else:
                progress.advance(table.num_rows)
                yield number, table
            for file in self.handed.glob(f"{number:06d}-*.parquet"):
                file.unlink(missing_ok=True)

    def _see_that_it_lives(self, number: int, watches: dict[int, _Watch]) -> None:
        text = (self.claims / f"{number:06d}").read_text(encoding="utf-8")
        if not text or text == "0":  # being written
            return
        watch = watches.setdefault(int(text), _Watch(self.job / text))
        if watch.dead() and not list(self.handed.glob(f"{number:06d}-*.parquet")):
            raise CodeactError(
                f"process {text} of {world()} has ended before its shard {number:06d} of stage {self.stage} was done; finished shards are"
                " kept: start the same command again"
            )


class _Watch:
    """Whether another process lives, by its file."""

    def __init__(self, path: Path) -> None:
        self.path, self.seen, self.since = path, "", time.monotonic()

    def dead(self) -> bool:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if text != self.seen:
            self.seen, self.since = text, time.monotonic()
        host, _, rest = text.partition("\n")
        if host == platform.node() and not _runs(int(rest.partition("\n")[0])):
            return True
        return time.monotonic() - self.since > DEAD_S


def _runs(pid: int) -> bool:
    """Whether a process of this machine is there, and not one that has ended and that nobody has asked after."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True


@contextmanager
def _beating(path: Path) -> Iterator[None]:
    """Write host, process and a count into a file every second."""
    over = threading.Event()

    def say(count: int) -> None:
        write_text(path, f"{platform.node()}\n{os.getpid()}\n{count}")

    def beat() -> None:
        count = 1
        while not over.wait(BEAT_S):
            say(count)
            count += 1

    say(0)  # before anything is taken: a process that dies over its first shard is known
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _job(run_dir: Path) -> Path:
    """The folder of the launch whose first process lives: its file changes. That of an earlier launch never does."""
    since, seen = time.monotonic(), dict[str, str]()
    while time.monotonic() - since < DEAD_S * 5:
        path = run_dir / FOLDER / "job"
        name = path.read_text(encoding="utf-8") if path.exists() else ""
        beat = run_dir / FOLDER / name / "0"
        if name and beat.exists():
            text = beat.read_text(encoding="utf-8")
            if seen.setdefault(name, text) != text:
                return beat.parent
        time.sleep(LOOK_S)
    raise CodeactError(f"{run_dir}: the first process of this launch does not show; do all of them see this folder?")


def choose_backend(recipe: Recipe, stage: str, facts: Sequence[Fact], *, model: bool = True) -> Backend:
    """The backend that the recipe names; for one of several processes that were started together, its part of them.

    Args:
        recipe: names it.
        stage: whose shards it runs.
        facts: what its workers read, which has to be alike wherever they run.
        model: whether a worker runs a model; else it needs no GPU.
    """
    if recipe.backend == "ray":
        from codeact.rundir.ray_cluster import RayBackend

        return RayBackend(recipe.workers, model=model, facts=facts)
    return Shared(Path(recipe.run_dir), stage, facts) if world() > 1 else run_local


def choose_processes(recipe: Recipe, rows: int, *, whole: bool = False) -> Backend:
    """What runs no model: few rows here, many on the cluster that the recipe names, or in processes of this machine.

    Args:
        recipe: names it.
        rows: of all shards together.
        whole: the results are of use only together, so that the first shard that never ends well ends the work.
    """
    if recipe.backend == "ray" and rows >= WORTH_IT:
        from codeact.rundir.ray_cluster import RayBackend

        return RayBackend(recipe.workers, model=False, whole=whole)
    return ProcessBackend(recipe.workers, keep=whole, whole=whole)
