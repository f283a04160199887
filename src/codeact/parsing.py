"""Python's parser for text that anybody may have written: in bounded time and memory, and without an exception."""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache

# Longer source is read statement by statement. CPython takes up to 1 GB for a megabyte of short statements.
LONGEST = 100_000
# CPython 3.11 copies a dotted name once for each dot, and an f-string once for each brace.
DOTTED = re.compile(r"(?<![\w.])(?:\w*+\.){256}")
JOINED = re.compile(r"[ \t\f]+|\\\n")
F_STRING = re.compile(r"(?<!\w)(?:[fF][rR]?|[rR][fF])['\"]")
T_STRING = re.compile(r"(?<!\w)(?:[tT][rR]?|[rR][tT])['\"]")
BRACES_TIMES_LENGTH = 100_000_000
NeverParsed = SyntaxError | ValueError | RecursionError | MemoryError | OverflowError
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
    found = parse_or_error(source)
    if isinstance(found, ast.Module):
        return found
    return found.lineno or 1 if isinstance(found, SyntaxError) else 0


@lru_cache(maxsize=8)  # several checks ask for the same code
def parse_or_error(source: str) -> ast.Module | NeverParsed:
    """The syntax tree, not to be changed; else what stopped the parser, a MemoryError for what is not given to it (`too_costly`)."""
    why = too_costly(source)
    if why:
        return MemoryError(why)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except NEVER_PARSED as error:
            return error


def too_costly(source: str, longest: int = LONGEST) -> str:
    """Why a source is not given to the parser, which would take gigabytes or minutes; "" where it is."""
    if len(source) > longest:
        return f"code of more than {longest:,} characters"
    if source.count(".") >= 256 and DOTTED.search(JOINED.sub("", source)):
        return "a name of more than 256 parts"
    if source.count("{") * len(source) >= BRACES_TIMES_LENGTH and F_STRING.search(source):
        return "long strings with many fields"
    return ""


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
