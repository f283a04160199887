"""Where the code of an answer is, and whether unlabelled text looks like Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

PYTHON_NAMES = frozenset({"python", "py", "python3", "py3"})
TRANSCRIPT_NAMES = frozenset({"pycon", "python-console", "doctest", "python-repl"})

_MAX_EXTRA_INDENT = 4
_LONG_LINE = 500  # such a line is data or minified; the patterns below are not run on it
_FENCE = re.compile(r"^([ \t>]*)(`{3,}|~{3,})([^`\n]*)$")
_STRONG_LINE = re.compile(
    r"""\s*(?:
      (?:async\s+)?def\s+\w+\s*(?:\(.*|[^(]*:\s*)
    | class\s+\w+\s*(?:\([^)]*\))?\s*:.*
    | (?:if|elif|while|for\s.+\sin|with|except|match|case)\b[^{;]*:\s*(?:\#.*)?
    | (?:else|try|finally|except)\s*:\s*(?:\#.*)?
    | from\s+[\w.]+\s+import\s+[^;]+
    )""",
    re.VERBOSE,
)
_WEAK_LINE = re.compile(
    r"\s*(?:import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+(?:\s+as\s+\w+)?)*\s*(?:#.*)?|print\s*\(.*\)\s*(?:#.*)?)"
)
# With one of these every line of the two patterns above begins.
_PYTHON_STARTS = (
    "async", "def", "class", "if", "elif", "while", "for", "with", "except", "match", "case", "else", "try", "finally", "from", "import", "print",
)  # fmt: skip
_OTHER_LINE = re.compile(
    r"""\s*(?:
      .*[;{]\s*(?://.*)?|\}.*|end\b\.?|end\s+\w+
    | (?:var|let|const|val|function|fn|func|public|private|static|void|int|double|String|use|using|package|namespace|local|my|dim|sub)\s+\S.*
    | \#\s*(?:include|define|ifdef|ifndef|pragma)\b.*|//.*|<[/!?a-zA-Z].*|\$\w+.*|echo\b.*|puts\b.*
    | (?:SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE|GROUP|ORDER|JOIN)\b.*
    )""",
    re.VERBOSE,
)
# With one of these every line of that pattern begins that holds no `;` and no `{`.
_OTHER_STARTS = (
    "}", "end", "var", "let", "const", "val", "function", "fn", "func", "public", "private", "static", "void", "int", "double", "String", "use", "using",
    "package", "namespace", "local", "my", "dim", "sub", "#", "//", "<", "$", "echo", "puts", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "FROM",
    "WHERE", "GROUP", "ORDER", "JOIN",
)  # fmt: skip
# All up to a comment, or a comment. An unterminated string matches to its line's (or the text's) end, so that no character
# is scanned twice.
_NO_COMMENT_OR_COMMENT = re.compile(
    r"""((?:[^\"'\#]++|\"{3}(?:[^\\]|\\.)*?(?:\"{3}|\\?\Z)|'{3}(?:[^\\]|\\.)*?(?:'{3}|\\?\Z)|\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?)++)|\#[^\n]*""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block.

    Attributes:
        language: first word after the fence, lower case; "" when there is none.
        code: the lines between the fences, without the indentation of the fence.
        line: 1-based line of the text on which `code` begins.
        closed: whether a closing fence was found.
    """

    language: str
    code: str
    line: int
    closed: bool


def code_blocks(text: str) -> list[Block]:
    """The fenced code blocks of a Markdown text (CommonMark 4.5), fences indented at will, as in lists and quotes.

    A closing fence indented four or more columns deeper than the opening one (in a docstring, say) closes the block only where no
    better one follows before the next labelled fence.
    """
    return list(_blocks(text))


@lru_cache(maxsize=2)
def _blocks(text: str) -> tuple[Block, ...]:
    """Every check asks for the blocks of the same answer and instruction."""
    if "```" not in text and "~~~" not in text:
        return ()
    lines = text.split("\n")
    return tuple(
        Block(span.language, _dedent(lines[span.start : span.end], span.indent), span.start + 1, span.closed)
        for span in _spans(lines)
    )


def without_blocks(text: str) -> str:
    """A text without its fenced code blocks and their fences: its prose."""
    lines = text.split("\n")
    kept: list[str] = []
    at = 0
    for span in _spans(lines):
        kept += lines[at : span.start - 1]
        at = span.end + span.closed
    return "\n".join(kept + lines[at:])


class _Span(NamedTuple):
    """Lines `start` to `end` (not included) of a text, between fences."""

    language: str
    indent: str
    start: int
    end: int
    closed: bool


def _spans(lines: list[str]) -> Iterator[_Span]:
    indent, fence, language, start, deep = "", "", "", 0, 0
    for number, line in enumerate(lines):
        found = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if found is None:
            continue
        bare = not found[3].strip()
        if fence and bare and found[2][0] == fence[0] and len(found[2]) >= len(fence):
            if len(found[1]) < len(indent) + _MAX_EXTRA_INDENT:
                yield _Span(language, indent, start, number, True)
                fence, deep = "", 0
            else:
                deep = deep or number
        elif not fence or (deep and not bare):
            if deep:
                yield _Span(language, indent, start, deep, True)
            indent, fence, info = found.groups()
            language = info.split()[0].strip("{}.:,").lower() if info.split() else ""
            start, deep = number + 1, 0
    if fence:
        yield _Span(language, indent, start, deep or len(lines), bool(deep))


def _dedent(lines: list[str], indent: str) -> str:
    if not indent:
        return "\n".join(lines)
    width = len(indent)
    return "\n".join(
        line[width:] if line.startswith(indent) else line.lstrip(" \t") if not line[:width].strip() else line
        for line in lines
    )


@lru_cache(maxsize=4)
def python_evidence(text: str) -> int:
    """How much text without fences looks like Python: 2 surely, 1 perhaps (`import x`, `print(x)`), 0 not.

    Broken Python counts, prose does not. Lines that many languages share (`x = 1`, `foo(x)`) tell nothing; lines of
    other languages (`}`, `end`, `var x`, `#include`) speak against, three to one.
    """
    strong = weak = other = 0
    rest = []
    for line in text.split("\n"):
        if len(line) > _LONG_LINE:
            continue
        begun = line.lstrip()
        may_be_other = ";" in line or "{" in line or begun.startswith(_OTHER_STARTS)
        if not begun.startswith(_PYTHON_STARTS):
            rest += [line] if may_be_other else []
        elif may_be_other and _OTHER_LINE.fullmatch(line):
            other += 1
        elif _STRONG_LINE.fullmatch(line):
            strong += 1
        elif _WEAK_LINE.fullmatch(line):
            weak += 1
    if strong + weak < 3 * other or strong + weak == 0:
        return 0
    other += sum(_OTHER_LINE.fullmatch(line) is not None for line in rest)
    if strong + weak < 3 * other:
        return 0
    return 2 if strong else 1


def strip_comments(code: str) -> str:
    """Python code without its `#` comments; strings are left alone."""
    return "".join(_NO_COMMENT_OR_COMMENT.findall(code))
