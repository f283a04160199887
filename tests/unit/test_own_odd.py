"""Odd files of a team's own tasks: each is refused by one line with the mend, or judged right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.set_checks import proven
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing
from tests.helpers.made_tasks import write_tasks

pytestmark = pytest.mark.usefixtures("own_cache")

ADD: dict[str, Any] = {"task_id": "add", "prompt": "def add(a, b):\n", "entry_point": "add"}
RIGHT = "def add(a, b):\n    return a + b\n"
CASE = "import unittest\nclass T(unittest.TestCase):\n"
# Each of them asserts something, so that wrong programs fail; a part of it never would.
UNRUN = {
    "import contextlib\nwith contextlib.suppress(AssertionError):\n    assert add(1, 2) == 3": "suppresses in line 3 what it asserts",
    "from contextlib import suppress\nwith suppress(Exception):\n    assert add(1, 2) == 3": "suppresses in line 3 what it asserts",
    "def test_a():\n    def inner():\n        assert add(1, 2) == 3\n    assert add(1, 1) == 2": "tests has inner in line 3, a function in another that nothing calls",
    "def test_a():\n    assert add(1, 1) == 2\n    return\n    assert add(1, 2) == 3": "an assertion in line 5 behind line 4, which leaves",
    "for x in (1, 2):\n    continue\n    assert add(x, 2) == 3": "an assertion in line 4 behind line 3, which leaves",
    "if False:\n    assert add(1, 2) == 3": "assertions under `if False` in line 2",
    "while 0:\n    assert add(1, 2) == 3": "assertions under `while 0` in line 2",
    "import math\nmath.isclose(add(1, 2), 3)": "tests compares in line 3 and asserts nothing",
    "all(add(x, 1) == x + 1 for x in (1, 2))": "tests compares in line 2 and asserts nothing",
    "not add(1, 2) == 4": "tests compares in line 2 and asserts nothing",
    "add(1, 2) == 3 and add(2, 2) == 4": "tests compares in line 2 and asserts nothing",
    "assert 'add(1, 2) == 3'": "asserts a text in line 2, which is always true",
    "assert (add(x, 1) == x + 1 for x in (1, 2))": "asserts a generator in line 2",
    "assert [add(1, 2) == 3]": "asserts a list in line 2",
    "assert lambda: add(1, 2) == 3": "asserts a function in line 2",
    "def test_a():\n    return 3\nassert test_a": "asserts the function test_a in line 4",
    f"{CASE}    def test_a(self):\n        self.assertRaises(TypeError)\n        add(1, 'a')": "tests has self.assertRaises alone in line 5",
    "check_small = lambda: add(1, 2) == 3": "tests has check_small in line 2, a lambda that nothing calls",
    "test_small = lambda: add(1, 2) == 3": "tests has test_small in line 2, a lambda that nothing calls",
    f"{CASE}    def test_a(self):\n        self.assertTrue(add(1, 0))\n        last = lambda: self.assertEqual(add(1, 2), 3)":
        "tests has last in line 6, a lambda that nothing calls",
    "right = add(1, 2) == 3": "tests keeps in right what it compares in line 2, and nothing reads it",
    "def test_a():\n    (right := isinstance(add(1, 2), int))": "tests keeps in right what it compares in line 3",
    "right: bool = not add(1, 2) != 3": "tests keeps in right what it compares in line 2",
    "right = True\nright &= add(1, 2) == 3": "tests keeps in right what it compares in line 3",
    "rights = [add(1, 2) == 3, add(2, 2) == 4]": "tests keeps in rights what it compares in line 2",
    "from sys import exit as leave\nleave(0)": "tests calls leave, which ends them",
    "raise SystemExit(add(1, 2) != 3)": "tests raises SystemExit in line 2, which ends them",
}  # fmt: skip
# The same forms where they are right.
SOUND = {
    "import contextlib\nwith contextlib.suppress(TypeError):\n    add(1, 'a')",
    "def test_a():\n    def inner():\n        assert add(1, 2) == 3\n    inner()",
    "def expect(x):\n    if x:\n        return\n    assert add(1, 2) == 3\nexpect(0)",
    "right = lambda: add(1, 2) == 3\nassert right()",
    "right = add(1, 2) == 3\nassert right",
    "three = lambda a: a == 3\nassert list(filter(three, [add(1, 2)])) == [3]",
    "rights = [add(1, 2) == 3]\nassert all(rights)",
    "rights = {}\nrights['a'] = add(1, 2) == 3\nassert all(rights.values())",
    "def test_a():\n    big = add(1, 2) > 2\n    if big:\n        assert add(1, 2) == 3",
    f"{CASE}    def setUp(self):\n        self.right = add(1, 2) == 3\n    def test_a(self):\n        self.assertTrue(self.right)",
    "if True:\n    assert add(1, 2) == 3",
    "assert all(add(x, 1) == x + 1 for x in (1, 2))",
    "assert [x for x in (1, 2) if add(x, 1) == x + 1]",
    "def test_a():\n    return 3\nassert test_a() == add(1, 2)",
    f"{CASE}    def test_a(self):\n        self.assertRaises(TypeError, add, 1, 'a')\n        with self.assertRaises(TypeError):\n            add(1, 'a')",
    "def leave():\n    raise SystemExit\ntry:\n    leave()\nexcept SystemExit:\n    assert add(1, 2) == 3",
    "from datetime import date\nassert date(2026, 1, add(1, 2)) == date(2026, 1, 3)",
}
FAULTS = {
    ">>> add(1, 2)\n3\n": "tests is a session (>>> ...), which nothing compares; write assert",
    "```python\nassert add(1, 2) == 3\n```": "tests has the marks of a code block (```); leave them out",
    f"x = [{'1, ' * 50_000}]\nassert add(1, 2) == 3": "tests is code of more than 100,000 characters (150,028); part it",
    "from collections import deque\nassert add(1, 2) == deque([1, 2])": "returns with a collections.deque, which is no value; tests see",
    "import datetime as d\nassert d.date(2026, 1, 2) == add(1, 2)": "returns with a datetime.date, which is no value; tests see",
}
# What no program that returns a value can bring about.
BY_THEMSELVES = {
    "expect(add(1, 2)).toBe(3)": "NameError: name 'expect' is not defined",
    "open('data.txt').read()\nassert add(1, 2) == 3": "FileNotFoundError: [Errno 2] No such file or directory: 'data.txt'",
    "import subprocess\nsubprocess.run(['true'])\nassert add(1, 2) == 3": "PermissionError: [Errno 1] Operation not permitted",
    "import threading\nthreading.Thread(target=print).start()\nassert add(1, 2) == 3": "RuntimeError: can't start new thread",
    "def add(a, b):\n    return a + b\nassert add(1, 2) == 3": "AssertionError: the tests did not call add",
    f"{CASE}    def check_a(self):\n        self.assertEqual(add(1, 2), 3)": "AssertionError: the tests did not call add",
    f"{CASE}    @classmethod\n    def setUpClass(cls):\n        cls.x = nowhere_defined\n    def test_a(self):\n        self.assertEqual(add(1, 2), 3)":
        "AssertionError: setUpClass (T): NameError: name 'nowhere_defined' is not defined",
}  # fmt: skip


def faults(path: Path, tests: str, **keys: Any) -> list[str]:
    """What is said of one task when it is loaded."""
    try:
        load_tasks(write_tasks(path, {**ADD, "tests": tests, **keys}))
    except InputError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize("tests", UNRUN)
def test_what_would_never_be_asserted_is_said(tests: str, tmp_path: Path) -> None:
    said = faults(tmp_path / "mine.jsonl", f"assert add(1, 1) == 2\n{tests}\n")
    assert len(said) == 1, said
    assert UNRUN[tests] in said[0]


@pytest.mark.parametrize("tests", sorted(SOUND))
def test_what_is_asserted_is_not(tests: str, tmp_path: Path, sandbox: Backend) -> None:
    path = tmp_path / "mine.jsonl"
    text = f"assert add(1, 1) == 2\n{tests}\n"
    assert faults(path, text) == []
    verdict = grade(proven(load_tasks(str(path)), sandbox), [("add", RIGHT)], backend=sandbox)[0]
    assert verdict.base_status == "passed", verdict


@pytest.mark.parametrize("tests", FAULTS, ids=list(FAULTS.values()))
def test_what_is_no_program_of_tests_is_one_line(tests: str, tmp_path: Path) -> None:
    said = faults(tmp_path / "mine.jsonl", tests)
    assert len(said) == 1, said
    assert FAULTS[tests] in said[0]


def test_the_function_has_to_be_named_and_no_keyword(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    assert faults(path, "assert plus(1, 2) == 3", entry_point="plus") == [
        f"{path}, row 1: neither prompt nor instruction names 'plus'; name the function that is tested"
    ]
    assert faults(path, "assert add(1, 2) == 3", entry_point="def") == [f"{path}, row 1: entry_point 'def' is no name of a function; give the name alone"]


def test_tests_that_no_program_passes_are_refused(tmp_path: Path, sandbox: Backend) -> None:
    rows = [{**ADD, "task_id": f"t{number}", "tests": tests} for number, tests in enumerate(BY_THEMSELVES)]
    sound = {**ADD, "task_id": "sound", "tests": "assert add(1, 2) == 3, 'NameError: lost'"}
    with pytest.raises(InputError) as raised:
        proven(load_tasks(write_tasks(tmp_path / "mine.jsonl", sound, *rows)), sandbox)
    assert str(raised.value).splitlines() == [
        f"mine, task t{number}: its tests fail whatever 'add' returns ({why}); mend them" for number, why in enumerate(BY_THEMSELVES.values())
    ]


def test_a_failure_says_that_the_answer_was_no_value(tmp_path: Path, sandbox: Backend) -> None:
    tests = "import numpy\nassert numpy.array_equal(add([1], [2]), [3])"
    answers = {
        "import datetime\ndef add(a, b): return datetime.date(2026, 1, 3)":
            "; add returned a datetime.date, which reaches the tests as no value; the last call: add([1], [2]) gave <datetime.date object>",
        "from collections import deque\ndef add(a, b): return [deque(a)]":
            "; add returned a collections.deque, which reaches the tests as no value; the last call: add([1], [2]) gave [<collections.deque object>]",
        "def add(a, b): return '{\"o\":\"collections.deque\"}'": "; the last call: add([1], [2]) gave '{\"o\":\"collections.deque\"}'",
        "def add(a, b): return [4]": "; the last call: add([1], [2]) gave [4]",
    }  # fmt: skip
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", {**ADD, "tests": tests}))
    verdicts = grade(task_set, [("add", program) for program in answers], backend=sandbox)
    array = grade(task_set, [("add", "import numpy\ndef add(a, b): return numpy.array(a) + b")], backend=sandbox)
    assert [v.base_status for v in array] == ["passed"]
    assert [(v.base_status, v.detail) for v in verdicts] == [
        ("failed", f"AssertionError: numpy.array_equal(add([1], [2]), [3]){why}") for why in answers.values()
    ]


def test_a_failure_in_a_class_is_told_by_its_place(tmp_path: Path, sandbox: Backend) -> None:
    body = "    @classmethod\n    def {}(cls):\n        assert add(1, 2) == 3\n    def test_a(self):\n        self.assertEqual(add(1, 0), 1)\n"
    module = "def setUpModule():\n    assert add(1, 2) == 3\n"
    part = "    def test_a(self):\n        for x in ('a.b', 'c)'):\n            with self.subTest(x, y='p.q'):\n                self.assertEqual(add(1, 2), 3)\n"
    told = {
        CASE + body.format("setUpClass"): "setUpClass (T): AssertionError: add(1, 2) == 3",
        CASE + body.format("tearDownClass"): "tearDownClass (T): AssertionError: add(1, 2) == 3",
        module + CASE + body.format("other"): "setUpModule: AssertionError: add(1, 2) == 3",
        CASE + part: "test_a [a.b] (y='p.q'): AssertionError: 1 != 3",
    }
    rows = [{**ADD, "task_id": f"t{number}", "tests": tests, "same_process": False} for number, tests in enumerate(told)]
    together = [{**row, "task_id": f"{row['task_id']} together", "same_process": True} for row in rows]
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", *rows, *together))
    wrong = "def add(a, b):\n    return a\n"
    verdicts = grade(task_set, [(row["task_id"], wrong) for row in [*rows, *together]], backend=sandbox)
    assert [v.detail.partition("AssertionError: ")[2].partition("; the last call: ")[0] for v in verdicts] == [*told.values()] * 2
    assert all(v.detail.partition("; the last call: ")[2] in ("add(1, 2) gave 1", "add(1, 0) gave 1") for v in verdicts[: len(told)])


def test_true_is_no_number_in_examples(tmp_path: Path, sandbox: Backend) -> None:
    examples = {"number": [{"input": [1, 0], "output": {"a": [1]}}], "truth": [{"input": [1, 0], "output": {"a": [True]}}]}
    rows = [{**ADD, "task_id": name, "examples": found} for name, found in examples.items()]
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", *rows))
    for value, passing in (("a", "number"), ("a == 1", "truth"), ("float(a)", "number"), ("'1'", "")):
        verdicts = grade(task_set, [(name, f"def add(a, b): return {{'a': [{value}]}}") for name in examples], backend=sandbox)
        assert [v.task_id for v in verdicts if v.base_status == "passed"] == ([passing] if passing else [])


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_an_answer_of_another_shape_is_wrong_in_examples(language: str, tmp_path: Path, sandbox: Backend) -> None:
    if language != "python" and missing(language):
        pytest.skip(f"{language} is not installed")
    head = "def add(a, b):\n" if language == "python" else "function add(a, b) {\n"
    row = {"task_id": "t", "prompt": head, "entry_point": "add", "language": language}
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", {**row, "examples": [{"input": [2.5, 3.5], "output": [2.5, 3.5]}]}))
    answers = {
        "[a, b]": "passed", "[a + 1e-9, b]": "passed", "[[a, b], [a, b]]": "failed", "[[a, b]]": "failed", "[[a], [b]]": "failed",
        "[a, [b]]": "failed", "[a, b, b]": "failed", "[[a, b], [a, b + 1e-9]]": "failed",
    }  # fmt: skip
    verdicts = grade(task_set, [("t", f"{head}    return {answer}\n{'' if language == 'python' else '}'}") for answer in answers], backend=sandbox)
    assert {answer: v.base_status for answer, v in zip(answers, verdicts, strict=True)} == answers
