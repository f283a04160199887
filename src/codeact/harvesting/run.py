"""Instruction data from source code: every documented Python function of a tree becomes a record."""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codeact.confidential import find_confidential
from codeact.config import DEFAULTS, SECRET_KINDS, SecretKind
from codeact.errors import InputError
from codeact.harvesting.files import STDLIB, SourceFile, find_files, find_spdx, is_generated, real_path
from codeact.harvesting.functions import documentation, functions, instruction_for, response_for
from codeact.parsing import too_costly
from codeact.progress import track
from codeact.records import Message, Record, content_hash

MAX_FILE_BYTES = 500_000  # CPython takes up to a kilobyte of memory for each character


@dataclass(frozen=True)
class Harvest:
    """What a harvest brought in.

    Attributes:
        records: one per documented function, ordered by root, path and line.
        skipped: reason -> number of files or functions left out.
        problems: one line for each file that could not be used, and for each function that holds a secret: its path and why.
    """

    records: list[Record]
    skipped: Counter[str]
    problems: tuple[str, ...]


def harvest_functions(
    roots: Sequence[str | Path],
    *,
    min_tokens: int = DEFAULTS.data.harvest.min_tokens,
    max_tokens: int = DEFAULTS.data.harvest.max_tokens,
    secrets: Sequence[SecretKind] = SECRET_KINDS,
) -> Harvest:
    """Turn every documented function and method under `roots` into a record.

    The instruction is made from the signature and the docstring, the response is the function's source without that
    docstring, dedented, as raw code. A length is a number of Python lexical tokens: names, numbers, strings and
    operators as `tokenize` finds them (an f-string is one token); comments, line ends and indentation do not count.

    Args:
        roots: folders or single .py files; `"stdlib"` is the running Python's own standard library.
        min_tokens: shortest response kept, in lexical tokens.
        max_tokens: longest response kept, in lexical tokens.
        secrets: kinds of secrets and personal data; a function that holds one is left out, and neither kept nor shown.

    Raises:
        InputError: no root, a root that does not exist or holds no Python file to harvest, or impossible token limits.
    """
    if not 1 <= min_tokens <= max_tokens:
        raise InputError(
            f"harvest: min_tokens = {min_tokens} and max_tokens = {max_tokens}; give 1 <= min_tokens <= max_tokens"
        )
    if isinstance(roots, str | Path):
        roots = [roots]
    if not roots:
        raise InputError(f"harvest: no root given; name a source folder, or {STDLIB!r}")
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    files: dict[Path, SourceFile] = {}
    for root in roots:
        found = find_files(root, skipped, problems)
        if not found:
            raise InputError(
                f"harvest: {root} holds no Python file to harvest (hidden, test, vendored and generated files and links out of it do not count)"
            )
        for file in found:
            files.setdefault(real_path(file.path), file)
    records: list[Record] = []
    seen: set[tuple[str, ...]] = set()
    with track("harvest", len(files), "files") as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in files.values():
            for key, messages, meta in _harvest_file(file, min_tokens, max_tokens, skipped, problems):
                if key in seen:
                    skipped["duplicate"] += 1
                    continue
                seen.add(key)
                record = Record(content_hash(messages), messages, MappingProxyType({**meta, "row": len(records)}))
                finding = find_confidential(record, secrets)
                if finding is None:
                    records.append(record)
                else:
                    skipped[finding.reason] += 1
                    problems.append(
                        f"{file.root}/{file.relative}: {meta['name']} (line {meta['line']}) is left out: {finding.reason}"
                    )
            progress.advance()
    return Harvest(records, skipped, tuple(problems))


def to_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Harvested records as rows `{"id", "instruction", "output", "source", "file", ...}`, the form that every command reads."""
    return [
        {
            "id": r.id,
            "instruction": r.instruction,
            "output": r.response,
            **{k: v for k, v in r.meta.items() if k != "row"},
        }
        for r in records
    ]


def _harvest_file(
    file: SourceFile, min_tokens: int, max_tokens: int, skipped: Counter[str], problems: list[str]
) -> Iterator[tuple[tuple[str, ...], tuple[Message, ...], dict[str, Any]]]:
    """(lexical tokens of the response, messages, meta) of every function that is kept"""
    lines: list[str] = []
    try:
        lines = _read(file.path)
        if is_generated(lines):
            skipped["generated file"] += 1
            return
        source = "\n".join(lines)
        if why := too_costly(source, MAX_FILE_BYTES):
            raise ValueError(why)
        found, inner = functions(ast.parse(source))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # What `tokenize.open` refuses is a SyntaxError too: an unknown encoding, or bytes that are not of the one declared.
        reason = (
            "unreadable file" if isinstance(error, OSError) else "file does not parse" if lines else "undecodable file"
        )
        skipped[reason] += 1
        problems.append(f"{file.root}/{file.relative}: {reason}: {' '.join(str(error).split())}")
        return
    if inner:
        skipped["inner function"] += inner
    licence = find_spdx(lines) or file.licence
    for owners, node in found:
        try:
            reason, instruction, response, tokens = _pair(lines, owners, node)
        except RecursionError:
            reason = "nested too deeply"
        if not reason and len(tokens) < min_tokens:
            reason = "too short"
        if not reason and len(tokens) > max_tokens:
            reason = "too long"
        if reason:
            skipped[reason] += 1
            continue
        meta = {
            "source": file.root,
            "file": file.relative,
            "line": node.lineno,
            "name": ".".join([*(owner.name for owner in owners), node.name]),
            "license": licence,
            "language": "python",
            "tokens": len(tokens),
        }
        yield tuple(tokens), (Message("user", instruction), Message("assistant", response)), meta


def _pair(
    lines: list[str], owners: tuple[ast.ClassDef, ...], node: ast.FunctionDef | ast.AsyncFunctionDef
) -> tuple[str, str, str, list[str]]:
    """(reason to skip or "", instruction, response, lexical tokens of the response)"""
    reason, doc = documentation(node)
    made = None if reason else response_for(lines, node)
    if made is None:
        return reason or "response does not parse", "", "", []
    return "", instruction_for(owners, node, doc), *made


def _read(path: Path) -> list[str]:
    if not path.is_file():
        raise OSError("a broken link, or no regular file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise OSError(f"larger than {MAX_FILE_BYTES:,} bytes")
    with tokenize.open(path) as stream:
        return stream.read().split("\n")
