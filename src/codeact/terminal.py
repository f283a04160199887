"""Text of anybody's, as a terminal may have it: what one would obey is written out."""

from __future__ import annotations

import re
from itertools import accumulate, takewhile
from unicodedata import east_asian_width

# controls but for the tabulator; marks that turn the direction of all that follows; halves of surrogate pairs
_OBEYED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text on one line: a control character, a line end too, as its escape, `\\x1b`."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def visible_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(visible, re.split("\r?\n", text)))


def fitting(text: str, width: int) -> str:
    """The beginning of a line that fits into so many columns, `...` at its end where something is cut; wide letters take two."""
    wide = [1 + (east_asian_width(letter) in "FW") for letter in text]
    if sum(wide) <= width:
        return text
    fits = list(takewhile(lambda end: end <= width - 3, accumulate(wide)))
    return text[: len(fits)] + "..." if width > 3 else ""
