"""A run directory at an address: it is worked in as a local folder, its working copy, and what is finished is copied up (`address_copy`)."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from codeact.address_copy import NOTES, OPEN, UNKNOWN, AddressCopy, copies
from codeact.errors import InputError
from codeact.files import address_of, is_remote
from codeact.locks import try_lock, wait_lock
from codeact.sources.remote import check_run_dir, one_state

log = logging.getLogger(__name__)
LOCK = ".lock"  # of the copy, among the processes of this machine
_read: ContextVar[frozenset[Path]] = ContextVar("read copies", default=frozenset())  # their folders


@contextmanager
def working_copy(run_dir: str) -> Iterator[str]:
    """The folder to work in: the run directory itself, or of one at an address its working copy, which is then the newest state.

    Inside, `sync` copies up what is new, and data at addresses are those of one state. At the end all is copied up, and the lock is given
    back.

    Raises:
        InputError: another process works there, it is no run directory, or it cannot be read or written.
    """
    with one_state(), _working_copy(run_dir) as folder:
        yield folder


@contextmanager
def _working_copy(run_dir: str) -> Iterator[str]:
    if not is_remote(run_dir):
        yield run_dir
        return
    check_run_dir(run_dir)
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise InputError(f"run directory {address_of(run_dir)}: several processes of one launch share a folder; name one that all of them see")
    mirror = AddressCopy(run_dir)
    with try_lock(mirror.base / LOCK) as mine:
        if not mine:
            raise InputError(f"run directory {mirror.address}: another codeact process is working in it; wait for it or choose another run_dir")
        mirror.lock()
        try:
            mirror.fetch()
            with mirror.copied_up():
                yield str(mirror.root)
        finally:
            with suppress(InputError):  # the error on the way stands
                mirror.unlock()


def sync(path: Path, every: float = 0.0) -> None:
    """Copy up what is new in the working copy that `path` lies in, and remove there what is gone here; elsewhere nothing.

    Args:
        path: a file or folder of a run.
        every: seconds that must have passed since the last time.

    Raises:
        InputError: the address cannot be written, or another process has taken it over.
    """
    for mirror in _holding(path):
        if time.monotonic() - mirror.synced >= every:
            mirror.sync()


def is_mirrored(path: Path) -> bool:
    """Whether a path lies in a working copy whose lock this process has."""
    return bool(_holding(path))


def folder_of(run_dir: str | Path) -> Path:
    """The local folder of a run directory: its working copy, where it is an address."""
    return AddressCopy(run_dir).root if is_remote(run_dir) else Path(run_dir)


def name_of_run(path: Path) -> str:
    """A run directory, or a path in it, as its user calls it: by the address, where it lies in a copy."""
    try:
        copied, _, *parts = path.absolute().relative_to(copies()).parts
        address = json.loads((copies() / copied / NOTES).read_text(encoding="utf-8"))["address"]
    except (ValueError, OSError, InputError):  # the last: there is no cache
        return str(path)
    return "/".join((address, *parts))


@contextmanager
def reading_copy(run_dir: str | Path, *, to_plan: bool = False) -> Iterator[Path]:
    """The run directory, or of one at an address a copy of what is there now, without shards.

    No lock is taken behind the address. Other processes of this machine wait for the copy until the block ends.

    Args:
        run_dir: a folder or an address.
        to_plan: there may be nothing yet, and models are copied too: whether a stage is kept depends on them.

    Raises:
        InputError: it cannot be read, is no run directory, or was changed while it was copied.
    """
    if not is_remote(run_dir):
        yield Path(run_dir)
        return
    if to_plan:
        check_run_dir(run_dir)
    mirror = AddressCopy(run_dir, "-read")
    if mirror.base in _read.get():  # by a block around this one
        yield mirror.root
        return
    with wait_lock(mirror.base / LOCK, partial(log.info, "%s: another process is reading its copy; waiting for it", mirror.address)):
        token = _read.set(_read.get() | {mirror.base})
        try:
            mirror.copy_down(to_plan)
            yield mirror.root
        finally:
            _read.reset(token)


@contextmanager
def alone_at(run_dir: str | Path) -> Iterator[Path]:
    """`reading_copy` where no run is at work; `put_back` then asks for that again.

    Raises:
        InputError: as `reading_copy`; or a run is at work there.
    """
    with reading_copy(run_dir) as root:
        if is_remote(run_dir):
            AddressCopy(run_dir, "-read").check_idle()
        yield root


def put_back(run_dir: str | Path, names: tuple[str, ...]) -> None:
    """Put files that were made in a `reading_copy` behind the address; nothing where the run directory is a folder.

    Raises:
        InputError: it cannot be written, or a run has begun there since it was copied.
    """
    if is_remote(run_dir):
        mirror = AddressCopy(run_dir, "-read")
        mirror.recall()
        mirror.check_idle()
        mirror.each(mirror.put, names, dict.fromkeys(names, UNKNOWN))


def _holding(path: Path) -> list[AddressCopy]:
    return [mirror for root, mirror in OPEN.items() if path.is_relative_to(root)]
