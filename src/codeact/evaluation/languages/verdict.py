"""Compiles a program of another language with its task's tests, runs both, and says what became of it.

A test program and the program under test are one process here, unlike in Python. So a verdict takes more than the exit
status: a mark drawn for this run has to be printed once the tests have returned, which a program that ends early does not
print; in Go and Rust their test runner has to say besides that the one test passed. A program that searches its own memory
or files for the mark could forge it. Where a task gives examples in place of tests, nothing can be forged: what the
function returned is compared here, and the right outputs never enter the sandbox.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

from codeact.evaluation.languages import cpp, go, java, javascript, rust
from codeact.sandbox import Backend, Outcome
from codeact.sandbox.compiled import run_files
from codeact.sandbox.process import one_line

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

MODULES: dict[str, ModuleType] = {"cpp": cpp, "go": go, "java": java, "javascript": javascript, "rust": rust}
# The program's own file; where it stands with the tests in one, it is shown as it is.
PROGRAMS = ("program.cpp", "program.js", "program.rs", "Program.java", go.PROGRAM)
# The last line of those that have a test runner.
RUNNERS = {"go": "PASS", "rust": "test result: ok. 1 passed"}
# What testify, the testing package and Rust say of the first failure.
REPORTS = (
    re.compile(r"^[^\S\n]+Error:\s+(.+?)\n\s+(?:Test|Messages):", re.M | re.S),
    re.compile(r"^[^\S\n]+\w+_test\.go:\d+: (\S.*)", re.M),
    re.compile(r"^thread .* panicked at [^\n]*\n(.+?)(?:\n\s*note:|\n\n|\Z)", re.M | re.S),
    re.compile(r"^(panic: .*)", re.M),
)
SAY_NOTHING = ("Should be true", "Should be false", "Condition failed!")
TRACE = re.compile(r"Error Trace:\s+\S*main_test\.go:(\d+)")
SAID = re.compile(r"^codeact_said(; the last call: .*)$", re.M)  # the last: before it the program may have printed one
# What C's assert says, behind a path and a function that mean nothing to anybody.
ASSERTED = re.compile(r"Assertion .*")
# A runtime that was refused memory, before what is told of the last call.
MEMORY = re.compile(r"java\.lang\.OutOfMemoryError|^fatal error: .*out of memory|std::bad_alloc|memory allocation of \d+ bytes failed|FATAL ERROR: .*(?:memory|heap)")
SHOWN = 80


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Compile and run a program with its task's tests or examples; "passed" only where the tests ran to their end.

    Raises:
        InputError: the language's toolchain is not installed.
    """
    module = MODULES[task.language]
    if task.language == "rust" and (why := rust.refused(source)):
        return Outcome("failed", why)
    mark = secrets.token_hex(16)
    check = (lambda names: java.taken(task, names)) if task.language == "java" else None
    made = module.examples if task.outputs else module.tests
    files = made(task, source, mark, True)
    outcome = run_files(task.language, files, backend=backend, refuses=check)
    # What tests tell may be what does not compile, or the program declares its function in another way than the prompt.
    if outcome.detail.startswith("not compiled") and (other := made(task, source, mark, False)) != files:
        files = other
        outcome = run_files(task.language, files, backend=backend, refuses=check)
    if outcome.status == "killed" and ("Assertion" in outcome.detail or "terminate called" in outcome.detail):
        said = ASSERTED.search(outcome.detail)
        outcome = Outcome("failed", said[0] if said else outcome.detail, stdout=outcome.stdout)
    if task.outputs:
        return _examples(task, mark, outcome)
    if outcome.status == "failed":
        # Test runners write to the standard output, Go's panics to the standard error.
        reported = outcome.detail.startswith("exit status") and _reported(task, files, outcome.stdout)
        outcome = replace(outcome, detail=one_line((reported or outcome.detail) + _last_call(outcome.stdout)))
    if outcome.status in ("failed", "killed") and MEMORY.search(outcome.detail.partition("; the last call")[0]):
        outcome = replace(outcome, status="memory")
    if outcome.status != "passed":
        return outcome
    printed = [line.strip() for line in outcome.stdout.strip().split("\n")]
    if mark in printed and printed[-1].partition(";")[0] == RUNNERS.get(task.language, mark):
        return outcome
    return Outcome("failed", "it ended before the tests did")


def as_run(task: Task, source: str) -> str:
    """The program's file as it is compiled: with the package, the imports and the class around it that the harness adds."""
    module = MODULES[task.language]
    files = module.examples(task, source, "", True) if task.outputs else module.tests(task, source, "", True)
    return next((files[name] for name in PROGRAMS if name in files), source)


def _reported(task: Task, files: Mapping[str, str], printed: str) -> str:
    """The first failure that Go's or Rust's test runner reports, with both values, as one line; "" where there is none.

    A failure that says no value (`assert.True`) is told with the line of the tests that it names.
    """
    for found in REPORTS:
        if match := found.search(printed):
            text = " ".join(re.split(r"\n\s*\n\s*Diff:", match[1])[0].split())
            if text in SAY_NOTHING and (line := TRACE.search(printed)):
                text += f": {files['main_test.go'].split(chr(10))[int(line[1]) - 1].strip().replace('codeact_told', task.entry_point)}"
            return text
    return "the tests failed" if _last_call(printed) else ""


def _last_call(printed: str) -> str:
    """What Go's and Rust's tests told of the last call before the first failure."""
    found = SAID.findall(printed)
    return str(found[-1]) if found else ""


def _examples(task: Task, mark: str, outcome: Outcome) -> Outcome:
    """What became of the examples, from the lines with what the function returned."""
    from codeact.evaluation.oracle import fits_example, same_truths

    answers: dict[int, str] = {}
    for line in outcome.stdout.split("\n"):
        words = line.split(" ", 2)
        if len(words) == 3 and words[0] == mark and words[1].isdigit():
            answers.setdefault(int(words[1]), words[2])
    whole = len(task.outputs)
    for number, expected in enumerate(task.outputs):
        where = f"input {number + 1} of {whole}"
        if number not in answers:
            status = outcome.status if outcome.status != "passed" else "failed"
            detail = outcome.detail or "no answer"
            return Outcome(status, detail if detail.startswith("not compiled") else f"{where}: {detail}", stdout=outcome.stdout)
        try:
            value = json.loads(answers[number])
            # where a type is declared, it says which of both comes
            right = fits_example(_numbers(expected, value), value) and (task.language != "javascript" or same_truths(expected, value))
        except (ValueError, RecursionError, TypeError, ArithmeticError):
            right = False
        if not right:
            return Outcome("failed", f"{where}: expected {_short(json.dumps(expected))}, got {_short(answers[number])}", stdout=outcome.stdout)
    return Outcome("passed", stdout=outcome.stdout)


def _numbers(expected: object, value: object) -> object:
    """The expected value with floats where the answer has them: 2 in a file of examples is 2.0 in a typed language."""
    if isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
        return [_numbers(e, v) for e, v in zip(expected, value, strict=True)]
    if isinstance(expected, int) and not isinstance(expected, bool) and isinstance(value, float):
        return float(expected)
    return expected


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
