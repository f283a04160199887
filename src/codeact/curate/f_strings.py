"""The f-strings of Python 3.12 (PEP 701), whose fields may hold any code: quotes of the string's own kind, backslashes, lines, remarks.

The template strings of Python 3.14 (PEP 750, `t"..."`) have the same fields, and are read as f-strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codeact.parsing import parse

_LITERAL = re.compile(r"(?<!\w)([A-Za-z]{0,2})('''|\"\"\"|'|\")")
_CODE = re.compile(r"(?P<remark>#[^\n]*)|(?P<literal>(?<!\w)[A-Za-z]{0,2}(?:'''|\"\"\"|'|\"))|(?P<sign>[()\[\]{}!:=])")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_NAMED = re.compile(r"\\N\{[^}\n]*\}")
MOST_NESTED = 20


class _Broken(Exception):
    """The code is no whole of literals and brackets."""


def with_plain_fields(code: str) -> str | None:
    """Code whose f-strings have names in the place of their fields, so that an older Python parses it; None where a field is no expression.

    A template string becomes an f-string.
    A line that a field spreads over is lost.
    """
    try:
        return "".join(_outside(code))
    except _Broken:
        return None


def _outside(code: str) -> Iterator[str]:
    at = 0
    while (found := _CODE.search(code, at)) is not None:
        yield code[at : found.start()]
        at, text = _literal(code, found.start(), 0) if found["literal"] else (found.end(), found[0])
        yield text
    yield code[at:]


def _literal(code: str, at: int, depth: int) -> tuple[int, str]:
    """Where the literal at a place ends, and what stands for it."""
    opening = _LITERAL.match(code, at)
    if opening is None or depth > MOST_NESTED:
        raise _Broken
    prefix, quote = opening[1].lower(), opening[2]
    if "f" in prefix or "t" in prefix:
        end, parts = _body(code, opening.end(), quote, depth)
        return end + len(quote), f"{prefix.replace('t', 'f')}{quote}{parts}{quote}"
    end = opening.end()
    while not code.startswith(quote, end):
        if end >= len(code) or (len(quote) == 1 and code[end] == "\n"):
            raise _Broken
        end += 2 if code[end] == "\\" else 1
    return end + len(quote), code[at : end + len(quote)]


def _body(code: str, at: int, close: str, depth: int) -> tuple[int, str]:
    """The text of an f-string, or of a field's format, up to what closes it."""
    start, parts = at, ""
    while not code.startswith(close, at):
        if at >= len(code) or (len(close) == 1 and code[at] == "\n"):
            raise _Broken
        if code.startswith(("{{", "}}"), at):
            at += 2
        elif code[at] == "{":
            parts += code[start:at] + "{_}"
            at = start = _field(code, at + 1, depth + 1)
        else:
            named = _NAMED.match(code, at)
            at = named.end() if named else at + (2 if code[at] == "\\" else 1)
    return at, parts + code[start:at]


def _field(code: str, at: int, depth: int) -> int:
    """The place behind a field, whose expression parses."""
    text, opened = "", list[str]()
    while True:
        found = _CODE.search(code, at)
        if found is None or depth > MOST_NESTED:
            raise _Broken
        text += code[at : found.start()]
        at = found.end()
        sign = found["sign"] or ""
        if found["literal"]:
            at, literal = _literal(code, found.start(), depth + 1)
            text += literal
        elif not opened and (sign in ("}", ":") or (sign == "!" and code[at : at + 1] != "=")):
            break
        elif sign in _PAIRS:
            if not opened or opened.pop() != _PAIRS[sign]:
                raise _Broken
            text += sign
        elif not found["remark"]:
            opened += [sign] if sign in ("(", "[", "{") else []
            text += sign
    expression = text.strip().removesuffix("=") if not text.strip().endswith("==") else text
    if not expression.strip() or parse(f"({expression}\n,)") is None:
        raise _Broken
    if sign == "!":
        kind = re.compile(r"[ars]\s*").match(code, at)
        if kind is None:
            raise _Broken
        at = kind.end()
        sign = code[at : at + 1]
        at += 1
    if sign == ":":
        at = _body(code, at, "}", depth)[0] + 1
    elif sign != "}":
        raise _Broken
    return at
