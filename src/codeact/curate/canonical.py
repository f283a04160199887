"""Code without its author's choices: the names that it defines numbered in order of appearance, remarks and layout gone."""

from __future__ import annotations

import ast
import hashlib
import keyword
import re
from collections.abc import Iterator, Mapping

from codeact.curate.blocks import code_blocks, python_evidence, strip_comments
from codeact.curate.dedup import lines_of
from codeact.curate.languages import LABELS, MOST_GUESSED, guess_language
from codeact.curate.own_names import own_places, soft_keywords
from codeact.parsing import parse

# Unterminated strings and remarks end with their line or the text, so that no character is scanned twice.
_STRING = (
    r"""(?:\b[rbfuRBFU]{1,2})?(?:"{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3})?|'{3}(?:[^'\\]|\\.|'(?!''))*+(?:'{3})?"""
    r"""|"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?|`[^`]*+`?)"""
)
_TOKEN = re.compile(
    rf"(?P<skip>\s+)|(?P<text>{_STRING})|(?P<name>(?:[^\W\d]|\$)[\w$]*)|(?P<number>\d[\w.]*)|(?P<sign>[^\w\s])",
    re.DOTALL,
)
_BLOCK_REMARK = r"/\*(?:[^*]|\*(?!/))*+(?:\*/)?"
_REMARKS: Mapping[str, str] = {
    "c-like": rf"(?<!:)//[^\n]*|{_BLOCK_REMARK}",
    "php": rf"(?<!:)//[^\n]*|{_BLOCK_REMARK}|(?<!\S)\#(?!\[)[^\n]*",
    "hash": r"(?<!\S)\#[^\n]*",
    "dashes": rf"--[^\n]*|{_BLOCK_REMARK}",
    "css": _BLOCK_REMARK,
    "html": rf"<!--(?:[^-]|-(?!->))*+(?:-->)?|{_BLOCK_REMARK}",
}
_STYLES: Mapping[str, str] = {
    **dict.fromkeys("c cpp csharp java javascript typescript go rust swift kotlin scala dart objective-c".split(), "c-like"),
    **dict.fromkeys("ruby bash perl r".split(), "hash"),
    **dict.fromkeys("sql lua haskell".split(), "dashes"),
    "php": "php", "css": "css", "html": "html", "xml": "html",
}  # fmt: skip
_INDENTED = frozenset({"python", "haskell"})
# Their names are not the author's choice: columns, tags, colours, commands, or the text of a page.
_NAMELESS = frozenset({"sql", "html", "css", "xml", "json", "bash", "r", "matlab"})
_DOLLARS = frozenset({"php", "perl"})
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
_DEF = re.compile(r"\bdef\b")
_HOLE = re.compile(r"\$?\{[^{}\n]*\}|\$\w+")
_INSIDE = re.compile(r"(\.?)(\$?[A-Za-z_]\w*)")


def canonical_code(response: str) -> list[str]:
    """The canonical tokens of an answer's code: of its fenced blocks in order, or of all of it where it has no fence and is code.

    Text of no known language counts as it is. Empty where there is no code: in prose no name can be replaced.
    """
    blocks = [
        (LABELS.get(b.language) or (guess_language(b.code) if at < MOST_GUESSED else ""), b.code)
        for at, b in enumerate(code_blocks(response))
    ]
    if not blocks:
        blocks = [(_language_of_bare(response), response)]
    if not any(language for language, _ in blocks):
        return []
    bare = [(language, without_remarks(text, language)) for language, text in blocks]
    code = "\n".join(text for language, text in bare if language and language not in _NAMELESS | _DOLLARS)
    found = canonical_tokens(code, indented=any(language in _INDENTED for language, _ in bare)) if code else []
    for language, text in bare:
        if language in _DOLLARS:
            found += ["", *canonical_tokens(text, dollars=True)]
        elif language in _NAMELESS or not language:
            found += ["", *(match[0] for match in _TOKEN.finditer(text) if match.lastgroup != "skip")]
    return found


def _language_of_bare(text: str) -> str:
    """The language of an answer without fences; a single sign is enough where most lines are no prose."""
    if python_evidence(text) == 2:
        return "python"
    lines = [prose for line, prose in lines_of(text) if line]
    return guess_language(text, least=1 if 2 * sum(lines) <= len(lines) else 2)


def without_remarks(code: str, language: str) -> str:
    """Code without its comments, which are told by the language: `//` divides in Python, and `#fff` is a colour in CSS."""
    if language == "python":
        return strip_comments(code)
    style = _STYLES.get(language)
    if style is None:
        return code
    return re.sub(rf"({_STRING})|{_REMARKS[style]}", lambda found: found[1] or " ", code, flags=re.DOTALL)


def canonical_tokens(code: str, indented: bool = False, dollars: bool = False) -> list[str]:
    """The tokens of code in any language that declares its names, own ones replaced by `v0`, `v1`, ... in order of appearance.

    Args:
        code: without remarks.
        indented: indentation counts, as in Python: tokens behind the others say where it changes.
        dollars: only names with a dollar and functions are own: what stands between PHP may be a page's text.
    """
    whole = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(code.strip("\n").rstrip())]
    raw = [pair for pair in whole if pair[0] != "skip"]
    own = own_places(raw, _WORDS - soft_keywords(raw))
    if dollars:
        defined = {raw[at + 1][1] for at in range(len(raw) - 1) if raw[at][1] in ("function", "sub")}
        own = {at: name for at, name in own.items() if name.startswith("$") or name in defined}
    numbers: dict[str, str] = {}
    found = []
    for position, (kind, text) in enumerate(raw):
        if kind == "text":
            found.append(_HOLE.sub(lambda hole: _INSIDE.sub(lambda m: _number(m, numbers), hole[0]), _quoted(text)))
        else:
            name = own.get(position)
            found.append(text if name is None else numbers.setdefault(name, f"v{len(numbers)}"))
    return [*found, "", *_layout(whole)] if indented else found


def _layout(raw: list[tuple[str, str]]) -> list[str]:
    """For each statement that is deeper or shallower than the one before: its number and its level."""
    levels, found = [0], list[str]()
    depth, number = 0, 0
    before = ""
    for kind, text in raw:
        if kind == "skip":
            if "\n" in text and depth == 0 and before != "\\":
                width = len(text.rpartition("\n")[2].expandtabs())
                number += 1
                old = len(levels)
                while levels[-1] > width:
                    levels.pop()
                if width > levels[-1]:
                    levels.append(width)
                if len(levels) != old:
                    found.append(f"{number}:{len(levels)}")
        else:
            depth = max(0, depth + (text in ("(", "[", "{")) - (text in (")", "]", "}")))
            before = text
    return found


def _quoted(text: str) -> str:
    """A string literal without its prefix, whatever its quotes are."""
    bare = text.lstrip("rbfuRBFU")
    marks = 3 if bare[:3] in ('"""', "'''") else 1
    inside = bare[marks:].removesuffix(bare[:marks])
    return f'"{inside}"'


def _number(match: re.Match[str], numbers: dict[str, str]) -> str:
    """The number of a name within a string's hole; PHP's names may leave their dollar out."""
    dot, name = match[1], match[2]
    found = (numbers.get("." + name) if dot else None) or numbers.get(name) or numbers.get(name.lstrip("$"))
    return dot + (found or numbers.get("$" + name, name))


def fingerprint(tokens: list[str]) -> bytes:
    """16 bytes of BLAKE2b over the tokens."""
    return hashlib.blake2b("\0".join(tokens).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def python_functions(text: str, nested: bool = True) -> Iterator[ast.FunctionDef]:
    """Every Python function in the code of a text, in the order of `ast.walk`; without `nested`, those at the top level only."""
    if "def" not in text:
        return
    blocks = [block.code for block in code_blocks(text)] or ([text] if python_evidence(text) == 2 else [])
    for code in blocks:
        tree = parse(code) if "def" in code and _DEF.search(code) else None
        if tree is None:
            continue
        level: list[ast.AST] = [*tree.body]
        while level:
            yield from (node for node in level if isinstance(node, ast.FunctionDef))
            level = [inner for node in level for inner in _statements(node)] if nested else []


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements directly within one, and what holds further ones: handlers and cases."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        yield from getattr(node, field, ())


def function_shape(node: ast.FunctionDef) -> tuple[str, ...]:
    """The kinds of a function's statements in their order, but for its docstring and bare expressions.

    Quick to tell, and equal wherever `function_tokens` are: each kind shows in a keyword or in `=`.
    """
    found: list[str] = []
    open_: list[ast.AST] = [*reversed(_body(node))]
    while open_:
        inner = open_.pop()
        if not isinstance(inner, ast.Expr):
            found.append(type(inner).__name__)
            open_ += reversed([*_statements(inner)])
    return tuple(found)


# What shows in a word or a mark that no statement begins with: two functions of the same tokens have it alike, whatever their lines are.
_SHOWN = frozenset({
    *ast.cmpop.__subclasses__(), *ast.boolop.__subclasses__(), ast.IfExp, ast.comprehension, ast.keyword, ast.Lambda,
    ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor,
})  # fmt: skip
_PASSED = frozenset({ast.Name, *ast.expr_context.__subclasses__(), ast.JoinedStr})  # the last is one token with all that is in it


def function_signs(node: ast.FunctionDef) -> tuple[str, ...]:
    """The attributes, the numbers and the kinds of most operations of a function's body, sorted.

    Quicker to tell than `function_tokens`, and equal wherever these are: no name of the author's stands behind a dot.
    """
    found: list[str] = []
    open_: list[ast.AST] = [*_body(node)]
    while open_:
        inner = open_.pop()
        kind = type(inner)
        if kind in _PASSED:
            continue
        if isinstance(inner, ast.Constant):
            found += [repr(inner.value)] if type(inner.value) in (int, float, complex) else []
            continue
        if kind in _SHOWN:
            found.append(kind.__name__)
        elif isinstance(inner, ast.Attribute):
            found.append(inner.attr)
        for name in kind._fields:
            value = getattr(inner, name, None)
            if isinstance(value, list):
                open_ += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST):
                open_.append(value)
    return tuple(sorted(found))


def _body(node: ast.FunctionDef) -> list[ast.stmt]:
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def function_tokens(node: ast.FunctionDef) -> list[str]:
    """The canonical tokens of a function's arguments and body; its docstring and annotations are left out."""
    arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    own = {node.name, *arguments}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            own.add(inner.id)
        elif isinstance(inner, ast.FunctionDef):
            own |= {inner.name, *(a.arg for a in inner.args.args)}
        elif isinstance(inner, ast.arg):
            own.add(inner.arg)
    text = "\n".join(ast.unparse(statement) for statement in _body(node))
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
