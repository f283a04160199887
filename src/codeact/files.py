"""Files and folders that are there whole or not at all: what is written goes beside its place first, and moves there when it is complete."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from codeact.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_OF_THIS_MACHINE = re.compile(r"(?:file|local):/(?:/([^/]*)(?:/|$))?", re.IGNORECASE)
LFS_POINTER = b"version https://git-lfs"  # how a file begins that Git LFS did not fetch
_LEFT = re.compile(r"\.(.+)\.([1-9]\d*)(?:-([0-9a-f]{8})-[0-9a-f]{8})?\.tmp", re.DOTALL)  # name, process, where that runs; a part by chance
_NUMBER = re.compile(r"\(os error (\d+)\)")  # as Rust tells what the operating system refused
_OF_PYTORCH = ("PytorchStreamWriter failed writing", "unexpected pos")  # how writing its zip files tells it
_OLD = 24 * 3600  # seconds that nothing was written to a file of a process which cannot be asked after
Whole = Callable[[Path], None]  # is told of a file that is complete, and not in its place yet


def is_remote(name: str | PathLike[str]) -> bool:
    """Whether a name is an address (`s3://bucket/key`), also where `Path` has made one slash of its two; local names are not."""
    return ADDRESS.match(os.fspath(name)) is not None


def address_of(name: str | PathLike[str]) -> str:
    """An address with both of its slashes (of this machine: all three), also where `Path` has made one of them."""
    scheme, _, rest = os.fspath(name).partition(":")
    return f"{scheme}://{by_path(name) if _OF_THIS_MACHINE.match(os.fspath(name)) else rest.lstrip('/')}"


def name_of(path: str | PathLike[str]) -> str:
    """A path as a person writes it: of an address both slashes, of which `Path` makes one."""
    return address_of(path) if is_remote(path) else os.fspath(path)


def by_path(name: str | PathLike[str]) -> str:
    """The name, and the path in place of an address of this machine: `/data/x.jsonl` for `file:///data/x.jsonl`.

    Raises:
        InputError: such an address with a host, as which `file://x.jsonl` counts.
    """
    found = _OF_THIS_MACHINE.match(os.fspath(name))
    if found is None:
        return os.fspath(name)
    if found[1] not in (None, "", "localhost"):
        raise InputError(f"{name}: {found[1]!r} stands where a host does; an absolute path has three slashes (file:///data/x.jsonl), a relative one no file://")
    return f"/{os.fspath(name)[found.end() :].lstrip('/')}"


def local(path: str | PathLike[str]) -> Path:
    """The path, if it is one of this machine.

    Raises:
        InputError: it is an address: folders are written to local disks.
    """
    if (path_here := by_path(path)) != os.fspath(path):
        raise InputError(f"{address_of(path)}: name a folder or a file of this machine by its path, {path_here}")
    if is_remote(path):
        raise InputError(
            f"{address_of(path)} is remote: folders of results and the directory of a comparison are local only; write to a local path and"
            " copy the result (files of rows and tables, -o of select, curate, score and the like, and their run directories may be addresses)"
        )
    return Path(path)


def cache_dir() -> Path:
    """Where downloads and conversions are kept: `CODEACT_CACHE`, else `codeact` under the user's cache directory.

    Raises:
        InputError: neither that variable nor `HOME` says where, and the system knows no home of this user.
    """
    if "CODEACT_CACHE" in os.environ:
        return Path(os.environ["CODEACT_CACHE"])
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "codeact"
    try:
        return Path.home() / ".cache" / "codeact"
    except RuntimeError as error:
        raise InputError(
            "there is no place for downloads: HOME is not set, and the system knows no home of this user; set HOME, or CODEACT_CACHE to a folder"
        ) from error


def at_home(name: str | PathLike[str]) -> Path:
    """The path, with the home of a user in place of a `~` at its beginning; where the system knows none, as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def scores_dir() -> Path:
    """Where scores are kept between runs: `CODEACT_SCORES`, else `scores` in the cache directory."""
    return Path(os.environ["CODEACT_SCORES"]) if "CODEACT_SCORES" in os.environ else cache_dir() / "scores"


@contextmanager
def atomic(path: str | Path, mode: str = "wb", whole: Whole | None = None) -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path` and rename it over `path` when the block ends well; else remove it.

    Half a surrogate pair, which UTF-8 cannot hold, becomes its escape (`\\ud83d`): in JSON the same text again.

    Args:
        path: the file.
        mode: `wb` or `w`.
        whole: called with the temporary file when it is complete and on the disk, before it takes the place of `path`.

    Raises:
        InputError: the disk is full or the file cannot be written.
    """
    path = local(path)
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{_place()}-{secrets.token_hex(4)}.tmp")
    try:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open(mode.replace("w", "x"), encoding=encoding, errors=errors) as handle:
                yield handle
                _to_disk(handle)
            if whole is not None:
                whole(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):  # where nothing can be written, nothing is there; the error that says so must stand
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` and put it in the place of `path` when the block ends well; else remove it.

    What a killed process left there is removed by the next. The caller holds whatever keeps a second writer out.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    path = Path(os.path.realpath(local(path)))  # a link to a folder on another disk stays one
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        with told(path):
            remove(fresh)
            fresh.mkdir(parents=True)
            yield fresh
            remove(path)
            fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the operating system refuses, as one line about `path`; errors that only look like its own pass (no number).

    Raises:
        InputError: the disk is full, or `path` cannot be written.
    """
    try:
        yield
    except _refusals() as error:
        number, said = _refusal(error)
        if not said:
            raise
        full = number in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space and start again: finished work is kept" if full else elsewhere(path, "choose another output")
        raise InputError(f"{path} cannot be written: {said}; {mend}") from error


def _refusals() -> tuple[type[Exception], ...]:
    """What is raised where the operating system refuses: PyTorch has `RuntimeError`, safetensors (where it is loaded) one of its own."""
    found = getattr(sys.modules.get("safetensors"), "SafetensorError", None)
    return (OSError, RuntimeError, found) if found else (OSError, RuntimeError)


def _refusal(error: Exception) -> tuple[int | None, str]:
    """What the operating system refused, by its number, and in words; no words where it refused nothing.

    safetensors and PyTorch say it in a text of their own; PyTorch's has no number, and nearly always the disk is full.
    """
    if isinstance(error, OSError):
        return error.errno, "" if error.errno is None else error.strerror or str(error)
    if found := _NUMBER.search(str(error)):
        return int(found[1]), os.strerror(int(found[1]))
    return (errno.ENOSPC, "the disk is full, or refuses to be written") if any(part in str(error) for part in _OF_PYTORCH) else (None, "")


def append(path: Path, data: bytes) -> None:
    """Add to a file; the bytes are on the disk when this returns. A kill may leave a part of them: readers drop a line that is cut off.

    Raises:
        InputError: the disk is full or the file cannot be written.
    """
    with told(path), path.open("ab") as handle:
        handle.write(data)
        _to_disk(handle)


def write_bytes(path: str | Path, data: bytes | pa.Buffer) -> None:
    """Write bytes (or a buffer) atomically."""
    with atomic(path) as handle:
        handle.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path, "w") as handle:
        handle.write(text)


def make_folder(path: Path, mend: str = "choose another output (-o)") -> Path:
    """Create a folder and prove that a file can be written in it.

    Args:
        path: the folder.
        mend: what to do where that fails; of the caches it is known.

    Raises:
        InputError: it cannot be created or written.
    """
    local(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        file = next((one for one in (path, *path.parents) if in_the_way and one.is_file()), None)
        raise InputError(f"folder {path} cannot be written: {f'{file} is a file' if file else error.strerror}; {elsewhere(path, mend)}") from error
    return path


def elsewhere(path: Path, mend: str) -> str:
    """What to do where a path cannot be written: of a cache its variable, else `mend`."""
    try:
        scores, cached = scores_dir().absolute(), cache_dir().absolute()
    except InputError:  # there is no cache
        return mend
    if path.absolute().is_relative_to(scores):
        return "set CODEACT_SCORES to another folder, or score.cache=false"
    return "set CODEACT_CACHE to another folder" if path.absolute().is_relative_to(cached) else mend


def utf8_path(path: Path, what: str) -> Path:
    """The path, where its name on the disk is UTF-8: what reads and writes tokenizers and weights opens no other.

    Raises:
        InputError: it is not.
    """
    try:
        same = str(path.absolute()).encode("utf-8") == os.fsencode(path.absolute())
    except UnicodeEncodeError:
        same = False
    if not same:
        raise InputError(
            f"{what} {path}: tokenizers and weights are only opened where the path is UTF-8; give it another name, or set LC_ALL=C.UTF-8"
        )
    return path


def remove(path: Path) -> None:
    """Remove a file, a link or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_left(folder: Path, name: str = "") -> None:
    """Remove what processes that are no more have left of files that they were writing (`atomic`): those of one name directly in a
    folder, or without a name all in it and below. Whether a process of another machine or container runs cannot be asked: what is
    left of one goes after a day."""
    for path in folder.glob(f".{escape(name)}.*.tmp") if name else folder.rglob(".*.tmp"):
        found = _LEFT.fullmatch(path.name)
        if not found or (name and found[1] != name):
            continue
        if _is_old(path) if found[3] != _place() else not _runs(int(found[2])):
            path.unlink(missing_ok=True)


@cache
def _place() -> str:
    """Where the numbers of processes are those that this process sees: a machine, or a container in it."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD
    except FileNotFoundError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def names_in(folder: Path) -> frozenset[str]:
    """What lies directly in a folder; nothing where there is none."""
    try:
        return frozenset(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, one after the other, until one is not empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:  # another process of the same run was first
            continue
        except OSError:
            return


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_of(named: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over the names, sizes and contents of files, 64 hex digits.

    Args:
        named: (name that counts, file), in order.
    """
    total = hashlib.sha256()
    for name, path in named:
        total.update(f"{name}:{path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _to_disk(handle: IO[Any]) -> None:
    handle.flush()
    os.fsync(handle.fileno())
