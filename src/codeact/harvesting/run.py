"""Instruction data from source code: every documented function of a tree becomes a record."""

from __future__ import annotations

import hashlib
import sys
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codeact.amounts import is_number
from codeact.confidential import find_possible
from codeact.config import DEFAULTS, SECRET_KINDS, SecretKind
from codeact.draws import seeded_order
from codeact.errors import InputError
from codeact.grammars import grammar_parser
from codeact.harvesting.commits import changes, head_of
from codeact.harvesting.documentation import MAX_FILE_BYTES, MAX_GRAMMAR_BYTES
from codeact.harvesting.files import (
    EVERYTHING,
    PYTHON,
    STDLIB,
    SourceFile,
    Wanted,
    find_files,
    is_generated,
    is_minified,
    language_name,
    real_path,
)
from codeact.harvesting.functions import python_functions
from codeact.harvesting.grammar_functions import grammar_functions
from codeact.harvesting.licences import find_spdx, licence_of_root
from codeact.progress import track
from codeact.records import Message, Record, content_hash

Made = tuple[tuple[str, ...], tuple[Message, ...], dict[str, Any]]
"""What tells copies apart (the lexical tokens of the response), the messages, the columns."""
DESCRIBED_BY = "described_by"
"""Column of functions without documentation: the model that wrote what they are for, "" before one has."""


@dataclass(frozen=True)
class Harvest:
    """What a harvest brought in.

    Attributes:
        records: one per documented function, ordered by root, path and line. With `undocumented` also one per other function; its
            instruction is the signature alone, and `DESCRIBED_BY` is an empty column of it.
        skipped: reason -> number of files or functions left out.
        problems: one line for each file that could not be used, and for each function that holds a secret: its path and why.
        possible: the place of each function that is kept and holds what may be a password, a key or somebody's e-mail address.
    """

    records: list[Record]
    skipped: Counter[str]
    problems: tuple[str, ...]
    possible: tuple[str, ...] = ()


def harvest_functions(
    roots: Sequence[str | Path],
    *,
    min_tokens: int = DEFAULTS.data.harvest.min_tokens,
    max_tokens: int = DEFAULTS.data.harvest.max_tokens,
    secrets: Sequence[SecretKind] = SECRET_KINDS,
    languages: Sequence[str] = DEFAULTS.data.harvest.languages,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    commits: int = 0,
    undocumented: bool = False,
) -> Harvest:
    """Turn every documented function and method under `roots` into a record.

    The instruction is made from the signature and the docstring, the response is the function's source without that
    docstring, dedented, as raw code. A length is a number of lexical tokens: of Python names, numbers, strings and
    operators as `tokenize` finds them (an f-string is one token), of other languages the leaves of tree-sitter's tree;
    comments, line ends and indentation do not count.

    Args:
        roots: folders or single files; `"stdlib"` is the running Python's own standard library.
        min_tokens: shortest response kept, in lexical tokens.
        max_tokens: longest response kept, in lexical tokens.
        secrets: kinds of secrets and personal data; a function that holds one is left out, and neither kept nor shown.
        languages: of the functions: python, c, cpp, go, java, javascript, rust, typescript.
        include: patterns as of `fnmatch` on the path inside the root, on those of its folders and on the file's name; only files that
            fit one are read.
        exclude: patterns of what is left out, likewise.
        commits: so many of the newest commits of each root's repository are looked at; one that changes one function is a record:
            its message and the function before, and after.
        undocumented: functions without documentation are records too, of their signature alone, for somebody to describe. One that
            is a copy of a documented function is left out.

    Raises:
        InputError: no root, a root that does not exist or holds no file to harvest, or impossible token limits.
        MissingExtraError: another language than Python without the extra `curate`.
    """
    if not 1 <= min_tokens <= max_tokens:
        raise InputError(
            f"harvest: min_tokens = {min_tokens} and max_tokens = {max_tokens}; give 1 <= min_tokens <= max_tokens"
        )
    if isinstance(roots, str | Path):
        roots = [roots]
    if not roots:
        raise InputError(f"harvest: no root given; name a source folder, or {STDLIB!r}")
    wanted = Wanted(tuple(languages), tuple(include), tuple(exclude))
    for language in wanted.languages:
        if language != PYTHON:
            grammar_parser(language, f"harvesting {language_name(language)}")
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    files: dict[Path, SourceFile] = {}
    for root in roots:
        found = find_files(root, skipped, problems, wanted)
        if not found:
            raise InputError(f"harvest: {root} holds no {_names(wanted)} file to harvest{_elsewhere(root, wanted)}")
        for file in found:
            files.setdefault(real_path(file.path), file)
    made: list[Made] = []
    limits = min_tokens, max_tokens
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with track("harvest", len(files), "files") as progress:
            for file in files.values():
                made += _harvest_file(file, limits, skipped, problems, undocumented)
                progress.advance()
        for root in roots if commits else ():
            made += _harvest_history(Path(root), commits, wanted, limits, skipped)
    return _without_secrets([_record(messages, meta) for _, messages, meta in _without_copies(made, skipped)], secrets, skipped, problems)


def _without_copies(made: Sequence[Made], skipped: Counter[str]) -> Iterator[Made]:
    """The first of each key; a documented function goes before its copies without documentation."""
    documented = {key for key, _, meta in made if DESCRIBED_BY not in meta}
    seen: set[tuple[str, ...]] = set()
    for one in made:
        key, _, meta = one
        if key in seen or (DESCRIBED_BY in meta and key in documented):
            skipped["duplicate"] += 1
            continue
        seen.add(key)
        yield one


def _record(messages: tuple[Message, ...], meta: Mapping[str, Any]) -> Record:
    return Record(content_hash(messages), messages, MappingProxyType(dict(meta)))


def _without_secrets(
    records: Iterable[Record], kinds: Sequence[SecretKind], skipped: Counter[str], problems: list[str]
) -> Harvest:
    kept: list[Record] = []
    possible: list[str] = []
    for record in records:
        documented = not record.meta.keys() & {"commit", DESCRIBED_BY}
        finding, maybe = find_possible(record, kinds, documented)
        if finding is None:
            kept.append(replace(record, meta=MappingProxyType({**record.meta, "row": len(kept)})))
            possible += [] if maybe is None else [place_of(record)]
            continue
        skipped[finding.reason] += 1
        problems.append(f"{place_of(record)} is left out: {finding.reason}")
    return Harvest(kept, skipped, tuple(problems), tuple(possible))


def place_of(record: Record) -> str:
    """Where a harvested function stands, for people."""
    meta = record.meta
    return f"{meta['source']}/{meta['file']}: {meta['name']} (line {meta['line']})"


def with_descriptions(
    found: Harvest, descriptions: Mapping[str, str], faults: Mapping[str, str], model: str, secrets: Sequence[SecretKind]
) -> Harvest:
    """A harvest with `undocumented` functions, these described or left out.

    Args:
        found: a harvest, or a part of one.
        descriptions: record id -> what the function is for; the instruction is its signature, and this below.
        faults: record id -> why there is no description, of all other undocumented functions.
        model: who wrote them: the column `DESCRIBED_BY`.
        secrets: looked for in the descriptions as well.
    """
    skipped, problems = Counter(found.skipped), list(found.problems)
    records: list[Record] = []
    for record in found.records:
        if record.meta.get(DESCRIBED_BY) != "":
            records.append(record)
        elif record.id in descriptions:
            asked = Message("user", f"{record.instruction}\n\n{descriptions[record.id]}")
            records.append(_record((asked, *record.messages[1:]), {**record.meta, DESCRIBED_BY: model}))
        else:
            skipped[f"description: {faults[record.id]}"] += 1
            problems.append(f"{place_of(record)} is left out: its description: {faults[record.id]}")
    return _without_secrets(records, secrets, skipped, problems)


def _names(wanted: Wanted) -> str:
    return " or ".join(language_name(language) for language in wanted.languages)


def _elsewhere(root: str | Path, wanted: Wanted) -> str:
    """Of an empty harvest: files of other languages that are there, and what does not count."""
    if wanted.include or wanted.exclude:
        return " (files that the patterns of include and exclude leave out are not counted)"
    others = Counter(file.language for file in find_files(root, Counter(), [], EVERYTHING))
    if others:
        told = ", ".join(f"{count:,} of {language_name(language)}" for language, count in others.most_common())
        return f"; it holds {told}: --languages {','.join(language for language, _ in others.most_common())}"
    return " (hidden, test, vendored and generated files and links out of it do not count)"


def check_share(share: float) -> None:
    """Refuse a share that holds out nothing that makes sense.

    Raises:
        InputError: it is not from 0 to below 1.
    """
    if not is_number(share) or not 0 <= share < 1:
        raise InputError(f"harvest: held_out = {share!r}; give a share from 0 to below 1, for example 0.1")


def hold_out(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Records to learn from and records to measure with: the set of whole files whose records come nearest to that share.

    Functions of one file help each other, so a file is on one side only. Of equally near sets one is drawn by seed. A share above 0
    holds out one file at least, and one file at least is left.

    Raises:
        InputError: `share` is not from 0 to below 1, or above 0 where all records are of one file.
    """
    check_share(share)
    if not share:
        return list(records), []
    sizes = Counter(f"{record.meta['source']}/{record.meta['file']}" for record in records)
    if len(sizes) < 2:
        raise InputError(f"harvest: held_out = {share} would hold out all: every record is of one file, and a file is on one side only")
    names = list(sizes)
    order = [names[number] for number in seeded_order(names, seed).tolist()]
    drawn = {order[place] for place in _nearest([sizes[name] for name in order], share * len(records))}
    held = [f"{record.meta['source']}/{record.meta['file']}" in drawn for record in records]
    return [r for r, out in zip(records, held, strict=True) if not out], [r for r, out in zip(records, held, strict=True) if out]


def _nearest(sizes: Sequence[int], wanted: float) -> list[int]:
    """The places of some, not all, of two or more sizes whose sum is nearest to `wanted`, the smaller of two; early places first."""
    total = sum(sizes)
    goal = max(1, min(total - 1, ceil(wanted - 0.5)))
    most = min(total - 1, max(2 * goal, min(sizes)))  # a larger sum is never nearer
    reached, last = 1, {0: -1}  # bit s: some of the sizes so far add up to s; of which the last is last[s]
    for place, size in enumerate(sizes):
        new = (reached << size) & ~reached & ((2 << most) - 1)
        reached |= new
        while new:
            low = new & -new
            last[low.bit_length() - 1] = place
            new ^= low
        if goal in last:
            break
    left, places = min((s for s in last if s), key=lambda s: (abs(s - wanted), s)), []
    while left:
        places.append(last[left])
        left -= sizes[last[left]]
    return places


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


def _harvest_history(
    root: Path, commits: int, wanted: Wanted, limits: tuple[int, int], skipped: Counter[str]
) -> Iterator[Made]:
    base = root.resolve()
    licence = licence_of_root(base)
    for change in changes(root, commits, wanted, skipped):
        if reason := _length_fault(change.tokens, *limits):
            skipped[reason] += 1
            continue
        meta = {
            "source": base.name, "file": change.relative, "line": change.line, "name": change.name, "license": licence,
            "language": change.language, "tokens": len(change.tokens), "commit": change.commit,
        }  # fmt: skip
        messages = Message("user", change.instruction), Message("assistant", change.response)
        yield (change.instruction, *change.tokens), messages, meta


def _harvest_file(
    file: SourceFile, limits: tuple[int, int], skipped: Counter[str], problems: list[str], undocumented: bool
) -> Iterator[Made]:
    lines: list[str] = []
    try:
        lines = _read(file)
        if is_generated(lines) or (file.language != PYTHON and is_minified(lines)):
            skipped["generated file"] += 1
            return
        read = python_functions(lines, skipped, undocumented) if file.language == PYTHON else grammar_functions(
            "\n".join(lines), file.language, file.path.suffix.lower(), skipped, undocumented
        )
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # What `tokenize.open` refuses is a SyntaxError too: an unknown encoding, or bytes that are not of the one declared.
        reason = (
            "unreadable file" if isinstance(error, OSError) else "file does not parse" if lines else "undecodable file"
        )
        skipped[reason] += 1
        problems.append(f"{file.root}/{file.relative}: {reason}: {' '.join(str(error).split())}")
        return
    licence = find_spdx(lines) or file.licence
    for function in read:
        if reason := _length_fault(function.tokens, *limits):
            skipped[reason] += 1
            continue
        meta = {
            "source": file.root,
            "file": file.relative,
            "line": function.line,
            "name": function.name,
            "license": licence,
            "language": file.language,
            "tokens": len(function.tokens),
            **({} if function.documented else {DESCRIBED_BY: ""}),
        }
        yield function.tokens, (Message("user", function.instruction), Message("assistant", function.response)), meta


def tree_identity(
    root: str | Path, *, languages: Sequence[str] = (PYTHON,), include: Sequence[str] = (), exclude: Sequence[str] = (),
    history: bool = False,
) -> str:
    """16 hex digits that change when the wanted files of a tree, their licence hints or this Python's version change; of its
    commits, with `history`, the one that is checked out.

    Raises:
        InputError: as `find_files`.
    """
    total = hashlib.sha256(sys.version.encode())
    for file in find_files(root, Counter(), [], Wanted(tuple(languages), tuple(include), tuple(exclude))):
        total.update(f"{file.root}\0{file.relative}\0{file.licence}\0".encode("utf-8", "surrogateescape"))
        try:
            content = file.path.read_bytes() if file.path.is_file() else b""
        except OSError:
            content = b""
        total.update(hashlib.sha256(content).digest())
    if history:
        total.update(head_of(Path(root)).encode())
    return total.hexdigest()[:16]


def _length_fault(tokens: Sequence[str], least: int, most: int) -> str:
    return "too short" if len(tokens) < least else "too long" if len(tokens) > most else ""


def _read(file: SourceFile) -> list[str]:
    path = file.path
    if not path.is_file():
        raise OSError("a broken link, or no regular file")
    most = MAX_FILE_BYTES if file.language == PYTHON else MAX_GRAMMAR_BYTES
    if path.stat().st_size > most:
        raise OSError(f"larger than {most:,} bytes")
    with tokenize.open(path) if file.language == PYTHON else path.open(encoding="utf-8-sig") as stream:
        return stream.read().split("\n")
