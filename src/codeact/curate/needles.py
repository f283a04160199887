"""Many patterns over one text: which of them can match at all, told by plain search for strings that every match holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 16
_PAIRS = 6


@dataclass(frozen=True)
class Screen:
    """Tells which patterns are worth a search.

    Attributes:
        patterns: the compiled patterns.
        always: positions in `patterns` of those that nothing is known of.
        waiting: a string, and the positions of the patterns of whose needles it is one.
        pairs: of each string, in a column, the codes of its first pairs of neighbouring letters (`_codes`), padded with 0.
    """

    patterns: tuple[re.Pattern[str], ...]
    always: frozenset[int]
    waiting: tuple[tuple[str, tuple[int, ...]], ...]
    pairs: NDArray[np.uint16]

    def candidates(self, text: str) -> set[int]:
        """Positions of the patterns that may match somewhere in the text; all others cannot.

        What pairs of letters the text holds says of most strings that they are not in it, at once.
        """
        found = set(self.always)
        there = np.zeros(1 << 16, np.bool_)
        there[_codes(text)] = True
        there[0] = True
        for at in np.flatnonzero(np.logical_and.reduce(there[self.pairs])).tolist():
            needle, positions = self.waiting[at]
            if needle in text:
                found.update(positions)
        return found


def _codes(text: str) -> NDArray[np.uint16]:
    """A number for each pair of neighbouring letters; letters beyond Latin-1 are all the same."""
    letters = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.uint16)
    found: NDArray[np.uint16] = letters[:-1] * np.uint16(256) + letters[1:]
    return found


def screen(patterns: Sequence[re.Pattern[str]]) -> Screen:
    """The screen of these patterns."""
    waiting: dict[str, list[int]] = {}
    always = set()
    for at, pattern in enumerate(patterns):
        some = needles(pattern)
        always |= set() if some else {at}
        for needle in some:
            waiting.setdefault(needle, []).append(at)
    each = tuple((needle, tuple(found)) for needle, found in waiting.items())
    pairs = np.zeros((len(each), _PAIRS), np.uint16)
    for row, needle in zip(pairs, waiting, strict=True):
        codes = _codes(needle)[:_PAIRS]
        row[: len(codes)] = codes
    return Screen(tuple(patterns), frozenset(always), each, np.ascontiguousarray(pairs.T))


def needles(pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Strings of which every match of the pattern holds at least one, as long as can be told; empty where none can.

    Read from the parsed pattern: what stands in a row of plain letters must stand so in the text, and one of the ways of an
    alternative must. Patterns without regard to case have none.
    """
    if pattern.flags & re.IGNORECASE:
        return ()
    return tuple(sorted(_of_row(re._parser.parse(pattern.pattern, pattern.flags)) or ()))  # type: ignore[attr-defined]


def _of_row(row: Iterable[tuple[Any, Any]]) -> frozenset[str] | None:
    """The best of what the parts of a row ask for, or None."""
    found: list[frozenset[str]] = []
    run = ""
    for operation, argument in row:
        name = str(operation)
        if name == "LITERAL":
            run += chr(argument)
            continue
        if name == "AT":  # a place, of no width
            continue
        found += [frozenset({run})] if run else []
        run = ""
        asked = _of_part(name, argument)
        found += [asked] if asked else []
    found += [frozenset({run})] if run else []
    return max(found, key=lambda some: (min(map(len, some)), -len(some)), default=None)


def _of_part(name: str, argument: Sequence[Any]) -> frozenset[str] | None:
    if name == "SUBPATTERN":
        return None if argument[1] & re.IGNORECASE else _of_row(argument[3])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _of_row(argument[2]) if argument[0] > 0 else None
    if name == "BRANCH":
        ways = [_of_row(way) for way in argument[1]]
        together = frozenset[str]().union(*(way for way in ways if way))
        return together if all(ways) and len(together) <= _MOST else None
    return None
