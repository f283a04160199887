"""The licence that source code stands under, as a hint: SPDX header, licence file, or an installed package's metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

HEADER_LINES = 20
UNKNOWN = "unknown"
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
_CLASSIFIERS = {
    "MIT License": "MIT", "Apache Software License": "Apache-2.0", "BSD License": "BSD", "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense", "GNU General Public License v3 (GPLv3)": "GPL-3.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0", "GNU Affero General Public License v3": "AGPL-3.0",
}  # fmt: skip


def licence_of_root(root: Path) -> str:
    """The licence of a tree: of the folder or the project around it, else of the installed package that it is; else "unknown"."""
    found = _licence_near(root)
    return found if found != UNKNOWN else installed_licences(root.parent).get(root.name, found)


def licence_in(folder: Path, names: Iterable[str]) -> str:
    """The licence that a file of the folder gives, `see NAME` where its text is not known; "" where there is none."""
    unknown = ""
    for name in sorted(names):
        path = folder / name
        if _LICENCE_FILE.fullmatch(name) and not name.endswith(".py") and path.is_file():
            try:
                with path.open(encoding="utf-8", errors="replace") as stream:
                    text = " ".join(stream.read(20_000).split()).casefold()
            except OSError:
                continue
            found = next((spdx for phrase, spdx in _LICENCE_PHRASES if phrase.casefold() in text), "")
            if found:
                return found
            unknown = unknown or f"see {name}"
    return unknown


def _licence_near(folder: Path) -> str:
    """The licence in the folder, or in the project around it: the nearest of three parents that looks like a project's root."""
    for directory in (folder, *folder.parents[:3]):
        try:
            names = [entry.name for entry in directory.iterdir()]
        except OSError:
            break
        is_project = not _PROJECT_FILES.isdisjoint(names)
        found = licence_in(directory, names) if is_project or directory == folder else ""
        if found:
            return found
        if is_project:
            break
    return UNKNOWN


def find_spdx(lines: list[str]) -> str:
    """The SPDX licence expression of a file's header, or ""."""
    found = _SPDX.search("\n".join(lines[: HEADER_LINES]))
    return found.group(1) if found else ""



@lru_cache(maxsize=4)
def installed_licences(folder: Path) -> Mapping[str, str]:
    """Name of a folder or module in a folder of installed packages -> the licence that its distribution's metadata tells."""
    found: dict[str, str] = {}
    for distribution in distributions(path=[str(folder)]):
        told = _licence_told(distribution)
        names = {Path(str(file)).parts[0] for file in distribution.files or () if told}
        found |= dict.fromkeys((name for name in names if not name.endswith(".dist-info")), told)
    return found


def _licence_told(distribution: Distribution) -> str:
    told = distribution.metadata
    short = next((told[key] for key in ("License-Expression", "License") if key in told), "").strip()
    if short and "\n" not in short and len(short) <= 60 and short.upper() != "UNKNOWN":
        return short
    named = [c.rpartition(" :: ")[2] for c in told.get_all("Classifier") or () if c.startswith("License :: ")]
    return " OR ".join(_CLASSIFIERS.get(name, name) for name in named if name != "OSI Approved")
