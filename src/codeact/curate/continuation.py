"""Answers that go on with code that the request begins, as the tasks of completion benchmarks: judged together with it, not alone."""

from __future__ import annotations

import re

from codeact.curate.blocks import code_blocks
from codeact.curate.brackets import brackets
from codeact.curate.languages import guess_language
from codeact.parsing import parse, too_costly

_LOOK = 20_000  # characters of a request, from its end
_MOST_STARTS = 20
_ENDS_OPEN = re.compile(r"[{(\[][ \t]*(?:(?://|#|--)[^\n]*)?\s*\Z")
_METHOD = re.compile(r"(?:async\s+)?def\s|@\w")
_NEXT_METHOD = re.compile(rf"^([ \t]+)(?={_METHOD.pattern})", re.MULTILINE)
_PYTHON_START = re.compile(r"^(?:async\s|def\s|class\s|import\s|from\s|@|if\s|for\s|while\s|try\s*:|with\s|[A-Za-z_]\w*\s*=)", re.MULTILINE)


def given_code(asked: str) -> str:
    """The code that a request ends with: its last block between fences, else all of its text, whose remarks may be prose."""
    blocks = code_blocks(asked)
    return blocks[-1].code if blocks else asked[-_LOOK:]


def opened_code(asked: str, language: str) -> str:
    """The code that a request ends with, where it leaves a bracket open; else ""."""
    given = given_code(asked)
    if not (_ENDS_OPEN.search(given) or code_blocks(asked) or guess_language(given, 1)):
        return ""
    for begun in (given, given.rstrip().rpartition("\n")[2]):
        left = brackets(begun, language)
        if left.open and not left.stray:
            return begun
    return ""


def fits(begun: str, code: str, language: str) -> bool:
    """Whether the brackets of code are right behind what was begun, which may stay open: a test's own frame closes a class."""
    joined = brackets(f"{begun}\n{code}", language)
    return not joined.stray and joined.unclosed <= brackets(begun, language).unclosed


def goes_on_in_python(asked: str, text: str) -> bool:
    """Whether a text that is no Python by itself is one behind the code that the request ends with."""
    given = given_code(asked)
    if given.rstrip().endswith(":") and is_body(text):
        return True
    starts = [match.start() for match in _PYTHON_START.finditer(given)][-_MOST_STARTS:]
    for start in reversed(starts):
        begun = given[start:]
        for joined in (begun + text, f"{begun.rstrip()}\n{text}"):
            if not too_costly(joined) and parse(joined) is not None:
                return True
    return False


def is_body(text: str) -> bool:
    """Whether a text is the body of a function, without the blanks before its first line."""
    last = text.rstrip().rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    return bool(indent) and parse(f"def body():\n{indent}{text.lstrip()}") is not None


def is_methods(text: str) -> bool:
    """Whether a text is methods of a class, one below the other, without the blanks before the first."""
    text = text.strip()
    second = _NEXT_METHOD.search(text)
    if second is None or not _METHOD.match(text) or too_costly(text):
        return False
    return parse(f"class Body:\n{second[1]}{text}") is not None
