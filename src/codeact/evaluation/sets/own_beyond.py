"""What tests of a team's own need of a Python program beside the values that its entry point takes and gives.

Such tests share the program's process (`same_process`); apart from it they would fail right answers, or pass wrong ones.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from types import UnionType
from typing import Any

from codeact.parsing import parse

# What a program writes and reads, what is replaced in its process, and what only a process's own code sees.
STREAMS = re.compile(
    r"\bsys\.std(?:in|out|err)\b|\bredirect_std(?:out|err)\b|\bunittest\.mock\b|\bmock\.patch\b|\bsetrecursionlimit\b|\bcatch_warnings\(record=True"
    r"|\bassertWarns(?:Regex)?\b|\bassert(?:No)?Logs\b"
)
# Classes of the standard library that equal their own instances alone, which do not cross the border.
NO_VALUES = frozenset(("collections.deque", "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "pathlib.Path", "pathlib.PurePath",
                       "pathlib.PurePosixPath", "uuid.UUID", "array.array"))  # fmt: skip
SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
VALUES: tuple[object, ...] = (None, True, 1, 1.0, 1j, "", b"", [], (), {}, set(), Fraction(1), Decimal(1), frozenset(), bytearray(), range(0))
# Of Counter, OrderedDict and numpy's arrays, whose other attributes have names that classes of one's own have too.
FURTHER = ("most_common", "elements", "subtract", "move_to_end", "shape", "ndim", "dtype", "tolist", "astype", "item", "all", "any", "mean", "sum")
ATTRIBUTES = frozenset(name for value in VALUES for name in dir(value)).union(FURTHER)
DISPLAYS = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
CALLABLE = {"math": frozenset(name for name in dir(math) if callable(getattr(math, name))), "operator": None}


def tree_of(row: Mapping[str, Any]) -> ast.Module:
    """What prompt and solution define; a prompt that ends in an open function is closed."""
    prompt = row["prompt"]
    for text in (prompt + str(row.get("canonical_solution") or ""), prompt.rstrip() + "\n    pass\n", prompt.rstrip() + "\n        pass\n"):
        if (tree := parse(text)) is not None:
            return tree
    return ast.Module([], [])


def beyond_values(row: Mapping[str, Any], entry: str) -> str:
    """Why the entry point does not turn values into a value; "" where it may."""
    for node in tree_of(row).body:
        if isinstance(node, ast.ClassDef) and node.name == entry:
            return f"{entry!r} is a class"
        if isinstance(node, ast.AsyncFunctionDef) and node.name == entry:
            return f"{entry!r} is async"
    return ""


def beyond_entry(tests: ast.Module, row: Mapping[str, Any], entry: str) -> str:
    """Which part of the program beside the entry point the tests need, or what they give it that is no value; "" for none."""
    if streams := STREAMS.search(ast.unparse(tests)):
        return f"tests use {streams[0]!r}, which another process does not share"
    if used := _used(tests, row, entry):
        return f"tests use {used!r} of the program"
    for look in (_given, _changed, _more_than_a_value, _looked_at, _compared):
        if why := next(look(tests, entry), ""):
            return why
    return ""


def _used(tests: ast.Module, row: Mapping[str, Any], entry: str) -> str:
    """A name of the program that the tests read."""
    defined: set[str] = set()
    for node in tree_of(row).body:
        if isinstance(node, SCOPES):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    names = [node for node in ast.walk(tests) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | _functions(tests)
    bound |= {node.arg for node in ast.walk(tests) if isinstance(node, ast.arg)}
    return next((node.id for node in names if isinstance(node.ctx, ast.Load) and node.id in defined - bound - {entry}), "")


def _functions(tests: ast.Module) -> set[str]:
    return {node.name for node in ast.walk(tests) if isinstance(node, SCOPES)}


def _calls(tree: ast.AST, entry: str) -> Iterator[ast.Call]:
    """Its calls in a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is(node.func, entry))


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _given(tests: ast.Module, entry: str) -> Iterator[str]:
    """Functions that it is given."""
    functions = _functions(tests)
    bound = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tests) if isinstance(node, ast.arg)}
    known = {name for name, value in vars(builtins).items() if callable(value)} - bound

    def is_function(node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in functions | known
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return isinstance(node, ast.Lambda)
        module = node.value.id
        return module in known or (module in CALLABLE and (CALLABLE[module] is None or node.attr in CALLABLE[module]))  # type: ignore[operator]

    for call in _calls(tests, entry):
        if any(is_function(one) for one in _arguments(call)):
            yield f"tests give {entry!r} a function"


def _changed(tests: ast.Module, entry: str) -> Iterator[str]:
    """Modules in which the tests replace something."""
    imports = [node for node in ast.walk(tests) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    for node in ast.walk(tests):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets += node.targets
        elif isinstance(node, ast.AugAssign):
            targets.append(node.target)
        elif isinstance(node, ast.Call) and _is(node.func, "setattr") and len(node.args) > 1:
            targets.append(ast.Subscript(node.args[0], node.args[1]))
        for target in targets:
            root: ast.AST = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if root is not target and isinstance(root, ast.Name) and root.id in modules:
                yield f"tests change {ast.unparse(target)!r}, which another process does not share"


def _results(tests: ast.Module, entry: str) -> set[str]:
    """Names that are bound to what it returns, and to nothing else."""
    bound: dict[str, list[bool]] = {}
    for node in ast.walk(tests):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        bound.setdefault(part.id, []).append(part is target and isinstance(node.value, ast.Call) and _is(node.value.func, entry))
        elif isinstance(node, ast.arg):
            bound.setdefault(node.arg, []).append(False)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            for part in ast.walk(node.target):
                if isinstance(part, ast.Name):
                    bound.setdefault(part.id, []).append(False)
    return {name for name, kinds in bound.items() if all(kinds)}


def _more_than_a_value(tests: ast.Module, entry: str) -> Iterator[str]:
    """What is done with the function or with what it returns that no value allows."""
    results = _results(tests, entry)

    def given_back(node: ast.AST) -> bool:
        return (isinstance(node, ast.Name) and node.id in results) or (isinstance(node, ast.Call) and _is(node.func, entry))

    rules: tuple[tuple[type[ast.AST] | UnionType, Callable[[Any], bool], str], ...] = (
        (ast.Attribute, lambda n: _is(n.value, entry) and n.attr != "__name__", "tests look at {entry}.{attr}"),
        (ast.Attribute, lambda n: given_back(n.value) and n.attr not in ATTRIBUTES, "tests use {attr!r} of what {entry!r} returns"),
        (ast.Call, lambda n: given_back(n.func), "tests call what {entry!r} returns"),
        (ast.Call, lambda n: _is(n.func, "next") and any(map(given_back, n.args[:1])), "tests take one item at a time of what {entry!r} returns"),
        (ast.Call, lambda n: ast.unparse(n.func) in ("asyncio.run", "run") and any(map(given_back, n.args)), "tests await {entry!r}"),
        (ast.Call, lambda n: ast.unparse(n.func).startswith("inspect.") and any(_is(a, entry) for a in n.args), "tests inspect {entry!r}"),
        (ast.Await, lambda n: given_back(n.value), "tests await {entry!r}"),
        (ast.withitem, lambda n: given_back(n.context_expr), "tests enter what {entry!r} returns"),
        (SCOPES, lambda n: any(_is(d, entry) or given_back(d) for d in n.decorator_list), "tests decorate with {entry!r}"),
    )
    for node in ast.walk(tests):
        for kind, holds, why in rules:
            if isinstance(node, kind) and holds(node):
                yield why.format(entry=entry, attr=getattr(node, "attr", ""))


def _looked_at(tests: ast.Module, entry: str) -> Iterator[str]:
    """What a call without use of its value was given and an assertion behind it looks at."""
    given = {argument.id: node.lineno for node in ast.walk(tests) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
             and _is(node.value.func, entry) for argument in node.value.args if isinstance(argument, ast.Name)}  # fmt: skip
    for node in ast.walk(tests):
        claims = node.test if isinstance(node, ast.Assert) else node if isinstance(node, ast.Call) and _asserts(node) else None
        if claims is not None and given and not any(_calls(claims, entry)):
            for part in ast.walk(claims):
                if isinstance(part, ast.Name) and given.get(part.id, part.lineno) < part.lineno:
                    yield _as_if_changed(part.id, entry)


def _compared(tests: ast.Module, entry: str) -> Iterator[str]:
    """Lists and the like that it was given, and that an assertion compares with something that it has not returned."""
    results = _results(tests, entry)
    mutable = {target.id for node in ast.walk(tests) if isinstance(node, ast.Assign) and _is_mutable(node.value)
               for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
    given: dict[str, int] = {}
    for call in _calls(tests, entry):
        for argument in _arguments(call):
            if isinstance(argument, ast.Name):
                given[argument.id] = min(call.lineno, given.get(argument.id, call.lineno))
    whole, calls = _imported(tests), [*_calls(tests, entry)]
    for sides, same in _comparisons(tests):
        for one, other in (sides, sides[::-1]):
            if isinstance(one, ast.Call) and (kind := _dotted(one.func, whole)) in NO_VALUES and not same and (other in calls or getattr(other, "id", "") in results):
                yield f"tests compare what {entry!r} returns with a {kind}, which is no value"
            if not isinstance(one, ast.Name) or given.get(one.id, one.lineno + 1) > one.lineno:
                continue
            returned = any(_calls(other, entry)) or any(isinstance(part, ast.Name) and part.id in results for part in ast.walk(other))
            if same and returned:
                yield f"tests look whether {entry!r} returns {one.id!r} itself"
            elif one.id in mutable and not same and not returned and given[one.id] < one.lineno:
                yield _as_if_changed(one.id, entry)


def _imported(tests: ast.Module) -> dict[str, str]:
    """What each imported name stands for, with its module."""
    found: dict[str, str] = {}
    for node in ast.walk(tests):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _dotted(node: ast.expr, imported: Mapping[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return f"{imported.get(first, first)}{dot}{rest}"


def _as_if_changed(name: str, entry: str) -> str:
    return f"tests look at {name!r} after {entry!r} had it, as if it were changed"


def _is_mutable(node: ast.expr) -> bool:
    made = isinstance(node, ast.Call) and ast.unparse(node.func) in ("list", "dict", "set", "bytearray", "deque", "collections.deque")
    return made or isinstance(node, DISPLAYS) or (isinstance(node, ast.BinOp) and (_is_mutable(node.left) or _is_mutable(node.right)))


def _comparisons(tests: ast.Module) -> Iterator[tuple[tuple[ast.expr, ast.expr], bool]]:
    """The two sides of what is asserted to be equal or unequal, and whether it is the same object that is asked for."""
    for node in ast.walk(tests):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                if isinstance(part, ast.Compare) and len(part.ops) == 1 and isinstance(part.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                    yield (part.left, part.comparators[0]), isinstance(part.ops[0], ast.Is | ast.IsNot)
        elif isinstance(node, ast.Call) and _asserts(node) and len(node.args) >= 2 and re.search("Equal|assertIs(?:Not)?$", node.func.attr):  # type: ignore[attr-defined]
            yield (node.args[0], node.args[1]), node.func.attr in ("assertIs", "assertIsNot")  # type: ignore[attr-defined]


def _asserts(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr.startswith("assert")
