"""Published files in all their forms, and answers that a published harness judges in a way of its own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import Backend
from tests.unit.test_published_sets import BIGCODE, MULTIPL_E, lcb

STDIN = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}, {"input": "5\n", "output": "10", "testtype": "stdin"}]
DS = {"prompt": "Double a.\nBEGIN SOLUTION\n<code>\n", "reference_code": "result = 2 * a", "code_context": "def test_execution(solution):\n    pass\n",
      "metadata": {"problem_id": 7, "library": "Numpy"}}  # fmt: skip
E = {
    "name": "HumanEval_0_twice", "language": "cpp", "doctests": "transform", "original": "x.py", "prompt_terminology": "reworded",
    **{key: MULTIPL_E["cpp"][key] for key in ("prompt", "tests", "stop_tokens")},
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else lines)


@pytest.mark.parametrize(
    ("name", "file", "row"),
    [
        *(("multipl-e-cpp", file, E) for file in (
            "humaneval-cpp/test-00000-of-00001.parquet", "humaneval-cpp/test/0000.parquet", "humaneval-cpp/multi_pl-e-test.parquet",
            "prompts/humaneval-cpp-reworded.jsonl", "prompts/humaneval-cpp-reworded.json", "humaneval-cpp-reworded.jsonl",
            "humaneval-cpp-reworded.json", "humaneval-cpp-transform.jsonl", "humaneval-cpp.jsonl.gz")),
        *(("bigcodebench-complete", file, BIGCODE) for file in (
            "BigCodeBench-v0.1.4.jsonl.gz", "BigCodeBench-Hard-v0.1.4.jsonl", "data/v0.1.4-00000-of-00001.parquet", "v0.1.4-00000-of-00001.parquet",
            "data/v0.1.4.parquet")),
        *(("livecodebench", file, lcb(STDIN)) for file in (
            "test.jsonl", "test6.jsonl", "code_generation_lite/test5.jsonl", "livecodebench.jsonl.gz", "test-00000-of-00001.parquet")),
        *(("ds-1000", file, DS) for file in ("ds1000.jsonl.gz", "data/ds1000.jsonl.gz", "ds1000.jsonl", "test.jsonl", "DS-1000.jsonl")),
    ],
)  # fmt: skip
def test_every_form_of_a_published_file(name: str, file: str, row: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / file, [row])
    assert len(load_tasks(name, tmp_path).tasks) == 1


def test_a_set_in_parts_is_whole(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"test-0000{number}-of-00003.parquet", [lcb(STDIN, question_id=f"q{number}")])
    with pytest.raises(InputError, match=r"livecodebench: .* holds 2 of the 3 parts of test; download the others from https"):
        load_tasks("livecodebench", tmp_path)
    write(tmp_path / "test-00002-of-00003.parquet", [lcb(STDIN, question_id="q1")])
    with pytest.raises(InputError, match=r"LiveCodeBench/q1 is there twice \(first: .*\); leave one release there"):
        load_tasks("livecodebench", tmp_path)
    write(tmp_path / "test-00002-of-00003.parquet", [lcb(STDIN, question_id="q2")])
    assert [task.id[-2:] for task in load_tasks("livecodebench", tmp_path).tasks] == ["q0", "q1", "q2"]


def test_a_file_of_another_language(tmp_path: Path) -> None:
    write(tmp_path / "humaneval-js" / "test-00000-of-00001.parquet", [E])
    with pytest.raises(InputError, match=r"its tasks are in cpp and not in javascript; ask for multipl-e-cpp, or bring the file of js"):
        load_tasks("multipl-e-js", tmp_path)


def test_values_of_livecodebench_are_equal_and_one_object_answers_all_calls(tmp_path: Path, sandbox: Backend) -> None:
    def task(name: str, *pairs: tuple[str, str]) -> dict[str, Any]:
        cases = [{"input": given, "output": out, "testtype": "functional"} for given, out in pairs]
        return lcb(cases, question_id=name, metadata=json.dumps({"func_name": name}), starter_code=f"class Solution:\n    def {name}(self, n):\n        ")

    write(tmp_path / "test.jsonl", [task("pairs", ("2", "[[0, 1], [1, 2]]"), ("1", "[[0, 1]]")), task("half", ("3", "1.5"), ("2", "1.0"))])
    task_set = load_tasks("livecodebench", tmp_path)
    method = "class Solution:\n    def __init__(self):\n        self.made = []\n    def {}(self, n):\n        {}\n"
    answers = {
        method.format("pairs", "return [[i, i + 1] for i in range(n)]"): "passed",
        method.format("pairs", "return tuple([i, i + 1] for i in range(n))"): "passed",
        method.format("pairs", "return [(i, i + 1) for i in range(n)]"): "failed",
        method.format("pairs", "self.made += [[i, i + 1] for i in range(n)]\n        return self.made"): "failed",
        "def pairs(n):\n    return [[i, i + 1] for i in range(n)]": "passed",
        method.format("half", "return n / 2"): "passed",
        method.format("half", "return n / 2 + 1e-9"): "failed",
        method.format("half", "return str(n / 2)"): "failed",
    }
    samples = [(f"LiveCodeBench/{'pairs' if 'pairs' in program else 'half'}", program) for program in answers]
    assert [v.base_status for v in grade(task_set, samples, backend=sandbox)] == list(answers.values())


def test_bigcodebench_gives_a_program_what_the_published_harness_gives(tmp_path: Path, sandbox: Backend) -> None:
    test = "import unittest\nfrom unittest.mock import patch\nclass TestCases(unittest.TestCase):\n"
    test += "    def test_case_1(self):\n        self.assertEqual(task_func(2), 4)\n"
    patched = test + "    @patch('__test__.helper', return_value=4)\n    def test_case_2(self, fake):\n        self.assertEqual(task_func(1), 4)\n"
    head = "def helper(x):\n    return 2 * x\ndef task_func(x):\n"
    rows = [
        {**BIGCODE, "task_id": f"BigCodeBench/{number}", "libs": "[]", "code_prompt": start, "complete_prompt": start, "test": tests}
        for number, (start, tests) in enumerate((("def task_func(x):\n", test), (head, patched)))
    ]
    write(tmp_path / "BigCodeBench-v0.1.4.jsonl", rows)
    used = ("os.path.sep and 2 * x", "sys.maxsize and 2 * x", "2 * x if environ is not None else 0", "__file__ and 2 * x")
    samples = [("BigCodeBench/0", f"def task_func(x):\n    return {body}\n") for body in used]
    samples += [("BigCodeBench/1", f"{head}    return helper(x)\n"), ("BigCodeBench/1", f"{head}    return 2 * x\n")]
    verdicts = grade(load_tasks("bigcodebench-complete", tmp_path), samples, backend=sandbox)
    assert [v.base_status for v in verdicts] == ["passed"] * 5 + ["failed"], verdicts


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("result = 2 * a\n</code>\nThen:\n```python\nprint(1)\n```\n", "result = 2 * a\n"),
        ("<think>\n```python\nresult = 0\n```\n<code>\nx\n</code>\n</think>\n<code>\nresult = 2 * a\n</code>", "result = 2 * a\n"),
        ("hm, ```python\nresult = 0\n```\n</think>```python\nresult = 2 * a\n```", "result = 2 * a\n"),
        ("```python\n<code>\nresult = 2 * a\n</code>\n```", "result = 2 * a\n"),
        ("    return 2 * a\n# SOLUTION END", "    return 2 * a\n"),
    ],
)
def test_the_code_in_an_answer_to_ds_1000(answer: str, program: str, tmp_path: Path) -> None:
    write(tmp_path / "ds1000.jsonl", [DS])
    (task,) = load_tasks("ds-1000", tmp_path).tasks
    assert task.rules.program(answer, task, task.prompt) == program


def test_thoughts_are_no_answer_to_livecodebench(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [lcb(STDIN)])
    (task,) = load_tasks("livecodebench", tmp_path).tasks
    block = "```python\nprint({})\n```\n"
    for thought in ("<think>{}</think>", "{}</think>", "[THINK]{}[/THINK]", "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>"):
        assert task.rules.program(thought.format(block.format(1)) + "print(2)", task, task.prompt).strip() == "print(2)"
    assert task.rules.program("<think>" + block.format(1), task, task.prompt) == ""
