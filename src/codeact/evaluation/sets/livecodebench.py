"""LiveCodeBench (arXiv 2403.07974), code generation: competition problems, judged by their public and hidden tests.

A program reads and prints, or is a method that is called. Either way its outputs are compared outside of the sandbox.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

from codeact.errors import InputError
from codeact.evaluation.sets import published
from codeact.evaluation.sets.files import Family
from codeact.evaluation.tasks import Rules, Task, TaskSet
from codeact.sandbox import DEFAULT_LIMITS, Backend, Outcome, call_function, run_program
from codeact.spoken import spoken

SOURCE = "https://huggingface.co/datasets/livecodebench/code_generation_lite"
PATTERNS = (
    "livecodebench*.jsonl*", "code_generation_lite/test*.jsonl*", "test[0-9].jsonl*", "test.jsonl*",
    "livecodebench*.parquet", "test-*.parquet", "code_generation_lite/test-*.parquet",
)  # fmt: skip
KEYS = ("question_id", "question_content", "starter_code", "public_test_cases", "private_test_cases")
FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S)
SECONDS = 6.0  # for one test, as published
LIMITS = replace(DEFAULT_LIMITS, cpu_seconds=SECONDS, wall_seconds=60.0, idle_seconds=SECONDS)
WITH_STARTER = "You will use the following starter code to write the solution to the problem and enclose your code within delimiters."
WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your "
    "code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
)
# What the published harness imports before a program.
MODULES = ("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools", "functools",
           "operator", "io", "sys", "json", "builtins", "typing")  # fmt: skip
IMPORTS = "".join(f"from {name} import *\n" for name in MODULES) + f"import {', '.join(MODULES)}\nsys.setrecursionlimit(50000)\n"
# One object answers all calls, as in the published harness.
CALLED = """{source}

codeact_owner = Solution() if "Solution" in globals() else None
def codeact_entry(*given):
    return (getattr(codeact_owner, "{name}") if codeact_owner is not None else {name})(*given)
"""


def files(name: str, data_dir: Path | None) -> list[Path]:
    """As `published.find`, and the other parts of the set beside the first."""
    paths = published.find(name, PATTERNS, data_dir, SOURCE, several=True)
    if paths[0].name.startswith("test") and ".jsonl" in paths[0].name:  # test.jsonl and test2.jsonl are parts of one set
        paths = sorted({*paths, *paths[0].parent.glob("test.jsonl*"), *paths[0].parent.glob("test[0-9].jsonl*")})
    return paths


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The problems of all files that are there (test.jsonl, test2.jsonl, ...)."""
    paths = files(name, data_dir)
    return published.read(name, version, paths, KEYS, lambda row, _: _task(row))


def _task(row: Mapping[str, Any]) -> Task:
    where = f"LiveCodeBench problem {row['question_id']}"
    told = json.loads(row["metadata"]) if isinstance(row.get("metadata"), str) and row["metadata"] else row.get("metadata") or {}
    hidden = _cases(row["private_test_cases"], where)
    cases = [*_cases(row["public_test_cases"], where), *hidden]
    if not cases:
        raise InputError(f"{where} has no test: any program would pass; is this the published file?")
    name, kinds = str(told.get("func_name") or ""), {case["testtype"] for case in cases if case.get("testtype")}
    starter = str(row["starter_code"])
    if kinds - {"functional" if name else "stdin"} or (starter.strip() and not name):
        asked = f"a method ({name})" if name else "no method"
        raise InputError(f"{where}: its metadata names {asked}, its tests and its starter code do not fit that; is this the published file?")
    form = f"{WITH_STARTER}\n```python\n{starter}\n```" if starter else f"{WITHOUT_STARTER}\n```python\n# YOUR CODE HERE\n```"
    prompt = f"### Question:\n{row['question_content']}\n\n### Format: {form}\n\n### Answer: (use the provided format with backticks)\n\n"
    return Task(
        id=f"LiveCodeBench/{row['question_id']}",
        prompt=prompt,
        entry_point=name.rpartition(".")[2],
        canonical_solution="",
        base_inputs=tuple((case["input"],) for case in cases),
        outputs=tuple(case["output"] for case in cases),
        hidden=len(hidden),
        setup=starter,
        rules=RULES,
    )


class _Texts(pickle.Unpickler):
    """The published files hold pickled texts; nothing else is unpickled, no class is looked up."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} in place of a text")


def _cases(value: object, where: str) -> list[dict[str, str]]:
    """Tests as published: JSON, or (hidden ones) JSON pickled, packed and written as base64."""
    try:
        found: Any = value
        if isinstance(value, str):
            try:
                found = json.loads(value)
            except ValueError:
                found = _Texts(io.BytesIO(zlib.decompress(base64.b64decode(value)))).load()
                found = json.loads(found) if isinstance(found, str) else found
        if any(not isinstance(case[part], str) for case in found for part in ("input", "output")):
            raise ValueError("an input or output is no text")
        return list(found)
    except (ValueError, KeyError, TypeError, EOFError, binascii.Error, zlib.error, pickle.UnpicklingError) as error:
        raise InputError(f"{where}: its tests cannot be read ({error}); is this the published file?") from error


def program(answer: str, task: Task, prompt: str) -> str:
    """The last fenced block of an answer; all of it where there is none."""
    answer = spoken(answer)
    blocks = FENCE.findall(answer)
    return str(blocks[-1]) if blocks else answer


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Run every test; the first that is not passed says what became of it."""
    whole = len(task.outputs)
    for number, outcome in enumerate(_called(task, source, backend) if task.entry_point else _run(task, source, backend), 1):
        if outcome.status != "passed":
            detail = outcome.detail
            if number > whole - task.hidden and detail.startswith("expected "):
                detail = f"another output than expected (a hidden test: what it expects is not shown), got {detail.rpartition(', got ')[2]}"
            return Outcome(outcome.status, f"input {number} of {whole}: {detail}")
    return Outcome("passed")


def _run(task: Task, source: str, backend: Backend) -> Iterator[Outcome]:
    for (text,), expected in zip(task.base_inputs, task.outputs, strict=True):
        outcome = run_program(f"{IMPORTS}{source}", stdin=text, limits=LIMITS, backend=backend)
        if outcome.status == "passed" and not same_output(expected, outcome.stdout):
            outcome = Outcome("failed", f"expected {expected[:60]!r}, got {outcome.stdout[:60]!r}")
        yield outcome


def _called(task: Task, source: str, backend: Backend) -> Iterator[Outcome]:
    entry = CALLED.format(source=f"{IMPORTS}{source}", name=task.entry_point)
    try:
        inputs = [[json.loads(line) for line in text.split("\n") if line.strip()] for (text,) in task.base_inputs]
    except ValueError as error:
        raise InputError(f"{task.id}: an input of its tests is no JSON ({error}); is this the published file?") from error
    outcomes = call_function(entry, "codeact_entry", inputs, backend=backend, call_seconds=SECONDS)
    for outcome, expected in zip(outcomes, task.outputs, strict=True):
        if outcome.status != "passed":
            yield outcome
            continue
        value = list(outcome.value) if isinstance(outcome.value, tuple) else outcome.value
        try:
            right = bool(value == json.loads(expected))
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            right = False
        yield outcome if right else Outcome("failed", f"expected {expected[:60]}, got {str(value)[:60]}")


def same_output(expected: str, printed: str) -> bool:
    """Whether lines agree, blanks around them aside; numbers by their value where texts differ."""
    left, right = ([line.strip() for line in text.strip().split("\n")] for text in (expected, printed))
    if len(left) != len(right):
        return False
    for first, second in zip(left, right, strict=True):
        if first == second:
            continue
        try:
            if [Decimal(word) for word in first.split()] != [Decimal(word) for word in second.split()]:
                return False
        except InvalidOperation:
            return False
    return True


RULES = Rules(lambda task: ("\n### Question",), lambda task: task.prompt, program, judge=judge, always_cut=True)
FAMILY = Family(("livecodebench",), published.VERSIONS, "CC (see its card); the problems belong to LeetCode, AtCoder and Codeforces", SOURCE, load, files=files)
