"""Runs whose run directory is `runs/one` in a bucket, and what lies there."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started

COUNT = 24  # records, which are scored in shards of two
_FOLDER = "runs/one/"


def machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on with the caches of another machine."""
    monkeypatch.setenv("CODEACT_CACHE", str(Path.cwd() / name))
    monkeypatch.setenv("CODEACT_SCORES", str(Path.cwd() / name / "scores"))


def write_pool() -> None:
    """Write the records that `words` scores to the working directory."""
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool_rows(COUNT)), encoding="utf-8")


def words(model: Path, run_dir: str) -> list[str]:
    """A command line of codeact: scores the pool in twelve shards."""
    settings = ("curate.decontaminate=[]", "curate.dedup=false", "score.shard_size=2", "model.dtype=float32", "model.template=question")
    return [
        "select", "pool.jsonl", "--model", str(model), "--strategy", "complexity", "--unit", "records", "--ratio", "0.5",
        "-o", "out.jsonl", "--force", "--run-dir", run_dir,
        *(word for one in settings for word in ("--set", one)),
    ]  # fmt: skip


@lru_cache(maxsize=1)
def local_tables(model: Path) -> dict[str, bytes]:
    """The tables of a run in a local folder."""
    ended = cli(*words(model, "here"))
    assert ended.returncode == 0, ended.stderr
    return {path.name: path.read_bytes() for path in Path("here").glob("*.parquet")}


def when(ready: Callable[[], bool], what: Callable[[], None]) -> threading.Thread:
    """Do something as soon as it is time; the thread that waits for that."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.005)
        what()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@dataclass
class There:
    """What lies in a run directory of a bucket.

    Attributes:
        address: of the run directory.
        listed: the keys of the bucket.
        read: an object of the bucket, by its key.
        delete: remove one.
    """

    address: str
    listed: Callable[[], set[str]]
    read: Callable[[str], bytes]
    delete: Callable[[str], object]

    def names(self) -> set[str]:
        return {key.removeprefix(_FOLDER) for key in self.listed()}

    def shards(self) -> int:
        return sum(key.startswith("shards/score/") and key.endswith(".parquet") for key in self.names())

    def file(self, name: str) -> bytes:
        return self.read(_FOLDER + name)

    def tables(self) -> dict[str, bytes]:
        return {key: self.file(key) for key in self.names() if key.endswith(".parquet")}

    def remove(self, name: str) -> None:
        self.delete(_FOLDER + name)

    def cached(self) -> int:
        """Records whose scores the last run took from shards that were there."""
        return int(json.loads(self.file("markers/score.json"))["summary"]["cached"])

    def killed(self, model: Path, meanwhile: Callable[[int], None] = lambda pid: None) -> int:
        """A run of another process that is halted between shards, and killed after `meanwhile`; how many there are then."""
        with Started("-m", "codeact", *words(model, self.address)) as process:
            deadline = time.monotonic() + 120
            while self.shards() < 3:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGSTOP)
            meanwhile(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        done = self.shards()
        assert 3 <= done < COUNT // 2
        assert "markers/score.json" not in self.names()
        return done
