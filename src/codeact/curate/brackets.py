"""Brackets of code in any language, outside its strings and comments, and how a text with one of them wrong may be repaired."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_COMMENTS: Mapping[str, str] = {
    "python": "#", "ruby": "#", "bash": "#", "perl": "#", "r": "#", "sql": "--", "haskell": "--", "lua": "--", "vb": "'",
}  # fmt: skip
_CHARACTER_ONLY = frozenset({"rust", "c", "cpp", "java", "csharp", "go", "kotlin", "scala", "swift", "haskell"})
"""Languages in which an apostrophe is a character's quote or none (a lifetime, a prime), never that of a text."""
_STOP = re.compile(r"[\"'`/#<\-()\[\]{}]")
_CHARACTER = re.compile(r"'(?:[^'\\\n]|\\[^\n][^'\n]{0,8})'")
_REST = {quote: re.compile(rf"(?:[^{quote}\\\n]|\\.)*", re.DOTALL) for quote in "\"'"}
LONGEST_ADDRESS = 300
_ADDRESS = re.compile(r"\b(?:https?|ftp)://(?:[^\s()<>\"'`]*(?:#|//))?\Z")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_PARTNERS = {close: opening for opening, close in _CLOSERS.items()}
_MOST_OPEN, _MOST_PLACES = 3, 8


@dataclass(frozen=True, slots=True)
class Brackets:
    """A scan of the brackets outside strings and comments.

    Attributes:
        open: the brackets that were open where the scan ended, outermost first, each with its place in the code.
        stray: whether it ended at a closing bracket without its partner.
        at: place of that bracket, else of the innermost open one; -1 where all is balanced.
        line: 1-based line of it; 0 where all is balanced.
        symbol: that bracket.
    """

    open: tuple[tuple[str, int], ...]
    stray: bool
    at: int
    line: int
    symbol: str

    @property
    def unclosed(self) -> int:
        """How many brackets were open where the scan ended."""
        return len(self.open)

    def __bool__(self) -> bool:
        return self.at >= 0


BALANCED = Brackets((), False, -1, 0, "")


def brackets(code: str, language: str) -> Brackets:
    """Scan the brackets of code in any language; comments by the language's own sign, strings by their quotes. Linear in the text.

    Apostrophes count as quotes only where a second one follows on the line, and in languages of characters only around one.
    """
    stack: list[tuple[str, int]] = []
    for symbol, at in _symbols(code, language):
        if symbol in _CLOSERS:
            stack.append((symbol, at))
        elif stack and stack[-1][0] == _PARTNERS[symbol]:
            stack.pop()
        else:
            return Brackets(tuple(stack), True, at, code.count("\n", 0, at) + 1, symbol)
    if stack:
        symbol, at = stack[-1]
        return Brackets(tuple(stack), False, at, code.count("\n", 0, at) + 1, symbol)
    return BALANCED


def _symbols(code: str, language: str) -> Iterator[tuple[str, int]]:
    comment = _COMMENTS.get(language, "")
    position, alone = 0, -1  # no text closes between its apostrophe and `alone`
    while (found := _STOP.search(code, position)) is not None:
        at, sign = found.start(), found[0]
        position = at + 1
        if sign in "()[]{}":
            yield sign, at
        elif comment and code.startswith(comment, at) and not _is_no_remark(code, at, comment, language):
            position = _end(code, "\n", at)
        elif sign in "\"'" and code.startswith(sign * 3, at):
            position = _end(code, sign * 3, at + 3)
        elif sign == "'" and language in _CHARACTER_ONLY:
            character = _CHARACTER.match(code, at)
            position = character.end() if character else position
        elif sign in "\"'" and at >= alone:
            rest = _REST[sign].match(code, at + 1)
            end = rest.end() if rest else at + 1
            closes = code.startswith(sign, end)
            position, alone = (end + 1 if closes else position), (alone if closes else end)
        elif sign == "`":
            end = code.find("`", at + 1)
            position = end + 1 if end >= 0 else position
        elif not comment and code.startswith("//", at) and not _is_no_remark(code, at, "//", language):
            position = _end(code, "\n", at)
        elif not comment and code.startswith("/*", at):
            position = _end(code, "*/", at + 2)
        elif code.startswith("<!--", at):
            position = _end(code, "-->", at + 4)


def _is_no_remark(code: str, at: int, sign: str, language: str) -> bool:
    """Whether a sign of remarks is a part of an address (`https://a.b/c#d`), or of a word of Perl or a shell (`$#list`)."""
    if _ADDRESS.search(code, max(0, at - LONGEST_ADDRESS), at + len(sign)) is not None:
        return True
    return language in ("perl", "bash") and at > 0 and not (code[at - 1].isspace() or code[at - 1] in ";{}()&|")


def _end(code: str, sign: str, start: int) -> int:
    end = code.find(sign, start)
    return len(code) if end < 0 else end + (0 if sign == "\n" else len(sign))


def repairs(code: str, found: Brackets) -> Iterator[str]:
    """The code with one bracket put in or taken out, or the few that its end lacks put there."""
    if found.stray:
        yield code[: found.at] + code[found.at + 1 :]
        start = code.rfind("\n", 0, found.at) + 1
        for position in [start + match.end() for match in re.finditer(r"\b\w+(?=\W)", code[start : found.at])][
            -_MOST_PLACES:
        ]:
            yield code[:position] + _PARTNERS[found.symbol] + code[position:]
        if found.open:  # the one that should have been closed before
            symbol, at = found.open[-1]
            yield code[: found.at] + _CLOSERS[symbol] + code[found.at :]
            yield from _closed_on_its_line(code, symbol, at)
        yield code[: found.at] + _PARTNERS[found.symbol] + code[found.at :]
        yield _PARTNERS[found.symbol] + code
        yield from _without_lines(code, found)
        return
    if len(found.open) > _MOST_OPEN:
        return
    yield code + "\n" + "".join(_CLOSERS[symbol] for symbol, _ in reversed(found.open))
    if len(found.open) == 1:
        symbol, at = found.open[0]
        yield from _closed_on_its_line(code, symbol, at)
        yield code[:at] + code[at + 1 :]
    yield from _without_lines(code, found)


def _without_lines(code: str, found: Brackets) -> Iterator[str]:
    """The code without the line of the bracket, or that of the innermost open one, but for the braces at its ends."""
    for at in dict.fromkeys((found.at, *(position for _, position in found.open[-2:]))):
        start, end = code.rfind("\n", 0, at) + 1, _end(code, "\n", at)
        line = code[start:end].strip()
        left = ("}" if line.startswith("}") else "") + ("{" if line.endswith("{") else "")
        if code[:start].strip() or code[end:].strip():
            yield code[:start] + left + code[end:]


def _closed_on_its_line(code: str, symbol: str, at: int) -> Iterator[str]:
    end = _end(code, "\n", at)
    line = code[at:end]
    bare = line.rstrip()
    for tail in ("", bare[-1:], bare[-2:], bare[-3:]):
        position = at + len(bare) - len(tail)
        if position > at:
            yield code[:position] + _CLOSERS[symbol] + code[position:]
