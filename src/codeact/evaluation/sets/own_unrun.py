"""Tests of a team's own in Python that would never be run, end early, or look at a value and assert nothing.

Where a file asserts nothing at all, wrong programs pass it and show that (`codeact.evaluation.set_checks`); here it is one among other tests.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
ENDS = ("sys.exit", "os._exit", "os.abort", "exit", "quit")
RUN = re.compile(r"test|check$|setup_|teardown_|setUpModule$|tearDownModule$|load_tests$")
LITERALS = ast.List | ast.Tuple | ast.Dict | ast.Set
SWALLOWED = ("AssertionError", "Exception", "BaseException")


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
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in ENDS:
            yield f"tests calls {called}, which ends them before their verdict; leave it out"
    yield from _idle(tree)


def _idle(tree: ast.Module) -> Iterator[str]:
    """What asserts nothing, beside something that does."""
    everything = _assertions(tree)
    for node in _statements(tree.body):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare) and everything:
            yield f"tests compares in line {node.lineno} and asserts nothing; write assert before it"
        if isinstance(node, ast.Try) and _swallows(node) and everything > _assertions(node):
            yield f"tests catches in line {node.lineno} what it asserts; leave the try out, or raise again"
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


def _uncalled(tree: ast.Module, everything: int) -> Iterator[str]:
    """Functions and classes with assertions that nothing runs."""
    named = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}
    if named & {"globals", "locals", "vars", "getattr"}:
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
