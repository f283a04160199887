"""The local copy of what lies behind an address: fetched, copied up, and locked there.

Behind the address lies each file of the run directory under its name, and two keys more: `.in-use` says who works there, and is made only
where it is not; `.session` says which working copy was the last to be worked in: only that one may know more than the address.

A marker is put there after the files that it tells of, and removed before them; what says which shards are valid (`markers/*.started`)
after those of other settings are gone. So whatever is there when a machine is lost is what a run killed on one machine leaves.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codeact.errors import InputError, MissingExtraError
from codeact.files import address_of, by_path, cache_dir, name_of, remove, sha256, write_text
from codeact.outputs import NOTE
from codeact.sources.remote import READ_ONLY, FileSystem, copy, system_of, told

FOLDER = "mirrors"  # in the cache
NOTES = "copy.json"
IN_USE, SESSION = ".in-use", ".session"  # behind the address; not .lock, which a run directory that was copied there by hand may hold
AT_ONCE = 8  # keys
UNKNOWN = (-1, -1)
OPEN: dict[Path, AddressCopy] = {}  # by the working copy; threads of a run use it too

Facts = tuple[int, int]  # size and time of change of a local file


def changed_meanwhile(run_dir: str | Path) -> InputError:
    """What a reader says of a run directory that did not stay as it was."""
    return InputError(f"run directory {name_of(run_dir)}: another codeact process changed it while it was read; wait for it, and start the same command again")


class AddressCopy:
    """A local copy of what lies behind an address.

    Attributes:
        address: without a slash at its end.
        base: the folder of the copy and of the notes about it.
        root: the copy; its name is that of the run directory.
        known: name -> facts of the local file that was last put there or fetched; what is behind the address, as far as is known.
        sessions: one of them is behind the address: then this copy was the last to be worked in.
        fresh: this run is the first there.
        broken: the address did not take, or give, what it should.
        synced: when all was last copied up.
    """

    def __init__(self, run_dir: str | Path, kind: str = "") -> None:
        self.address = address_of(run_dir).rstrip("/")
        if by_path(run_dir) != os.fspath(run_dir):
            raise InputError(f"run directory {self.address}: name a folder of this machine by its path, {by_path(run_dir)}")
        scheme, _, rest = self.address.partition("://")
        name = rest.rpartition("/")[2]
        if scheme in READ_ONLY or not name or name.startswith(".") or (not rest.partition("/")[2] and scheme != "memory"):
            raise InputError(f"run directory {self.address}: give a folder in a bucket, such as s3://bucket/run, or a local one")
        self.base = copies() / f"{hashlib.sha256(self.address.encode()).hexdigest()[:16]}{kind}"
        self.root = self.base / name
        self.token = uuid.uuid4().hex
        self.broken, self.fresh, self.synced = False, False, time.monotonic()
        self.guard = threading.Lock()
        self.known: dict[str, Facts] = {}
        self.sessions: list[str] = []
        self.copy = uuid.uuid4().hex

    def recall(self) -> None:
        """Know what the last run noted, where there was one. The caller keeps other processes out."""
        noted = _json((self.base / NOTES).read_text(encoding="utf-8") if (self.base / NOTES).is_file() else "")
        if noted:
            self.known = {name: (size, changed) for name, (size, changed) in noted["known"].items()}
            self.sessions, self.copy = noted["sessions"], noted["copy"]

    def note(self) -> None:
        """Keep what is known for the next run."""
        noted = {"address": self.address, "copy": self.copy, "sessions": self.sessions, "known": self.known}
        write_text(self.base / NOTES, json.dumps(noted))

    def lock(self) -> None:
        """Take the lock behind the address. One that a process left which worked in this very copy, and so is no more, is taken over.

        Raises:
            InputError: another has it; or what is there is no run directory.
        """
        self.recall()
        self.note()
        there = self.listing()
        if there and self._read(SESSION) is None and not any(map(_is_of_run, there)):
            raise InputError(f"run directory {self.address} holds other files, and none of a run: {', '.join(sorted(there)[:3])}; name an empty one")
        held = self._read(IN_USE)
        if held is not None and (held.get("copy"), held.get("host")) == (self.copy, platform.node()):
            self._remove(IN_USE)
            held = None
        mine = {"host": platform.node(), "process": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds"), "copy": self.copy, "token": self.token}
        if held is None:
            with self._telling("writing", "written") as (system, path):
                try:
                    system.pipe_file(f"{path}/{IN_USE}", json.dumps(mine).encode(), mode="create")
                except FileExistsError:
                    held = self._read(IN_USE) or {}
                    held = None if held.get("token") == self.token else held  # it was put again, for its answer had been lost
        if held is not None:
            raise self._in_use(held)

    def _in_use(self, held: dict[str, Any]) -> InputError:
        return InputError(
            f"run directory {self.address}: process {held.get('process')} on {held.get('host')} has been working in it since"
            f" {held.get('since')}; wait for it, or, if it is no more, remove {self.address}/{IN_USE} and start again"
        )

    def copy_down(self, to_plan: bool) -> None:
        """Make a copy for readers: see `reading_copy`. The caller keeps other processes out of it."""
        last, there = self._read(SESSION), self.listing()
        if not (to_plan or any(map(_is_of_run, there))):
            raise InputError(f"{self.address} is not a run directory (it has no markers/); give the one that a run was told")
        left_out = {"checkpoints"} if to_plan else {"checkpoints", "model", "adapter"}
        self.take_over(there, lambda name: not name.startswith("shards/") and not left_out & {*name.split("/")})
        self.sessions = [str((last or {}).get("session"))]
        self.note()
        if self._read(IN_USE) is None and self._read(SESSION) == last:
            return
        fetched = {name: _json((self.root / name).read_text(encoding="utf-8", errors="replace")) for name in self.known if _is_marker(name)}
        if any(self._read(name) != content for name, content in fetched.items()):
            raise changed_meanwhile(self.address)

    def check_idle(self) -> None:
        """Raises InputError: a run is at work behind the address, or has been since the copy for readers was made."""
        if held := self._read(IN_USE):
            raise self._in_use(held)
        if self.sessions and [str((self._read(SESSION) or {}).get("session"))] != self.sessions:
            raise changed_meanwhile(self.address)

    def unlock(self) -> None:
        """Give the lock back, if it still is this process's."""
        if (self._read(IN_USE) or {}).get("token") == self.token:
            if self.fresh and not self.known and not self.local():  # refused before anything was made
                self._remove(SESSION)
            self._remove(IN_USE)

    def fetch(self) -> None:
        """Make the copy the newest state: its own, where it was the last to be worked in, else what is behind the address.

        What its own state lacks comes back from there, whoever removed it here (a cleaner of caches, or a run that was killed over it),
        but shards, which may be of settings that have gone: those are removed there too.

        Raises:
            InputError: it cannot be read.
        """
        there, last, here = self.listing(), self._read(SESSION), self.local()
        session = str((last or {}).get("session"))
        mine = session in self.sessions and bool(here)
        if mine:
            lacking = [name for name in there if name not in here and not name.startswith("shards/")]
            self.known = {name: self.known.get(name, UNKNOWN) for name in there if name not in lacking}
            self.each(self._get, lacking, there)
        else:
            self.take_over(there, lambda name: True)
        made = uuid.uuid4().hex
        self.sessions = [made, session] if mine else [made]
        self.note()
        with self._telling("writing", "written") as (system, path):
            self._check()
            self.fresh = last is None and not there
            system.pipe_file(f"{path}/{SESSION}", json.dumps({"session": made}).encode())

    @contextmanager
    def copied_up(self) -> Iterator[None]:
        """Inside, `sync` of paths in the copy does its work; at the end everything is copied up, however the block ends."""
        OPEN[self.root] = self
        ended = False
        try:
            yield
            self.sync()
            ended = True
        finally:
            del OPEN[self.root]
            if not (ended or self.broken):
                with suppress(InputError):  # the error on the way stands; the next run copies up what is not there yet
                    self.sync()

    def take_over(self, there: dict[str, Facts], wanted: Callable[[str], bool]) -> None:
        """Make the copy what is behind the address, of the names that are wanted. What the markers tell, and shards, are kept if whole."""
        here = self.local()
        for name in here:
            if name not in there or name.startswith("markers/"):
                remove(self.root / name)
        self.known = {}
        self.each(self._get, [name for name in there if name.startswith("markers/")], there)
        digests: dict[str, object] = {}
        for marker in self.root.glob("markers/*.json"):
            outputs = _json(marker.read_text(encoding="utf-8", errors="replace")).get("outputs")
            if isinstance(outputs, dict):  # else it is damaged, and the stage is done again
                digests |= {name: facts.get("sha256") for name, facts in outputs.items() if isinstance(facts, dict)}
        lacking = []
        for name in there:
            if name.startswith("markers/") or not wanted(name):
                continue
            same = name in here and here[name][0] == there[name][0]
            if same and (name.startswith("shards/") or digests.get(name) == sha256(self.root / name)):
                self.known[name] = here[name]
            else:
                lacking.append(name)
        self.each(self._get, lacking, there)

    def sync(self) -> None:
        """See the function of this name."""
        with self.guard:
            here = self.local()
            new = [name for name, facts in here.items() if self.known.get(name) != facts]
            gone = [name for name in self.known if name not in here]
            self.synced = time.monotonic()
            if not new and not gone:
                return
            self._check()
            void = [name for name in (*gone, *new) if _is_marker(name) and name in self.known]
            try:
                self.each(self.put, [name for name in new if name == NOTE or name.endswith(".doubted")], here)
                self.each(self._drop, void, here)
                self.each(self.put, [name for name in new if name != NOTE and not name.startswith(("markers/", "shards/"))], here)
                self.each(self.put, [name for name in new if name.startswith("shards/")], here)
                self.each(self.put, [name for name in new if _is_marker(name)], here)
                self.each(self._drop, [name for name in gone if name not in void], here)
                self.each(self.put, [name for name in new if name.endswith(".started")], here)
            finally:
                self.note()

    def listing(self) -> dict[str, Facts]:
        """Name -> size of what is behind the address, hidden names left out."""
        with self._telling("reading", "read") as (system, path):
            found = {name.removeprefix(path).lstrip("/"): info for name, info in system.find(path, detail=True).items() if info["type"] == "file"}
        if "" in found:
            raise InputError(f"run directory {self.address} is a file; name a folder")
        return {name: (int(info["size"]), 0) for name, info in found.items() if not _is_hidden(name) and not name.endswith("/")}

    def local(self) -> dict[str, Facts]:
        """Name -> facts of the files of the copy, hidden names left out; markers are looked at first."""
        found: dict[str, Facts] = {}
        for folder in (self.root / "markers", self.root):
            for path in folder.rglob("*"):
                name = path.relative_to(self.root).as_posix()
                if name not in found and not _is_hidden(name) and path.is_file():
                    facts = path.stat()
                    found[name] = facts.st_size, facts.st_mtime_ns
        return found

    def each(self, what: Callable[[str, Facts, FileSystem, str], None], names: Iterable[str], facts: dict[str, Facts]) -> None:
        """Put, fetch or remove names, several at once."""
        names = list(names)
        if not names:
            return
        reads = what == self._get
        with self._telling("reading" if reads else "writing", "read" if reads else "written") as (system, path):
            if len(names) == 1:
                what(names[0], facts.get(names[0], UNKNOWN), system, path)
                return
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda name: what(name, facts.get(name, UNKNOWN), system, path), names))

    def put(self, name: str, facts: Facts, system: FileSystem, path: str) -> None:
        """Copy a file up: it is there whole or not at all."""
        system.put_file(str(self.root / name), f"{path}/{name}")
        self.known[name] = facts

    def _get(self, name: str, facts: Facts, system: FileSystem, path: str) -> None:
        copy(system.open(f"{path}/{name}", "rb"), self.root / name, facts[0])
        there = (self.root / name).stat()
        self.known[name] = there.st_size, there.st_mtime_ns

    def _drop(self, name: str, facts: Facts, system: FileSystem, path: str) -> None:
        with suppress(FileNotFoundError):
            system.rm_file(f"{path}/{name}")
        self.known.pop(name, None)

    def _check(self) -> None:
        """Raises InputError: the lock is another's now, or was removed."""
        if (self._read(IN_USE) or {}).get("token") != self.token:
            self.broken = True
            raise InputError(f"run directory {self.address}: its lock was removed or taken over meanwhile; nothing more is written there, start again")

    def _read(self, name: str) -> dict[str, Any] | None:
        with self._telling("reading", "read") as (system, path):
            try:
                return _json(system.cat_file(f"{path}/{name}").decode("utf-8", "replace"))
            except FileNotFoundError:
                return None

    def _remove(self, name: str) -> None:
        self.each(self._drop, [name], {})

    @contextmanager
    def _telling(self, doing: str, done: str) -> Iterator[tuple[FileSystem, str]]:
        try:
            with told(self.address, doing, done):
                system, path = system_of(self.address, doing)
                yield system, path.rstrip("/")
        except MissingExtraError:
            raise
        except InputError as error:
            self.broken = True
            if str(error).startswith("run directory"):
                raise
            if isinstance(error.__cause__, FileNotFoundError):
                fault = f"{self.address}: its bucket, or a file that was just there, does not exist, or these credentials may not see it"
            else:
                fault = f"{error}; finished work is kept: start the same command again"
            raise InputError(f"run directory {fault}") from error


def copies() -> Path:
    """The folder of all copies."""
    return (cache_dir() / FOLDER).absolute()


def _is_marker(name: str) -> bool:
    return name.startswith("markers/") and name.endswith(".json")


def _is_of_run(name: str) -> bool:
    """Whether it says that a stage was finished or begun: a folder `markers` alone may be anybody's."""
    return _is_marker(name) or (name.startswith("markers/") and name.endswith(".started"))


def _is_hidden(name: str) -> bool:
    return name != NOTE and any(part.startswith(".") for part in name.split("/"))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
