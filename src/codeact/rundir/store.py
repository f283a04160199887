"""One run directory: a table per stage, a marker that says the stage is complete, and what it was made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import locks, mirror, parquet, storage
from codeact.errors import InputError
from codeact.files import local, remove, remove_left, sha256, sha256_of, write_text
from codeact.logs import RUN_LOG
from codeact.rundir.parts import PART_ROWS, Parts, file_parts

if TYPE_CHECKING:
    import pyarrow as pa

LOCK = ".lock"
AGAIN = "start the same command again: the stage is done anew"


@dataclass(frozen=True)
class Store:
    """Paths and markers of one run directory."""

    root: Path

    def __post_init__(self) -> None:
        local(self.root)

    def path(self, name: str) -> Path:
        """A file or folder of the run."""
        return self.root / name

    def table(self, stage: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The Parquet table that a stage wrote, or some of its columns.

        Raises:
            InputError: it is not there, or not what a finished stage wrote.
        """
        return storage.read_parquet(self._whole(stage), columns)

    def parts(self, stage: str, columns: Sequence[str] | None = None, size: int = PART_ROWS) -> Parts:
        """The table that a stage wrote in parts of `size` rows, each read from the disk when it is wanted.

        Raises:
            InputError: as `table`.
        """
        return file_parts(self._whole(stage), columns, size)

    def columns(self, stage: str) -> list[str]:
        """The names of the columns of a stage's table."""
        return parquet.parquet_columns(self._whole(stage))

    def _whole(self, stage: str) -> Path:
        name = f"{stage}.parquet"
        marker = self.marker(stage)
        if marker is not None and name in (outputs := marker.get("outputs", {})) and self._fault(name, outputs[name]):
            raise InputError(f"{self.path(name)} {self._fault(name, outputs[name])}; {AGAIN}")
        return self.path(name)

    def write_parts(self, stage: str, parts: Iterable[pa.Table]) -> None:
        """Write a stage's table atomically, a part (a row group) at a time."""
        parquet.write_parquet_parts(parts, self.path(f"{stage}.parquet"))

    def write_table(self, stage: str, table: pa.Table) -> None:
        """Write a stage's table atomically; the stage counts as done only when its marker is written."""
        storage.write_parquet(table, self.path(f"{stage}.parquet"))

    def marker(self, stage: str) -> dict[str, Any] | None:
        """The completion marker of a stage, or None when it is not complete or its marker is damaged."""
        try:
            content = storage.read_json(self._marker_path(stage))
        except InputError:
            return None
        return content if isinstance(content, dict) and "fingerprint" in content else None

    def has_begun(self) -> bool:
        """Whether a stage is done here, or had begun: a folder called `markers` alone does not make another's folder a run directory."""
        folder = self.path("markers")
        return any(folder.glob("*.started")) or any(self.marker(path.stem) is not None for path in folder.glob("*.json"))

    def is_done(self, stage: str, fingerprint: str, made_from: Mapping[str, str] | None = None) -> bool:
        """Whether the stage was made from exactly this configuration, these inputs and this code, and its files are whole.

        `made_from`: what `made` says of the stages that it reads; None: not asked.
        """
        marker = self.marker(stage)
        if marker is None or marker["fingerprint"] != fingerprint or self.fault(stage) is not None:
            return False
        return made_from is None or marker.get("made_from") == made_from

    def made(self, stage: str) -> str:
        """Digest of everything that a finished stage wrote: what those that read it are made from."""
        marker = self.marker(stage)
        return digest(marker.get("outputs")) if marker is not None else ""

    def fault(self, stage: str) -> str | None:
        """What is wrong with the files of a finished stage, its marker included; None: nothing, or it was never finished."""
        marker = self.marker(stage)
        if marker is None:
            return f"markers/{stage}.json is damaged" if self._marker_path(stage).exists() else None
        outputs = marker.get("outputs")
        if outputs is None:
            return f"markers/{stage}.json does not say what the stage wrote"
        faults = (f"{name} {fault}" for name, facts in outputs.items() if (fault := self._fault(name, facts)))
        return next(faults, None)

    def _fault(self, name: str, facts: Mapping[str, Any]) -> str | None:
        path = self.path(name)
        if not path.is_file():
            return "is missing"
        if path.stat().st_size != facts["bytes"] or kept_digest(path) != facts["sha256"]:
            return "is damaged or was changed: it is not what the stage wrote"
        return None

    def begin(self, stage: str, fingerprint: str, outputs: Sequence[str]) -> None:
        """Start or continue a stage: what an earlier attempt with another fingerprint left is removed."""
        started = self.path("markers") / f"{stage}.started"
        same = started.exists() and started.read_text(encoding="utf-8") == fingerprint
        self._marker_path(stage).unlink(missing_ok=True)
        self.trust(stage)
        if not same:
            for name in (*outputs, f"shards/{stage}"):
                remove(self.path(name))
            write_text(started, fingerprint)
        mirror.sync(self.root)

    def doubt(self, stage: str) -> None:
        """A finished stage was made with other settings than the run directory has now: it does not count until its turn has come."""
        write_text(self.path("markers") / f"{stage}.doubted", "")

    def trust(self, stage: str) -> None:
        """Its turn has come."""
        (self.path("markers") / f"{stage}.doubted").unlink(missing_ok=True)

    def is_doubted(self, stage: str) -> bool:
        """Whether `doubt` was called and its turn has not come since."""
        return (self.path("markers") / f"{stage}.doubted").exists()

    def finish(self, stage: str, marker: Mapping[str, Any], outputs: Sequence[str]) -> None:
        """Write the completion marker, with size and SHA-256 of every file of `outputs`: the last thing that a stage does."""
        written = {str(file.relative_to(self.root)): _facts(file) for name in outputs for file in _files(self.path(name))}
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        storage.write_json(self._marker_path(stage), {**marker, "outputs": written, "finished_at": finished})
        (self.path("markers") / f"{stage}.started").unlink(missing_ok=True)
        remove(self.path(f"shards/{stage}"))
        mirror.sync(self.root)

    def take_stage(self, stage: str, other: Store, outputs: Sequence[str], made_from: Mapping[str, str]) -> None:
        """Take over a finished stage of another run directory: its files as hard links (copies across file systems), its marker last.

        Files are replaced and never written in place, so a link cannot change under the other run.
        """
        self._marker_path(stage).unlink(missing_ok=True)
        self.trust(stage)
        for name in outputs:
            source, target = other.path(name), self.path(name)
            remove(target)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=_link)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target)
        storage.write_json(
            self._marker_path(stage),
            {**(other.marker(stage) or {}), "made_from": dict(made_from), "shared_from": other.root.name},
        )
        (self.path("markers") / f"{stage}.started").unlink(missing_ok=True)
        remove(self.path(f"shards/{stage}"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process out of the same run directory; what killed ones left half-written in it goes.

        Raises:
            InputError: another process is working in it, or it cannot be written.
        """
        with self.try_lock(LOCK) as mine:
            if not mine:
                raise InputError(
                    f"run directory {self.root}: another codeact process is working in it ({RUN_LOG} there says how far it is);"
                    " wait for it or choose another run_dir"
                )
            remove_left(self.root)
            yield

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Take the lock of this name, in this run directory, if no other process has it; says whether it was taken.

        The operating system takes it back from a process that ends, however it ends.

        Raises:
            InputError: the run directory cannot be written.
        """
        with locks.try_lock(self.root / name) as mine:
            yield mine

    @contextmanager
    def wait_lock(self, name: str, waits: Callable[[], None]) -> Iterator[None]:
        """Take the lock of this name, after calling `waits` once if another process has it, for as long as that takes.

        Raises:
            InputError: the run directory cannot be written.
        """
        with locks.wait_lock(self.root / name, waits):
            yield

    def _marker_path(self, stage: str) -> Path:
        return self.path("markers") / f"{stage}.json"


def _link(source: str | Path, target: str | Path) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
    return str(target)


def digest(value: object) -> str:
    """16 hex digits of SHA-256 over the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names, sizes and contents of a folder's files."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return sha256_of((str(file.relative_to(path)), file) for file in files)[:32]


def kept_digest(path: Path) -> str:
    """SHA-256 of a file's content; read once by this process while size, time and place of the file stay the same."""
    there = path.stat()
    return _content_digest(path, there.st_ino, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=4096)
def _content_digest(path: Path, *_: int) -> str:
    return sha256(path)


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": kept_digest(path)}


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder that are no locks and no half-written neighbours; none where nothing is there."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return [path] if path.is_file() else []


def now() -> float:
    """Seconds of a clock that only goes forward."""
    return time.monotonic()
