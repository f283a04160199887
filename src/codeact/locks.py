"""Locks that the operating system takes back from a process that ends, however it ends: one writer for each output."""

from __future__ import annotations

import fcntl
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from codeact.errors import InputError
from codeact.files import by_path, elsewhere, is_remote, local, make_folder, remove_empty, told
from codeact.sources.names import STDIN

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def only_writer(output: Path | None) -> Iterator[None]:
    """Keep every other codeact process out of this output file or folder until the block ends; None: nothing to keep.

    The lock is a hidden file beside the output, removed at the end. Of the processes of one distributed run, only the first
    takes it. Behind an address there is none: what is written there is written once (`sources.remote.send`).

    Raises:
        InputError: another process is writing there, or the place cannot be written.
    """
    if output is None or is_remote(output) or os.environ.get("RANK", "0") != "0":
        yield
        return
    with _beside(output):
        yield


def one_writer(parameter: str, *, addresses: bool = False) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function run only while no other codeact process writes to the path that this parameter names (None: nothing).

    Args:
        parameter: its name.
        addresses: what is written is a file of rows, which may be an address; one of this machine becomes its path. A folder may not,
            and is refused (`files.local`).
    """

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @wraps(function)
        def alone(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            output = bound.arguments.get(parameter)
            if output is not None:
                output = bound.arguments[parameter] = Path(by_path(output) if addresses else local(output))
            with only_writer(None if output is None or str(output) == STDIN else output):
                return function(*bound.args, **bound.kwargs)

        return alone

    return wrap


@contextmanager
def _beside(output: Path) -> Iterator[None]:
    target = Path(os.path.realpath(output))  # two names of one file are one output
    path = target.with_name(f".{target.name}.lock")
    missing = [folder for folder in path.parents if not folder.exists()]
    make_folder(path.parent)
    while True:
        with _opened(path) as handle:
            try:
                taken = take(handle, wait=False)
            except InputError:
                path.unlink(missing_ok=True)
                remove_empty(missing)
                raise
            if not taken:
                raise InputError(
                    f"output {output}: another codeact process is writing it; wait for it or choose another output"
                )
            if not _same_file(handle, path):  # whoever held it has removed it meanwhile
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                remove_empty(missing)  # where the work was refused
            return


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Take the lock of this file if no other process has it; says whether it was taken.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(path.parent)
    with _opened(path) as handle:
        yield take(handle, wait=False)


@contextmanager
def wait_lock(path: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Take the lock of this file, after calling `waits` once if another process has it, for as long as that takes.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(path.parent)
    with _opened(path) as handle:
        if not take(handle, wait=False):
            waits()
            take(handle, wait=True)
        yield


@contextmanager
def shared_lock(path: Path) -> Iterator[IO[str]]:
    """Take the lock of this file together with others that share it; `take` of what is yielded takes it alone, where nobody does.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(path.parent)
    with _opened(path) as handle:
        take(handle, wait=True, shared=True)
        yield handle


def take(handle: IO[str], wait: bool, *, shared: bool = False) -> bool:
    """Lock an open file, alone or together with others; says whether it was taken. A lock that was taken before is given for it.

    Raises:
        InputError: it cannot be locked; some file systems keep no locks.
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        mend = elsewhere(Path(handle.name), "choose an output, or a run directory, on a local disk")
        raise InputError(f"{handle.name} cannot be locked: {error.strerror}; mount its file system with locks, or {mend}") from error
    return True


def _opened(path: Path) -> IO[str]:
    with told(path):
        return path.open("w")


def _same_file(handle: IO[str], path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(handle.fileno())
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
