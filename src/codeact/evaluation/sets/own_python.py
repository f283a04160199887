"""A team's own tasks in Python: what is wrong with a row's tests, and the check program that they make.

Tests run as they are written: statements, functions `test_...`, classes of unittest, or `check(candidate)`. They see the
function alone, through a proxy; tests that need more of the program share its process where the task says `same_process`.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from codeact.evaluation.sets import in_process, published
from codeact.evaluation.tasks import Task
from codeact.parsing import parse, parse_or_error
from codeact.sandbox import Backend, Outcome, run_check

# Runs a module of tests. unittest.main and the like would end the process before its verdict.
RUN = '''
def codeact_run(space, codeact_source):
    import asyncio, inspect, sys, types, unittest
    module = types.ModuleType("__main__")
    module.__dict__.update(space)
    sys.modules["__main__"] = module
    unittest.main = lambda *args, **keywords: None
    exec(compile(codeact_source, "<tests>", "exec"), module.__dict__)
    for name, found in list(vars(module).items()):
        if inspect.isclass(found) and issubclass(found, unittest.TestCase):
            done = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(found).run(done)
            for case, why in [*done.errors, *done.failures]:
                said = [line for line in why.strip().split("\\n") if line and not line.startswith((" ", "Traceback"))]
                raise AssertionError(f"{case.id().rpartition('.')[2]}: {said[0] if said else why}")
        elif inspect.isclass(found) and name.startswith("Test"):
            for method in [m for m in dir(found) if m.startswith("test")]:
                one = found()
                getattr(one, "setup_method", lambda *args: None)()
                codeact_call(getattr(one, method))
        elif name.startswith("test") and isinstance(found, types.FunctionType):
            codeact_call(found)
    return module

def codeact_call(function):
    import asyncio, inspect
    given = function()
    if inspect.iscoroutine(given):
        asyncio.run(given)
'''
APART = '''
def check(candidate):
    called = []
    def entry(*args, **keywords):
        called.append(1)
        return candidate(*args, **keywords)
    entry.__name__ = entry.__qualname__ = {entry!r}
    module = codeact_run({{{entry!r}: entry}}, {tests!r})
    if {checked}:
        module.check(entry)
    if not called:
        raise AssertionError("the tests did not call " + {entry!r})
'''
TOGETHER = '''
def codeact_main(program, tests):
    import sys, types
    space = vars(sys.modules.setdefault("solution", types.ModuleType("solution")))  # dataclasses look their module up
    exec(compile(program, "<solution>", "exec"), space)
    module = codeact_run({**space, "__name__": "__main__"}, tests)
'''
# What a program writes and reads, and what is replaced in its process.
STREAMS = re.compile(r"\bsys\.std(?:in|out|err)\b|\bredirect_std(?:out|err)\b|\bunittest\.mock\b|\bmock\.patch\b")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def name(entry: str) -> str:
    """An identifier as the parser sees it (NFKC)."""
    return unicodedata.normalize("NFKC", entry)


def faults(row: Mapping[str, Any], entry: str) -> Iterator[str]:
    """What is wrong with the tests or examples of a row whose keys are of the right kinds; one line each, with the mend."""
    tests = source(row["tests"]) if "tests" in row else ""
    told = " ".join(str(row.get(key, "")) for key in ("prompt", "instruction", "canonical_solution"))
    if not tests:
        if not _named(entry, told):
            yield f"neither prompt nor instruction names {entry!r}; name the function that is tested"
        elif why := _beyond_values(row, entry):
            yield f"{why}, which examples cannot judge; give tests, with \"same_process\": true"
        return
    tree = parse_or_error(tests)
    if not isinstance(tree, ast.Module):
        where = f"line {tree.lineno}: {tree.msg}" if isinstance(tree, SyntaxError) and tree.lineno else str(tree)
        yield f"tests does not parse as Python ({where}); mend the program"
        return
    if not any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for node in ast.walk(tree)):
        yield "tests asserts nothing, so that everything would pass; add assertions"
        return
    if not _checked(tree) and not _named(entry, tests):
        yield f"tests does not call {entry!r}, so that everything would pass; test the function"
    fixtures = [f"{node.name}({node.args.args[0].arg})" for node in tree.body
                if isinstance(node, FUNCTIONS) and node.name.startswith("test") and len(node.args.args) > len(node.args.defaults)]  # fmt: skip
    if fixtures:
        yield f"tests has {fixtures[0]}, which nothing calls with an argument (there are no fixtures here); write functions without arguments"
    if why := published.lacking([tests]):
        yield f"tests cannot run: {why}; use the standard library, or numpy"
    if not row.get("same_process") and (why := _beyond_values(row, entry) or _beyond_entry(tree, row, entry)):
        yield f'{why}; tests see the function alone, in a process of their own: test its values, or give "same_process": true'


def source(tests: str | list[str]) -> str:
    """The program that a row's tests are."""
    return tests if isinstance(tests, str) else "\n".join(tests)


def check_program(row: Mapping[str, Any], entry: str) -> str:
    """The tests as a program that defines `check(candidate)`; where they share the program's process, as they are."""
    tests = source(row["tests"])
    if row.get("same_process"):
        return tests
    head = "\n".join(ast.unparse(node) for node in _tree(row).body if isinstance(node, ast.Import | ast.ImportFrom) and _plain(node))
    tree = ast.parse(tests)
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    if head and not future:  # what the prompt imports is there for its tests too
        tests = f"{head}\n{tests}"
    return RUN + APART.format(entry=entry, tests=tests, checked=_checked(tree))


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Run the tests in a process of their own; what the function raises is raised there, where it is a built-in exception."""
    return run_check(source, task.entry_point, task.test, backend=backend, call_seconds=3.0, raises=True)


def judge_together(task: Task, source: str, backend: Backend) -> Outcome:
    """Run the tests in the program's own process: they see its classes, exceptions and helpers, and it could see them."""
    checked = "module.check(space[ENTRY])" if _checked(ast.parse(task.test)) else "pass"
    run = f"{RUN}{TOGETHER}    {checked.replace('ENTRY', repr(task.entry_point))}\ncodeact_main({source!r}, {task.test!r})\n"
    return in_process.judge(run, "print('\\n{mark}', flush=True)\n", backend)


def _named(entry: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(entry)}(?!\w)", name(text)) is not None


def _checked(tree: ast.Module) -> bool:
    """Whether the tests are HumanEval's form."""
    return any(isinstance(node, ast.FunctionDef) and node.name == "check" and node.args.args for node in tree.body)


def _plain(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.Import) or node.module != "__future__"


def _tree(row: Mapping[str, Any]) -> ast.Module:
    """What prompt and solution define; a prompt that ends in an open function is closed."""
    prompt = row["prompt"]
    for text in (prompt + str(row.get("canonical_solution") or ""), prompt.rstrip() + "\n    pass\n", prompt.rstrip() + "\n        pass\n"):
        if (tree := parse(text)) is not None:
            return tree
    return ast.Module([], [])


def _beyond_values(row: Mapping[str, Any], entry: str) -> str:
    """Why the entry point does not turn values into a value; "" where it may."""
    for node in _tree(row).body:
        if isinstance(node, ast.ClassDef) and node.name == entry:
            return f"{entry!r} is a class"
        if isinstance(node, ast.AsyncFunctionDef) and node.name == entry:
            return f"{entry!r} is async"
    return ""


def _beyond_entry(tests: ast.Module, row: Mapping[str, Any], entry: str) -> str:
    """Which part of the program beside the entry point the tests need, or what they give it that is no value; "" for none."""
    defined: set[str] = set()
    for node in _tree(row).body:
        if isinstance(node, FUNCTIONS | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    if streams := STREAMS.search(ast.unparse(tests)):
        return f"tests use {streams[0]!r}, which another process does not share"
    names = [node for node in ast.walk(tests) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    functions = {node.name for node in ast.walk(tests) if isinstance(node, FUNCTIONS | ast.ClassDef)}
    bound |= functions | {node.arg for node in ast.walk(tests) if isinstance(node, ast.arg)}
    used = [node.id for node in names if isinstance(node.ctx, ast.Load) and node.id in defined - bound - {entry}]
    if used:
        return f"tests use {used[0]!r} of the program"
    for call in ast.walk(tests):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == entry:
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            if any(isinstance(one, ast.Lambda) or (isinstance(one, ast.Name) and one.id in functions) for one in given):
                return f"tests give {entry!r} a function"
    if changed := _looked_at(tests, entry):
        return f"tests look at {changed!r} after {entry!r} had it, as if it were changed"
    return ""


def _looked_at(tests: ast.Module, entry: str) -> str:
    """What a call without use of its value was given and an assertion behind it looks at; "" for none."""
    def called(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry

    given = {argument.id: node.lineno for node in ast.walk(tests) if isinstance(node, ast.Expr) and called(node.value)
             for argument in getattr(node.value, "args", ()) if isinstance(argument, ast.Name)}  # fmt: skip
    for node in ast.walk(tests):
        claims = node.test if isinstance(node, ast.Assert) else node if isinstance(node, ast.Call) and _asserts(node) else None
        if claims is not None and given and not any(called(part) for part in ast.walk(claims)):
            for part in ast.walk(claims):
                if isinstance(part, ast.Name) and given.get(part.id, part.lineno) < part.lineno:
                    return part.id
    return ""


def _asserts(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr.startswith("assert")
