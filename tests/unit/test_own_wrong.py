"""Tests of a team's own that judge nothing: a file with them is refused before anything is generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeact.errors import InputError
from codeact.evaluation.set_checks import proven
from codeact.evaluation.sets.own_wrong import wrong_programs
from codeact.evaluation.task_selection import load_sets
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing
from tests.helpers.lines import write_lines

pytestmark = pytest.mark.usefixtures("own_cache")

PYTHON = {
    "returned": "def test_a():\n    return half(4) == 2\n",
    "swallowed": "try:\n    assert half(4) == 2\nexcept Exception:\n    pass\n",
    "expected to fail": "import unittest\nclass T(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_a(self):\n        self.assertEqual(half(4), 2)\n",
    "a generator": "half(1)\ndef test_a():\n    yield\n    assert half(4) == 2\n",
    "never called": "half(1)\ndef verify():\n    assert half(4) == 2\n",
    "check without assertions": "def check(candidate):\n    candidate(4) == 2\n",
}
SOUND = {
    "plain": "assert half(4) == 2",
    "raises": "try:\n    half('a')\nexcept TypeError:\n    pass\nelse:\n    raise AssertionError\n",
    "not None": "assert half(4) is not None",
    "a class of tests": "class TestHalf:\n    def test_a(self):\n        assert half(4) == 2\n",
}
OTHERS = {
    "javascript": ("function half(x) {\n", "const assert = require('assert'); try { assert.equal(half(4), 2) } catch (e) { console.log(e) }"),
    "cpp": ("int half(int x) {\n", "#define NDEBUG\n#include <cassert>\nint main() { assert(half(4) == 2); }"),
}


def refused(path: Path, rows: list[dict[str, object]], backend: Backend) -> list[str]:
    """The tasks that are named when an evaluation would begin."""
    try:
        proven(load_sets([str(write_lines(path, rows))], None)[0], backend)
    except InputError as error:
        lines = str(error).splitlines()
        assert all("its tests pass whatever" in line and line.startswith(f"{path.stem}, task ") for line in lines)
        return [line.split("task ")[1].split(":")[0] for line in lines]
    return []


def test_tests_that_pass_whatever_is_returned_are_refused(tmp_path: Path, sandbox: Backend) -> None:
    rows: list[dict[str, object]] = [
        {"task_id": name, "prompt": "def half(x):\n", "entry_point": "half", "tests": tests} for name, tests in {**PYTHON, **SOUND}.items()
    ]
    together = {"task_id": "together", "same_process": True, "tests": "import atexit\natexit.register(lambda: half(4))\nassert True\n"}
    assert refused(tmp_path / "mine.jsonl", [*rows, {**rows[0], **together}], sandbox) == [*PYTHON, "together"]


def test_tests_that_give_what_is_no_value_are_refused(tmp_path: Path, sandbox: Backend) -> None:
    given = {"datetime.date": "datetime.date(2026, 1, 2)", "collections.deque": "collections.deque([3])", "builtins.generator": "(x for x in [1])"}
    rows = [{"task_id": "t" + str(n), "prompt": "def half(x):\n", "entry_point": "half", "tests": f"import collections, datetime\nassert half({text}) == 2\n"}
            for n, text in enumerate(given.values())]  # fmt: skip
    with pytest.raises(InputError) as raised:
        proven(load_sets([str(write_lines(tmp_path / "mine.jsonl", rows))], None)[0], sandbox)
    assert str(raised.value).splitlines() == [
        f'mine, task t{n}: tests give the function a {kind}, which is no value; give "same_process": true' for n, kind in enumerate(given)
    ]


@pytest.mark.parametrize("language", OTHERS)
def test_so_in_other_languages(language: str, tmp_path: Path, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    prompt, tests = OTHERS[language]
    row: dict[str, object] = {"task_id": "t", "language": language, "prompt": prompt, "entry_point": "half", "tests": tests}
    assert refused(tmp_path / "mine.jsonl", [row], sandbox) == ["t"]


@pytest.mark.parametrize(("language", "prompt", "bodies"), [
    ("go", "func half(x int) int {\n", ["return 0", "return 77"]),
    ("go", "func half(x int) []string {\n", ["var codeact_none []string; return codeact_none", 'panic("no answer")']),
    ("go", "func half(x int) (int, error) {\n", []),
    ("java", "class S {\n  public static int half(int x) {\n", ["return 0;", "return 77;"]),
    ("java", "class S {\n  List<Integer> half(int[] x) {\n", ["return null;", "throw new RuntimeException();"]),
    ("java", "class S {\n  void half(int x) {\n", []),
    ("rust", "fn half(x: &str) -> String {\n", ["return String::new();", 'return String::from("no such answer");']),
    ("rust", "fn half(x: i32) -> Option<u8> {\n", ["return Default::default();", "panic!()"]),
])  # fmt: skip
def test_wrong_values_follow_the_return_type(language: str, prompt: str, bodies: list[str]) -> None:
    task = Task("t", prompt, "half", "", test="x", language=language)
    closed = "}" * prompt.count("{")
    assert wrong_programs(task) == [f"{prompt}{body}\n{closed}\n" for body in bodies]
