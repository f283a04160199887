"""What a program under test sees of the file system: the same in every sandbox, so that a verdict does not depend on which one ran it.

The kernel enforces the borders. This says, in the standard library's own calls, what lies beyond them: a path that the
program may not read does not exist, nothing can be written but /dev/null, and only the folders of the libraries can be
listed. Without it Landlock answers PermissionError where bubblewrap, whose file system lacks the path, answers
FileNotFoundError. Runs inside the sandbox, standard library only; it protects nothing.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
INSIDE, ABOVE, BEYOND = "inside", "above", "beyond"


class Packages:
    """Finds the packages that a program may import, without their folder on `sys.path`: it holds others, which must not be seen."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self.folders = folders

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it."""
        folder = self.folders.get(name) if path is None else None
        if folder is None:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, f"{folder}/__init__.py", submodule_search_locations=[folder])


class View:
    """Which paths are `INSIDE` (readable), `ABOVE` (folders on the way there: they exist and cannot be listed) or `BEYOND` (absent)."""

    def __init__(self, readable: Sequence[str], hidden: Sequence[str]) -> None:
        self.readable = frozenset(readable)
        self.hidden = frozenset(hidden)
        self.above = self.hidden | {folder for path in readable for folder in _parents(path)}
        self.lstat, self.stat = os.lstat, os.stat

    def reach(self, path: str, follow: bool) -> str:
        """Where an absolute, normalised path lies; `follow` looks at what a link leads to, as well."""
        if path in self.readable:
            return INSIDE
        found = ABOVE if path in self.above else BEYOND
        if found == BEYOND:
            for folder in _parents(path):
                if folder in self.readable:
                    found = INSIDE
                if folder in self.readable or folder in self.hidden:
                    break
        if found == INSIDE and follow:
            real = os.path.realpath(path)
            return self.reach(real, False) if real != path else INSIDE
        return found

    def check_open(self, path: object, flags: int) -> None:
        """Raise the OSError that opening `path` meets; None where the kernel may answer."""
        name = _absolute(path)
        if name is None or (name == os.devnull and not flags & os.O_EXCL):
            return
        reach = self.reach(name, follow=True)
        exists = reach != BEYOND and self._exists(name)
        if flags & os.O_CREAT and flags & os.O_EXCL and exists:
            raise _error(errno.EEXIST, path)
        if reach == ABOVE and not flags & getattr(os, "O_DIRECTORY", 0):
            raise _error(errno.EISDIR, path)
        if flags & WRITES and reach != ABOVE:
            parent = os.path.dirname(name)  # noqa: PTH120 pathlib is not worth its import time here
            possible = exists or (
                flags & os.O_CREAT and self.reach(parent, follow=True) != BEYOND and self._exists(parent)
            )
            raise _error(errno.EROFS if possible else errno.ENOENT, path)
        if reach == BEYOND:
            raise _error(errno.ENOENT, path)

    def check_list(self, path: object) -> None:
        """The same for listing a folder."""
        name = _absolute("." if path is None else path)
        reach = INSIDE if name is None else self.reach(name, follow=True)
        if reach != INSIDE:
            raise _error(errno.EACCES if reach == ABOVE else errno.ENOENT, path)

    def check_there(self, path: object, follow: bool = True) -> None:
        """The same for asking about a path."""
        name = _absolute(path)
        if name is not None and self.reach(name, follow) == BEYOND:
            raise _error(errno.ENOENT, path)

    def _exists(self, name: str) -> bool:
        try:
            self.stat(name)
        except OSError:
            return False
        return True


def install(view: View, packages: Mapping[str, str], stat_is_free: bool) -> None:
    """Show the program that is loaded next this view only.

    Args:
        packages: name -> folder of what may be imported besides the standard library.
        stat_is_free: whether the sandbox lets `stat` look beyond the border, so that it must be answered here.
    """
    sys.meta_path.append(Packages(packages))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            view.check_open(arguments[0], arguments[2] or 0)
        elif event in ("os.listdir", "os.scandir"):
            view.check_list(arguments[0])
        elif event == "os.chdir":
            view.check_there(arguments[0])
        elif event == "os.exec":
            raise _error(errno.EPERM, arguments[0])

    if stat_is_free:
        _answer_stat(view)
        _hide_shared_memory()
    sys.addaudithook(hook)


def _answer_stat(view: View) -> None:
    def guarded(call: Callable[..., Any], follow: bool) -> Callable[..., Any]:
        def ask(path: object, *arguments: Any, **keywords: Any) -> object:
            if keywords.get("dir_fd") is None:
                view.check_there(path, follow and keywords.get("follow_symlinks", True))
            return call(path, *arguments, **keywords)

        ask.__name__, ask.__doc__ = call.__name__, call.__doc__
        return ask

    access = os.access

    def can(path: Any, mode: int, **keywords: Any) -> bool:
        name = _absolute(path)
        if name is not None and (view.reach(name, True) == BEYOND or (mode & os.W_OK and name != os.devnull)):
            return False
        return access(path, mode, **keywords)

    replaced = {
        "stat": guarded(os.stat, True), "lstat": guarded(os.lstat, False), "readlink": guarded(os.readlink, False),
        "statvfs": guarded(os.statvfs, True), "access": can,
    }  # fmt: skip
    for name, function in replaced.items():
        before = getattr(os, name)
        for group in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if before in group:
                group.add(function)
        setattr(os, name, function)


def _hide_shared_memory() -> None:
    """Semaphores and shared memory are files of /dev/shm, which the C library opens itself."""
    try:
        import _multiprocessing  # type: ignore[import-not-found]
        import _posixshmem  # type: ignore[import-not-found]
    except ImportError:
        return

    class SemLock(_multiprocessing.SemLock):  # type: ignore[misc]
        def __new__(cls, *arguments: object, **keywords: object) -> NoReturn:
            raise _error(errno.ENOENT)

    def shm_open(path: str, *arguments: object, **keywords: object) -> int:
        raise _error(errno.ENOENT, path)

    _multiprocessing.SemLock = SemLock
    _posixshmem.shm_open = shm_open


def _absolute(path: Any) -> str | None:
    """None for a descriptor, and for what is no path."""
    try:
        return os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    except (TypeError, ValueError, OSError):
        return None


def _parents(path: str) -> list[str]:
    """The folders around an absolute path, the nearest first."""
    found = []
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        found.append(path)
    return found


def _error(number: int, path: object = None) -> OSError:
    return OSError(number, os.strerror(number), path) if path is not None else OSError(number, os.strerror(number))
