"""Many patterns over one text: which of them can match at all, told by plain search for strings that every match holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
        numbers: of each pair of neighbouring bytes (the first in the upper eight bits) its number, from 1 on, where a string holds it; else 0.
        pairs: of each string, in a column, the numbers of its first pairs of neighbouring letters, padded with -1.
        most: the largest number.
    """

    patterns: tuple[re.Pattern[str], ...]
    always: frozenset[int]
    waiting: tuple[tuple[str, tuple[int, ...]], ...]
    numbers: NDArray[np.intp]
    pairs: NDArray[np.intp]
    most: int

    def candidates(self, text: str) -> set[int]:
        """Positions of the patterns that may match somewhere in the text; all others cannot.

        What pairs of letters the text holds says of most strings that they are not in it, at once.
        """
        found = set(self.always)
        there = np.zeros(self.most + 2, np.bool_)
        letters = text.encode("latin-1", "replace")  # beyond Latin-1 all are the same
        for start in (0, 1):  # pairs that begin at even places, and at odd ones
            count = (len(letters) - start) // 2
            if count > 0:
                there[self.numbers.take(np.frombuffer(letters, ">u2", count, start))] = True
        there[-1] = True
        for at in np.flatnonzero(there.take(self.pairs).all(axis=0)).tolist():
            needle, positions = self.waiting[at]
            if needle in text:
                found.update(positions)
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
    numbers, most = np.zeros(1 << 16, np.intp), 0
    pairs = np.full((_PAIRS, len(each)), -1, np.intp)
    for column, needle in enumerate(waiting):
        for row, (left, right) in enumerate(pairwise(needle.encode("latin-1", "replace")[: _PAIRS + 1])):
            code = left * 256 + right
            if not numbers[code]:
                most += 1
                numbers[code] = most
            pairs[row, column] = numbers[code]
    return Screen(tuple(patterns), frozenset(always), each, numbers, pairs, most)


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
