"""The source files of a tree that are worth harvesting, and the licence each stands under."""

from __future__ import annotations

import os
import re
import sysconfig
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from codeact.errors import InputError
from codeact.harvesting.grammar_functions import GRAMMARS
from codeact.harvesting.licences import installed_licences, licence_in, licence_of_root

STDLIB = "stdlib"
PYTHON = "python"
LANGUAGES: Mapping[str, str] = {".py": PYTHON} | {
    suffix: language for language, grammar in GRAMMARS.items() for suffix in grammar.suffixes
}
"""Suffix -> language."""

_SKIPPED_FOLDERS = {
    "__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "virtualenv", "test", "tests", "idle_test",
    "turtledemo", "pydoc_data", "_bundled",
}  # fmt: skip
# Of other languages than Python, where a package may well be called `build`.
_BUILT_FOLDERS = {"vendor", "third_party", "bower_components", "target", "dist", "build", "__tests__", "testdata"}
_TEST_FILE = re.compile(
    r"(?:test_.*|.*_test|conftest)\.py|.*_test\.go|.*[.-](?:test|spec|bench)\.[cm]?[jt]sx?|(?:Test[A-Z].*|.*Tests?|.*IT)\.java"
    r"|.*(?:_|-)(?:unit)?tests?\.(?:c|cc|cpp|cxx|rs)|test[_-].*\.(?:c|cc|cpp|cxx|h|hpp)|tests?\.rs"
)
_GENERATED_FILE = re.compile(
    r".*_pb2(?:_grpc)?\.pyi?|_sysconfigdata.*\.py|_version\.py|.*\.pb\.(?:go|cc|h)|.*\.min\.[cm]?js|.*\.d\.[cm]?ts"
    r"|(?:.*_generated|zz_generated.*|.*\.gen)\.\w+|.*\.bundle\.js"
)
_GENERATED_HEADER = re.compile(
    r"@generated|DO NOT EDIT"
    r"|(?i:^\W*(?:please )?do not (?:manually )?edit\b|^\s*(?:#|//|/?\*|--).*\bdo not edit\b|\bdo not edit (?:it )?(?:by hand|manually|directly|this)\b"
    r"|^\W*(?:auto-?|automatically )generated\b|^\W*generated (?:automatically|by|from)\b"
    r"|\b(?:file|module|code|source|script|stubs?|bindings|tables?|header)\b.{0,40}\b(?:auto-?|automatically )generated\b"
    r"|\b(?:auto-?|automatically )generated (?:by|from|with|using|via|file|module|code|source|header)\b"
    r"|\bthis (?:file|module|code) (?:is|was|has been) generated\b|\bcodec \S+ generated from\b)",
    re.MULTILINE,
)
_HEADER_LINES = 10
LONGEST_LINE = 20_000
@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file; `root` is the tree's name, `relative` the path inside it with `/`, `licence` an SPDX id or a hint."""

    path: Path
    root: str
    relative: str
    licence: str
    language: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a tree are harvested.

    Attributes:
        languages: "python" and keys of `grammar_functions.GRAMMARS`.
        include: patterns as of `fnmatch`, on the path inside the tree and on those of its folders; none: all files.
        exclude: what is left out, likewise; decides over `include`.
    """

    languages: tuple[str, ...] = (PYTHON,)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def language(self, name: str) -> str:
        """The language of a file of that name, "" for none that is wanted."""
        found = LANGUAGES.get(Path(name).suffix.lower(), "")
        return found if found in self.languages else ""

    def excludes(self, relative: str) -> bool:
        """Whether the patterns leave a file out."""
        parts = relative.split("/")
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)] + [parts[-1]]

        def fits(patterns: tuple[str, ...]) -> bool:
            return any(fnmatchcase(path, pattern.rstrip("/")) for pattern in patterns for path in paths)

        return fits(self.exclude) or (bool(self.include) and not fits(self.include))


PYTHON_FILES = Wanted()
EVERYTHING = Wanted((PYTHON, *GRAMMARS))


def language_name(language: str) -> str:
    """As people write it."""
    return "Python" if language == PYTHON else GRAMMARS[language].name


def find_files(
    root: str | Path, skipped: Counter[str], problems: list[str], wanted: Wanted = PYTHON_FILES
) -> list[SourceFile]:
    """The wanted files of a tree, or the one file that `root` is, ordered by path; what is left out is counted in `skipped`.

    Raises:
        InputError: `root` is neither a folder nor a file of a wanted language.
    """
    stdlib = str(root) == STDLIB
    base = Path(sysconfig.get_path("stdlib") if stdlib else root)
    language = wanted.language(base.name)
    if base.is_file() and language:
        return [SourceFile(base, base.parent.name, base.name, licence_of_root(base.resolve()), language)]
    if not base.is_dir():
        suffixes = ", ".join(suffix for suffix, of in LANGUAGES.items() if of in wanted.languages)
        raise InputError(f"harvest: {root} is no folder and no {suffixes} file; give a source folder, or {STDLIB!r}")
    inside = base.resolve()
    label = STDLIB if stdlib else inside.name
    licences = {base: "PSF-2.0" if stdlib else licence_of_root(base.resolve())}
    files: list[SourceFile] = []
    # Linked folders are not entered: a loop of links would never end, and what they lead to has a place of its own. A linked file is
    # read where it lies in the tree too; the rest of the machine was not asked for.
    for folder, subfolders, names in os.walk(base, onerror=lambda error: _report(error, base, skipped, problems)):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if _enters(here / name, skipped))
        if here not in licences:
            packaged = installed_licences(inside).get(here.name, "") if here.parent == base and not stdlib else ""
            licences[here] = licence_in(here, names) or packaged or licences[here.parent]
        for name in names:
            if language := wanted.language(name):
                relative = (here / name).relative_to(base).as_posix()
                reason = unwanted(relative, language) or ("excluded" if wanted.excludes(relative) else "")
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
                    files.append(SourceFile(here / name, label, relative, licences[here], language))
    return sorted(files, key=lambda file: file.relative)


def _enters(folder: Path, skipped: Counter[str]) -> bool:
    name = folder.name
    if folder.is_symlink():
        skipped["linked folder"] += 1
        return False
    return not (is_skipped_folder(name) or (folder / "pyvenv.cfg").exists())


def _leads_out(path: Path, inside: Path) -> bool:
    """Whether a link, through however many others, leads to something outside of the tree; a loop of links leads nowhere."""
    return path.is_symlink() and not real_path(path).is_relative_to(inside)


def real_path(path: Path) -> Path:
    """The path without links; one in a loop of links as far as it goes, where `Path.resolve` of some Pythons raises."""
    return Path(os.path.realpath(path))


def is_skipped_folder(name: str) -> bool:
    """Whether folders of that name hold tests, installed packages or hidden things."""
    return name in _SKIPPED_FOLDERS or name.startswith(".") or name.endswith(".egg-info")


def unwanted(relative: str, language: str) -> str:
    """Why a file is not harvested, by its path inside the tree; "" where it is."""
    *folders, name = relative.split("/")
    if name.startswith("."):
        return "hidden file"
    if _TEST_FILE.fullmatch(name):
        return "test file"
    if _GENERATED_FILE.fullmatch(name):
        return "generated file"
    if language != PYTHON and not _BUILT_FOLDERS.isdisjoint(folders):
        return "vendored or built file"
    return ""


def _is_unicode(text: str) -> bool:
    """Whether a file name holds no bytes that Python could not decode."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _report(error: OSError, base: Path, skipped: Counter[str], problems: list[str]) -> None:
    where = os.path.relpath(error.filename, base) if error.filename else base.name
    skipped["unreadable folder"] += 1
    problems.append(f"{where}: {error.strerror or error}")


def is_generated(lines: list[str]) -> bool:
    """Whether the first lines of a file say that a program wrote it."""
    return _GENERATED_HEADER.search("\n".join(lines[:_HEADER_LINES])) is not None


def is_minified(lines: list[str]) -> bool:
    """Whether a line is too long to have been written by hand. Of Python, which no tool minifies, it is data beside the functions."""
    return max(map(len, lines)) > LONGEST_LINE
