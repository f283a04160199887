"""Which names a piece of code defines itself, told from its tokens alone, in any language that declares its names."""

from __future__ import annotations

from collections.abc import Sequence

Token = tuple[str, str]
"""Kind ("name", "number", "text" or "sign") and text."""

_NOT_TYPES = frozenset(
    "return new in and or not else print echo await yield throw raise is if elif while case import from package using namespace include "
    "require extends implements del global nonlocal assert except goto delete typeof instanceof async then do unless until puts".split()
)  # fmt: skip
# Words of one language that are names in another: `end` of Ruby, `match` of Python, `delete` of JavaScript.
_SOFT = frozenset(
    "end match delete module select process use mod of is then begin do proc rescue unless until yield lambda echo puts print string "
    "foreach require include nil fn impl default final case interface package type super using namespace import export throws".split()
)
_TYPES = frozenset("int float double char bool boolean string String long short byte auto const let var val".split())
_DEFINING = frozenset({"def", "function", "class", "func", "fn", "fun", "struct", "interface", "enum", "sub"})
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def soft_keywords(raw: Sequence[Token]) -> set[str]:
    """Soft keywords that this code defines or sets."""
    found = set()
    for position, (kind, text) in enumerate(raw):
        if kind != "name" or text not in _SOFT:
            continue
        before = raw[position - 1][1] if position else ""
        after = [pair[1] for pair in raw[position + 1 : position + 3]]
        sets = after[:1] == ["="] and after[1:] not in (["="], [">"])
        looped = (before == "for" and after[:1] == ["in"]) or (before in "(," and after[:1] in ([","], [")"]))
        if before in _DEFINING or before in _TYPES or sets or looped:
            found.add(text)
    return found


def own_places(raw: Sequence[Token], words: frozenset[str]) -> dict[int, str]:
    """Position of every name that the code defines -> the name, with a dot before an attribute.

    Defined are functions and types, what is assigned, declared with a type, a parameter, a variable of a loop or of `as`, PHP's and
    Perl's names with a dollar, and attributes that are set. All other names come from elsewhere: `max(x)` and `min(x)`
    differ, and so do two columns of a table.

    Args:
        raw: the tokens without blanks and remarks.
        words: the keywords, which are never names.
    """
    functions, attributes, free = set[str](), set[str](), set[str]()
    parameters = _parameters(raw)
    brackets = list[str]()
    for position, (kind, text) in enumerate(raw):
        if kind == "sign" and text in _OPEN:
            brackets.append(text)
        elif kind == "sign" and text in _CLOSE and brackets:
            brackets.pop()
        if kind != "name" or text in words:
            continue
        before = raw[position - 1] if position else ("", "")
        after = [pair[1] for pair in raw[position + 1 : position + 3]]
        after += [""] * (2 - len(after))
        sets = (after[0] == "=" and after[1] != "=") or after == [":", "="]
        typed = before[0] == "name" and before[1] not in _NOT_TYPES
        if before[1] in _DEFINING or (typed and after[0] == "("):
            functions.add(text)
        elif is_member(raw, position):
            if sets:
                attributes.add(text)
        elif (
            text.startswith("$")
            or position in parameters
            or (sets and brackets[-1:] != ["("])  # within a call it names the callee's parameter
            or (typed and after[0] != "(")
            or before[1] in ("as", "lambda")
        ):
            free.add(text)
    free |= _loop_variables(raw) - words
    found = {}
    for position, (kind, text) in enumerate(raw):
        if kind != "name" or text in words:
            continue
        member = is_member(raw, position)
        if text in functions:
            found[position] = text
        elif text in (attributes if member else free):
            found[position] = "." + text if member else text
    return found


def is_member(raw: Sequence[Token], position: int) -> bool:
    """Whether a name stands behind a dot; PHP joins strings with one, and its names begin with a dollar."""
    return position > 0 and raw[position - 1][1] == "." and not raw[position][1].startswith("$")


def _parameters(raw: Sequence[Token]) -> set[int]:
    """Positions of the names in parameter lists: behind `def f(`, `function (`, `int f(`, and before `=>`."""
    found = set[int]()
    for position, (kind, text) in enumerate(raw):
        before = [pair[1] for pair in raw[max(0, position - 2) : position]]
        typed = position > 1 and raw[position - 2][0] == raw[position - 1][0] == "name"
        if text == "(" and kind == "sign" and before:
            named = before[0] in _DEFINING or (typed and before[0] not in _NOT_TYPES)
            if before[-1] in _DEFINING or named:
                found |= set(_names_within(raw, position))
        elif text == "=" and raw[position + 1 : position + 2] == [("sign", ">")] and position:
            if raw[position - 1][0] == "name":
                found.add(position - 1)
            elif raw[position - 1][1] == ")":
                found |= set(_names_back(raw, position - 1))
    return found


def _names_within(raw: Sequence[Token], start: int) -> list[int]:
    """The names of a list that opens at `start`, each before a comma, its value, its type or the end."""
    depth, found = 0, []
    for position in range(start, min(len(raw), start + 400)):
        kind, text = raw[position]
        depth += (kind == "sign" and text in _OPEN) - (kind == "sign" and text in _CLOSE)
        if depth == 0:
            break
        if kind == "name" and position + 1 < len(raw) and raw[position + 1][1] in (",", ")", "=", ":"):
            found.append(position)
    return found


def _names_back(raw: Sequence[Token], end: int) -> list[int]:
    """The names of a flat list that closes at `end`."""
    found = []
    for position in range(end - 1, max(-1, end - 60), -1):
        kind, text = raw[position]
        if kind == "name":
            found.append(position)
        elif text not in (",", ":", "[", "]", "{", "}", "("):
            return []
        if text == "(":
            return found
    return []


def _loop_variables(raw: Sequence[Token]) -> set[str]:
    """Names between `for` and `in` (or `of`, `:`), and those of `a, b = ...`."""
    found = set[str]()
    for position, (kind, text) in enumerate(raw):
        if kind == "name" and text == "for":
            some = list[str]()
            for other, name in raw[position + 1 : position + 16]:
                if name in ("in", "of", ":"):
                    found |= set(some)
                    break
                if other == "name":
                    some.append(name)
                elif name not in ("(", ")", ","):
                    break
        elif text == "=" and kind == "sign" and raw[position + 1 : position + 2] != [("sign", "=")]:
            at = position - 1
            while at > 0 and raw[at][0] == "name" and raw[at - 1][1] == "," and at > position - 16:
                at -= 2
            if at < position - 1 and raw[at][0] == "name" and (at == 0 or raw[at - 1][1] not in ("(", ".")):
                found |= {name for other, name in raw[at:position] if other == "name"}
    return found
