"""Data files behind an address (`s3://`, `gs://`, `hf://`, `https://`, `memory://`): copied once into the cache, read from there."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from codeact.errors import InputError, MissingExtraError, require
from codeact.files import atomic, cache_dir

BLOCK = 1 << 22
# what file systems raise beside OSError, where their library is loaded
FOREIGN = (
    ("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError"), ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"), ("google.auth.exceptions", "GoogleAuthError"),
)  # fmt: skip


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
    fsspec = require("fsspec", "remote", f"reading {address}")
    with _told(address):
        system, path = fsspec.core.url_to_fs(address)
        marks = [path.index(mark) for mark in "*?[" if mark in path]
        folder = not marks and system.isdir(path)
        if marks:
            names = [name for name in sorted(system.glob(path)) if not system.isdir(name)]
        else:
            names = [name for name in sorted(system.find(path)) if wanted(Path(name))] if folder else [path]
        base = path.rstrip("/") if folder else path[: min(marks, default=len(path))].rpartition("/")[0]
        if not names:
            raise InputError(f"{address}: {'no file has such a name' if marks else 'the folder holds no data files'}")
        state = "\n".join(f"{name} {system.ukey(name)}" for name in names)
        root = cache_dir() / "remote" / hashlib.sha256(f"{system.protocol} {state}".encode()).hexdigest()[:16]
        files = [root / name.removeprefix(base).lstrip("/") for name in names]
        for name, file in zip(names, files, strict=True):
            if not file.is_file():
                _copy(system.open(name, "rb"), file)
        return (root if folder else None), files


def by_address(text: str, address: str) -> str:
    """A message about copies with the address in their place."""
    copies = re.escape(str(cache_dir() / "remote")) + "/[0-9a-f]{16}"
    return re.sub(f"{copies}/{re.escape(address.rpartition('/')[2])}|{copies}", lambda _: address.rstrip("/"), text)


def _copy(remote: IO[bytes], file: Path) -> None:
    with remote, atomic(file) as out:
        while block := remote.read(BLOCK):
            out.write(block)


@contextmanager
def _told(address: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"reading {address}: {_line(error)}; install what is missing with: pip install 'codeact[remote]'"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{address} does not exist, or these credentials may not see it") from error
    except _refusals() as error:
        raise InputError(f"{address} cannot be read: {_line(error) or type(error).__name__}") from error


def _refusals() -> tuple[type[Exception], ...]:
    foreign = (getattr(sys.modules[name], kind) for name, kind in FOREIGN if name in sys.modules)
    return (OSError, ValueError, *foreign)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
