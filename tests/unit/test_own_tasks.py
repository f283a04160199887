"""A team's own tasks: what a file may hold, what is said of each fault, and how answers are judged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from codeact.config import EvaluateConfig, ModelConfig
from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.run import evaluate_model
from codeact.evaluation.set_checks import check_tasks, task_table
from codeact.evaluation.sets import load_tasks, task_set_names
from codeact.evaluation.task_selection import load_sets
from codeact.sandbox import Backend
from tests.helpers.command import codeact_command
from tests.helpers.made_tasks import write_tasks

pytestmark = pytest.mark.usefixtures("own_cache")

ADD = {"task_id": "add", "prompt": "def add(a, b):\n", "entry_point": "add", "canonical_solution": "    return a + b\n",
       "tests": ["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"]}  # fmt: skip
PAIR = {"task_id": "pair", "prompt": 'def pair(x):\n    """x and its half, as a tuple."""\n', "entry_point": "pair",
        "examples": [{"input": [2], "output": [2, 1.0]}, {"input": [1], "output": [1, 0.5]}]}  # fmt: skip


def test_assertions_and_examples_are_judged(tmp_path: Path, sandbox: Backend) -> None:
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", ADD, "", PAIR))
    assert (task_set.name, task_set.plus, [task.id for task in task_set.tasks]) == ("mine", False, ["add", "pair"])
    assert task_set.version == f"sha256 {task_set.digest[:12]}"
    answers = {
        ("add", "def add(a, b): return a + b"): "passed",
        ("add", "def add(a, b): return int(a) + b"): "failed",
        ("add", "def add(a, b): return type('E', (), {'__eq__': lambda s, o: True})()"): "failed",
        ("pair", "def pair(x): return x, x / 2"): "passed",
        ("pair", "def pair(x): return [x, x / 2 + 1e-9]"): "failed",  # not all are floats: as in EvalPlus no tolerance
        ("pair", "def pair(x): return x, x"): "failed",
        ("pair", "def pair(x): return"): "failed",
    }
    verdicts = grade(task_set, answers, backend=sandbox)
    assert [verdict.base_status for verdict in verdicts] == list(answers.values())
    assert verdicts[5].detail == "input 1 of 2: expected [2, 1.0], got (2, 2)"


def test_tests_may_be_a_check_program_and_the_file_packed(tmp_path: Path, sandbox: Backend) -> None:
    program = "import math\ndef check(candidate):\n    assert math.isclose(candidate(2), 2 ** 0.5)\n"
    row = {"task_id": 'a "b"', "prompt": "def root(x):\n", "entry_point": "root", "tests": program, "canonical_solution": "    return x ** .5\n"}
    path = tmp_path / "packed.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    found = check_tasks(str(path))
    assert (found["name"], found["passed"], found["failed"], found["unsolved"]) == ("packed", 1, [], [])
    wrong = {**row, "canonical_solution": "    return x\n"}
    failed = check_tasks(write_tasks(tmp_path / "m.jsonl", wrong, PAIR))
    assert failed["unsolved"] == ["pair"]
    assert [(f["task_id"], f["status"], f["detail"]) for f in failed["failed"]] == [
        ('a "b"', "failed", "AssertionError: math.isclose(candidate(2), 2 ** 0.5); the last call: root(2) gave 2")
    ]


CASE = "import unittest\nclass T(unittest.TestCase):\n    "
FAULTS = [
    ("no json", "it is no JSON object; write one object on a line"),
    ([1], "it is no JSON object"),
    ({k: v for k, v in ADD.items() if k != "entry_point"} | {"entrypoint": "add"}, "the key 'entrypoint' is not known; did you mean 'entry_point'"),
    ({**ADD, "prompt": ""}, 'prompt is ""; give a text'),
    ({**ADD, "task_id": 3}, "task_id is 3; give a text"),
    ({**ADD, "language": "pyton"}, "language is 'pyton'; did you mean 'python'"),
    ({**ADD, "examples": PAIR["examples"]}, "give either tests"),
    ({k: v for k, v in ADD.items() if k != "tests"}, "give either tests"),
    ({**ADD, "tests": "assert ("}, "tests does not parse as Python"),
    ({**ADD, "tests": "x = 1"}, "tests asserts nothing"),
    ({**ADD, "tests": []}, "tests is no program"),
    ({**PAIR, "examples": [{"input": 2, "output": 1}]}, r'examples, number 1: give {"input": '),
    ({**PAIR, "examples": "2 -> 1"}, "examples is no list of examples"),
    ({**ADD, "entry_point": "add()"}, r"entry_point 'add()' is no name of a function"),
    ({**ADD, "entry_point": "sum2"}, "together define no 'sum2'"),
    ({**ADD, "tests": "def test_add(tmp_path): assert add(1, 2) == 3"}, "tests has test_add(tmp_path), which nothing calls"),
    ({**ADD, "tests": "import pytest\ndef test_add(): assert add(1, 2) == 3"}, "it needs pytest, which the sandbox does not show"),
    ({**ADD, "tests": "assert len([1]) == 1"}, "tests does not call 'add', so that everything would pass"),
    ({**ADD, "tests": "assert add(1, 2) == 3\n" * 10_000}, "code of more than 100,000 characters"),
    ({**ADD, "prompt": "class add:\n", "canonical_solution": "    x = 1\n"}, "'add' is a class; tests see the function alone"),
    ({**ADD, "prompt": "HALF = 1\ndef add(a, b):\n", "tests": "assert add(1, HALF) == 2"}, "tests use 'HALF' of the program"),
    ({**ADD, "tests": "assert add(1, lambda: 2)"}, "tests give 'add' a function"),
    ({**ADD, "tests": "xs = []\nadd(xs, 1)\nassert xs == [1]"}, "tests look at 'xs' after 'add' had it, as if it were changed"),
    ({**ADD, "tests": "import io, sys\nsys.stdin = io.StringIO('1')\nassert add(1, 2) == 3"}, "tests use 'sys.stdin', which another process does not share"),
    ({**ADD, "tests": "class TestAdd:\n    def test_add(self, tmp_path): assert add(1, 2) == 3"}, "tests has test_add(tmp_path), which nothing calls"),
    ({**ADD, "tests": "def test_add(*, capsys): assert add(1, 2) == 3"}, "tests has test_add(capsys), which nothing calls"),
    ({**ADD, "tests": "def test_add(): assert add(1, 2) == 3\ndef test_add(): assert add(1, 1) == 2"}, "tests defines test_add twice, so that the first is never run"),
    ({**ADD, "tests": "assert (add(1, 2) == 3, 'sum')\nassert add(1, 1) == 2"}, "tests asserts a tuple in line 1, which is always true"),
    ({**ADD, "tests": "import sys\nassert add(1, 2) == 3\nsys.exit(0)"}, "tests calls sys.exit, which ends them before their verdict"),
    ({**ADD, "tests": f"{CASE}async def test_a(self): assert add(1, 2) == 3"}, "which never awaits it; use unittest.Isolated"),
    ({**ADD, "tests": "import builtins\nbuiltins.input = lambda: '1'\nassert add(1, 2) == 3"}, "tests change 'builtins.input', which another process"),
    ({**ADD, "tests": "import os\nos.environ['A'] = '1'\nassert add(1, 2) == 3"}, "tests change \"os.environ['A']\", which another process"),
    ({**ADD, "tests": "xs = [1]\nassert add(xs, [2]) == [1, 2]\nassert xs == [1]"}, "tests look at 'xs' after 'add' had it, as if it were changed"),
    ({**ADD, "tests": "xs = [1]\nout = add(xs, [])\nassert out == xs\nassert out is not xs"}, "tests look whether 'add' returns 'xs' itself"),
    ({**ADD, "tests": "assert add(1, len) == 2"}, "tests give 'add' a function"),
    ({**ADD, "tests": "assert add.__doc__ and add(1, 2) == 3"}, "tests look at add.__doc__; tests see the function alone"),
    ({**ADD, "tests": "both = add(1, 2)\nassert both.total == 3"}, "tests use 'total' of what 'add' returns"),
    ({**ADD, "tests": "assert next(add(1, 2)) == 3"}, "tests take one item at a time of what 'add' returns"),
    ({**ADD, "tests": "assert add(1, 2) == 3\nadd(1, 1) == 2"}, "tests compares in line 2 and asserts nothing; write assert before it"),
    ({**ADD, "tests": "assert add(1, 2) == 3\ndef test_b():\n    return add(1, 1) == 2"}, "tests has test_b, which returns a comparison"),
    ({**ADD, "tests": "assert add(1, 2) == 3\ntry:\n    assert add(1, 1) == 2\nexcept Exception:\n    pass"}, "tests catches in line 2 what it asserts"),
    ({**ADD, "tests": "assert add(1, 2) == 3\ndef verify():\n    assert add(1, 1) == 2"}, "tests has verify, which nothing calls; call it test_verify"),
    ({**ADD, "tests": "assert add(1, 2) == 3\nclass AddTests:\n    def test_b(self): assert add(1, 1) == 2"}, "tests has AddTests.test_b, which nothing runs"),
    ({**ADD, "tests": f"{CASE}def test_a(self): self.assertTrue(add(1, 2), 3)"}, "tests has assertTrue with two values in line 3"),
    ({**ADD, "tests": f"{CASE}@unittest.skip('x')\n    def test_a(self): self.assertEqual(add(1, 2), 3)"}, "tests skips test_a; leave"),
    ({**ADD, "same_process": 1}, "same_process is 1; it is true or false"),
    ({**PAIR, "examples": [{"input": [1], "output": float("nan")}]}, "examples hold NaN or Infinity"),
    ({**PAIR, "prompt": "# half of x\n"}, "neither prompt nor instruction names 'pair'"),
    ({**PAIR, "prompt": "async def pair(x):\n"}, "'pair' is async, which examples cannot judge"),
    ('{"task_id": "a", "task_id": "b"}', "the key 'task_id' stands twice in one object"),
    ({**ADD, "instruction": "\ud800"}, "half of a surrogate pair"),
    ('{"task_id": ' + "9" * 5_000 + "}", "an integer in it has more than 4,300 digits"),
    ({**ADD, "canonical_solution": "return a"}, "do not parse as Python; the solution continues the prompt"),
]


@pytest.mark.parametrize(("row", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_is_one_line(row: Any, fault: str, tmp_path: Path) -> None:
    path = write_tasks(tmp_path / "mine.jsonl", {**ADD, "task_id": "first"}, row)
    with pytest.raises(InputError) as raised:
        load_tasks(path)
    assert any(line.startswith(f"{path}, row 2: ") and fault in line for line in str(raised.value).splitlines())


WRONG, RIGHT = "assert add(1, 2) == 4", "assert add(1, 2) == 3"
FORMS = {  # every form of tests is run, so a wrong assertion in it fails
    "functions": "def test_add():\n    {}\n",
    "unittest": "import unittest\nclass Add(unittest.TestCase):\n    def test_add(self):\n        {}\nif __name__ == '__main__':\n    unittest.main()\n",
    "class": "class TestAdd:\n    def test_add(self):\n        {}\n",
    "main": "from __future__ import annotations\nif __name__ == '__main__':\n    {}\n",
    "set up": "class TestAdd:\n    @classmethod\n    def setup_class(cls):\n        cls.x = 1\n    def setup_method(self, method):\n        self.y = 2\n"
    "    def test_add(self):\n        self.z = add(self.x, self.y)\n    def teardown_method(self):\n        add = lambda *a: self.z\n        {}\n",
    "of the module": "def setup_module():\n    global x\n    x = add\ndef teardown_function():\n    {}\ndef test_add():\n    x(1, 2)\n",
    "a case": "import unittest\ndef verify():\n    {}\ncase = unittest.FunctionTestCase(verify)\n",
    "check": "def check(candidate):\n    {}\ncheck(add)\n",
    "async": "async def test_add():\n    {}\n",
    "raises": "from math import *\ntry:\n    add(1, 'b')\nexcept TypeError:\n    {}\nelse:\n    raise AssertionError\n",
}


def test_every_form_of_tests_is_run(tmp_path: Path, sandbox: Backend) -> None:
    rows = [{**ADD, "task_id": f"{form} {told}", "tests": text.format(line)} for form, text in FORMS.items() for line, told in ((RIGHT, "right"), (WRONG, "wrong"))]
    never = {**ADD, "task_id": "never", "tests": "def verify():\n    assert add(1, 2) == 3\n"}
    task_set = load_tasks(write_tasks(tmp_path / "forms.jsonl", *rows, never))
    verdicts = grade(task_set, [(task.id, task.canonical_program) for task in task_set.tasks], backend=sandbox)
    assert [v.base_status for v in verdicts] == ["passed", "failed"] * len(FORMS) + ["failed"], verdicts
    assert verdicts[-1].detail == "AssertionError: the tests did not call add"


def test_what_the_function_raises_ends_no_loop_of_the_tests(tmp_path: Path, sandbox: Backend) -> None:
    """It reaches the tests as itself, so that they may expect it; where it ends a loop in C, no assertion has seen it."""
    loops = "assert list(map(add, [1], [2])) in ([3], [])\nassert add(1, 1)"
    expects = "try:\n    add(1, 2)\nexcept {0}:\n    pass\nelse:\n    raise AssertionError\n"
    asserts = f"{CASE}def test_a(self):\n        with self.assertRaises({{0}}): add(1, 2)\n        self.assertRaises({{0}}, add, 1, 2)\n"
    kinds = ("StopIteration", "StopAsyncIteration", "GeneratorExit", "RuntimeError")
    rows = [{**ADD, "task_id": f"{kind} {number}", "tests": tests.format(kind)} for kind in kinds for number, tests in enumerate((expects, asserts))]
    task_set = load_tasks(write_tasks(tmp_path / "loop.jsonl", {**ADD, "task_id": "loop", "tests": loops}, *rows))
    stops = "def add(a, b):\n    if b == 2: raise {}\n    return 1\n"
    verdict = grade(task_set, [("loop", stops.format("StopIteration"))], backend=sandbox)[0]
    assert (verdict.base_status, verdict.detail) == (
        "failed", "AssertionError: add raised StopIteration, which ended a loop of the tests; the last call: add(1, 1) gave 1"
    )
    samples = [(row["task_id"], stops.format(kind)) for kind in kinds for row in rows]
    passed = [[v.task_id, kind] for v, kind in zip(grade(task_set, samples, backend=sandbox), (k for k in kinds for _ in rows), strict=True) if v.base_status == "passed"]
    assert passed == [[f"{kind} {number}", kind] for kind in kinds for number in (0, 1)]


SKIPS = {  # what a program raises to have its tests skipped
    "import unittest\ndef add(a, b): raise unittest.SkipTest('no')": "SkipTest: no",
    "import unittest\nclass Own(unittest.SkipTest): pass\ndef add(a, b): raise Own('no')": "Own: no",
    "import unittest.case\ndef add(a, b): raise unittest.case._ShouldStop('no')": "_ShouldStop: no",
    "from unittest.case import _ShouldStop\ndef add(a, b): raise _ShouldStop('no')": "_ShouldStop: no",
    "class Later(Exception): __module__ = '__main__'\ndef add(a, b): raise Later('no')": "Later: no",
}


def test_a_program_does_not_have_its_tests_skipped(tmp_path: Path, sandbox: Backend) -> None:
    cases = "import sys, unittest\nclass Later(unittest.SkipTest): pass\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(add(1, 2), 3)\n"
    own = "    @unittest.skipIf(sys.version_info > (3,), 'new')\n    def test_b(self):\n        self.assertEqual(add(1, 2), 4)\n"
    own += "    def test_c(self):\n        self.skipTest('later')\n"
    expected = "    @unittest.expectedFailure\n    def test_e(self):\n        with self.subTest(a=1):\n            self.assertEqual(add(1, 2), 4)\n"
    part = "    def test_d(self):\n        with self.subTest(a=1):\n            self.assertEqual(add(1, 2), 3)\n"
    names = {"apart": own + part, "together": own + part, "apart, expected": expected, "together, expected": expected}
    rows = [{**ADD, "task_id": name, "tests": cases + more, "same_process": name.startswith("together")} for name, more in names.items()]
    task_set = load_tasks(write_tasks(tmp_path / "skips.jsonl", *rows))
    right = grade(task_set, [(row["task_id"], "def add(a, b): return a + b") for row in rows], backend=sandbox)
    assert [v.base_status for v in right] == ["passed"] * 4, right  # the tests may skip themselves
    apart = grade(task_set, [("apart", program) for program in SKIPS], backend=sandbox)
    assert [v.base_status for v in apart] == ["failed"] * len(SKIPS), apart
    assert [v.detail.partition("; the last call: ")[0].rpartition(".")[2] for v in apart] == [*SKIPS.values()]
    together = grade(task_set, [("together", program) for program in SKIPS], backend=sandbox)
    assert [v.base_status for v in together] == ["failed"] * len(SKIPS), together


def test_what_cannot_reach_the_tests_is_nothing_that_they_expect(tmp_path: Path, sandbox: Backend) -> None:
    tests = "try:\n    add(1, 2)\nexcept {}:\n    pass\nelse:\n    raise AssertionError\n"
    kinds = ("RuntimeError", "MemoryError", "ExceptionGroup", "OSError")
    task_set = load_tasks(write_tasks(tmp_path / "kinds.jsonl", *({**ADD, "task_id": kind, "tests": tests.format(kind)} for kind in kinds)))
    raised = {"def add(a, b): raise ExceptionGroup('two', [ValueError(1)])": ["failed"] * 4,
              "def add(a, b): raise MemoryError('too large')": ["memory", "passed", "memory", "memory"],
              "def add(a, b): return bytearray(1 << 50)": ["memory", "passed", "memory", "memory"],
              "def add(a, b): raise RuntimeError('no')": ["passed", "failed", "failed", "failed"]}  # fmt: skip
    for program, statuses in raised.items():
        verdicts = grade(task_set, [(kind, program) for kind in kinds], backend=sandbox)
        assert [v.base_status for v in verdicts] == statuses, verdicts


def test_what_the_function_raises_is_caught_as_what_it_is(tmp_path: Path, sandbox: Backend) -> None:
    tests = "import json\ntry:\n    add(1, 2)\nexcept {}:\n    pass\nelse:\n    raise AssertionError\n"
    rows = [{**ADD, "task_id": kind, "tests": tests.format(kind)} for kind in ("ValueError", "json.JSONDecodeError", "UnicodeError", "RuntimeError", "SystemExit")]
    raised = {"class Own(ValueError): pass\ndef add(a, b): raise Own('no')": ["ValueError"],
              "class Own(Exception): pass\ndef add(a, b): raise Own('no')": [],
              "import json\ndef add(a, b): return json.loads('{')": ["ValueError", "json.JSONDecodeError"],
              "def add(a, b): return b'\\xff'.decode()": ["ValueError", "UnicodeError"],
              "def add(a, b): raise SystemExit(0)": ["SystemExit"]}  # fmt: skip
    task_set = load_tasks(write_tasks(tmp_path / "raised.jsonl", *rows))
    samples = [(row["task_id"], program) for program in raised for row in rows]
    verdicts = grade(task_set, samples, backend=sandbox)
    passed = [[v.task_id for v in verdicts[at : at + len(rows)] if v.base_status == "passed"] for at in range(0, len(samples), len(rows))]
    assert passed == list(raised.values())


def test_tests_may_replace_what_the_program_prints_with(tmp_path: Path, sandbox: Backend) -> None:
    captured = "import io, sys\nsys.stdout = io.StringIO()\nadd(1, 2)\nassert sys.stdout.getvalue() == '3\\n'\n"
    replaced = "import builtins\nout = []\nbuiltins.print = lambda *given: out.append(given)\nadd(1, 2)\nassert out == [(3,)]\n"
    rows = [{**ADD, "task_id": tests[:20], "tests": tests, "same_process": True} for tests in (captured, replaced)]
    answers = {"def add(a, b): print(a + b)\ndef test_of_the_answer(): assert False\n": "passed", "def add(a, b): print(a - b)": "failed"}
    task_set = load_tasks(write_tasks(tmp_path / "prints.jsonl", *rows))
    verdicts = grade(task_set, [(row["task_id"], answer) for row in rows for answer in answers], backend=sandbox)
    assert [v.base_status for v in verdicts] == [*answers.values()] * 2, verdicts


def test_an_evaluation_says_what_nobody_has_shown(tmp_path: Path, sandbox: Backend) -> None:
    bare = {key: value for key, value in ADD.items() if key != "canonical_solution"}
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"task_id": "add", "solution": "def add(a, b): return a + b"}))


    def evaluated(path: str) -> dict[str, Any]:
        config = EvaluateConfig(tasks=[path])
        return evaluate_model(None, tmp_path / "out", model=ModelConfig(name="demo"), config=config, seed=0, samples=answers)

    results = evaluated(write_tasks(tmp_path / "mine.jsonl", bare))
    assert results["warnings"] == ["mine: 1 of 1 tasks have no canonical_solution (add); nothing shows that a right answer passes their tests"]
    wrong = write_tasks(tmp_path / "wrong.jsonl", {**PAIR, "canonical_solution": "    return x\n"})
    with pytest.raises(InputError, match=r"wrong, task pair: its canonical_solution does not pass its tests .failed: input 1 of 2: expected"):
        evaluated(wrong)


def test_tests_in_the_programs_process_see_all_of_it(tmp_path: Path, sandbox: Backend) -> None:
    stack = {"task_id": "stack", "prompt": "class Stack:\n", "entry_point": "Stack", "same_process": True,
             "tests": "def test_stack():\n    s = Stack()\n    s.push(1)\n    assert s.pop() == 1\n"}  # fmt: skip
    task_set = load_tasks(write_tasks(tmp_path / "stack.jsonl", stack))
    right = "class Stack(list):\n    push = list.append\n"
    answers = {right: "passed", right.replace("append", "count"): "failed", f"{right}print('\\n{{mark}}', flush=True)\nimport os\nos._exit(0)\n": "failed"}
    verdicts = grade(task_set, [("stack", answer) for answer in answers], backend=sandbox)
    assert [v.base_status for v in verdicts] == list(answers.values()), verdicts


def test_a_dataclass_finds_its_module(tmp_path: Path, sandbox: Backend) -> None:
    point = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Point:\n    x: int\n\n"
    body = {"prompt": f"{point}def add(a, b):\n", "canonical_solution": "    return Point(a + b).x\n"}
    rows = [{**ADD, **body}, {**ADD, **body, "task_id": "2", "same_process": True, "tests": "assert add(1, 2) == Point(3).x"}]
    assert check_tasks(write_tasks(tmp_path / "points.jsonl", *rows))["failed"] == []


def test_names_and_line_ends_as_the_world_has_them(tmp_path: Path, sandbox: Backend) -> None:
    row = {"task_id": "加", "prompt": "def ﬁb求和(甲):\r\n", "entry_point": "ﬁb求和", "canonical_solution": "    return 甲\r\n", "tests": "assert ﬁb求和(1) == 1\r\n"}
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(row, ensure_ascii=False).encode() + b"\r\n")
    assert check_tasks(str(path))["passed"] == 1
    path.write_text(json.dumps(ADD, indent=1))
    with pytest.raises(InputError, match=r"mine\.jsonl: it is one JSON object on several lines"):
        load_tasks(str(path))


def test_every_fault_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = write_tasks(tmp_path / "mine.jsonl", ADD, ADD, {**ADD, "prompt": 1}, "{")
    with pytest.raises(InputError) as raised:
        load_tasks(path)
    assert str(raised.value).splitlines() == [
        f"{path}, row 3: prompt is 1; give a text",
        f"{path}, row 4: it is no JSON object; write one object on a line",
        f"{path}: task_id 'add' is in 2 rows; give each task its own",
    ]


def test_files_that_cannot_be_sets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read as JSONL in UTF-8: No such file"):
        load_tasks(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="holds no tasks"):
        load_tasks(write_tasks(tmp_path / "empty.jsonl", ""))
    with pytest.raises(InputError, match=r"'warnings' is the name of something else in results\.json"):
        load_tasks(write_tasks(tmp_path / "warnings.jsonl", ADD))
    one, two = write_tasks(tmp_path / "one.jsonl", ADD), write_tasks(tmp_path / "two.jsonl", ADD)
    with pytest.raises(InputError, match="task_id 'add' is in two of"):
        load_sets([one, two], None)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="cannot be in one evaluation"):
        load_sets([one, write_tasks(tmp_path / "other" / "one.jsonl", PAIR)], None)


def test_the_table_has_every_set() -> None:
    table = task_table()
    assert [name for family in table for name in family["names"]] == task_set_names()
    assert all(family["licence"] and family["source"] and family["versions"] for family in table)


def test_the_command_says_what_fails(tmp_path: Path, sandbox: Backend) -> None:
    path = write_tasks(tmp_path / "mine.jsonl", {**ADD, "canonical_solution": "    return a - b\n"})
    found = codeact_command("tasks", "--check", path)
    assert found.returncode == 1
    assert "0 of 1 canonical solutions pass" in found.stdout
    assert "add: failed: AssertionError" in found.stdout
    listed = codeact_command("tasks")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "humaneval, humaneval+" in listed.stdout
