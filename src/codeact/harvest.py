"""Instruction data from source code: every documented Python function of a tree becomes a record."""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codeact.errors import InputError
from codeact.progress import track
from codeact.records import Message, Record, content_hash

STDLIB = "stdlib"
MIN_DOC_WORDS = 3
MAX_FILE_BYTES = 4_000_000

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
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+-]+(?:\s+(?:OR|AND|WITH)\s+[\w.+-]+)*)")
_LICENCE_FILE = re.compile(r"(?:un)?licen[cs]e(?:[-.].*)?|copying(?:[-.].*)?", re.IGNORECASE)
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
_EMPTY_DOC = re.compile(r"(?:see|same as|inherit\w* from|overrides?|like|ditto)\b[^.\n]{0,60}\.?|(?:todo|fixme|xxx|deprecated)\b.*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Harvest:
    """What a harvest brought in.

    Attributes:
        records: one per documented function, ordered by root, path and line.
        skipped: reason -> number of files or functions left out.
        problems: one line for each file that could not be used: its path and why.
    """

    records: list[Record]
    skipped: Counter[str]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    root: str
    relative: str
    licence: str


def harvest(roots: Sequence[str | Path], *, min_tokens: int = 20, max_tokens: int = 1500, quiet: bool = False) -> Harvest:
    """Turn every documented function and method under `roots` into a record.

    The instruction is made from the signature and the docstring, the response is the function's source without that
    docstring, dedented, as raw code. A length is a number of Python lexical tokens: names, numbers, strings and
    operators as `tokenize` finds them (an f-string is one token); comments, line ends and indentation do not count.

    Args:
        roots: folders or single .py files; `"stdlib"` is the running Python's own standard library.
        min_tokens: shortest response kept, in lexical tokens.
        max_tokens: longest response kept, in lexical tokens.
        quiet: show no progress.

    Raises:
        InputError: no root, a root that does not exist or holds no Python file to harvest, or impossible token limits.
    """
    if not 1 <= min_tokens <= max_tokens:
        raise InputError(f"harvest: min_tokens = {min_tokens} and max_tokens = {max_tokens}; give 1 <= min_tokens <= max_tokens")
    if isinstance(roots, str | Path):
        roots = [roots]
    if not roots:
        raise InputError(f"harvest: no root given; name a source folder, or {STDLIB!r}")
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    files: dict[Path, _File] = {}
    for root in roots:
        found = _find_files(root, skipped, problems)
        if not found:
            raise InputError(f"harvest: {root} holds no Python file to harvest (hidden, test, vendored and generated files do not count)")
        for file in found:
            files.setdefault(file.path.resolve(), file)
    records: list[Record] = []
    seen: set[tuple[str, ...]] = set()
    with track("harvest", len(files), "files", quiet=quiet) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in files.values():
            for key, messages, meta in _harvest_file(file, min_tokens, max_tokens, skipped, problems):
                if key in seen:
                    skipped["duplicate"] += 1
                    continue
                seen.add(key)
                records.append(Record(content_hash(messages), messages, MappingProxyType({**meta, "row": len(records)})))
            progress.advance()
    return Harvest(records, skipped, tuple(problems))


def to_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Harvested records as rows `{"id", "instruction", "output", "source", "file", ...}`, the form that every command reads."""
    return [
        {"id": r.id, "instruction": r.instruction, "output": r.response, **{k: v for k, v in r.meta.items() if k != "row"}}
        for r in records
    ]


def count_tokens(code: str) -> int:
    """Number of Python lexical tokens in `code`, counted as `harvest` does.

    Raises:
        SyntaxError, tokenize.TokenError: `code` cannot be split into tokens.
    """
    return len(_lex(code)[0])


def _find_files(root: str | Path, skipped: Counter[str], problems: list[str]) -> list[_File]:
    stdlib = str(root) == STDLIB
    base = Path(sysconfig.get_path("stdlib") if stdlib else root)
    if base.is_file() and base.suffix == ".py":
        return [_File(base, base.parent.name, base.name, _licence_near(base.resolve().parent))]
    if not base.is_dir():
        raise InputError(f"harvest: {root} is no folder and no .py file; give a source folder, or {STDLIB!r}")
    label = STDLIB if stdlib else base.resolve().name
    licences = {str(base): "PSF-2.0" if stdlib else _licence_near(base.resolve())}
    files: list[_File] = []
    # Linked folders are not entered: a loop of links would never end, and what they lead to has a place of its own.
    for folder, subfolders, names in os.walk(base, onerror=lambda error: _report(error, base, skipped, problems)):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if _enters(here / name, skipped))
        if folder not in licences:
            licences[folder] = _licence_in(here, names) or licences[str(here.parent)]
        for name in names:
            if name.endswith(".py"):
                relative = (here / name).relative_to(base).as_posix()
                reason = _unwanted(here / name)
                if reason:
                    skipped[reason] += 1
                else:
                    files.append(_File(here / name, label, relative, licences[folder]))
    return sorted(files, key=lambda file: file.relative)


def _enters(folder: Path, skipped: Counter[str]) -> bool:
    name = folder.name
    if folder.is_symlink():
        skipped["linked folder"] += 1
        return False
    return not (name in _SKIPPED_FOLDERS or name.startswith(".") or name.endswith(".egg-info") or (folder / "pyvenv.cfg").exists())


def _unwanted(path: Path) -> str:
    if path.name.startswith("."):
        return "hidden file"
    if _TEST_FILE.fullmatch(path.name):
        return "test file"
    if _GENERATED_FILE.fullmatch(path.name):
        return "generated file"
    return ""


def _report(error: OSError, base: Path, skipped: Counter[str], problems: list[str]) -> None:
    where = os.path.relpath(error.filename, base) if error.filename else base.name
    skipped["unreadable folder"] += 1
    problems.append(f"{where}: {error.strerror or error}")


def _licence_in(folder: Path, names: Iterable[str]) -> str:
    for name in sorted(names):
        path = folder / name
        if _LICENCE_FILE.fullmatch(name) and not name.endswith(".py") and path.is_file():
            try:
                text = " ".join(path.read_text(encoding="utf-8", errors="replace")[:20_000].split()).casefold()
            except OSError:
                continue
            found = next((spdx for phrase, spdx in _LICENCE_PHRASES if phrase.casefold() in text), "")
            return found or f"see {name}"
    return ""


def _licence_near(folder: Path) -> str:
    """The licence of the folder or of the project around it: up to three folders up, not above a repository's root."""
    for place in (folder, *folder.parents)[:4]:
        try:
            names = [entry.name for entry in place.iterdir()]
        except OSError:
            break
        found = _licence_in(place, names)
        if found:
            return found
        if ".git" in names:
            break
    return "unknown"


def _harvest_file(
    file: _File, min_tokens: int, max_tokens: int, skipped: Counter[str], problems: list[str]
) -> Iterator[tuple[tuple[str, ...], tuple[Message, ...], dict[str, Any]]]:
    try:
        if not file.path.is_file():
            raise OSError("a broken link, or no regular file")
        if file.path.stat().st_size > MAX_FILE_BYTES:
            raise OSError(f"larger than {MAX_FILE_BYTES:,} bytes")
        with tokenize.open(file.path) as stream:
            text = stream.read()
        lines = text.split("\n")
        header = "\n".join(lines[:_HEADER_LINES])
        if _GENERATED_HEADER.search(header):
            skipped["generated file"] += 1
            return
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        kind = "unreadable file" if isinstance(error, OSError) else "undecodable file" if isinstance(error, UnicodeDecodeError) else "file does not parse"
        skipped[kind] += 1
        problems.append(f"{file.root}/{file.relative}: {kind}: {' '.join(str(error).split())}")
        return
    spdx = _SPDX.search("\n".join(lines[:20]))
    for owners, node in _functions(tree, (), skipped):
        reason, doc = _documentation(node)
        lexed = None if reason else _response(lines, node)
        if not reason and lexed is None:
            reason = "response does not parse"
        if reason or lexed is None:
            skipped[reason] += 1
            continue
        response, tokens = lexed
        if not min_tokens <= len(tokens) <= max_tokens:
            skipped["too short" if len(tokens) < min_tokens else "too long"] += 1
            continue
        meta = {
            "source": file.root,
            "file": file.relative,
            "line": node.lineno,
            "name": ".".join([*(owner.name for owner in owners), node.name]),
            "license": spdx.group(1) if spdx else file.licence,
            "language": "python",
            "tokens": len(tokens),
        }
        yield tuple(tokens), (Message("user", _instruction(owners, node, doc)), Message("assistant", response)), meta


def _functions(node: ast.AST, owners: tuple[ast.ClassDef, ...], skipped: Counter[str]) -> Iterator[tuple[tuple[ast.ClassDef, ...], _Function]]:
    """Functions of a module or class, in the order of the source, also below `if` and `try`; those inside functions are counted."""
    for child in _statements(node):
        if isinstance(child, _Function):
            yield owners, child
            skipped["inner function"] += _count_functions(child)
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, (*owners, child), skipped)
        else:
            yield from _functions(child, owners, skipped)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements (and except and case clauses) directly below a node; expressions are not entered, which is what costs time."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        children = getattr(node, name, None)
        if isinstance(children, list):
            yield from children


def _count_functions(node: ast.AST) -> int:
    return sum(isinstance(child, _Function) + _count_functions(child) for child in _statements(node))


def _documentation(node: _Function) -> tuple[str, str]:
    """(reason to skip, docstring)"""
    doc = (ast.get_docstring(node) or "").strip()
    if not doc:
        return "no docstring", ""
    prose = re.sub(r"^\s*(?:>>>|\.\.\.).*$", "", doc, flags=re.MULTILINE)
    if len(_WORD.findall(prose)) < MIN_DOC_WORDS or _EMPTY_DOC.fullmatch(doc):
        return "thin docstring", ""
    body = node.body[1:]
    if not body or (len(body) == 1 and _is_stub(body[0])):
        return "stub", ""
    if len(body) == 1 and _only_delegates(body[0]):
        return "only delegates", ""
    return "", doc


def _is_stub(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id in {"NotImplementedError", "NotImplemented"}
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant | ast.Name)
    return isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


def _only_delegates(statement: ast.stmt) -> bool:
    """Whether the statement only hands its plain arguments to another function."""
    value = statement.value if isinstance(statement, ast.Return | ast.Expr) else None
    if isinstance(value, ast.Await):
        value = value.value
    if isinstance(value, ast.Attribute):
        return _is_plain(value)
    if not isinstance(value, ast.Call):
        return False
    called: ast.expr = value.func
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Call) and not called.value.args:
        called = called.value.func  # super().method(...)
    return _is_plain(called) and all(_is_plain(a) for a in [*value.args, *(k.value for k in value.keywords)])


def _is_plain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute | ast.Starred):
        node = node.value
    return isinstance(node, ast.Name | ast.Constant)


def _instruction(owners: Sequence[ast.ClassDef], node: _Function, doc: str) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    signature = f"`{node.name}({ast.unparse(node.args)}){returns}`"
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    if not owners:
        return f"Write an {kind}function {signature} in Python.\n\n{doc}" if kind else f"Write a Python function {signature}.\n\n{doc}"
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id in {"property", "classmethod", "staticmethod", "cached_property"}:
            kind = {"classmethod": "class ", "staticmethod": "static "}.get(decorator.id, "property ")
        elif isinstance(decorator, ast.Attribute) and decorator.attr in {"setter", "deleter"}:
            kind = f"property {decorator.attr} "
    owner = ".".join(o.name for o in owners)
    summary = (ast.get_docstring(owners[-1]) or "").strip().partition("\n\n")[0]
    about = f" The class: {' '.join(summary.split())}" if len(_WORD.findall(summary)) >= MIN_DOC_WORDS else ""
    what = kind.strip() if kind.startswith("property") else f"{kind}method"
    return f"Write the {what} {signature} of the Python class `{owner}`.{about}\n\n{doc}"


def _response(lines: Sequence[str], node: _Function) -> tuple[str, list[str]] | None:
    """(dedented source without the docstring, its lexical tokens), or None when what is left is no Python."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    doc = node.body[0]
    end = doc.end_lineno or doc.lineno
    before = _cut(lines[doc.lineno - 1], 0, doc.col_offset)
    after = _cut(lines[end - 1], doc.end_col_offset or 0, None).lstrip()
    kept = list(lines[first - 1 : doc.lineno - 1])
    if before.strip() or (after and not after.startswith("#")):
        kept.append(before + after.removeprefix(";").lstrip())
        rest = list(lines[end : node.end_lineno])
    else:
        rest = list(lines[end : node.end_lineno])
        while rest and not rest[0].strip():
            rest.pop(0)
    kept += rest
    try:
        tokens, inside_string = _lex("\n".join(kept) + "\n")
    except (SyntaxError, tokenize.TokenError):
        return None
    indent = kept[0][: len(kept[0]) - len(kept[0].lstrip())]
    code = "\n".join(line if number in inside_string else _dedent(line, indent) for number, line in enumerate(kept, 1))
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return code, tokens


def _dedent(line: str, indent: str) -> str:
    return line.removeprefix(indent).rstrip() if line.strip() else ""


def _cut(line: str, start: int, stop: int | None) -> str:
    """Part of a line by UTF-8 byte offsets, the unit of `ast` columns."""
    return line[start:stop] if line.isascii() else line.encode("utf-8")[start:stop].decode("utf-8")


_LAYOUT = {
    tokenize.ENCODING, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT
}  # fmt: skip
# From Python 3.12 an f-string comes in pieces between *STRING_START and *STRING_END; before, it is one STRING.
_OPENING = {kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_START")}
_CLOSING = {kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_END")}


def _lex(code: str) -> tuple[list[str], set[int]]:
    """(lexical tokens, 1-based numbers of the lines that begin inside a string)"""
    tokens: list[str] = []
    inside: set[int] = set()
    opened: list[tuple[int, int]] = []
    lines = code.split("\n")
    for kind, text, (row, column), (end_row, end_column), _ in tokenize.generate_tokens(io.StringIO(code).readline):
        if kind in _OPENING:
            opened.append((row, column))
        elif kind in _CLOSING:
            row, column = opened.pop()
            inside.update(range(row + 1, end_row + 1))
            if not opened:
                part = lines[row - 1 : end_row]
                part[-1] = part[-1][:end_column]
                tokens.append("\n".join(part)[column:])
        elif not opened and kind not in _LAYOUT:
            tokens.append(text)
            if end_row > row:
                inside.update(range(row + 1, end_row + 1))
    return tokens, inside
