"""Chosen rows out again, untouched, in the forms that are read: whole or not at all."""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from codeact.errors import InputError
from codeact.files import Whole, address_of, atomic, is_remote, make_folder, name_of
from codeact.parquet import write_parquet
from codeact.sources.lines import LINE_KINDS, check_positions, picked, picked_lines
from codeact.sources.names import DELIMITED, KINDS, STDIN, kind_of
from codeact.sources.writing import packed, table_of, texts, to_stdout, write_arrow
from codeact.storage import Source

WRITABLE = tuple(kind for kind in KINDS if kind not in DELIMITED)


def write_rows(source: Source, indices: Sequence[int], target: str | Path, *, replace: bool = True, whole: Whole | None = None) -> None:
    """Write the chosen rows of `source`, untouched and in the order of the input; `-` writes JSON lines to stdout.

    JSON lines that came as such are the bytes of their lines, as they are in the file.

    Args:
        source: of the rows.
        indices: which, in any order.
        target: a file, an address (`s3://...`), or `-`.
        replace: write over an object that is behind the address; a local file always is.
        whole: as in `files.atomic`; before an object is sent, called with what will be its content.

    Raises:
        InputError: the suffix of `target` is none of `WRITABLE`, or the rows do not fit that form; the disk is full or the folder cannot
            be written: nothing half-written is left.
    """
    path = Path(target)
    if is_remote(target):
        from codeact.sources.remote import send

        _check_kind(path, source.delimited)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            write_rows(source, indices, copy)
            if whole is not None:
                whole(copy)
            send(copy, address_of(target), replace=replace)
        return
    check_writable(path, source.delimited)
    kept = sorted(indices)
    check_positions(kept, len(source.rows))
    if str(target) == STDIN:
        to_stdout(chosen_lines(source, kept))
        return
    kind = kind_of(path)
    if kind in (".parquet", ".arrow"):
        table = table_of(list(picked(source.rows, kept)), path) if source.table is None else source.table.take(kept)
        (write_parquet if kind == ".parquet" else write_arrow)(table, path, whole)
        return
    lines = kind in LINE_KINDS
    with atomic(path, whole=whole) as handle:
        for text in packed(chosen_lines(source, kept), path) if lines else texts(list(picked(source.rows, kept)), kind, path):
            handle.write(text)


def chosen_lines(source: Source, positions: Sequence[int]) -> Iterator[bytes]:
    """JSON lines of these rows, which ascend: a line of a file as it is; half a surrogate pair stays its escape, the same text again."""
    counts = [count for _, count in source.parts] or [len(source.rows)]
    start = 0
    for count, lines in zip(counts, source.lines or (None,) * len(counts), strict=True):
        inside = positions[bisect_left(positions, start) : bisect_left(positions, start + count)]
        if lines is not None and not lines.changed():
            yield from picked_lines(lines, [at - start for at in inside])
        else:
            for row in picked(source.rows, inside):
                yield (json.dumps(row, ensure_ascii=False, default=str) + "\n").encode("utf-8", "backslashreplace")
        start += count


def check_writable(path: Path, delimited: bool = False) -> None:
    """Say before the long work, not after it, that an output cannot be written.

    Args:
        path: of the output; `-` is stdout.
        delimited: whether the rows came as CSV or TSV, and may be written as such.

    Raises:
        InputError: unknown suffix, a folder in the way, or a folder that cannot be written.
    """
    if str(path) == STDIN:
        return
    _check_kind(path, delimited)
    if path.is_dir():
        raise InputError(f"output {path} is a folder; name a file in it")
    if is_remote(path):
        from codeact.sources import remote

        remote.check_writable(address_of(path))
        return
    make_folder(path.parent)


def _check_kind(path: Path, delimited: bool) -> None:
    known = KINDS if delimited else WRITABLE
    if kind_of(path) not in known:
        only = " (for rows that came as CSV)" if kind_of(path) in DELIMITED else ""
        raise InputError(
            f"output {name_of(path)}: unknown file type {path.suffix!r}{only}; use one of {', '.join(known)}, or .jsonl.gz, .jsonl.zst"
        )
