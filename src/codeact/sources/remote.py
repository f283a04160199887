"""Files behind an address (`s3://`, `gs://`, `hf://`, `memory://`, `https://`).

What is read is copied once into the cache, and read from there. What is written is one object, there whole or not at all.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, Protocol

from codeact.errors import InputError, MissingExtraError, require
from codeact.files import address_of, atomic, by_path, cache_dir, is_remote, make_folder, sha256

BLOCK = 1 << 22
READ_ONLY = ("http", "https")
GOOGLE = ("gs", "gcs")
BUCKETS = ("s3", "s3a", *GOOGLE)  # the first part of their addresses is made by hand, and not by writing
HUB = "hf"
SILENCE = 60  # seconds that an HTTP server may say nothing
# what file systems raise beside OSError, where their library is loaded
FOREIGN = (
    ("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError"), ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"), ("gcsfs.retry", "NonRetryableError"), ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx", "HTTPError"), ("httpx2", "HTTPError"),
)  # fmt: skip

Found = dict[str, tuple[Path | None, list[Path]]]  # by the address
_found: ContextVar[Found | None] = ContextVar("found", default=None)  # of the `one_state` around: a thread's own


class FileSystem(Protocol):
    """What of fsspec's file systems is used for run directories."""

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, Any]]: ...

    def cat_file(self, path: str) -> bytes: ...

    def open(self, path: str, mode: str) -> IO[bytes]: ...

    def pipe_file(self, path: str, value: bytes, mode: str = ...) -> object: ...

    def put_file(self, lpath: str, rpath: str) -> object: ...

    def rm_file(self, path: str) -> object: ...


class Readable(Protocol):
    """What of fsspec's file systems is used to read data."""

    def glob(self, path: str) -> list[str]: ...

    def find(self, path: str) -> list[str]: ...

    def isdir(self, path: str) -> bool: ...

    def open(self, path: str, mode: str, **how: object) -> IO[bytes]: ...


def fetched(address: str, wanted: Callable[[Path], bool]) -> tuple[Path | None, list[Path]]:
    """Local copies of the files that an address names: one file, those of a folder, or those that fit a pattern.

    A copy is used again as long as the server tells the same of the file: its ETag, or size and time. Of what an HTTP server tells
    nothing of, the content decides: it is read anew.

    Args:
        address: of a file, a folder, or a pattern with `*`, `?` or `[...]`.
        wanted: which names of a folder are copied; over HTTP, where any name may be a page, such a name is a file.

    Returns:
        The copy of the folder, None for a file or a pattern; and the files in order of their names.

    Raises:
        InputError: there is no such file, it cannot be read, or its name leads out of the folder.
        MissingExtraError: the package for this kind of address is not installed.
    """
    found = _found.get()
    if found is None:
        return _fetch(address, wanted)
    if address not in found:
        found[address] = _fetch(address, wanted)
    folder, files = found[address]
    return folder, list(files)


@contextmanager
def one_state() -> Iterator[None]:
    """Inside, an address is asked once, and names what was found then: a command sees one state of its data."""
    around = _found.get()
    token = _found.set({} if around is None else around)
    try:
        yield
    finally:
        _found.reset(token)


def _fetch(address: str, wanted: Callable[[Path], bool]) -> tuple[Path | None, list[Path]]:
    plain, _, query = address.partition("?")
    if "=" in query and address.partition(":")[0] in READ_ONLY:
        raise InputError(
            f"{plain}?... is an address with a query, as signed ones are: a run would keep its secret, and find nothing when it has run out;"
            " download the file and name that, or name the object itself (s3://, gs://)"
        )
    with told(address, "reading", "read"):
        system, path = system_of(address, "reading")
        scheme = address.partition(":")[0]
        if scheme in BUCKETS and not path.strip("/"):
            raise InputError(f"{address} cannot be read: it names no bucket")
        web = scheme in READ_ONLY
        base, names, folder = _named(system, path, wanted, web)
        if not names:
            raise InputError(f"{address}: {'the folder holds no data files' if folder else 'no file has such a name'}")
        copies = [name.removeprefix(base).lstrip("/") for name in names]
        if astray := next((name for name in copies if ".." in Path(name).parts), None):
            raise InputError(f"{address} cannot be read: {astray}, the name of one of its files, leads out of the folder")
        facts = {name: system.info(name) if web else {} for name in names}
        sizes = {name: facts[name]["size"] if web else system.size(name) for name in names}
        states = {name: _web_state(facts[name]) if web else str(system.ukey(name)) for name in names}
        untold = [name for name in names if not states[name]]
        with tempfile.TemporaryDirectory(dir=make_folder(cache_dir() / "remote")) if untold else nullcontext("") as work:
            new = {name: Path(work) / str(number) for number, name in enumerate(untold)}
            for name, file in new.items():
                copy(_opened(system, name, web, sizes[name]), file, sizes[name])
                states[name] = sha256(file)
            # the base is part of the name: the copies of a folder and of one in it are two folders, though they hold the same files
            stated = "\n".join(f"{name} {states[name]}" for name in names)
            root = cache_dir() / "remote" / hashlib.sha256(f"{system.protocol} {base} {stated}".encode()).hexdigest()[:16]
            files = [root / name for name in copies]
            for name, file in zip(names, files, strict=True):
                if not file.is_file():
                    copy(new[name].open("rb") if name in new else _opened(system, name, web, sizes[name]), file, sizes[name])
        return (root if folder else None), files


def _named(system: Readable, path: str, wanted: Callable[[Path], bool], web: bool) -> tuple[str, list[str], bool]:
    """What comes before the names of the copies, the names of the files in order, and whether they are those of a folder."""
    marks = [path.index(mark) for mark in "*?[" if mark in path]
    folder = not marks and not (web and wanted(Path(path))) and system.isdir(path)
    found = sorted(system.glob(path) if marks else system.find(path) if folder else [path])
    if web and (marks or folder):  # a page may link to what lies elsewhere; to tell whether a link leads to a page, all would be read
        found = [name for name in found if not name.endswith("/") and ".." not in Path(name).parts]
    if folder:
        return path.rstrip("/"), [name for name in found if wanted(Path(name))], True
    names = found if web or not marks else [name for name in found if not system.isdir(name)]
    return path[: min(marks, default=len(path))].rpartition("/")[0], names, False


def _web_state(info: Mapping[str, Any]) -> str:
    """What an HTTP server tells of the state of a file; nothing where that is at most its size."""
    found = [f"{key} {info[key]}" for key in ("ETag", "Content-MD5", "Digest", "Last-Modified") if info.get(key)]
    return " ".join([*found, f"size {info.get('size')}"]) if found else ""


def _opened(system: Readable, name: str, web: bool, size: int | None) -> IO[bytes]:
    """A remote file to read from its beginning to its end; over HTTP by one request, for parts of two states do not fit together."""
    return system.open(name, "rb", block_size=0, size=size) if web else system.open(name, "rb")


def one_name(address: str) -> str:
    """An address as it is compared with others: the schemes and revisions that mean the same are one."""
    scheme, _, rest = address.partition("://")
    scheme = "gs" if scheme in GOOGLE else "s3" if scheme == "s3a" else scheme
    return f"{scheme}://{re.sub(r'@main(?=/|$)', '', rest) if scheme == HUB else rest}"


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
                " directory: start the same command again, or name another output"
            ) from error


def system_of(address: str, what: str) -> tuple[Any, str]:
    """The file system of an address, which has forgotten what it was told before, and the place in it.

    Of Google's the plain one. The one that gcsfs registers asks for the kind of the bucket by another service, with a warning at each
    step where that cannot be told, and in a zonal bucket it writes over what is there although it was told to create.
    """
    if (path_here := by_path(address)) != address:
        raise InputError(f"{address}: name a file of this machine by its path, {path_here}")
    fsspec = require("fsspec", "remote", f"{what} {address}")
    if address.partition(":")[0] in GOOGLE:
        kind = importlib.import_module("gcsfs.core").GCSFileSystem
        system, path = kind(**kind._get_kwargs_from_urls(address)), kind._strip_protocol(address)
    else:
        system, path = fsspec.core.url_to_fs(address, **(_patience() if address.partition(":")[0] in READ_ONLY else {}))
    system.invalidate_cache()
    return system, path


def _patience() -> dict[str, object]:
    """How long an HTTP server is waited for: while it sends, for ever; by default what takes five minutes is broken off."""
    client = importlib.import_module("aiohttp")  # which fsspec needs for HTTP, and gcsfs and s3fs bring
    return {"timeout": client.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)}


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
        cause = error.__cause__  # over HTTP anything may be: a server that refuses, or does not answer
        if cause is not None and address.partition(":")[0] in READ_ONLY and getattr(cause, "status", None) not in (404, 410):
            raise InputError(f"{address} cannot be {done}: {_line(cause) or type(cause).__name__}") from error
        holder = "repository" if address.partition(":")[0] == HUB else "bucket or folder"
        what = address if done == "read" else f"output {address}: its {holder}"
        raise InputError(f"{what} does not exist, or these credentials may not see it") from error
    except _refusals() as error:
        raise InputError(f"{address} cannot be {done}: {_line(error) or type(error).__name__}") from error


def _refusals() -> tuple[type[Exception], ...]:
    foreign = (getattr(sys.modules[name], kind) for name, kind in FOREIGN if name in sys.modules)
    return (OSError, ValueError, NotImplementedError, *foreign)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
