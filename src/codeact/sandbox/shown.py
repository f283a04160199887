"""Values that crossed the border, as short lines for people."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence

from codeact.sandbox.process import one_line

SHOWN_CHARACTERS = 80
SHOWN = reprlib.Repr()  # which sorts sets, so that the line is the same in every run
SHOWN.maxlist = SHOWN.maxtuple = SHOWN.maxset = SHOWN.maxfrozenset = SHOWN.maxdict = SHOWN.maxstring = SHOWN_CHARACTERS
SHOWN.maxother = SHOWN.maxlong = SHOWN_CHARACTERS


def short(value: object) -> str:
    """A value as Python writes it, cut after 80 characters."""
    try:
        text = SHOWN.repr(value[:SHOWN_CHARACTERS] if isinstance(value, bytes) else value)
    except (ValueError, RecursionError):  # integers of more than 4,300 digits, deep nesting
        return f"a large {type(value).__name__}"
    text = one_line(text)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def call(name: str, arguments: Sequence[object], keywords: Mapping[str, object]) -> str:
    """A call as Python writes it."""
    return f"{name}({', '.join([*map(short, arguments), *(f'{key}={short(value)}' for key, value in keywords.items())])})"
