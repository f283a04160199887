"""Published files that are not downloaded here: found in the folder of `--data`, their version the beginning of their SHA-256."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.errors import InputError
from codeact.evaluation.tasks import Task, TaskSet

VERSIONS = ("of the file that --data has",)
NUMPY = "numpy"  # the one library that the sandbox shows beside the standard library's
SHARD = re.compile(r"(.*)-\d+-of-0*(\d+)\.")
BLOCK = 1 << 24  # bytes of a file that are hashed at a time


def find(name: str, patterns: Sequence[str], data_dir: Path | None, source: str, *, several: bool = False) -> list[Path]:
    """The files of a set: those that the first pattern finds, in the folder of `--data`, else of CODEACT_DATA.

    Raises:
        InputError: none is there, several where one was expected, or not all parts of one; the message says where the file comes from.
    """
    folders = [Path(folder) for folder in (data_dir, os.environ.get("CODEACT_DATA", "")) if folder]
    for folder in folders:
        for pattern in patterns:
            found = sorted(path for path in folder.glob(pattern) if path.is_file())
            if len(found) > 1 and not several and not _parts(name, found, source):
                raise InputError(f"{name}: {folder} holds {', '.join(path.name for path in found[:3])}; leave one of them there")
            if found:
                _parts(name, found, source)
                return found
    asked = f"{folders[0]} holds none of" if folders else "no folder is named with --data, which would hold"
    raise InputError(f"{name}: {asked} {', '.join(patterns)}; download it from {source} and name its folder with --data")


def _parts(name: str, found: Sequence[Path], source: str) -> bool:
    """Whether files are the parts of one (`-00000-of-00009`); InputError where some of its parts are not there."""
    parts = [SHARD.match(path.name) for path in found]
    kinds = {(part[1], int(part[2])) for part in parts if part}
    for stem, whole in kinds:
        here = sum(part is not None and part[1] == stem for part in parts)
        if here != whole and len(kinds) == 1:
            raise InputError(f"{name}: {found[0].parent} holds {here} of the {whole} parts of {stem}; download the others from {source}")
    return len(kinds) == 1 and None not in parts


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


Row = Mapping[str, Any]
# what a row of another form makes of the functions that read it
_OTHER = (ValueError, TypeError, KeyError, AttributeError, IndexError, StopIteration, SyntaxError, RecursionError)


def read(name: str, version: str, paths: Sequence[Path], keys: Iterable[str], make: Callable[[Row, int], Task]) -> TaskSet:
    """The set in files; each row has `keys`.

    Args:
        name: of the set.
        version: asked for; "" for that of the files.
        paths: of the files.
        keys: that every row has to have.
        make: a row and its number, from 0 over all files -> the task.

    Raises:
        InputError: unreadable, a row without one of the keys or of another form, a task that is there twice, or another version than asked for.
    """
    digest = _digest(paths)
    found = f"sha256 {digest[:12]}"
    if version not in ("", found, digest[:12]):
        raise InputError(f"{name} has no version {version!r}; that of {paths[0]} is {digest[:12]!r}")
    tasks: dict[str, Task] = {}
    places: dict[str, str] = {}
    for path in paths:
        for number, row in enumerate(storage.read_rows(path).rows, 1):
            place = f"{path}, row {number}"
            missing = [key for key in keys if row.get(key) is None]
            if missing:
                raise InputError(f"{place}: {name} has no key {missing[0]!r}; is this the published file?")
            try:
                task = make(row, len(tasks))
            except _OTHER as error:
                raise InputError(f"{place}: no task of {name} ({' '.join(str(error).split())[:160] or type(error).__name__}); is this the published file?") from error
            if task.id in tasks:
                raise InputError(f"{place}: {task.id} is there twice (first: {places[task.id]}); leave one release there, and not parts of another beside it")
            tasks[task.id], places[task.id] = task, place
    return TaskSet(name, found, tuple(tasks.values()), digest)


def text(row: Row, key: str) -> str:
    """The text under a key.

    Raises:
        ValueError: it is none.
    """
    value = row[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, not text")
    return value


def lacking(sources: Iterable[str], named: Iterable[str] = ()) -> str:
    """Why programs cannot run here: the modules that they import and the sandbox does not show; "" where it shows all."""
    wanted = {name.partition(".")[0] for name in named}
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wanted |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                wanted.add(node.module.partition(".")[0])
    shown = sys.stdlib_module_names | ({NUMPY} if find_spec(NUMPY) is not None else set())
    absent = sorted(wanted - shown - {"__main__"})
    return f"it needs {', '.join(absent)}, which the sandbox does not show" if absent else ""
