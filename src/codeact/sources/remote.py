"""Files behind an address (`s3://`, `gs://`, `hf://`, `memory://`, `https://`).

What is read is copied once into the cache, and read from there. What is written is one object, there whole or not at all.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from codeact.errors import InputError, MissingExtraError, require
from codeact.files import address_of, atomic, cache_dir, is_remote, sha256

BLOCK = 1 << 22
READ_ONLY = ("http", "https")
GOOGLE = ("gs", "gcs")
BUCKETS = ("s3", "s3a", *GOOGLE)  # the first part of their addresses is made by hand, and not by writing
HUB = "hf"
# what file systems raise beside OSError, where their library is loaded
FOREIGN = (
    ("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError"), ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"), ("gcsfs.retry", "NonRetryableError"), ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx", "HTTPError"), ("httpx2", "HTTPError"),
)  # fmt: skip


class FileSystem(Protocol):
    """What of fsspec's file systems is used for run directories."""

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, Any]]: ...

    def cat_file(self, path: str) -> bytes: ...

    def open(self, path: str, mode: str) -> IO[bytes]: ...

    def pipe_file(self, path: str, value: bytes, mode: str = ...) -> object: ...

    def put_file(self, lpath: str, rpath: str) -> object: ...

    def rm_file(self, path: str) -> object: ...


def fetched(address: str, wanted: Callable[[Path], bool]) -> tuple[Path | None, list[Path]]:
    """Local copies of the files that an address names: one file, those of a folder, or those that fit a pattern.

    A copy is used again as long as the file system tells the same of the file (its ETag, or size and time).

    Args:
        address: of a file, a folder, or a pattern with `*`, `?` or `[...]`.
        wanted: which names of a folder are copied.

    Returns:
        The copy of the folder, None for a file or a pattern; and the files in order of their names.

    Raises:
        InputError: there is no such file, or it cannot be read.
        MissingExtraError: the package for this kind of address is not installed.
    """
    with told(address, "reading", "read"):
        system, path = system_of(address, "reading")
        if address.partition(":")[0] in BUCKETS and not path.strip("/"):
            raise InputError(f"{address} cannot be read: it names no bucket")
        marks = [path.index(mark) for mark in "*?[" if mark in path]
        folder = not marks and system.isdir(path)
        if marks:
            names = [name for name in sorted(system.glob(path)) if not system.isdir(name)]
        else:
            names = [name for name in sorted(system.find(path)) if wanted(Path(name))] if folder else [path]
        base = path.rstrip("/") if folder else path[: min(marks, default=len(path))].rpartition("/")[0]
        if not names:
            raise InputError(f"{address}: {'no file has such a name' if marks else 'the folder holds no data files'}")
        states = "\n".join(f"{name} {system.ukey(name)}" for name in names)
        # the base is part of the name: the copies of a folder and of one in it are two folders, though they hold the same files
        root = cache_dir() / "remote" / hashlib.sha256(f"{system.protocol} {base} {states}".encode()).hexdigest()[:16]
        files = [root / name.removeprefix(base).lstrip("/") for name in names]
        for name, file in zip(names, files, strict=True):
            if not file.is_file():
                copy(system.open(name, "rb"), file, system.size(name))
        return (root if folder else None), files


def check_writable(address: str) -> None:
    """Say before the long work that an object cannot be written there.

    Raises:
        InputError: an address that can only be read, a folder, or a bucket or a repository of the hub that does not exist.
        MissingExtraError: the package for this kind of address is not installed.
    """
    scheme = address.partition(":")[0]
    if scheme in READ_ONLY:
        raise InputError(f"output {address}: {scheme}:// can only be read; name a local file, or an s3:// or gs:// address")
    with told(address, "writing", "written"):
        system, path = system_of(address, "writing")
        bucket, _, key = path.lstrip("/").partition("/")
        if scheme in BUCKETS and key:
            with suppress(PermissionError):  # one may write where one may not look
                system.ls(bucket)
        if scheme == HUB:
            system.resolve_path(path)
        if (scheme in BUCKETS and not key) or (state(address) is None and system.isdir(path)):
            raise InputError(f"output {address} is a folder; name a file in it")


def check_run_dir(run_dir: str | Path) -> None:
    """Say that no run can work at an address; of a folder nothing.

    Raises:
        InputError: it is one of the hub, where no file is made only if there is none, and a repository takes each as a commit.
    """
    if is_remote(run_dir) and address_of(run_dir).partition(":")[0] == HUB:
        raise InputError(
            f"run directory {address_of(run_dir)}: nothing on the hub keeps a second process out, and a repository takes each file as a commit;"
            " name a folder in a bucket, such as s3://bucket/run, or a local one, and upload what it holds when the run is done"
        )


def state(address: str) -> str | None:
    """What the file system tells of an object (its ETag, or size and time); None where there is none, or none that may be seen.

    Raises:
        InputError: the place cannot be asked.
    """
    with told(address, "writing", "written"):
        system, path = system_of(address, "writing")
        try:
            return str(system.ukey(path)) if system.isfile(path) else None
        except (FileNotFoundError, PermissionError):
            return None


def sha256_of_object(address: str) -> str:
    """Of the bytes of an object, which are read for it.

    Raises:
        InputError: it cannot be read.
    """
    with told(address, "reading", "read"):
        system, path = system_of(address, "reading")
        total = hashlib.sha256()
        with system.open(path, "rb") as remote:
            while block := remote.read(BLOCK):
                total.update(block)
        return total.hexdigest()


def send(file: Path, address: str, *, replace: bool) -> None:
    """Put a local file behind an address: the object is there whole or not at all.

    Args:
        file: complete.
        address: of the object.
        replace: write over one that is there. Else the object is written once: where it has come meanwhile, by whomever, it stays.

    Raises:
        InputError: there is one already, of other bytes, or it cannot be written.
    """
    with told(address, "writing", "written"):
        system, path = system_of(address, "writing")
        try:
            system.put_file(str(file), path, mode="overwrite" if replace else "create")
        except _refusals() as error:
            if FileExistsError in (type(error), type(error.__context__)):  # gcsfs gives a large one up by one request more, which may fail
                if sha256_of_object(address) == sha256(file):  # it was put again, for its answer had been lost
                    return
                raise InputError(
                    f"output {address} has come meanwhile, and this run did not write it; name another, or replace it with --force"
                ) from error
            raise InputError(
                f"output {address} cannot be written: {_line(error) or type(error).__name__}; what was computed is kept in the run"
                " directory: name another output and start again"
            ) from error


def system_of(address: str, what: str) -> tuple[Any, str]:
    """The file system of an address, which has forgotten what it was told before, and the place in it.

    Of Google's the plain one. The one that gcsfs registers asks for the kind of the bucket by another service, with a warning at each
    step where that cannot be told, and in a zonal bucket it writes over what is there although it was told to create.
    """
    fsspec = require("fsspec", "remote", f"{what} {address}")
    if address.partition(":")[0] in GOOGLE:
        kind = importlib.import_module("gcsfs.core").GCSFileSystem
        system, path = kind(**kind._get_kwargs_from_urls(address)), kind._strip_protocol(address)
    else:
        system, path = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    return system, path


def by_address(text: str, address: str) -> str:
    """A message about copies with the address in their place."""
    copies = re.escape(str(cache_dir() / "remote")) + "/[0-9a-f]{16}"
    return re.sub(f"{copies}/{re.escape(address.rpartition('/')[2])}|{copies}", lambda _: address.rstrip("/"), text)


def copy(remote: IO[bytes], file: Path, size: int | None) -> None:
    """Write what an open remote file holds to a local one, whole or not at all.

    Raises:
        OSError: the connection ended before `size` bytes had come.
    """
    with remote, atomic(file) as out:
        while block := remote.read(BLOCK):
            out.write(block)
        if size is not None and out.tell() != size:
            raise OSError(f"the connection ended after {out.tell():,} of {size:,} bytes")


@contextmanager
def told(address: str, doing: str, done: str) -> Iterator[None]:
    """What a file system refuses, as one line about the address.

    Raises:
        InputError: it cannot be read or written.
        MissingExtraError: the package for this kind of address is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{doing} {address}: {_line(error)}; install what is missing with: pip install 'codeact[remote]'"
        ) from error
    except FileNotFoundError as error:
        holder = "repository" if address.partition(":")[0] == HUB else "bucket or folder"
        what = address if done == "read" else f"output {address}: its {holder}"
        raise InputError(f"{what} does not exist, or these credentials may not see it") from error
    except _refusals() as error:
        raise InputError(f"{address} cannot be {done}: {_line(error) or type(error).__name__}") from error


def _refusals() -> tuple[type[Exception], ...]:
    foreign = (getattr(sys.modules[name], kind) for name, kind in FOREIGN if name in sys.modules)
    return (OSError, ValueError, NotImplementedError, *foreign)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
