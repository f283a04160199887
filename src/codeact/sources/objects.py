"""JSON to Python, where a key that stands twice in an object is told and not taken from the last place."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_NO_MARKS = {ord(mark): None for mark in " _-\t"}


class TwiceError(ValueError):
    """A key stands twice in one object, with two values: Python would take the last without a word."""


def keyed(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The mapping of these keys and values.

    Raises:
        TwiceError: a key stands twice, with two values.
    """
    row = dict(pairs)
    if len(row) != len(pairs):
        first: dict[str, Any] = {}
        for key, value in pairs:
            if first.setdefault(key, value) != value:
                raise TwiceError(f"the key {key!r} stands twice in one object, with two values; leave one")
    return row


DECODER = json.JSONDecoder(object_pairs_hook=keyed)
parse = DECODER.decode
"""The value of a JSON text.

Raises:
    TwiceError: a key stands twice in one object, with two values.
    ValueError: broken JSON.
"""


def row_with_two(text: str) -> str:
    """`, row N` of a list, of the first row with a key that stands twice; empty where the document is no list."""
    begin = re.match(r"\s*\[\s*", text)
    at, number = (begin.end(), 1) if begin else (len(text), 0)
    while at < len(text):
        try:
            at = DECODER.raw_decode(text, at)[1]
        except ValueError:
            break
        at += len(text[at : at + 1_000]) - len(text[at : at + 1_000].lstrip(" \t\r\n,"))
        number += 1
    return f", row {number}" if number else ""


def plain_name(name: object) -> str:
    """A column's name for comparing: lower case, without blanks, `_` and `-` (`System Prompt` and `systemPrompt` are one)."""
    return _plain_name(str(name))


@lru_cache(maxsize=4096)  # of a file, all rows have the same few names
def _plain_name(name: str) -> str:
    return name.lower().translate(_NO_MARKS)
