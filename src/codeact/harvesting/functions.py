"""Documented functions of a Python syntax tree, each as an instruction and a response."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence

from codeact.harvesting.documentation import MAX_FILE_BYTES, Function, Source, about, doc_fault
from codeact.parsing import too_costly

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def count_tokens(code: str) -> int:
    """Number of Python lexical tokens in `code`, counted as `harvest` does.

    Raises:
        SyntaxError, tokenize.TokenError: `code` cannot be split into tokens.
    """
    return len(_lex(code)[0])


def python_functions(lines: list[str], skipped: Counter[str], undocumented: bool = False) -> Iterator[Function]:
    """The documented functions of a Python file, in order; what is left out is counted in `skipped`.

    Args:
        lines: of the file.
        undocumented: give those too that no documentation, or one of no use, stands in.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: the file does not parse, or parsing it would take too much.
    """
    source = "\n".join(lines)
    if why := too_costly(source, MAX_FILE_BYTES):
        raise ValueError(why)
    found, inner = _functions(ast.parse(source))
    if inner:
        skipped["inner function"] += inner
    return _usable(lines, found, skipped, undocumented)


def _usable(
    lines: list[str], found: list[tuple[tuple[ast.ClassDef, ...], _Function]], skipped: Counter[str], undocumented: bool
) -> Iterator[Function]:
    for owners, node in found:
        name = ".".join([*(owner.name for owner in owners), node.name])
        try:
            reason, doc = _documentation(node, undocumented)
            made = None if reason else _response_for(lines, node)
            if made is not None:
                asked = f"{_instruction_for(owners, node)}\n\n{doc}".rstrip("\n")
                yield Function(node.lineno, name, asked, made[0], tuple(made[1]), bool(doc))
                continue
        except RecursionError:
            reason = "nested too deeply"
        skipped[reason or "response does not parse"] += 1


def python_sources(source: str) -> Iterator[Source]:
    """Every function and method of a Python file, with its docstring, documented or not.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `python_functions`.
    """
    if why := too_costly(source, MAX_FILE_BYTES):
        raise ValueError(why)
    lines = source.split("\n")
    for owners, node in _functions(ast.parse(source))[0]:
        if made := _dedented(lines[_first_line(node) - 1 : node.end_lineno]):
            yield Source(node.lineno, ".".join([*(owner.name for owner in owners), node.name]), made[0], tuple(made[1]))


def _functions(tree: ast.Module) -> tuple[list[tuple[tuple[ast.ClassDef, ...], _Function]], int]:
    """((classes around it, function) in the order of the source, also below `if` and `try`; number of functions inside functions)"""
    found: list[tuple[tuple[ast.ClassDef, ...], _Function]] = []
    inner = 0
    stack: list[tuple[ast.AST, tuple[ast.ClassDef, ...], bool]] = [(tree, (), False)]
    while stack:
        node, owners, inside = stack.pop()
        if isinstance(node, _Function):
            if inside:
                inner += 1
            else:
                found.append((owners, node))
            inside = True
        elif isinstance(node, ast.ClassDef):
            owners = (*owners, node)
        stack.extend((child, owners, inside) for child in reversed(_statements(node)))
    return found, inner


def _statements(node: ast.AST) -> list[ast.AST]:
    """The statements, except clauses and cases directly below a node; expressions are not entered, which is what costs time."""
    below: list[ast.AST] = []
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        children = getattr(node, name, None)
        if isinstance(children, list):
            below += children
    return below


def _documentation(node: _Function, undocumented: bool) -> tuple[str, str]:
    """(why the function is of no use or "", its docstring)"""
    doc = (ast.get_docstring(node) or "").strip()
    prose = re.sub(r"^[^\S\n]*(?:>>>|\.\.\.).*$", "", doc, flags=re.MULTILINE)
    fault = doc_fault(doc, prose) if doc else "no docstring"
    if fault and not undocumented:
        return fault, ""
    body = node.body[_has_docstring(node) :]
    if not body or (len(body) == 1 and _is_stub(body[0])):
        return "stub", ""
    if len(body) == 1 and _only_delegates(body[0]):
        return "only delegates", ""
    return "", "" if fault else doc


def _has_docstring(node: _Function) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _first_line(node: _Function) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _is_stub(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id in {"NotImplementedError", "NotImplemented"}
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant | ast.Name)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _only_delegates(statement: ast.stmt) -> bool:
    """Whether the statement only hands its plain arguments to another function."""
    value = statement.value if isinstance(statement, ast.Return | ast.Expr) else None
    if isinstance(value, ast.Await):
        value = value.value
    if isinstance(value, ast.Attribute):
        return _is_plain(value)
    if not isinstance(value, ast.Call):
        return False
    called: ast.expr = value.func
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Call) and not called.value.args:
        called = called.value.func  # super().method(...)
    return _is_plain(called) and all(_is_plain(a) for a in [*value.args, *(k.value for k in value.keywords)])


def _is_plain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute | ast.Starred):
        node = node.value
    return isinstance(node, ast.Name | ast.Constant)


def _instruction_for(owners: Sequence[ast.ClassDef], node: _Function) -> str:
    """What to write: the signature, the class and what it is for; the documentation goes below."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    signature = f"`{node.name}({ast.unparse(node.args)}){returns}`"
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    if not owners:
        return f"Write an {kind}function {signature} in Python." if kind else f"Write a Python function {signature}."
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id in {
            "property",
            "classmethod",
            "staticmethod",
            "cached_property",
        }:
            kind = {"classmethod": "class ", "staticmethod": "static "}.get(decorator.id, "property ")
        elif isinstance(decorator, ast.Attribute) and decorator.attr in {"setter", "deleter"}:
            kind = f"property {decorator.attr} "
    owner = ".".join(o.name for o in owners)
    what = kind.strip() if kind.startswith("property") else f"{kind}method"
    return f"Write the {what} {signature} of the Python class `{owner}`.{about(ast.get_docstring(owners[-1]) or '')}"


def _response_for(lines: Sequence[str], node: _Function) -> tuple[str, list[str]] | None:
    """(dedented source without the docstring, its lexical tokens), or None when what is left is no Python."""
    first = _first_line(node)
    if not _has_docstring(node):
        return _dedented(list(lines[first - 1 : node.end_lineno]))
    doc = node.body[0]
    end = doc.end_lineno or doc.lineno
    before = _cut(lines[doc.lineno - 1], 0, doc.col_offset)
    after = _cut(lines[end - 1], doc.end_col_offset or 0, None).lstrip()
    kept = list(lines[first - 1 : doc.lineno - 1])
    if before.strip() or (after and not after.startswith("#")):
        kept.append(before + after.removeprefix(";").lstrip())
        rest = list(lines[end : node.end_lineno])
    else:
        rest = list(lines[end : node.end_lineno])
        while rest and not rest[0].strip():
            rest.pop(0)
    return _dedented(kept + rest)


def _dedented(kept: list[str]) -> tuple[str, list[str]] | None:
    """(source without the indentation of its first line, its lexical tokens), or None when that is no Python."""
    try:
        tokens, inside_string = _lex("\n".join(kept) + "\n")
    except (SyntaxError, tokenize.TokenError):
        return None
    indent = kept[0][: len(kept[0]) - len(kept[0].lstrip())]
    code = "\n".join(line if number in inside_string else _dedent(line, indent) for number, line in enumerate(kept, 1))
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _with_docstrings_dedented(code, tree, indent), tokens


def _with_docstrings_dedented(code: str, tree: ast.Module, indent: str) -> str:
    """The lines of docstrings moved with the code around them, where all of them can be: what a docstring says stays the same."""
    lines = code.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or ast.get_docstring(node, clean=False) is None:
            continue
        inside = range(node.body[0].lineno, node.body[0].end_lineno or 0)
        if all(lines[at].startswith(indent) or not lines[at].strip() for at in inside):
            for at in inside:
                lines[at] = lines[at].removeprefix(indent)
    return "\n".join(lines)


def _dedent(line: str, indent: str) -> str:
    return line.removeprefix(indent).rstrip() if line.strip() else ""


def _cut(line: str, start: int, stop: int | None) -> str:
    """Part of a line by UTF-8 byte offsets, the unit of `ast` columns."""
    return line[start:stop] if line.isascii() else line.encode("utf-8")[start:stop].decode("utf-8")


_LAYOUT = {
    tokenize.ENCODING, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT
}  # fmt: skip
# From Python 3.12 an f-string comes in pieces between *STRING_START and *STRING_END; before, it is one STRING.
_OPENING = {kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_START")}
_CLOSING = {kind for kind, name in tokenize.tok_name.items() if name.endswith("STRING_END")}


def _lex(code: str) -> tuple[list[str], set[int]]:
    """(lexical tokens, 1-based numbers of the lines that begin inside a string)"""
    tokens: list[str] = []
    inside: set[int] = set()
    opened: list[tuple[int, int]] = []
    lines = code.split("\n")
    for kind, text, (row, column), (end_row, end_column), _ in tokenize.generate_tokens(io.StringIO(code).readline):
        if kind in _OPENING:
            opened.append((row, column))
        elif kind in _CLOSING:
            row, column = opened.pop()
            inside.update(range(row + 1, end_row + 1))
            if not opened:
                part = lines[row - 1 : end_row]
                part[-1] = part[-1][:end_column]
                tokens.append("\n".join(part)[column:])
        elif not opened and kind not in _LAYOUT:
            tokens.append(text)
            if end_row > row:
                inside.update(range(row + 1, end_row + 1))
    return tokens, inside
