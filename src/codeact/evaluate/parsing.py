"""Python's parser for text that anybody may have written: in bounded time and memory, and without an exception."""

from __future__ import annotations

import ast
import re
import warnings

# Longer source is read statement by statement. CPython takes up to 1 GB for a megabyte of short statements.
LONGEST = 100_000
# CPython 3.11 copies a dotted name once for each dot, and an f-string once for each brace.
DOTTED = re.compile(r"(?<![\w.])(?:\w*+\.){256}")
JOINED = re.compile(r"[ \t\f]+|\\\n")
F_STRING = re.compile(r"(?<!\w)(?:[fF][rR]?|[rR][fF])['\"]")
BRACES_TIMES_LENGTH = 100_000_000
NEVER_PARSED = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)

# Strings of one line, or a comment: what may hide a triple quote. The closing quote is optional so that every character
# is passed once.
STRINGS = re.compile(r'"""|\'\'\'|#.*|"(?:\\.|[^"\\])*+"?|\'(?:\\.|[^\'\\])*+\'?')


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None for what does not parse or is too large to try."""
    tree = parse_or_fault(source)
    return tree if isinstance(tree, ast.Module) else None


def parse_or_fault(source: str) -> ast.Module | int:
    """The syntax tree; else the line of the error, 0 where there is nothing to be saved before it."""
    if not _bounded(source):
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except SyntaxError as error:
            return error.lineno or 1
        except NEVER_PARSED:
            return 0


def _bounded(source: str) -> bool:
    if len(source) > LONGEST:
        return False
    if source.count(".") >= 256 and DOTTED.search(JOINED.sub("", source)):
        return False
    return source.count("{") * len(source) < BRACES_TIMES_LENGTH or not F_STRING.search(source)


def open_string(line: str, string: str) -> str:
    """The triple quote that is open after a line, where `string` was open before it; "" for none."""
    at = 0
    while True:
        if string:
            end = line.find(string, at)
            if end < 0:
                return string
            at, string = end + 3, ""
        quote = STRINGS.search(line, at)
        if quote is None:
            return ""
        at = quote.end()
        if quote[0] in ('"""', "'''"):
            string = quote[0]
