"""The index of the benchmarks, which takes a second to make, kept in the cache directory from one run to the next."""

from __future__ import annotations

import hashlib
import marshal
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codeact import parsing
from codeact.curate.decontaminate import BenchmarkItem, Index, build_index
from codeact.errors import InputError
from codeact.files import cache_dir, write_bytes

MOST = 4
"""Indexes that are kept; the oldest go."""
_SEAL = 32


def kept_index(items: Sequence[BenchmarkItem], ngram: int) -> Index:
    """`build_index`, read where it was kept: of the same tasks and made by the same code. What cannot be read or written is made anew."""
    folder = cache_dir() / "indexes"
    path = folder / f"{_key(items, ngram)}.bin"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_SEAL:]).digest() == data[:_SEAL]:
            sequences, functions, shapes = marshal.loads(data[_SEAL:])
            return Index(tuple(items), ngram, sequences, functions, shapes)
    except (OSError, ValueError, EOFError, TypeError):
        pass
    found = build_index(items, ngram)
    told: Any = (found.sequences, found.functions, found.shapes)
    data = marshal.dumps(told)
    try:
        write_bytes(path, hashlib.sha256(data).digest() + data)
        for old in sorted(folder.glob("*.bin"), key=lambda one: one.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
    except (InputError, OSError):
        pass  # the index is there all the same
    return found


def _key(items: Sequence[BenchmarkItem], ngram: int) -> str:
    """Of the tasks, and of the code that makes an index of them."""
    known = hashlib.sha256(repr((sys.version_info[:2], unicodedata.unidata_version, ngram)).encode())
    for file in (*sorted(Path(__file__).parent.glob("*.py")), Path(parsing.__file__)):
        known.update(file.read_bytes())
    for item in items:
        known.update(repr((item.benchmark, item.id, item.text_prompt, item.solution)).encode())
    return known.hexdigest()[:32]
