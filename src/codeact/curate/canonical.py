"""Code without its author's choices: the names that it defines numbered in order of appearance, comments and layout gone."""

from __future__ import annotations

import ast
import hashlib
import keyword
import re
import warnings
from collections.abc import Iterator

from codeact.curate.blocks import code_blocks, python_evidence

_TOKEN = re.compile(
    r"(?P<skip>//[^\n]*|/\*.*?\*/|(?<![\w$&])\#(?!include|define)[^\n]*|--\s[^\n]*|<!--.*?-->|\s+)"
    r"|(?P<text>(?:\b[rbfuRBFU]{1,2})?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')|`[^`]*`)"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<number>\d[\w.]*)|(?P<sign>[^\w\s])",
    re.DOTALL,
)
_WORDS = frozenset(keyword.kwlist) | frozenset(
    "int float double char bool boolean void string String long short byte unsigned signed "
    "const let var function class interface struct enum public private "
    "protected static final abstract new this super return if else for while do switch case break continue default try catch finally throw throws null nil "
    "undefined true false self def end then elif elsif unless until puts print echo func fn impl match use mod pub mut package import include using namespace "
    "template typename virtual override extends implements instanceof typeof delete in of is as foreach require "
    "module begin rescue do yield lambda proc select "
    "SELECT FROM WHERE GROUP BY ORDER HAVING INSERT INTO VALUES UPDATE SET DELETE CREATE TABLE JOIN INNER "
    "LEFT RIGHT ON AND OR NOT NULL AS DISTINCT LIMIT COUNT SUM AVG MIN MAX".split()
)
_NO_TYPES = frozenset(
    {
        "return",
        "new",
        "in",
        "and",
        "or",
        "not",
        "else",
        "print",
        "echo",
        "await",
        "yield",
        "throw",
        "is",
        "if",
        "elif",
        "while",
        "case",
    }
)
# Words of one language that are names in another: `end` of Ruby, `match` of Python, `delete` of JavaScript.
_SOFT = frozenset(
    "end match delete module select process use mod of is then begin do proc rescue unless until yield lambda echo puts print string "
    "foreach require include nil fn impl default final case interface package type super using namespace import export throws".split()
)
_HOLE = re.compile(r"\$?\{[^{}\n]*\}|\$\w+")
_INSIDE = re.compile(r"(\.?)(\$?[A-Za-z_]\w*)")
_TYPES = frozenset("int float double char bool boolean string String long short byte auto const let var val".split())
_DEFINING = frozenset({"def", "function", "class", "func", "fn", "fun", "struct", "interface", "enum", "sub"})


def code_of(response: str) -> str:
    """The code of an answer: its fenced blocks in order, or all of it where it has no fence."""
    blocks = code_blocks(response)
    return "\n".join(block.code for block in blocks) if blocks else response


def canonical_tokens(code: str) -> list[str]:
    """The tokens of code in any language, own names replaced by `v0`, `v1`, ... in order of appearance.

    A name is left as it is where it is a keyword, a method or attribute that the code does not define, or a function that
    it calls and does not define: `max(x)` and `min(x)` stay apart.
    """
    raw: list[tuple[str, str]] = [
        (match.lastgroup or "", match[0]) for match in _TOKEN.finditer(code) if match.lastgroup != "skip"
    ]
    words = _WORDS - _named(raw)
    functions, attributes, free = _roles(raw, words)
    numbers: dict[str, str] = {}
    found = []
    for position, (kind, text) in enumerate(raw):
        if kind == "text":
            found.append(_HOLE.sub(lambda hole: _INSIDE.sub(lambda m: _number(m, numbers), hole[0]), _quoted(text)))
        elif kind != "name" or text in words or not _own(raw, position, functions, attributes, free):
            found.append(text)
        else:
            behind_dot = _is_member(raw, position) and text not in functions
            found.append(numbers.setdefault("." + text if behind_dot else text, f"v{len(numbers)}"))
    return found


def nameless_tokens(code: str) -> list[str]:
    """The tokens of code in any language, every name but the keywords and every hole of a format string replaced by one sign.

    Coarser than `canonical_tokens`: `max(x)` and `min(x)` are the same, but so are a property and its shorthand, or a function
    that an attribute of HTML calls, where the names that the code itself defines cannot all be told.
    """
    found = []
    for match in _TOKEN.finditer(code):
        kind, text = match.lastgroup, match[0]
        if kind == "text":
            found.append(_HOLE.sub("{}", _quoted(text)))
        elif kind == "name":
            found.append(text if text in _WORDS else "v")
        elif kind != "skip":
            found.append(text)
    return found


def _quoted(text: str) -> str:
    """A string literal without its prefix, whatever its quotes are."""
    return re.sub(r"^[a-zA-Z]{0,2}[\"'`]+|[\"'`]+$", '"', text)


def _number(match: re.Match[str], numbers: dict[str, str]) -> str:
    """The number of a name within a string's hole; PHP's names may leave their dollar out."""
    dot, name = match[1], match[2]
    found = (numbers.get("." + name) if dot else None) or numbers.get(name) or numbers.get(name.lstrip("$"))
    return dot + (found or numbers.get("$" + name, name))


def _named(raw: list[tuple[str, str]]) -> set[str]:
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


def _roles(raw: list[tuple[str, str]], words: frozenset[str]) -> tuple[set[str], set[str], set[str]]:
    """Names of functions and types that the code defines, attributes that it sets, names that stand free (not called, no dot)."""
    functions, attributes, free = set(), set(), set()
    for position, (kind, text) in enumerate(raw):
        if kind != "name" or text in words:
            continue
        before = raw[position - 1] if position else ("", "")
        after = [pair[1] for pair in raw[position + 1 : position + 3]]
        typed = before[0] == "name" and before[1] not in _NO_TYPES and after[:1] == ["("]
        if before[1] in _DEFINING or typed:
            functions.add(text)
        elif _is_member(raw, position):
            if after[:1] == ["="] and after[1:] != ["="]:
                attributes.add(text)
        elif after[:1] != ["("]:
            free.add(text)
    return functions, attributes, free


def _own(raw: list[tuple[str, str]], position: int, functions: set[str], attributes: set[str], free: set[str]) -> bool:
    text = raw[position][1]
    if text in functions:
        return True
    return text in (attributes if _is_member(raw, position) else free)


def _is_member(raw: list[tuple[str, str]], position: int) -> bool:
    """Whether a name stands behind a dot; PHP joins strings with one, and its names begin with a dollar."""
    return position > 0 and raw[position - 1][1] == "." and not raw[position][1].startswith("$")


def fingerprint(tokens: list[str]) -> bytes:
    """16 bytes of BLAKE2b over the tokens."""
    return hashlib.blake2b("\0".join(tokens).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def python_functions(text: str, nested: bool = True) -> Iterator[tuple[str, list[str]]]:
    """(name, canonical tokens of its body and arguments) of every Python function in a text; docstrings and annotations left out.

    Without `nested`, of those at the top level only.
    """
    blocks = [block.code for block in code_blocks(text)] or ([text] if python_evidence(text) == 2 else [])
    for code in blocks:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree) if nested else tree.body:
            if isinstance(node, ast.FunctionDef):
                yield node.name, _function_tokens(node)


def _function_tokens(node: ast.FunctionDef) -> list[str]:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    own = {node.name, *arguments}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            own.add(inner.id)
        elif isinstance(inner, ast.FunctionDef):
            own |= {inner.name, *(a.arg for a in inner.args.args)}
        elif isinstance(inner, ast.arg):
            own.add(inner.arg)
    text = "\n".join(ast.unparse(statement) for statement in body)
    numbers: dict[str, str] = {name: f"v{n}" for n, name in enumerate([*arguments, node.name])}
    found = []
    previous = ""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "skip":
            continue
        token = match[0]
        if match.lastgroup == "name" and token in own and previous != ".":
            token = numbers.setdefault(token, f"v{len(numbers)}")
        found.append(token)
        previous = token
    return found
