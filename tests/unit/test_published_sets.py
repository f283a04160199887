"""Task sets of files that `--data` names: tiny files of the published shapes, judged; what cannot run here says so."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import api
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.set_checks import check_tasks, proven
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.sets.livecodebench import same_output
from codeact.pipeline.run import run_pipeline
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing
from codeact.storage import read_json

# One task a language as MultiPL-E writes them, with a right and a wrong completion.
MULTIPL_E = json.loads((Path(__file__).parents[1] / "data" / "multipl_e.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("short", MULTIPL_E)
def test_multipl_e(short: str, tmp_path: Path, sandbox: Backend) -> None:
    prompt, tests, stops, right, wrong = MULTIPL_E[short].values()
    row = {"name": "HumanEval_0_twice", "language": short, "prompt": prompt, "doctests": "transform", "original": "x.py", "prompt_terminology": "reworded",
           "tests": tests, "stop_tokens": stops}  # fmt: skip
    if short == "cpp":
        (tmp_path / "humaneval-cpp").mkdir()
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "humaneval-cpp" / "test-00000-of-00001.parquet")
    else:
        (tmp_path / f"humaneval-{short}-reworded.json").write_text(json.dumps([row]))
    task_set = load_tasks(f"multipl-e-{short}", tmp_path)
    task = task_set.tasks[0]
    assert (task.entry_point, task.rules.stops(task), task_set.version[:7]) == ("twice", tuple(stops), "sha256 ")
    if short == "java":  # each published prompt imports a library that few use, and that is not there
        row["tests"] = tests.replace("twice(", "Pair.with(1l, twice(")
        (tmp_path / "humaneval-java-reworded.json").write_text(json.dumps([row]))
        assert load_tasks("multipl-e-java", tmp_path).tasks[0].not_run == "it needs org.javatuples, which programs here do not have"
    if missing(task.language):
        pytest.skip(f"{task.language} is not installed")
    verdicts = grade(task_set, [(task.id, task.rules.program(body, task, prompt)) for body in (right, wrong, "")], backend=sandbox)
    assert [v.base_status for v in verdicts] == ["passed", "failed", "failed"], verdicts


BIGCODE = {
    "task_id": "BigCodeBench/0", "entry_point": "task_func", "libs": "['itertools', 'random']",
    "complete_prompt": 'import itertools\n\ndef task_func(numbers):\n    """Sums of all pairs.\n    """\n',
    "instruct_prompt": "Sums of all pairs.\nYou should write self-contained code starting with:\n```\nimport itertools\ndef task_func(numbers):\n```",
    "code_prompt": "import itertools\ndef task_func(numbers):\n", "canonical_solution": "    return [a + b for a, b in itertools.combinations(numbers, 2)]\n",
    "test": "import unittest\nfrom unittest.mock import patch\nclass TestCases(unittest.TestCase):\n"
    "    def test_one(self):\n        self.assertEqual(task_func([1, 2, 3]), [3, 4, 5])\n"
    "    @patch('itertools.combinations', return_value=[(1, 1)])\n    def test_patched(self, fake):\n        self.assertEqual(task_func([]), [2])\n",
    "doc_struct": "{}",
}  # fmt: skip


def test_bigcodebench(tmp_path: Path, sandbox: Backend) -> None:
    other = {**BIGCODE, "task_id": "BigCodeBench/1", "libs": "['pandas', 'sklearn']", "code_prompt": "import pandas as pd\ndef task_func(x):\n"}
    (tmp_path / "BigCodeBench-v0.1.4.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in (BIGCODE, other)).encode()))
    for name in ("bigcodebench-complete", "bigcodebench-instruct"):
        task_set = load_tasks(name, tmp_path)
        found = check_tasks(name, tmp_path)
        assert (found["passed"], found["failed"]) == (1, [])
        assert list(found["not_run"].values()) == ["it needs pandas, sklearn, which the sandbox does not show"]
        first, second = task_set.tasks
        ends = ("import sys; sys.exit(0)", "import os; os._exit(0)", "import unittest; raise unittest.SkipTest('no')")
        bodies = ("    return []\n", *(f"    {end}\n" for end in ends), BIGCODE["canonical_solution"])
        verdicts = grade(task_set, [*((first.id, first.prompt + body) for body in bodies), (second.id, "x")], backend=sandbox)
        assert [v.base_status for v in verdicts] == ["failed", "failed", "failed", "failed", "passed", "not run"]
        assert verdicts[3].detail == "AssertionError: test_one: unittest.case.SkipTest: no"
        assert verdicts[0].detail.startswith("AssertionError: test_one: AssertionError: Lists differ")
    assert "starting with" in first.rules.question(first)


def test_a_run_measures_again_where_the_file_of_a_published_set_changed(
    tmp_path: Path, tiny_model_dir: Path, sandbox: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("CODEACT_DATA", str(data))
    recipe = load_recipe(extra={
        "run_dir": str(tmp_path / "run"), "data.source": str(data), "model.name": str(tiny_model_dir), "model.dtype": "float32",
        "evaluate.tasks": ["bigcodebench-complete"], "evaluate.generate_limit": 0,
    })  # fmt: skip
    found = []
    for rows in ([BIGCODE], [BIGCODE], [BIGCODE, {**BIGCODE, "task_id": "BigCodeBench/1"}]):
        (data / "bigcodebench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        store = run_pipeline(recipe, targets=("evaluate_base",))
        found.append((store.marker("evaluate_base") or {})["finished_at"] + json.dumps(read_json(store.path("evaluate/base/results.json"))))
    assert found[0] == found[1] != found[2]
    assert load_tasks("bigcodebench-complete").version in found[2]


def test_a_task_whose_published_solution_fails_here_is_in_no_figure(tmp_path: Path, sandbox: Backend, own_cache: Path) -> None:
    first = "self.assertEqual(task_func([1, 2, 3])"
    writes = {**BIGCODE, "task_id": "BigCodeBench/2", "test": BIGCODE["test"].replace(first, f"open('x', 'w')\n        {first}")}
    (tmp_path / "BigCodeBench-v0.1.4.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (BIGCODE, writes)))
    found = proven(load_tasks("bigcodebench-complete", tmp_path), sandbox)
    assert found.tasks[0].not_run == ""
    assert found.tasks[1].not_run.startswith("its published solution does not pass here (failed: AssertionError: test_one: ")
    assert proven(load_tasks("bigcodebench-complete", tmp_path), sandbox) == found  # from the cache
    told = "print('\\n{mark}', flush=True)\nimport os\nos._exit(0)\n"
    assert grade(found, [("BigCodeBench/0", told)], backend=sandbox)[0].base_status == "failed"


def test_a_task_that_is_not_run_is_in_no_comparison_either(tmp_path: Path, sandbox: Backend, own_cache: Path) -> None:
    """It counted as failed on both sides, the means were not those of the results, and the comparison was left out."""
    rows = [{**BIGCODE, "task_id": f"BigCodeBench/{n}"} for n in range(3)]
    rows[1] |= {"libs": "['pandas']", "code_prompt": "import pandas as pd\ndef task_func(x):\n"}
    (tmp_path / "BigCodeBench-v0.1.4.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    right, results = BIGCODE["canonical_solution"], {}
    for side, answers in (("base", [right, right, "    return []\n"]), ("tuned", [right] * 3)):
        given = [{"task_id": row["task_id"], "completion": text} for row, text in zip(rows, answers, strict=True)]
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in given))
        results[side] = api.evaluate(
            None, tmp_path / side, samples=tmp_path / f"{side}.jsonl", data_dir=tmp_path, settings={"evaluate.tasks": ["bigcodebench-complete"]},
            against=tmp_path / "base" if side == "tuned" else None,
        )  # fmt: skip
    name = next(one for one in results["base"] if one.startswith("bigcodebench"))
    assert [results[side][name]["pass@1"] for side in ("base", "tuned")] == [0.5, 1.0]
    found = results["tuned"]["differences"][name]["pass@1"]
    assert (found["base"], found["tuned"], found["tasks"]) == (0.5, 1.0, 2)
    assert found["changed"]["gained"] == ["BigCodeBench/2"]
    told = [json.loads(line) for line in (tmp_path / "tuned" / "against.jsonl").read_text().splitlines()]
    assert {row["task_id"]: (row["base"], row["tuned"]) for row in told} == {"BigCodeBench/0": (1.0, 1.0), "BigCodeBench/2": (0.0, 1.0)}


def test_ds_1000(tmp_path: Path, sandbox: Backend) -> None:
    context = (
        'import numpy as np\nimport copy\n\ndef generate_test_case(test_case_id):\n    a = np.arange(3)\n    return a, 2 * a\n\ndef exec_test(result, ans):\n'
        '    try:\n        np.testing.assert_array_equal(result, ans)\n        return 1\n    except AssertionError:\n        return 0\n\n'
        'exec_context = r"""\nimport numpy as np\na = test_input\n[insert]\n"""\n\ndef test_execution(solution: str):\n'
        '    code = exec_context.replace("[insert]", solution)\n'
        "    test_input, expected = generate_test_case(1)\n    env = {'test_input': test_input}\n    exec(code, env)\n    assert exec_test(env['result'], expected)\n\n"
        "def test_string(solution: str):\n    assert 'for' not in solution\n"
    )
    row = {"prompt": "Problem:\nDouble a.\nA:\n<code>\nimport numpy as np\na = np.arange(3)\n</code>\n"
           "result = ... # put solution in this variable\nBEGIN SOLUTION\n<code>\n",
           "reference_code": "result = 2 * a", "code_context": context,
           "metadata": {"problem_id": 291, "library_problem_id": 0, "library": "Numpy", "test_case_cnt": 1,
                        "perturbation_type": "Origin", "perturbation_origin_id": 0}}  # fmt: skip
    tables = {**row, "code_context": "import pandas as pd\n" + context, "metadata": {**row["metadata"], "problem_id": 0, "library": "Pandas"}}
    (tmp_path / "ds1000.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in (row, tables)).encode()))
    found = check_tasks("ds-1000", tmp_path)
    assert (found["passed"], found["failed"], found["not_run"]) == (1, [], {"DS-1000/0": "it needs pandas, which the sandbox does not show"})
    task_set = load_tasks("ds-1000", tmp_path)
    task = task_set.tasks[0]
    answers = ("result = a + a\n</code>\nmore",
               "Sure:\n```python\nresult = a * 2\n```", "<code>\nresult = a\n</code>", "result = np.array([x for x in 2 * a])", "exit()")  # fmt: skip
    verdicts = grade(task_set, [(task.id, task.rules.program(answer, task, task.prompt)) for answer in answers], backend=sandbox)
    assert [v.base_status for v in verdicts] == ["passed", "passed", "failed", "failed", "failed"], verdicts


def lcb(cases: list[dict[str, str]], **changes: Any) -> dict[str, Any]:
    hidden = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases[1:])))).decode()
    return {"question_title": "t", "question_content": "Double it.",
            "platform": "atcoder", "question_id": "abc1", "contest_id": "c", "contest_date": "2024-01-01T00:00:00",
            "starter_code": "", "difficulty": "easy", "public_test_cases": json.dumps(cases[:1]), "private_test_cases": hidden, "metadata": "{}", **changes}  # fmt: skip


def test_livecodebench(tmp_path: Path, sandbox: Backend) -> None:
    read = lcb([{"input": "1\n", "output": "2\n", "testtype": "stdin"}, {"input": "5\n", "output": "10\n", "testtype": "stdin"}])
    call = lcb([{"input": "[1, 2]\n3", "output": "[3, 6]", "testtype": "functional"}, {"input": "[]\n1", "output": "[]", "testtype": "functional"}],
               question_id="3001", metadata='{"func_name": "scale"}',
               starter_code="class Solution:\n    def scale(self, xs: List[int], by: int) -> List[int]:\n        ")  # fmt: skip
    (tmp_path / "test.jsonl").write_text(json.dumps(read) + "\n")
    (tmp_path / "test2.jsonl").write_text(json.dumps(call) + "\n")
    task_set = load_tasks("livecodebench", tmp_path)
    first, second = task_set.tasks
    assert ("starter code" in second.prompt, "stdin" in first.prompt) == (True, True)
    method = "class Solution:\n    def scale(self, xs: List[int], by: int) -> List[int]:\n        return {}\n"
    answers = [
        (first.id, "print(2 * int(input()))"), (first.id, "print(2)"), (first.id, "import sys\nsys.exit(0)"),
        (second.id, method.format("[by * x for x in xs]")), (second.id, method.format("tuple(by * x for x in xs)")), (second.id, method.format("xs")),
        (second.id, method.format("type('E', (list,), {'__eq__': lambda s, o: True})()")),
    ]  # fmt: skip
    verdicts = grade(task_set, answers, backend=sandbox)
    assert [v.base_status for v in verdicts] == ["passed", "failed", "failed", "passed", "passed", "failed", "failed"], verdicts
    assert verdicts[1].detail == r"input 2 of 2: another output than expected (a hidden test: what it expects is not shown), got '2\n'"
    assert "10" not in verdicts[1].detail
    (shown,) = grade(task_set, [(first.id, "print(3)")], backend=sandbox)
    assert shown.detail == r"input 1 of 2: expected '2\n', got '3\n'"
    assert first.rules.program("Thus:\n```python\nx = 1\n```\nand\n```python\nprint(1)\n```\n", first, first.prompt) == "print(1)\n"


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


def test_nothing_but_texts_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    (tmp_path / "livecodebench.jsonl").write_text(json.dumps(lcb([{"input": "", "output": ""}], private_test_cases=hidden)) + "\n")
    with pytest.raises(InputError, match="problem abc1: its tests cannot be read"):
        load_tasks("livecodebench", tmp_path)
    assert capsys.readouterr().out == ""


def test_outputs_agree_by_lines_and_numbers() -> None:
    assert same_output("1.50 2\nYes\n", " 1.5 2 \nYes")
    assert not same_output("1\n2", "1 2")
    assert not same_output("Yes", "yes")


def test_a_file_that_is_not_there_or_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEACT_DATA", raising=False)
    with pytest.raises(InputError, match=r"ds-1000: no folder is named with --data, which would hold ds1000.*download it from https"):
        load_tasks("ds-1000")
    (tmp_path / "bigcodebench.jsonl").write_text('{"task_id": "x"}\n')
    with pytest.raises(InputError, match="row 1: bigcodebench-complete has no key 'complete_prompt'; is this the published file"):
        load_tasks("bigcodebench-complete", tmp_path)


TWICE = dict(zip(("prompt", "tests", "stop_tokens"), MULTIPL_E["js"].values(), strict=False)) | {"name": "HumanEval_0_twice", "language": "js"}
STDIN = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
CALL = {"input": "[1]\n3", "output": "[3]", "testtype": "functional"}
METHOD = {"starter_code": "class Solution:\n    def f(self, x):\n        "}
DS = {"prompt": "p", "reference_code": "r", "metadata": {"problem_id": 0}, "code_context": "def test_execution(a): pass"}


@pytest.mark.parametrize(
    ("name", "rows", "told"),
    [
        ("livecodebench", [lcb([], private_test_cases="[]")], "problem abc1 has no test: any program would pass"),
        ("livecodebench", [lcb([{**STDIN, "output": None}])], "problem abc1: its tests cannot be read (an input or output is no text)"),
        ("livecodebench", [lcb([CALL], **METHOD)], "problem abc1: its metadata names no method"),
        ("livecodebench", [lcb([STDIN], metadata='{"func_name": "f"}', **METHOD)], "problem abc1: its metadata names a method (f)"),
        ("livecodebench", [lcb([STDIN], metadata="{")], "row 1: no task of livecodebench"),
        ("livecodebench", [lcb([STDIN]), lcb([STDIN])], "row 2: LiveCodeBench/abc1 is there twice"),
        ("multipl-e-js", [TWICE | {"tests": ""}], "row 1: no task of multipl-e-js (its tests do not call twice: any program would pass)"),
        ("multipl-e-js", [TWICE | {"tests": "let other = 1;"}], "do not call twice"),
        ("multipl-e-js", [TWICE | {"stop_tokens": "['x']"}], "stop_tokens is no list of texts"),
        ("multipl-e-js", [TWICE | {"prompt": "no call"}], "row 1: no task of multipl-e-js (StopIteration)"),
        ("multipl-e-js", [TWICE | {"language": "py"}], "its tasks are in 'py' and not in javascript"),
        ("multipl-e-js", [TWICE, TWICE], "row 2: multipl-e-js/HumanEval_0_twice is there twice"),
        ("bigcodebench-complete", [BIGCODE | {"libs": "["}], "row 1: no task of bigcodebench-complete"),
        ("bigcodebench-complete", [BIGCODE | {"test": ["a"]}], "(test is list, not text)"),
        ("ds-1000", [DS | {"code_context": 3}], "(code_context is int, not text)"),
        ("ds-1000", [DS, DS], "row 2: DS-1000/0 is there twice"),
    ],
)  # fmt: skip
def test_a_row_of_another_form_is_refused_by_its_place(name: str, rows: list[dict[str, Any]], told: str, tmp_path: Path) -> None:
    """Without tests every program passed; other rows ended the command with a traceback."""
    file = {"livecodebench": "test.jsonl", "multipl-e-js": "humaneval-js.jsonl", "ds-1000": "ds1000.jsonl"}.get(name, "bigcodebench.jsonl")
    (tmp_path / file).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_tasks(name, tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_input_of_a_method_that_is_no_json_is_one_line(tmp_path: Path, sandbox: Backend) -> None:
    row = lcb([CALL | {"input": "not json"}], metadata='{"func_name": "f"}', **METHOD)
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    task_set = load_tasks("livecodebench", tmp_path)
    with pytest.raises(InputError, match=r"LiveCodeBench/abc1: an input of its tests is no JSON"):
        grade(task_set, [(task_set.tasks[0].id, "class Solution: pass")], backend=sandbox)
