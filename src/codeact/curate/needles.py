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
_PAIRS = 3
_WORD = re.compile(r"\w[\w ]*+(?![?*+{])|\w[\w ]*(?=[\w ][?*+{])")
_ONE_OF = re.compile(r"\(\?:((?:\w[\w ]*\|)*\w[\w ]*)\)(?![?*+{])")


@dataclass(frozen=True)
class Screen:
    """Tells which patterns are worth a search.

    Attributes:
        patterns: the compiled patterns.
        quick: the same, as `quick` makes them.
        always: positions in `patterns` of those that nothing is known of.
        waiting: a string, and the positions of the patterns of whose needles it is one.
        numbers: of each pair of neighbouring bytes (the second in the upper eight bits) its number, from 1 on, where it is asked for; else 0.
        pairs: of each string, in a column, the numbers of its first, middle and last pairs of neighbouring letters, -1 where it has none.
        most: the largest number.
    """

    patterns: tuple[re.Pattern[str], ...]
    quick: tuple[tuple[re.Pattern[str], bool], ...]
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
        both = letters + b"\0"[: len(letters) & 1] + letters[1:]  # pairs that begin at even places, then those at odd ones
        there[self.numbers.take(np.frombuffer(both, "<u2", len(both) // 2))] = True
        there[-1] = True
        may = there.take(self.pairs[0])
        for row in self.pairs[1:]:
            may &= there.take(row)
        for at in may.nonzero()[0].tolist():
            needle, positions = self.waiting[at]
            if needle in text:
                found.update(positions)
        return found

    def matches(self, at: int, text: str) -> bool:
        """Whether the pattern at this position matches somewhere in the text."""
        pattern, below = self.quick[at]
        return pattern.search("\n" + text if below else text) is not None


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
        own = [left + 256 * right for left, right in pairwise(needle.encode("latin-1", "replace"))]
        for row, code in enumerate((own[0], own[len(own) // 2], own[-1]) if own else ()):
            if not numbers[code]:
                most += 1
                numbers[code] = most
            pairs[row, column] = numbers[code]
    return Screen(tuple(patterns), tuple(map(quick, patterns)), frozenset(always), each, numbers, pairs, most)


def quick(pattern: re.Pattern[str]) -> tuple[re.Pattern[str], bool]:
    """A pattern that matches somewhere where this one does, and nowhere else; whether it is to be searched below an empty line.

    Python's engine leaps from one place of a pattern's first letters to the next, but not where `^` or `\\b` stands before them: the start
    of a line becomes the end of the line before, and that no letter precedes a word is asked behind it. It is many times as fast.
    """
    text, flags = pattern.pattern, pattern.flags
    head = next((sign for sign in ("^", r"\b") if text.startswith(sign)), "")
    rest = text.removeprefix(head)
    if not head or flags & re.VERBOSE or _parsed(f"{head}(?:{rest})", flags) != _parsed(text, flags):  # it begins one way of several
        return pattern, False
    if head == "^":
        return (re.compile(rf"\n{rest}", flags), True) if flags & re.MULTILINE else (pattern, False)
    if (some := _ONE_OF.match(rest)) is not None:
        words = "|".join(f"{word[0]}(?<!\\w{word[0]}){word[1:]}" for word in some[1].split("|"))
        return re.compile(f"(?:{words}){rest[some.end() :]}", flags), False
    if (first := _WORD.match(rest)) is not None:
        return re.compile(rf"{first[0]}(?<!\w{first[0]}){rest[first.end() :]}", flags), False
    return pattern, False


def _parsed(pattern: str, flags: int) -> str:
    return repr(re._parser.parse(pattern, flags))  # type: ignore[attr-defined]


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
