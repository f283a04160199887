"""Tests of a team's own in Python that would never be run, end early, or look at a value and assert nothing.

Where a file asserts nothing at all, wrong programs pass it and show that (`codeact.evaluation.set_checks`); here it is one among other tests.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
ENDS = frozenset(("sys.exit", "os._exit", "os.abort", "exit", "quit"))
RUN = re.compile(r"test|check$|setup_|teardown_|setUpModule$|tearDownModule$|load_tests$")
LITERALS = ast.List | ast.Tuple | ast.Dict | ast.Set
SWALLOWED = ("AssertionError", "Exception", "BaseException")
DISPLAYS = ast.List | ast.Tuple | ast.Set
LOOKED_UP = frozenset(("globals", "locals", "vars", "getattr"))
LEAVES = ast.Return | ast.Raise | ast.Continue | ast.Break
# Calls whose value is all that they are for.
PREDICATES = frozenset(("all", "any", "isinstance", "issubclass", "callable", "hasattr", "isclose", "allclose", "array_equal", "array_equiv",
                        "issubset", "issuperset", "isdisjoint", "startswith", "endswith"))  # fmt: skip


def unrun(tree: ast.Module) -> Iterator[str]:
    """Tests that would never be run, or end before their verdict; one line each, with the mend."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    scopes = [(tree.body, ""), *((node.body, " ".join(map(ast.unparse, node.bases)) or "object") for node in classes)]
    for body, bases in scopes:
        tests = [node for node in body if isinstance(node, FUNCTIONS) and node.name.startswith("test")]
        if twice := [name for name, count in Counter(node.name for node in tests).items() if count > 1]:
            yield f"tests defines {twice[0]} twice, so that the first is never run; give each a name of its own"
        for test in tests:
            if asked := _asked(test, bool(bases)):
                yield f"tests has {test.name}({asked}), which nothing calls with an argument (there are no fixtures here); write functions without arguments"
            if isinstance(test, ast.AsyncFunctionDef) and "TestCase" in bases and "Async" not in bases:
                yield f"tests has the async {test.name} in a class of unittest, which never awaits it; use unittest.IsolatedAsyncioTestCase"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            yield f"tests asserts a tuple in line {node.lineno}, which is always true; leave the parentheses out"
    for ends in _ends(tree):
        yield f"tests {ends}, which ends them before their verdict; leave it out, or assert in its place"
    yield from _idle(tree)


def _ends(tree: ast.Module) -> Iterator[str]:
    """What ends the process, by whatever name."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ends = ENDS | {one.asname or one.name for node in imports for one in node.names if f"{node.module}.{one.name}" in ENDS}
    # not where it is expected, nor in a function that stands in for another
    kept = [node for node in ast.walk(tree) if isinstance(node, ast.Try | ast.With) or (isinstance(node, FUNCTIONS) and not RUN.match(node.name))]
    caught = {id(part) for node in kept for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in ends:
            yield f"calls {called}"
        elif isinstance(node, ast.Raise) and id(node) not in caught and re.match(r"SystemExit\b", ast.unparse(node.exc) if node.exc else ""):
            yield f"raises SystemExit in line {node.lineno}"


def _idle(tree: ast.Module) -> Iterator[str]:
    """What asserts nothing, beside something that does."""
    everything = _assertions(tree)
    for node in _statements(tree.body):
        if isinstance(node, ast.Expr) and _compares(node.value) and everything:
            yield f"tests compares in line {node.lineno} and asserts nothing; write assert before it"
        if isinstance(node, ast.Try) and _swallows(node) and everything > _assertions(node):
            yield f"tests catches in line {node.lineno} what it asserts; leave the try out, or raise again"
        if isinstance(node, ast.With) and _suppresses(node) and everything > _assertions(node) > 0:
            yield f"tests suppresses in line {node.lineno} what it asserts; leave the with out"
    yield from _kept_and_unread(tree, everything)
    yield from _never_reached(tree, everything)
    yield from _always_true(tree)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".assertTrue") and len(call.args) > 1:
            number = isinstance(call.args[1], ast.Constant) and not isinstance(call.args[1].value, str)
            if number or isinstance(call.args[1], LITERALS):
                yield f"tests has assertTrue with two values in line {call.lineno}, which looks at the first alone; use assertEqual"
    yield from _uncalled(tree, everything)
    for test in ast.walk(tree):
        if isinstance(test, FUNCTIONS) and test.name.startswith("test"):
            if everything and any(isinstance(part, ast.Return) and isinstance(part.value, ast.Compare | ast.BoolOp) for part in _statements(test.body)):
                yield f"tests has {test.name}, which returns a comparison and asserts nothing; write assert in place of return"
            if any(ast.unparse(one).startswith(("unittest.skip(", "skip(")) for one in test.decorator_list):
                yield f"tests skips {test.name}; leave it out, or run it"


def _compares(node: ast.expr) -> bool:
    """Whether an expression that stands alone says something of a value, and nothing of it is kept."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return True
    if isinstance(node, ast.BoolOp):
        return all(_compares(one) for one in node.values)
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in PREDICATES
    return isinstance(node, ast.Compare)


def _kept_and_unread(tree: ast.Module, everything: int) -> Iterator[str]:
    """Comparisons, and functions (lambda) that compare or assert, under a name that nothing reads."""
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    if read & LOOKED_UP:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [getattr(one, "id", getattr(one, "attr", "")) for one in targets]
        if not everything or not all(names) or read & set(names):
            continue
        if isinstance(node.value, ast.Lambda) and (_compares(node.value.body) or _assertions(node.value.body)):
            yield f"tests has {names[0]} in line {node.lineno}, a lambda that nothing calls; write assert, or a function test_{names[0].removeprefix('test_')}"
        elif _compares(node.value) or (isinstance(node.value, DISPLAYS) and node.value.elts and all(map(_compares, node.value.elts))):
            yield f"tests keeps in {names[0]} what it compares in line {node.lineno}, and nothing reads it; assert it"


def _suppresses(node: ast.With) -> bool:
    """Whether it is `contextlib.suppress` of what an assertion raises."""
    calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(ast.unparse(one.func) in ("suppress", "contextlib.suppress") and any(ast.unparse(a) in SWALLOWED for a in one.args) for one in calls)


def _never_reached(tree: ast.Module, everything: int) -> Iterator[str]:
    """Assertions behind a `return` or its like, and under a condition that never holds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.While) and isinstance(node.test, ast.Constant) and not node.test.value and any(map(_assertions, node.body)):
            yield f"tests has assertions under `{'while' if isinstance(node, ast.While) else 'if'} {ast.unparse(node.test)}` in line {node.lineno}; run them"
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, ())
            if not isinstance(body, list):
                continue
            end = next((number for number, one in enumerate(body) if isinstance(one, LEAVES)), len(body))
            if behind := [one for one in body[end + 1 :] if _assertions(one)]:
                yield f"tests has an assertion in line {behind[0].lineno} behind line {body[end].lineno}, which leaves; put it before"
    inner = [one for test in tree.body for one in ast.walk(test) if isinstance(one, FUNCTIONS) and isinstance(test, FUNCTIONS | ast.ClassDef) and one is not test]
    methods = {id(one) for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for one in cls.body}
    named = _named(tree)
    for one in inner:
        if id(one) not in methods and not one.decorator_list and one.name not in named and everything > _assertions(one) > 0:
            yield f"tests has {one.name} in line {one.lineno}, a function in another that nothing calls; call it"


def _always_true(tree: ast.Module) -> Iterator[str]:
    """Assertions of what is never false."""
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    functions = {node.name for node in tree.body if isinstance(node, FUNCTIONS)} - bound
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        test, what = node.test, ""
        if isinstance(test, ast.JoinedStr) or (isinstance(test, ast.Constant) and isinstance(test.value, str) and test.value):
            what = "a text"
        elif isinstance(test, ast.GeneratorExp | ast.Lambda):
            what = "a generator" if isinstance(test, ast.GeneratorExp) else "a function"
        elif isinstance(test, ast.Name) and test.id in functions:
            what = f"the function {test.id}"
        elif (isinstance(test, ast.List | ast.Set) and test.elts) or (isinstance(test, ast.Dict) and test.keys):
            what = "a list" if isinstance(test, ast.List) else "a set" if isinstance(test, ast.Set) else "a dict"
        if what:
            yield f"tests asserts {what} in line {node.lineno}, which is always true; assert what is in it, or call it"
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and len(statement.value.args) == 1:
            called = ast.unparse(statement.value.func)
            if called in ("self.assertRaises", "self.assertWarns", "self.assertLogs") and not statement.value.keywords:
                yield f"tests has {called} alone in line {statement.lineno}, which calls nothing; write `with {called}(...):` around the call"


def _named(tree: ast.Module) -> set[str]:
    """Names and attributes that are read somewhere."""
    return {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}


def _uncalled(tree: ast.Module, everything: int) -> Iterator[str]:
    """Functions and classes with assertions that nothing runs."""
    named = _named(tree)
    if named & LOOKED_UP:
        return
    for one in tree.body:
        if not isinstance(one, FUNCTIONS | ast.ClassDef) or one.decorator_list or one.name in named or not everything > _assertions(one) > 0:
            continue
        if isinstance(one, FUNCTIONS) and not RUN.match(one.name):
            yield f"tests has {one.name}, which nothing calls; call it test_{one.name.lower()}"
        if isinstance(one, ast.ClassDef) and not one.bases and not one.name.startswith("Test"):
            tests = [part.name for part in one.body if isinstance(part, FUNCTIONS) and part.name.startswith("test")]
            yield from (f"tests has {one.name}.{name}, which nothing runs; call the class Test{one.name}" for name in tests)


def _assertions(tree: ast.AST) -> int:
    return sum(isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("assert"))
               for node in ast.walk(tree))  # fmt: skip


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements in blocks of statements; not those in `with` and `try`, which may expect an exception."""
    for node in body:
        yield node
        if not isinstance(node, ast.With | ast.AsyncWith | ast.Try):
            for field in ("body", "orelse"):
                yield from _statements([part for part in getattr(node, field, ()) if isinstance(part, ast.stmt)])


def _swallows(node: ast.Try) -> bool:
    """Whether an assertion in it could fail without a trace."""
    if not any(map(_assertions, node.body)):
        return False
    for handler in node.handlers:
        silent = all(isinstance(part, ast.Pass | ast.Continue) or (isinstance(part, ast.Expr) and _says(part.value)) for part in handler.body)
        if silent and (handler.type is None or any(one in SWALLOWED for one in ast.unparse(handler.type).strip("()").split(", "))):
            return True
    return False


def _says(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")


def _asked(test: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> str:
    """The first argument that a test needs; "" where it needs none, or a decorator gives it."""
    plain = [*test.args.posonlyargs, *test.args.args]
    needed = [one.arg for one in plain[: len(plain) - len(test.args.defaults)]]
    decorators = " ".join(map(ast.unparse, test.decorator_list))
    needed = needed[method and "staticmethod" not in decorators :]
    needed += [one.arg for one, default in zip(test.args.kwonlyargs, test.args.kw_defaults, strict=True) if default is None]
    return needed[0] if needed and "patch" not in decorators else ""
