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

from codeact.evaluation.sets import in_process, own_beyond, own_unrun, published
from codeact.evaluation.tasks import Task
from codeact.parsing import LONGEST, parse_or_error
from codeact.sandbox import Backend, Outcome, run_check

# Runs a module of tests. unittest.main and the like would end the process before its verdict.
RUN = in_process.RESULT + '''
def codeact_run(space, codeact_source):
    import linecache, sys, types, unittest
    linecache.cache["<tests>"] = (len(codeact_source), None, [f"{line}\\n" for line in codeact_source.split("\\n")], "<tests>")
    module = types.ModuleType("__main__")
    module.__dict__.update(space)
    sys.modules["__main__"] = module
    unittest.main = lambda *args, **keywords: None
    exec(compile(codeact_source, "<tests>", "exec"), module.__dict__)
    own = {name: found for name, found in vars(module).items() if name not in space or found is not space[name]}
    codeact_call(own.get("setup_module"), module)
    for name, found in own.items():
        if isinstance(found, type) and issubclass(found, unittest.TestCase):
            codeact_cases(unittest.defaultTestLoader.loadTestsFromTestCase(found))
        elif isinstance(found, unittest.TestCase):
            codeact_cases(found)
        elif isinstance(found, type) and name.startswith("Test"):
            codeact_call(getattr(found, "setup_class", None), found)
            for method in [m for m in dir(found) if m.startswith("test")]:
                one = found()
                codeact_around(one, "method", getattr(one, method))
            codeact_call(getattr(found, "teardown_class", None), found)
        elif name.startswith("test") and isinstance(found, types.FunctionType):
            codeact_around(module, "function", found)
    codeact_call(own.get("teardown_module"), module)
    return module

def codeact_cases(suite):
    import unittest
    def named(case):
        of = type(getattr(case, "test_case", case))  # of a part of a test: its test
        return case.id().removeprefix(f"{of.__module__}.{of.__qualname__}.").replace("(__main__.", "(").removesuffix(" (__main__)")
    done = codeact_result(unittest.TestResult)()
    suite.run(done)
    for case, why in [*done.errors, *done.failures]:
        lines = why.strip().split("\\n")
        said = [line for line in lines if line and not line.startswith((" ", "Traceback"))] or [why]
        claims = [line.strip() for line in lines if line.strip().startswith("assert ")]
        raise AssertionError(f"{named(case)}: {said[0]}" + (f": {claims[-1][7:]}" if claims and said[0] == "AssertionError" else ""))
    for case in done.unexpectedSuccesses:
        raise AssertionError(f"{named(case)}: it was expected to fail")

def codeact_around(holder, kind, test):
    codeact_call(getattr(holder, f"setup_{kind}", None), test)
    try:
        codeact_call(test)
    finally:
        codeact_call(getattr(holder, f"teardown_{kind}", None), test)

def codeact_call(function, argument=None):
    import asyncio, inspect
    if function is None:
        return
    asks = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    given = function(argument) if argument is not None and asks else function()
    if inspect.iscoroutine(given):
        asyncio.run(given)
    elif inspect.isgenerator(given):
        raise AssertionError(f"{function.__name__} is a generator, which nothing runs")
'''
APART = '''
def check(candidate):
    called, ends = [], []
    def entry(*args, **keywords):
        called.append(1)
        try:
            return candidate(*args, **keywords)
        except (StopIteration, StopAsyncIteration, GeneratorExit) as error:
            ends.append(error)
            raise
    entry.__name__ = entry.__qualname__ = {entry!r}
    module = codeact_run({{{entry!r}: entry}}, {tests!r})
    if {checked}:
        module.check(entry)
    if not called:
        raise AssertionError("the tests did not call " + {entry!r})
    for error in ends:  # one that no frame of the tests has seen ended a map or the like
        if error.__traceback__ and error.__traceback__.tb_frame.f_code is entry.__code__:
            raise AssertionError({entry!r} + " raised " + type(error).__name__ + ", which ended a loop of the tests")
'''
TOGETHER = '''
def codeact_main(program, tests):
    import sys, types
    space = vars(sys.modules.setdefault("solution", types.ModuleType("solution")))  # dataclasses look their module up
    exec(compile(program, "<solution>", "exec"), space)
    module = codeact_run({**space, "__name__": "__main__"}, tests)
'''
GENERATOR = "is a generator, which nothing runs"


def name(entry: str) -> str:
    """An identifier as the parser sees it (NFKC)."""
    return unicodedata.normalize("NFKC", entry)


def faults(row: Mapping[str, Any], entry: str) -> Iterator[str]:
    """What is wrong with the tests or examples of a row whose keys are of the right kinds; one line each, with the mend."""
    tests = source(row["tests"]) if "tests" in row else ""
    told = " ".join(str(row.get(key, "")) for key in ("prompt", "instruction", "canonical_solution"))
    if not _named(entry, told):
        yield f"neither prompt nor instruction names {entry!r}; name the function that is tested"
        return
    if not tests:
        if why := own_beyond.beyond_values(row, entry):
            yield f"{why}, which examples cannot judge; give tests, with \"same_process\": true"
        return
    tree = parse_or_error(tests)
    if why := _no_program(tests):
        yield why
        return
    if not isinstance(tree, ast.Module):
        where = f"line {tree.lineno}: {tree.msg}" if isinstance(tree, SyntaxError) and tree.lineno else str(tree)
        yield f"tests does not parse as Python ({where}); mend the program"
        return
    if not any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for node in ast.walk(tree)):
        yield "tests asserts nothing, so that everything would pass; add assertions"
        return
    if not _checked(tree) and not _named(entry, tests):
        yield f"tests does not call {entry!r}, so that everything would pass; test the function"
    yield from own_unrun.unrun(tree)
    if why := published.lacking([tests]):
        yield f"tests cannot run: {why}; use the standard library, or numpy"
    if not row.get("same_process") and (why := own_beyond.beyond_values(row, entry) or own_beyond.beyond_entry(tree, row, entry)):
        yield f'{why}; tests see the function alone, in a process of their own: test its values, or give "same_process": true'


def source(tests: str | list[str]) -> str:
    """The program that a row's tests are."""
    return tests if isinstance(tests, str) else "\n".join(tests)


def _no_program(tests: str) -> str:
    """What tests are in place of a program that can be read; "" where they may be one."""
    if len(tests) > LONGEST:
        return f"tests is code of more than {LONGEST:,} characters ({len(tests):,}); part it into several tasks, or compute large values in it"
    if re.match(r"\s*>>> ", tests):
        return "tests is a session (>>> ...), which nothing compares; write assert f(1) == 2 in place of >>> f(1)"
    return "tests has the marks of a code block (```); leave them out" if re.match(r"\s*(?:```|~~~)", tests) else ""


def check_program(row: Mapping[str, Any], entry: str) -> str:
    """The tests as a program that defines `check(candidate)`; where they share the program's process, as they are."""
    tests = source(row["tests"])
    if row.get("same_process"):
        return tests
    head = "\n".join(ast.unparse(node) for node in own_beyond.tree_of(row).body if isinstance(node, ast.Import | ast.ImportFrom) and _plain(node))
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
    return in_process.judge(run, backend)


def _named(entry: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(entry)}(?!\w)", name(text)) is not None


def _checked(tree: ast.Module) -> bool:
    """Whether the tests are HumanEval's form."""
    return any(isinstance(node, ast.FunctionDef) and node.name == "check" and node.args.args for node in tree.body)


def _plain(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.Import) or node.module != "__future__"
