"""How much of the definition of a name a statement holds: a signature alone, a part, or all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import IntEnum

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.BinOp, ast.Compare, ast.ListComp, ast.DictComp)


class Quality(IntEnum):
    """How much of a definition is there."""

    NONE = 0
    STUB = 1  # a signature: a docstring, `pass`, `...` or `raise NotImplementedError` alone
    OPEN = 2  # it gives nothing back, elides a part with `...`, or is an import or a value under that name
    CUT = 3  # its end is missing
    WHOLE = 4


def quality_in(node: ast.stmt, name: str) -> Quality:
    """How much of a definition of `name` a statement is; of those in its blocks, the best."""
    best = Quality.NONE
    pending: list[ast.stmt] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, FUNCTIONS):
            best = max(best, _function_quality(part) if part.name == name else Quality.NONE)
        elif isinstance(part, ast.ClassDef):
            best = max(best, _class_quality(part) if part.name == name else Quality.NONE)
        elif isinstance(part, (ast.Assign, ast.AnnAssign)):
            best = max(best, _value_quality(part, name))
        else:
            pending.extend(child for child in _blocks(part))
    return best or Quality.OPEN


def _blocks(node: ast.stmt) -> Iterator[ast.stmt]:
    for field in ("body", "orelse", "finalbody"):
        yield from (part for part in getattr(node, field, []) if isinstance(part, ast.stmt))
    for handler in getattr(node, "handlers", []):
        yield from handler.body


def _function_quality(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Quality:
    if all(_says_nothing(part) for part in node.body):
        return Quality.STUB
    gives = False
    pending: list[ast.AST] = [*node.body]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and part.value.value is ...:
            return Quality.OPEN
        if isinstance(part, ast.Return):
            gives = gives or not (
                part.value is None or (isinstance(part.value, ast.Constant) and part.value.value is ...)
            )
        gives = gives or isinstance(part, (ast.Yield, ast.YieldFrom))
        if not isinstance(part, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(part))
    return Quality.WHOLE if gives else Quality.OPEN


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return "NotImplementedError" in ast.dump(node)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _class_quality(node: ast.ClassDef) -> Quality:
    return Quality.STUB if all(_says_nothing(part) for part in node.body) and not node.bases else Quality.WHOLE


def _value_quality(node: ast.Assign | ast.AnnAssign, name: str) -> Quality:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
        return Quality.NONE
    value = node.value
    if value is None:
        return Quality.NONE
    if isinstance(value, LITERALS):
        return Quality.OPEN
    # `f = cache(f)` and `f = f(1)` build on another definition
    own = any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value))
    return Quality.OPEN if own and not isinstance(value, ast.Lambda) else Quality.WHOLE
