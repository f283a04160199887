"""Other languages: what is cut out of an answer, and that only tests that ran to their end pass."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codeact.evaluation import languages
from codeact.evaluation.sets import humanevalpack
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing

DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
SIGNATURES = {
    "javascript": ("const twice = (x) => {\n", "  return 2 * x;\n}\n", "  return x;\n}\n", "  process.exit(0);\n}\n"),
    "cpp": ("#include<stdio.h>\n#include <stdlib.h>\nint twice(int x){\n", "    return 2 * x;\n}\n", "    return x;\n}\n", "    exit(0);\n}\n"),
    "rust": ("fn main(){}\nuse regex::Regex;\nfn twice(x: i32) -> i32 {\n", "    2 * x\n}\n", "    x\n}\n", "    std::process::exit(0)\n}\n"),
    "java": (
        "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {\n", "        return 2 * x;\n    }\n}\n", "        return x;\n    }\n}\n",
        "        System.exit(0); return 0;\n    }\n}\n",
    ),
}  # fmt: skip
TESTS = {
    "javascript": "console.assert(twice(2) === 4)\n",
    "cpp": "#undef NDEBUG\n#include<assert.h>\nint main(){ assert(twice(2) == 4); }\n",
    "rust": "#[cfg(test)]\nmod tests { use super::*;\n#[test]\nfn test_twice() { assert_eq!(twice(2), 4); } }\n",
    "java": "public class Main { public static void main(String[] args) { if (new Solution().twice(2) != 4) throw new AssertionError(); } }\n",
}

# The input, and what came out where the language's test does not keep it to itself.
SAID = {
    "javascript": "Error: assertion failed; the last call: twice(2) gave 2",
    "cpp": "Assertion `twice(2) == 4' failed.",
    "rust": "assertion `left == right` failed left: 2 right: 4",
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
