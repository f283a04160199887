"""Other languages: what is cut out of an answer, and that only tests that ran to their end pass."""

from __future__ import annotations

import pytest

from codeact.evaluation import languages
from codeact.evaluation.sets import humanevalpack
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing
from tests.helpers.shared_data import DATA

SIGNATURES = {
    "javascript": ("const twice = (x) => {\n", "  return 2 * x;\n}\n", "  return x;\n}\n", "  process.exit(0);\n}\n"),
    "cpp": ("#include<stdio.h>\n#include <stdlib.h>\nint twice(int x){\n", "    return 2 * x;\n}\n", "    return x;\n}\n", "    exit(0);\n}\n"),
    "rust": ("fn main(){}\nuse regex::Regex;\nfn twice(x: i32) -> i32 {\n", "    2 * x\n}\n", "    x\n}\n", "    std::process::exit(0)\n}\n"),
    "go": ("import \"syscall\"\n\nfunc twice(x int) int {\n", "    return 2 * x\n}\n", "    return x\n}\n", "    syscall.Exit(0)\n    return 0\n}\n"),
    "java": (
        "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {\n", "        return 2 * x;\n    }\n}\n", "        return x;\n    }\n}\n",
        "        System.exit(0); return 0;\n    }\n}\n",
    ),
}  # fmt: skip
TESTS = {
    "javascript": "console.assert(twice(2) === 4)\n",
    "cpp": "#undef NDEBUG\n#include<assert.h>\nint main(){ assert(twice(2) == 4); }\n",
    "rust": "#[cfg(test)]\nmod tests { use super::*;\n#[test]\nfn test_twice() { assert_eq!(twice(2), 4); } }\n",
    "go": "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.True(twice(2) == 4)\n}\n",
    "java": "public class Main { public static void main(String[] args) { if (new Solution().twice(2) != 4) throw new AssertionError(); } }\n",
}

# What failed, the input, and what came out.
SAID = {
    "javascript": "Error: assertion failed: twice(2) === 4; the last call: twice(2) gave 2",
    "cpp": "Assertion `twice(2) == 4' failed; the last call: twice(2) gave 2",
    "go": "Should be true: assert.True(twice(2) == 4); the last call: twice(2) gave 2",
    "rust": "assertion `left == right` failed left: 2 right: 4; the last call: twice(2) gave 2",
    "java": "Exception in the tests: java.lang.AssertionError; the last call: twice(2) gave 2",
}


def task(language: str) -> Task:
    return Task("T/1", SIGNATURES[language][0], "twice", SIGNATURES[language][1], test=TESTS[language], language=language, rules=humanevalpack.OTHERS)


@pytest.mark.parametrize("language", SIGNATURES)
def test_right_wrong_and_early_ends(language: str, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    one = task(language)
    prompt, right, wrong, leaves = SIGNATURES[language]
    found = [languages.judge(one, prompt + body, sandbox) for body in (right, wrong, leaves, "nonsense(")]
    assert [outcome.status for outcome in found] == ["passed", "failed", "failed", "failed"], found
    assert found[1].detail == SAID[language]
    assert found[2].detail == "it ended before the tests did"
    assert found[3].detail.startswith("not compiled" if language != "javascript" else "SyntaxError")


# The rest of a head, a program that changes its input, tests that look at each of several calls, and what is told.
SEVERAL = {
    "cpp": ("#include <vector>\nstd::vector<int> f(std::vector<int> &x) {\n", "  x.push_back(7); return x; }\n",
            "#include <cassert>\nint main() { std::vector<int> want{1}; for (int k : {1, 2}) { std::vector<int> in{k}; auto got = f(in); "
            "assert(got == want || in.size()); assert(got.size() == want.size()); } }",
            "Assertion `got.size() == want.size()' failed; the last call: f([1]) gave [1,7]"),
    "rust": ("fn f(x: &mut Vec<i32>) -> (usize, i32) {\n", "    x.push(7); (x.len(), 7) }\n",
             "#[cfg(test)]\nmod tests { use super::*; #[test] fn test_f() { let want = (1, 7); let got = f(&mut vec![5]); assert!(got == want); } }",
             "assertion failed: got == want; got = (2, 7); want = (1, 7); the last call: f([5]) gave (2, 7)"),
    "go": ("func F(x []int) int {\n", "    sort.Ints(x)\n    return x[0]\n}\n",
           "func TestF(t *testing.T) { for _, want := range []int{3, 2} { if got := F([]int{want, 2}); got != want { t.Fail() } } }",
           "the tests failed; the last call: F([]int{3, 2}) gave 2"),
    "java": ("import java.util.*;\nclass Solution {\n  int f(List<Integer> x) {\n", "    Collections.sort(x); return x.get(0); } }\n",
             "public class Main { static List<Integer> l(Integer... x) { return new ArrayList<>(Arrays.asList(x)); } "
             "public static void main(String[] a) { Solution s = new Solution(); "
             "List<Boolean> correct = Arrays.asList(s.f(l(1, 2)) == 1, s.f(l(5, 2)) == 5, s.f(l(1)) == 1);\n"
             "if (correct.contains(false)) throw new AssertionError(); } }",
             "Exception in the tests: java.lang.AssertionError: s.f(l(5, 2)) == 5; the last call: f([5, 2]) gave 2"),
    "javascript": ("const f = (x) => {\n", "  const y = x[0].y; x.length = 0; return y; }\n", "const want = 3; f([{y: 3}]); console.assert(f([{y: 2}]) === want); f([])",
                   "Error: assertion failed: f([{y: 2}]) === want; want = 3; the last call: f([{\"y\":2}]) gave 2"),
}  # fmt: skip


@pytest.mark.parametrize("language", SEVERAL)
def test_the_first_failure_of_several_is_told_with_its_input_as_it_was_given(language: str, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    prompt, body, test, said = SEVERAL[language]
    one = Task("T/1", prompt, "F" if language == "go" else "f", body, test=test, language=language, rules=humanevalpack.OTHERS)
    found = languages.judge(one, prompt + body, sandbox)
    assert (found.status, found.detail) == ("failed", said)


def test_a_program_is_shown_with_what_is_added_to_it() -> None:
    one = task("go")
    assert languages.as_run(one, one.prompt + "    return int(math.Abs(2))\n}\n") == (
        'package program\nimport "math"\n\n\nfunc twice(x int) int {\n    return int(math.Abs(2))\n}\n\n'
    )


@pytest.mark.parametrize("language", SIGNATURES)
def test_a_continuation_ends_where_the_function_does(language: str) -> None:
    one = task(language)
    prompt, right = SIGNATURES[language][:2]
    for answer in (right, right + "\n// and then }\nint other() { return 1; }\n", f"Sure:\n```\n{prompt}{right}```\nIt doubles."):
        assert languages.program(answer, one, prompt).split() == (prompt + right).split()


@pytest.mark.parametrize(
    ("language", "text", "kept"),
    [
        ("javascript", 'return "}" + `}`; // }\n}\nrest', 'return "}" + `}`; // }\n}\n'),
        ("cpp", "return '}'; /* } */ }\nrest", "return '}'; /* } */ }\n"),
        ("rust", "let a: &'a str = \"}\"; let c = '}'; a }\nrest", "let a: &'a str = \"}\"; let c = '}'; a }\n"),
        ("java", "return '\\''; }\n", "return '\\''; }\n"),
    ],
)
def test_braces_in_texts_and_comments_close_nothing(language: str, text: str, kept: str) -> None:
    assert languages.closed(text, 1, language) == kept


@pytest.mark.skipif(not (DATA / "humanevalpack_js.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with HumanEvalPack")
@pytest.mark.parametrize("name", humanevalpack.FAMILY.names)
def test_a_canonical_solution_that_goes_on_is_cut_to_itself(name: str) -> None:
    """But for the few that end in a second function, which is cut off, as the published harness does."""
    other = {"humanevalpack-go": 2, "humanevalpack-cpp": 2, "humanevalpack-rust": 2}.get(name, 0)
    shorter = []
    for one in humanevalpack.load(name, "", DATA).tasks:
        if one.language == "python":
            continue
        cut = languages.program(one.canonical_solution.rstrip() + "\n\nvoid more() { }\n", one, one.prompt).split()
        whole = (one.prompt + one.canonical_solution).split()
        assert whole[: len(cut)] == cut, one.id
        shorter += [one.id] if whole != cut else []
    assert len(shorter) <= other, shorter
