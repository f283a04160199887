"""Assertions of a test program that say no values when they fail: where they stand, and what can be told of each.

A test program that tells more is a second form of it. Where that form does not compile, the plain one is judged
(`codeact.evaluation.languages.verdict`), so that what is told never decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from codeact.evaluation.languages.text import bare

TEXT_SHOWN = 120
# A name that a test program gives a value: `auto want = 4`, `List<Integer> got;`, `let (a, b) =`.
GIVEN = r"(?:[\w>\]&*]\s*[\s&*]|[,(\[])\s*{name}\s*(?:=(?!=)|:(?!:)|;|,|\)|\]|\{{|\[)"
# Variables in an expression, with what is looked up in them; no function, type, member of something else or macro.
NAME = re.compile(r"""(?<![\w.$:>"'])([A-Za-z_]\w*)((?:\.\w+|\[\w+\])*+)(?![\w"'])(?!\s*(?:[.(\[{<]\S|::|!\(|=(?!=)))""")
# Inside of a function of the expression's own a name may be one that is not known outside.
INNER = re.compile(r"=>|->|\]\s*\(|\|\s*&?\w+\s*\|")
WORDS = {"true", "false", "null", "nullptr", "undefined", "new", "await", "this", "instanceof", "typeof", "sizeof", "in", "of", "not", "and", "or"}


def rewritten(test: str, language: str, start: str, told: Callable[[str, list[str]], str]) -> str:
    """The test with `told(expression, names of variables in it)` in place of each assertion with one argument.

    Args:
        test: a test program.
        language: of it.
        start: a pattern of what stands before the argument's opening bracket.
        told: makes the text that takes the assertion's place, brackets included.
    """
    plain = bare(test, language)
    parts, at = [], 0
    for found in re.finditer(rf"(?:{start})\s*\(", plain):
        line = plain[plain.rfind("\n", 0, found.start()) + 1 : found.start()]
        inside = arguments(test, plain, found.end() - 1)
        if found.start() < at or line.lstrip().startswith("#") or len(inside) != 1:
            continue
        begin, end = inside[0]
        expression = test[begin:end].strip()
        closing = plain.index(")", end)  # behind a last comma
        parts += [test[at : found.start()], told(expression, variables(expression, plain, language))]
        at = closing + 1
    return "".join([*parts, test[at:]])


def arguments(text: str, plain: str, opening: int) -> list[tuple[int, int]]:
    """(begin, end) of what the commas part in the brackets that open there; none where they are never closed."""
    found, level, begin = [], 0, opening + 1
    for at in range(opening, len(plain)):
        level += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(plain[at], 0)
        if (level == 1 and plain[at] == ",") or level == 0:
            found.append((begin, at))
            begin = at + 1
        if level == 0:
            return [(b, e) for b, e in found if text[b:e].strip()]
    return []


def variables(expression: str, plain: str, language: str) -> list[str]:
    """The variables of the test program in an expression: `got`, `one.want`, `got[0]`."""
    own = bare(expression, language)
    if INNER.search(own):
        return []
    found = dict.fromkeys(NAME.findall(own))
    return [name + more for name, more in found if name not in WORDS and re.search(GIVEN.format(name=name), plain)]


def sides(expression: str, language: str) -> tuple[str, str] | None:
    """Left and right of the one `==` that stands in no bracket; None where there is none, or more around it than these two."""
    own, level, offsets = bare(expression, language), 0, []
    for at, letter in enumerate(own):
        level += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if level == 0 and own[at : at + 2] in ("==", "&&", "||"):
            offsets.append(at)
    if len(offsets) != 1 or own[offsets[0] : offsets[0] + 2] != "==" or own[offsets[0] + 2 : offsets[0] + 3] == "=":
        return None
    return expression[: offsets[0]].strip(), expression[offsets[0] + 2 :].strip()


def quoted(text: str) -> str:
    """The text on one line, as a literal of C++, Java or JavaScript."""
    text = " ".join(text.split())
    text = text if len(text) <= TEXT_SHOWN else f"{text[: TEXT_SHOWN - 3]}..."
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def statements(test: str, language: str, word: str) -> Iterator[tuple[int, int]]:
    """(begin, end) of what stands between a word and the semicolon that ends its statement."""
    plain = bare(test, language)
    for found in re.finditer(rf"(?<![\w.$]){word}\b(?=[\s(!])", plain):
        level, end = 0, found.end()
        while end < len(plain) and not (level == 0 and plain[end] == ";"):
            level += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(plain[end], 0)
            end += 1
        if end < len(plain):
            yield found.end(), end
