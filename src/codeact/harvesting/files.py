"""The Python files of a source tree that are worth harvesting, and the licence each stands under."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codeact.errors import InputError

STDLIB = "stdlib"

_SKIPPED_FOLDERS = {
    "__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "virtualenv", "test", "tests", "idle_test",
    "turtledemo", "pydoc_data", "_bundled",
}  # fmt: skip
_TEST_FILE = re.compile(r"(?:test_.*|.*_test|conftest)\.py")
_GENERATED_FILE = re.compile(r".*_pb2(?:_grpc)?\.pyi?|_sysconfigdata.*\.py|_version\.py")
_GENERATED_HEADER = re.compile(
    r"do not edit|@generated|\b(?:auto-?|automatically )generated\b|^\W*generated (?:automatically|by|from)\b"
    r"|\bthis (?:file|module|code) (?:is|was|has been) generated\b|\bcodec \S+ generated from\b",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINES = 10
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(\(*[\w.+-]+\)*(?:\s+(?:OR|AND|WITH)\s+\(*[\w.+-]+\)*)*)")
_LICENCE_FILE = re.compile(r"(?:un)?licen[cs]e(?:[-.].*)?|copying(?:[-.].*)?", re.IGNORECASE)
_PROJECT_FILES = {".git", "pyproject.toml", "setup.py", "setup.cfg"}
# The first phrase found decides, so a licence that quotes another one comes before it.
_LICENCE_PHRASES: tuple[tuple[str, str], ...] = (
    ("GNU AFFERO GENERAL PUBLIC LICENSE Version 3", "AGPL-3.0"),
    ("GNU LESSER GENERAL PUBLIC LICENSE Version 3", "LGPL-3.0"),
    ("GNU LESSER GENERAL PUBLIC LICENSE Version 2.1", "LGPL-2.1"),
    ("GNU GENERAL PUBLIC LICENSE Version 3", "GPL-3.0"),
    ("GNU GENERAL PUBLIC LICENSE Version 2", "GPL-2.0"),
    ("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2", "PSF-2.0"),
    ("Mozilla Public License Version 2.0", "MPL-2.0"),
    ("Apache License Version 2.0", "Apache-2.0"),
    ("Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    ("Permission to use, copy, modify, and/or distribute this software", "ISC"),
    ("This is free and unencumbered software released into the public domain", "Unlicense"),
    ("Neither the name of", "BSD-3-Clause"),
    ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file; `root` is the tree's name, `relative` the path inside it with `/`, `licence` an SPDX id or a hint."""

    path: Path
    root: str
    relative: str
    licence: str


def find_files(root: str | Path, skipped: Counter[str], problems: list[str]) -> list[SourceFile]:
    """The Python files of a tree, or the one file that `root` is, ordered by path; what is left out is counted in `skipped`.

    Raises:
        InputError: `root` is neither a folder nor a .py file.
    """
    stdlib = str(root) == STDLIB
    base = Path(sysconfig.get_path("stdlib") if stdlib else root)
    if base.is_file() and base.suffix == ".py":
        return [SourceFile(base, base.parent.name, base.name, _licence_near(base.resolve().parent))]
    if not base.is_dir():
        raise InputError(f"harvest: {root} is no folder and no .py file; give a source folder, or {STDLIB!r}")
    inside = base.resolve()
    label = STDLIB if stdlib else inside.name
    licences = {str(base): "PSF-2.0" if stdlib else _licence_near(base.resolve())}
    files: list[SourceFile] = []
    # Linked folders are not entered: a loop of links would never end, and what they lead to has a place of its own. A linked file is
    # read where it lies in the tree too; the rest of the machine was not asked for.
    for folder, subfolders, names in os.walk(base, onerror=lambda error: _report(error, base, skipped, problems)):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if _enters(here / name, skipped))
        if folder not in licences:
            licences[folder] = _licence_in(here, names) or licences[str(here.parent)]
        for name in names:
            if name.endswith(".py"):
                relative = (here / name).relative_to(base).as_posix()
                reason = _unwanted(name)
                if not reason and not stdlib and _leads_out(here / name, inside):
                    reason = "link out of the tree"
                    problems.append(
                        f"{label}/{relative!a}: a link to a file outside of {label}; give its folder as a root to harvest it"
                    )
                if not _is_unicode(relative):
                    reason = "undecodable file"
                    problems.append(f"{label}/{relative!a}: the file name is not valid UTF-8")
                if reason:
                    skipped[reason] += 1
                else:
                    files.append(SourceFile(here / name, label, relative, licences[folder]))
    return sorted(files, key=lambda file: file.relative)


def _enters(folder: Path, skipped: Counter[str]) -> bool:
    name = folder.name
    if folder.is_symlink():
        skipped["linked folder"] += 1
        return False
    return not (
        name in _SKIPPED_FOLDERS
        or name.startswith(".")
        or name.endswith(".egg-info")
        or (folder / "pyvenv.cfg").exists()
    )


def _leads_out(path: Path, inside: Path) -> bool:
    """Whether a link, through however many others, leads to something outside of the tree; a loop of links leads nowhere."""
    return path.is_symlink() and not real_path(path).is_relative_to(inside)


def real_path(path: Path) -> Path:
    """The path without links; one in a loop of links as far as it goes, where `Path.resolve` of some Pythons raises."""
    return Path(os.path.realpath(path))


def _unwanted(name: str) -> str:
    if name.startswith("."):
        return "hidden file"
    if _TEST_FILE.fullmatch(name):
        return "test file"
    if _GENERATED_FILE.fullmatch(name):
        return "generated file"
    return ""


def _is_unicode(text: str) -> bool:
    """Whether a file name holds no bytes that Python could not decode."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _report(error: OSError, base: Path, skipped: Counter[str], problems: list[str]) -> None:
    where = os.path.relpath(error.filename, base) if error.filename else base.name
    skipped["unreadable folder"] += 1
    problems.append(f"{where}: {error.strerror or error}")


def _licence_in(folder: Path, names: Iterable[str]) -> str:
    for name in sorted(names):
        path = folder / name
        if _LICENCE_FILE.fullmatch(name) and not name.endswith(".py") and path.is_file():
            try:
                with path.open(encoding="utf-8", errors="replace") as stream:
                    text = " ".join(stream.read(20_000).split()).casefold()
            except OSError:
                continue
            found = next((spdx for phrase, spdx in _LICENCE_PHRASES if phrase.casefold() in text), "")
            return found or f"see {name}"
    return ""


def _licence_near(folder: Path) -> str:
    """The licence in the folder, or in the project around it: the nearest of three parents that looks like a project's root."""
    for directory in (folder, *folder.parents[:3]):
        try:
            names = [entry.name for entry in directory.iterdir()]
        except OSError:
            break
        is_project = not _PROJECT_FILES.isdisjoint(names)
        found = _licence_in(directory, names) if is_project or directory == folder else ""
        if found:
            return found
        if is_project:
            break
    return "unknown"


def is_generated(lines: list[str]) -> bool:
    """Whether the first lines of a file say that a program wrote it."""
    return _GENERATED_HEADER.search("\n".join(lines[:_HEADER_LINES])) is not None


def find_spdx(lines: list[str]) -> str:
    """The SPDX licence expression of a file's header, or ""."""
    found = _SPDX.search("\n".join(lines[: 2 * _HEADER_LINES]))
    return found.group(1) if found else ""


def tree_identity(root: str | Path) -> str:
    """16 hex digits that change when the Python files of a tree, their licence hints or this Python's version change.

    Raises:
        InputError: as `find_files`.
    """
    total = hashlib.sha256(sys.version.encode())
    for file in find_files(root, Counter(), []):
        total.update(f"{file.root}\0{file.relative}\0{file.licence}\0".encode("utf-8", "surrogateescape"))
        try:
            content = file.path.read_bytes() if file.path.is_file() else b""
        except OSError:
            content = b""
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]
