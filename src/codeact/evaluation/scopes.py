"""Which names Python statements bind, read, change and call, by the scoping rules of the language."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Functions that are given a name may change what it names, but for the built-in ones (other than these).
PURE = frozenset(dir(builtins)) - {"setattr", "delattr", "next", "exec", "eval", "iter", "map", "filter"}
# What reads names that no analysis sees.
DYNAMIC = frozenset(("globals", "locals", "vars", "eval", "exec"))
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one top-level statement.

    Attributes:
        binds: those it binds, in its blocks (`try`, `if`, `for`, `with`) too.
        imports: those of them that are imported.
        reads: those it reads from outside, in the bodies of its functions too.
        changes: (name, method) of the objects that it may change when it runs; the method is "" where they are assigned
            into or given to a function.
        later: names that its functions may change or bind when they are called.
        calls: names that it calls when it runs: functions, decorators, base classes.
        defines: it defines functions or classes.
    """

    binds: frozenset[str]
    imports: frozenset[str]
    reads: frozenset[str]
    changes: frozenset[tuple[str, str]]
    later: frozenset[str]
    calls: frozenset[str]
    defines: bool


@dataclass
class _Scope:
    reads: set[str] = field(default_factory=set)
    changes: set[tuple[str, str]] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


def names_of(nodes: Iterable[ast.stmt]) -> Names:
    """The names of statements, taken together."""
    parts = list(nodes)
    try:
        scope = _read(parts, frozenset(), shields=False)
    except RecursionError:
        every = {part.id for node in parts for part in ast.walk(node) if isinstance(part, ast.Name)}
        scope = _Scope(reads=every)
    binds: set[str] = set()
    imports: set[str] = set()
    for node in parts:
        _bound(node, binds, imports)
    return Names(
        frozenset(binds),
        frozenset(imports),
        frozenset(scope.reads),
        frozenset(scope.changes),
        frozenset(scope.later),
        frozenset(scope.calls),
        any(isinstance(node, SCOPES) for node in parts),
    )


def _bound(node: ast.AST, names: set[str], imports: set[str]) -> None:
    pending: list[ast.AST] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, SCOPES):
            names.add(part.name)
        elif isinstance(part, (ast.Import, ast.ImportFrom)):
            found = {(alias.asname or alias.name).partition(".")[0] for alias in part.names}
            names |= found
            imports |= found
        elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            names.add(part.id)
        elif isinstance(part, (ast.MatchAs, ast.MatchStar)) and part.name:
            names.add(part.name)
            pending.extend(ast.iter_child_nodes(part))
        elif isinstance(part, ast.AnnAssign) and part.value is None:  # `x: int` gives x no value
            pending.append(part.annotation)
        elif not isinstance(part, (ast.Lambda, *COMPREHENSIONS)):
            pending.extend(ast.iter_child_nodes(part))


def root(node: ast.AST) -> str:
    """The name at the left end of `a.b[0]().c`; "" where there is another expression."""
    while True:
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return node.id if isinstance(node, ast.Name) else ""


def _read(parts: Iterable[ast.AST], parameters: frozenset[str], shields: bool) -> _Scope:
    """What a scope reads and changes outside. A module's or a class's own names do not shield the scopes inside it."""
    found = _Scope()
    bound = set(parameters)
    outer: set[str] = set()
    pending = list(parts)
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Name):
            if isinstance(part.ctx, ast.Load):
                found.reads.add(part.id)
            else:
                bound.add(part.id)
        elif isinstance(part, (ast.Global, ast.Nonlocal)):
            outer.update(part.names)
        elif isinstance(part, ast.ClassDef):
            bound.add(part.name)
            heads = [*part.decorator_list, *part.bases, *(keyword.value for keyword in part.keywords)]
            _call(heads, found)
            pending.extend(heads)
            _join(found, _read(part.body, frozenset(), shields=False), runs=True)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            if not isinstance(part, ast.Lambda):
                bound.add(part.name)
                _call(part.decorator_list, found)
            pending.extend(_outside(part, found))
            body: list[ast.AST] = [part.body] if isinstance(part, ast.Lambda) else [*part.body]
            arguments = frozenset(argument.arg for argument in _arguments(part.args))
            _join(found, _read(body, arguments, shields=True), runs=False)
        else:
            _change(part, found)
            if isinstance(part, (ast.Import, ast.ImportFrom)):
                bound.update((alias.asname or alias.name).partition(".")[0] for alias in part.names)
            elif isinstance(part, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and part.name:
                bound.add(part.name)
            pending.extend(ast.iter_child_nodes(part))
    if shields:
        own = bound - outer
        found.reads -= own
        found.later -= own
        found.calls -= own
        found.changes = {(name, how) for name, how in found.changes if name not in own}
        found.later |= bound & outer
    found.reads |= outer
    return found


def _join(found: _Scope, inner: _Scope, runs: bool) -> None:
    """Add what an inner scope does: at once (a class body) or when it is called."""
    found.reads |= inner.reads
    found.later |= inner.later
    if runs:
        found.changes |= inner.changes
        found.calls |= inner.calls
    else:
        found.later |= {name for name, _ in inner.changes}


def _arguments(spec: ast.arguments) -> list[ast.arg]:
    return [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))]


def _outside(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, found: _Scope) -> list[ast.AST]:
    """The parts of a function that are read where it is defined: decorators, defaults, annotations."""
    spec = node.args
    parts: list[ast.AST] = [*spec.defaults, *filter(None, spec.kw_defaults)]
    notes = [argument.annotation for argument in _arguments(spec)]
    if not isinstance(node, ast.Lambda):
        parts.extend(node.decorator_list)
        notes.append(node.returns)
    for note in filter(None, notes):
        parts.append(note)
        if isinstance(note, ast.Constant):
            found.reads.update(WORD.findall(str(note.value)))
    return parts


def _call(heads: Iterable[ast.expr], found: _Scope) -> None:
    """Decorators and base classes are called, and may keep what they are given."""
    for head in heads:
        name = root(head)
        if isinstance(head, ast.Name) or (isinstance(head, ast.Call) and isinstance(head.func, ast.Name)):
            found.calls.add(name)
        elif name:
            found.changes.add((name, ""))


def _change(part: ast.AST, found: _Scope) -> None:
    """What one node may change: `a.b = 1`, `a[0] += 1`, `a.append(1)`, `fill(a)`."""
    if isinstance(part, ast.AugAssign):
        found.reads.add(root(part.target))
    if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
        found.changes.add((root(part), ""))
    elif isinstance(part, ast.Call):
        name = root(part.func)
        if isinstance(part.func, ast.Name):
            found.calls.add(name)
        elif isinstance(part.func, ast.Attribute) and name:
            found.changes.add((name, part.func.attr))
        if not (isinstance(part.func, ast.Name) and name in PURE):
            given = [*part.args, *(keyword.value for keyword in part.keywords)]
            found.changes.update((root(one), "") for one in given if isinstance(one, (ast.Name, ast.Attribute)))
    found.reads.discard("")
    found.changes.discard(("", ""))
