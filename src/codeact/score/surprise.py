"""Where an answer's code has an operator or a whole number: the places at which correct and wrong code look alike.

Read from the text alone, in any language: a place in a string, a comment or prose is none.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codeact.types import Floats

_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})([^`\n]*)")
_CODE_LINE = re.compile(r"[;{}=()\[\]<>]|^\s*(?:return|else|end|do|if|while|and|or)\b", re.IGNORECASE)
# What is not terminated ends with its line, or with the text, so that no character is read twice.
_OPAQUE = re.compile(
    r"""(?P<comment>/\*.*?(?:\*/|\Z)|<!--.*?(?:-->|\Z)|//[^\n]*|\#[^\n]*|--\s[^\n]*)
    |\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|`[^`\n]*`?""",
    re.DOTALL | re.VERBOSE,
)
_MARK = re.compile(
    r"""(?P<operator>
      ===?|!==?|<=(?!>)|>=|&&|\|\||[+-]=|\+\+|(?<!-)--(?!-)
    | (?<=\s)[<>](?=\s)
    | (?<=[\w)\]"'][ ])[+-](?=[ ])
    | (?<=[\w)\]])[+-](?=\d)
    | \b(?:and|or|AND|OR)\b )
    | (?<![\w.#$])(?P<number>\d{1,9})(?![\w%]|\.\d)""",
    re.VERBOSE,
)
MOST_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters `[start, end)` of a text; `kind` is "operator" or "number"."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Spot:
    """Tokens `[start, end)` of a record's scored tokens; `what` is the text, `line` its line in the turn, from 1."""

    start: int
    end: int
    kind: str
    what: str
    line: int


def find_marks(text: str) -> list[Mark]:
    """Operators that have an opposite (comparisons, connectives, sums, steps) and whole numbers, in the order of the text.

    Only code counts: what fences hold, or without fences the lines that look like code; not strings and comments.
    A number that is part of a name, a decimal, a colour or a percentage is none. A text above 1,000,000 characters has none.
    """
    if len(text) > MOST_CHARACTERS:
        return []
    code = _OPAQUE.sub(_hidden, "\n".join(_code_lines(text.split("\n"))))
    return [Mark(m.start(), m.end(), str(m.lastgroup)) for m in _MARK.finditer(code)]


def find_spots(text: str, starts: Sequence[int], scored: int, before: int = 0) -> list[Spot]:
    """The tokens that spell each place of a text.

    Args:
        text: one response.
        starts: character at which each of its tokens starts, ascending; the last token ends with the text.
        scored: how many of these tokens are scored, from the first on.
        before: scored tokens that come before this response.

    Returns:
        One per place that scored tokens spell from its first character to its last.
    """
    found = []
    line, counted = 1, 0
    for mark in find_marks(text):
        line, counted = line + text.count("\n", counted, mark.start), mark.start
        first, last = bisect_right(starts, mark.start) - 1, bisect_left(starts, mark.end)
        if first < 0 or last > scored:
            continue
        what = text[mark.start : mark.end]
        found.append(Spot(before + first, before + last, mark.kind, what, line))
    return found


def worst_spot(spots: Sequence[Spot], losses: Floats) -> tuple[float | None, str]:
    """The largest loss of a place less the logarithm of how many of its kind there are, and where that is.

    The loss is -log p(its tokens | instruction, response so far). Where the tail of the losses falls as exp(-x), the largest of n exceeds
    x with a probability of about n exp(-x) (Bonferroni), so that the logarithm of n is what a long answer is ahead by chance.

    Args:
        spots: places of one record.
        losses: float64 [tokens], nats of each scored token given the instruction.

    Returns:
        Nats and "line 3: '>='"; (None, "") without places.
    """
    worst: tuple[float | None, str] = None, ""
    for kind in ("operator", "number"):
        some = [spot for spot in spots if spot.kind == kind]
        if not some:
            continue
        sums = [float(losses[spot.start : spot.end].sum()) for spot in some]
        at = int(np.argmax(sums))
        value = sums[at] - math.log(len(some))
        if worst[0] is None or value > worst[0]:
            worst = value, f"line {some[at].line}: {some[at].what!r}"
    return worst


def _code_lines(lines: Sequence[str]) -> Iterator[str]:
    """The lines with those that are no code blanked out, each as long as before."""
    fences = [_FENCE.fullmatch(line) for line in lines]
    fenced, fence = any(fences), ""
    for line, found in zip(lines, fences, strict=True):
        if found is None:
            code = bool(fence) if fenced else _CODE_LINE.search(line) is not None
            yield line if code else " " * len(line)
            continue
        if not fence:
            fence = found[1]
        elif not found[2].strip() and found[1].startswith(fence):
            fence = ""
        yield " " * len(line)


def _hidden(found: re.Match[str]) -> str:
    """A comment becomes blanks; a string keeps the look of an operand, for the sign after it."""
    filler = " " if found["comment"] is not None else '"'
    return re.sub(r"[^\n]", filler, found[0])
