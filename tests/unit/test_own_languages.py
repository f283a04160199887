"""A team's own tasks in other languages: tests and examples judge right and wrong answers; every fault of a file is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.set_checks import check_tasks
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing
from tests.helpers.made_tasks import write_tasks

# Each doubles a list of whole numbers: head, right body, wrong body, tests.
ROWS = {
    "javascript": ("/** 2x */\nconst twice = (xs) => {\n", "  return xs.map(x => 2 * x);\n}\n", "  return xs;\n}\n",
                   ["const assert = require('assert')", "assert.deepStrictEqual(twice([1, 2]), [2, 4])"]),
    "java": ("import java.util.*;\n\nclass Solution {\n    public static List<Integer> twice(List<Integer> xs) {\n",
             "        List<Integer> out = new ArrayList<>();\n        for (int x : xs) out.add(2 * x);\n        return out;\n    }\n}\n",
             "        return xs;\n    }\n}\n", ["assert Solution.twice(List.of(1, 2)).equals(List.of(2, 4));"]),
    "go": ("func twice(xs []int) []int {\n", "    out := []int{}\n    for _, x := range xs {\n        out = append(out, 2*x)\n    }\n    return out\n}\n",
           "    return xs\n}\n", ["assert.Equal([]int{2, 4}, twice([]int{1, 2}))"]),
    "cpp": ("#include <vector>\nusing namespace std;\nvector<int> twice(vector<int> xs) {\n", "    for (int &x : xs) x *= 2;\n    return xs;\n}\n",
            "    return xs;\n}\n", ["assert((twice({1, 2}) == vector<int>{2, 4}));"]),
    "rust": ("fn twice(xs: &[i64]) -> Vec<i64> {\n", "    xs.iter().map(|x| 2 * x).collect()\n}\n", "    xs.to_vec()\n}\n",
             ["assert_eq!(twice(&[1, 2]), vec![2, 4]);"]),
}  # fmt: skip
VALUES = {"go": "expected: []int{2, 4} actual : []int{1, 2}", "rust": "left: [1, 2] right: [2, 4]", "javascript": "[ + 1, + 2 - 2, - 4 ]"}
EXAMPLES = [{"input": [[1, 2]], "output": [2, 4]}, {"input": [[]], "output": []}, {"input": [[-3]], "output": [-6]}]


def row(language: str, **changes: Any) -> dict[str, Any]:
    prompt, right, _, tests = ROWS[language]
    return {"task_id": f"{language}/1", "language": language, "prompt": prompt, "entry_point": "twice", "canonical_solution": right, "tests": tests, **changes}


@pytest.mark.parametrize("language", ROWS)
def test_tests_and_examples_judge_answers(language: str, tmp_path: Path, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    by_example = {k: v for k, v in row(language, task_id=f"{language}/2", examples=EXAMPLES).items() if k != "tests"}
    path = write_tasks(tmp_path / "mine.jsonl", row(language), by_example)
    found = check_tasks(path)
    assert (found["passed"], found["failed"]) == (2, [])
    prompt, _, wrong, _ = ROWS[language]
    verdicts = grade(load_tasks(path), [(f"{language}/{n}", prompt + wrong) for n in (1, 2)], backend=sandbox)
    assert [v.base_status for v in verdicts] == ["failed", "failed"]
    assert verdicts[1].detail == "input 1 of 3: expected [2, 4], got [1,2]"
    if language in VALUES:  # what the language's own assertion says of both values
        assert VALUES[language] in verdicts[0].detail


KINDS = {
    "javascript": "const f = (s, n, x, b, m) => {\n  return [s + s, n + 1, x / 2, !b, m, null];\n}\n",
    "java": "import java.util.*;\nclass Solution {\n  public List<Object> f(String s, int n, double x, boolean b, Map<String, List<Long>> m) {\n"
    "    return Arrays.asList(s + s, n + 1, x / 2, !b, m, Optional.empty());\n  }\n}\n",
    "go": "func F(s string, n int, x float64, b bool, m map[string][]int64) (string, int, float64, bool, map[string][]int64, error) {\n"
    "    return s + s, n + 1, x / 2, !b, m, nil\n}\n",
    "cpp": "#include <tuple>\n#include <map>\n#include <string>\n#include <vector>\n#include <optional>\nusing namespace std;\n"
    "tuple<string, int, double, bool, map<string, vector<long>>, optional<int>> f(const string &s, int n, double x, bool b, map<string, vector<long>> m) {\n"
    "  return {s + s, n + 1, x / 2, !b, m, nullopt};\n}\n",
    "rust": "use std::collections::HashMap;\n"
    "fn f(s: &str, n: i32, x: f64, b: bool, m: HashMap<String, Vec<u64>>) -> (String, i32, f64, bool, HashMap<String, Vec<u64>>) {\n"
    "    (format!(\"{}{}\", s, s), n + 1, x / 2.0, !b, m)\n}\n",
}  # fmt: skip


@pytest.mark.parametrize("language", KINDS)
def test_examples_hold_every_kind_of_value(language: str, tmp_path: Path, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    text = 'ä"\\\n\u2603😀'
    output = [text * 2, 8, 0.25, False, {"k ": [1, 2], "l": []}, *([] if language == "rust" else [None])]
    prompt = KINDS[language][: KINDS[language].index("{\n" if language != "java" else ") {\n") + (2 if language != "java" else 4)]
    one = {"task_id": "k", "language": language, "prompt": prompt, "entry_point": "F" if language == "go" else "f",
           "canonical_solution": KINDS[language].removeprefix(prompt),
           "examples": [{"input": [text, 7, 0.5, True, {"k ": [1, 2], "l": []}], "output": output}]}  # fmt: skip
    found = check_tasks(write_tasks(tmp_path / "kinds.jsonl", one))
    assert (found["passed"], found["failed"]) == (1, [])


FAULTS = [
    ({"language": "js"}, "did you mean 'javascript'?; the languages are python, javascript"),
    ({"language": "c++"}, "did you mean 'cpp'?"),
    ({"language": "rust", "prompt": "fn other() {\n"}, "prompt declares no 'twice'"),
    ({"language": "go", "prompt": "func twice(x int) int\n"}, "prompt has no open brace at its end"),
    ({"language": "java", "entry_point": "Solution.twice"}, "is no name of a function"),
    ({"language": "cpp", "prompt": "int twice(int x) {\n", "canonical_solution": "return x;\n"}, "together have 1 braces too many open"),
    ({"language": "cpp", "prompt": "int twice(int x) {\n", "canonical_solution": "return x; }\n", "tests": "int main() { twice(2); }"}, "tests asserts nothing"),
    ({"language": "go", "prompt": "func twice(x int) int {\n", "canonical_solution": "return x }\n", "tests": "assert.Equal(1, 1)"}, "tests does not call 'twice'"),
    ({"language": "rust", "prompt": "fn twice(x: i32) -> i32 {\n", "canonical_solution": "x }\n", "tests": "assert_eq!(twice(1), 1); }"}, "tests has unequal numbers"),
    ({"language": "rust", "tests": []}, "tests is no program"),
    ({"language": "javascript", "prompt": "const twice = (x) => {\n", "canonical_solution": "return x }\n",
      "tests": "const assert = require('assert');\ntest('twice', () => assert(twice(1)));"}, "tests uses a test runner (test(...)"),
    ({"language": 3}, "language is 3; give a text"),
]


THROWS = """const assert = require('assert');
assert.throws(() => twice(-1), RangeError);
assert.throws(() => twice(0), {name: 'Error', code: 'E0'});
await assert.rejects(twice(1), error => error instanceof TypeError && error instanceof Error && error.message === 'one');
assert.strictEqual(twice(2), 4);
"""


def test_errors_of_a_javascript_program_are_of_the_kinds_that_tests_expect(tmp_path: Path, sandbox: Backend) -> None:
    if missing("javascript"):
        pytest.skip("javascript is not installed")
    body = "  if (x < 0) throw new RangeError('no');\n  if (x === 0) throw Object.assign(new Error('no'), {code: 'E0'});\n" \
        "  if (x === 1) return Promise.reject(new TypeError('one'));\n  return 2 * x;\n}\n"
    one = {"task_id": "t", "language": "javascript", "prompt": "function twice(x) {\n", "entry_point": "twice", "tests": THROWS}
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", one))
    answers = [f"function twice(x) {{\n{text}" for text in (body, body.replace("RangeError", "Error"), body.replace("TypeError", "RangeError"))]
    verdicts = grade(task_set, [("t", answer) for answer in answers], backend=sandbox)
    assert [verdict.base_status for verdict in verdicts] == ["passed", "failed", "failed"], verdicts


RUST_TESTS = """#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    #[should_panic(expected = "odd")]
    fn odd() { half(3); }
    #[test]
    fn even() -> Result<(), String> { if half(4) == 2 { Ok(()) } else { Err("four".into()) } }
}
"""


def test_rust_tests_that_expect_a_panic_or_return_a_result(tmp_path: Path, sandbox: Backend) -> None:
    if missing("rust"):
        pytest.skip("rust is not installed")
    one = {"task_id": "t", "language": "rust", "prompt": "fn half(x: i32) -> i32 {\n", "entry_point": "half", "tests": RUST_TESTS}
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", one))
    bodies = ('assert!(x % 2 == 0, "odd"); x / 2', "x / 2", 'assert!(x % 2 == 0, "odd"); x')
    verdicts = grade(task_set, [("t", f"fn half(x: i32) -> i32 {{ {body} }}") for body in bodies], backend=sandbox)
    said = [(verdict.base_status, verdict.detail) for verdict in verdicts]
    assert said == [("passed", ""), ("failed", "tests::odd did not panic as expected; the last call: half(3) gave 1"),
                    ("failed", 'Err("four"); the last call: half(4) gave 4')]  # fmt: skip


@pytest.mark.parametrize(("changes", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_is_one_line(changes: dict[str, Any], fault: str, tmp_path: Path) -> None:
    path = write_tasks(tmp_path / "mine.jsonl", {**row("rust"), **changes})
    with pytest.raises(InputError) as raised:
        load_tasks(path)
    assert any(line.startswith(f"{path}, row 1: ") and fault in line for line in str(raised.value).splitlines()), str(raised.value)
