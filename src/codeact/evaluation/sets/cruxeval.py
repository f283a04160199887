"""CRUXEval (arXiv 2401.03065): what does a short function return (O), and for which arguments does it return this (I)?

The prompts are the benchmark's own direct ones with two examples (MIT; facebookresearch/cruxeval, prompts.py). The answer
is an assertion; it is cut down to the expression asked for. That expression runs alone: for I, a process of its own calls
the function with the arguments that came out, so an answer cannot touch the function that judges it. (Two of the 800
functions take a function: there the answer's own process calls them.)
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.evaluation.sets.files import Family, Release, pick, read_rows
from codeact.evaluation.tasks import Rules, Task, TaskSet
from codeact.parsing import parse
from codeact.spoken import spoken

RELEASES = (
    Release(
        "cruxeval",
        "2024-01",
        "cruxeval",
        "8368b81047dc5014e4caf5a2f97604eff7644e0ecd7415e3ceeb184bbc2e0c96",
        site="https://raw.githubusercontent.com/facebookresearch/cruxeval",
        path="main/data/{file}.jsonl",
        packed_there=False,
        local=("cruxeval_800", "cruxeval"),
    ),
)
OPEN, END = "[ANSWER]", "[/ANSWER]"
ENTRY = "answer"
EXAMPLE = "[PYTHON]\n{code}\nassert {asked}\n[/PYTHON]\n[ANSWER]\n"
OUTPUT_TASK = (
    "You are given a Python function and an assertion containing an input to the function. Complete the assertion with a "
    "literal (no unsimplified expressions, no function calls) containing the output when executing the provided code on the "
    "given input, even if the function is incorrect or incomplete. Do NOT output any extra information. Provide the full "
    "assertion with the correct output in [ANSWER] and [/ANSWER] tags, following the examples."
)
INPUT_TASK = (
    "You will be given a function f and an output in the form f(??) == output. Find any input such that executing f on the "
    "input leads to the given output. There may be multiple answers, but you should only output one. In [ANSWER] and "
    "[/ANSWER] tags, complete the assertion with one such input that will produce the output when executing the function."
)
COUNT_EVEN = (
    "def f(my_list):\n    count = 0\n    for i in my_list:\n        if len(i) % 2 == 0:\n            count += 1\n    return count"
)
OUTPUT_EXAMPLES = (
    ("def f(n):\n    return n", "f(17)", "17"),
    ('def f(s):\n    return s + "a"', 'f("x9j")', '"x9ja"'),
)
INPUT_EXAMPLES = (
    (COUNT_EVEN, 'f(["mq", "px", "zy"])', "3"),
    ("def f(s1, s2):\n    return s1 + s2", 'f("ba", "nana")', '"banana"'),
)


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The set "cruxeval-o": predict the output; "cruxeval-i": predict an input."""
    release = pick(RELEASES, name, version)
    make = _output_task if name == "cruxeval-o" else _input_task
    rows = read_rows(release, data_dir)
    return TaskSet(name, release.version, tuple(make(row) for row in rows), f"{release.sha256[:-2]}{name[-2:]}")


def output_prompt(code: str, arguments: str) -> str:
    """The published direct prompt of output prediction."""
    shown = [EXAMPLE.format(code=c, asked=f"{call} == ??") + f"assert {call} == {out}\n{END}\n" for c, call, out in OUTPUT_EXAMPLES]
    return "\n".join([OUTPUT_TASK + "\n", *shown, EXAMPLE.format(code=code, asked=f"f({arguments}) == ??")])


def input_prompt(code: str, output: str) -> str:
    """The published direct prompt of input prediction."""
    shown = [EXAMPLE.format(code=c, asked=f"f(??) == {out}") + f"assert {call} == {out}\n{END}\n" for c, call, out in INPUT_EXAMPLES]
    return "\n".join([INPUT_TASK + "\n", *shown, EXAMPLE.format(code=code, asked=f"f(??) == {output}")])


def _output_task(row: Mapping[str, Any]) -> Task:
    return Task(
        id=row["id"].replace("sample_", "CRUXEval-O/"),
        prompt=output_prompt(row["code"], row["input"]),
        entry_point=ENTRY,
        given=f"assert f({row['input']}) == ",
        canonical_solution=row["output"],
        test=f"def check(candidate):\n    assert candidate() == ({row['output']})\n",
        rules=OUTPUT,
    )


def _input_task(row: Mapping[str, Any]) -> Task:
    called = "candidate()" if takes_functions(row["input"]) else "f(*arguments, **keywords)"
    judge = "def check(candidate):\n" + ("" if called == "candidate()" else "    arguments, keywords = candidate()\n")
    return Task(
        id=row["id"].replace("sample_", "CRUXEval-I/"),
        prompt=input_prompt(row["code"], row["output"]),
        entry_point=ENTRY,
        given="assert f(",
        canonical_solution=row["input"],
        test=f"{row['code']}\n{judge}    assert {called} == ({row['output']})\n",
        rules=INPUT,
    )


def _assertion(text: str, given: str) -> str:
    """The assertion in an answer, from its beginning on; an answer that goes on with `given` alone gets it back."""
    text = spoken(text).split(OPEN, 1)[-1].split(END, 1)[0].strip()
    return text if text.startswith(("assert ", "f(")) else given + text


def _comparison(text: str) -> tuple[str, str] | None:
    """Both sides of `assert left == right`."""
    tree = parse(text if text.startswith("assert ") else f"assert {text}")
    statement = tree.body[0] if tree is not None and tree.body else None
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare) and len(statement.test.ops) == 1:
        return ast.unparse(statement.test.left), ast.unparse(statement.test.comparators[0])
    return None


def output_program(answer: str, task: Task, prompt: str) -> str:
    """A program whose `answer()` is the output that the answer says."""
    text = _assertion(answer, task.given)
    sides = _comparison(text)
    said = sides[1] if sides else text.removeprefix(task.given).strip()
    return f"def {ENTRY}():\n    return ({said})\n"


def input_program(answer: str, task: Task, prompt: str) -> str:
    """A program whose `answer()` are the arguments, [positional, by keyword], that the answer says."""
    text = _assertion(answer, task.given)
    sides = _comparison(text)
    call = sides[0] if sides else text.removeprefix("assert ").partition("==")[0].strip()
    call += ")" if parse(call) is None and parse(f"{call})") is not None else ""
    code = task.prompt.rpartition("[PYTHON]\n")[2].rpartition("\nassert f(")[0]  # arguments may use its names
    pack = "" if takes_functions(task.canonical_solution) else "\n\ndef f(*arguments, **keywords):\n    return [list(arguments), keywords]\n"
    return f"{code}\n{pack}\n\ndef {ENTRY}():\n    return {call}\n"


def takes_functions(arguments: str) -> bool:
    """Whether a task's arguments cannot leave their process, so that the answer's process calls the function itself."""
    return "lambda" in arguments


def stops(task: Task) -> tuple[str, ...]:
    """The published end of an answer."""
    return (END,)


def question(task: Task) -> str:
    """The published prompt, as it is."""
    return task.prompt


OUTPUT = Rules(stops, question, output_program, always_cut=True)
INPUT = Rules(stops, question, input_program, always_cut=True)
FAMILY = Family(
    ("cruxeval-o", "cruxeval-i"),
    tuple(release.version for release in RELEASES),
    "MIT",
    "https://github.com/facebookresearch/cruxeval",
    load,
    RELEASES,
)
