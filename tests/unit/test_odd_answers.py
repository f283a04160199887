"""Answers in other languages as models write them: what is cut out of each, and that a right program passes however it is declared."""

from __future__ import annotations

import re

import pytest

from codeact.evaluation import languages
from codeact.evaluation.languages.javascript import script
from codeact.evaluation.sets import humanevalpack
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend
from codeact.sandbox.toolchains import missing

PROMPTS = {
    "cpp": "#include <vector>\nusing namespace std;\nvector<int> twice(vector<int> xs) {\n",
    "java": "import java.util.*;\n\nclass Solution {\n    public List<Integer> twice(List<Integer> xs) {\n",
    "go": "func twice(xs []int) []int {\n",
    "rust": "fn twice(xs: &Vec<i32>) -> Vec<i32> {\n",
    "javascript": "const twice = (xs) => {\n",
}
BODIES = {
    "cpp": "  for (int &x : xs) x *= 2;\n  return xs;\n}\n",
    "java": "        List<Integer> r = new ArrayList<>();\n        for (int x : xs) r.add(2 * x);\n        return r;\n    }\n}\n",
    "go": "\tr := []int{}\n\tfor _, x := range xs {\n\t\tr = append(r, 2*x)\n\t}\n\treturn r\n}\n",
    "rust": "    xs.iter().map(|x| 2 * x).collect()\n}\n",
    "javascript": "  return xs.map(x => 2 * x);\n}\n",
}
TESTS = {
    "cpp": "#undef NDEBUG\n#include <cassert>\nint main() { vector<int> got = twice({1, 2}); assert(got == (vector<int>{2, 4})); }\n",
    "java": "public class Main { public static void main(String[] a) { Solution s = new Solution(); if (!s.twice(new ArrayList<>(List.of(1, 2))).equals(List.of(2, 4))) "
    "throw new AssertionError(); } }\n",
    "go": "func TestTwice(t *testing.T) {\n    assert.Equal(t, []int{2, 4}, twice([]int{1, 2}))\n}\n",
    "rust": "#[cfg(test)]\nmod tests { use super::*; #[test] fn test_twice() { assert_eq!(twice(&vec![1, 2]), vec![2, 4]); } }\n",
    "javascript": "const assert = require('assert'); assert.deepStrictEqual(twice([1, 2]), [2, 4]);\n",
}
USES = {
    "cpp": ("cout << twice({1})[0];", "int main() { for (int x : twice({1, 2})) cout << x; }"),
    "java": ("System.out.println(new Solution().twice(List.of(1)));", "public class Main { public static void main(String[] a) { new Solution().twice(List.of()); } }"),
    "go": ("r := twice([]int{1})", "func main() {\n\tfmt.Println(twice([]int{1}))\n}"),
    "rust": ("let r = twice(&vec![1]);", 'fn main() {\n    println!("{:?}", twice(&vec![1]));\n}'),
    "javascript": ("console.log(twice([1]));", "const r = [1].map(x => { return twice([x]); });"),
}
HELPERS = {
    "cpp": "int other(int x) { return x; }\n",
    "java": "class Other { static int other(int x) { return x; } }\n",
    "go": "func other(x int) int {\n\treturn x\n}\n",
    "rust": "fn other(x: i32) -> i32 { x }\n",
    "javascript": "const other = x => x;\n",
}
CALLS = {"java": "Other.other(2)"}


def task(language: str) -> Task:
    return Task("T/1", PROMPTS[language], "twice", BODIES[language], test=TESTS[language], language=language, rules=humanevalpack.OTHERS)


def fenced(text: str, mark: str = "```") -> str:
    return f"Like this:\n\n{mark}\n{text}\n{mark}\n\nIt is `twice`.\n"


def cut(answer: str, language: str) -> list[str]:
    return languages.program(answer, task(language), PROMPTS[language]).split()


@pytest.mark.parametrize("language", PROMPTS)
def test_the_program_is_found_wherever_it_stands(language: str) -> None:
    whole = PROMPTS[language] + BODIES[language]
    draft = whole.replace("2", "3")
    line, block = USES[language]
    for answer in (
        fenced(whole) + "Used so:\n\n" + fenced(line),
        fenced(whole) + "Used so:\n\n" + fenced(block),
        fenced(whole) + "It gives:\n\n" + fenced("twice([1, 2]) = [2, 4]"),
        fenced(draft) + "That is wrong. Mended:\n\n" + fenced(whole),
        f"<think>\n{fenced(draft)}\n</think>\n{fenced(whole)}",
        f"<think>\n{fenced(draft)}\n</think>\n{BODIES[language]}",
        f"<think>perhaps {draft}</think>\nHere it is:\n\n{whole}\nIt doubles.",
        fenced(whole).replace("\n", "\r\n"),
        "\ufeff" + fenced("\ufeff" + whole),
        fenced(whole.replace("    ", "\u00a0\u00a0\u00a0\u00a0").replace(" = ", "\u00a0=\u00a0")),
        fenced(whole, "~~~"),
        "\n".join(f"> {one}" for one in fenced(whole).split("\n")),
        f"{fenced(whole)}<|im_end|>\n<|im_start|>user\nAnd {draft}",
        f"Like this:\n```\n{whole}",
        f"Here it is:\n\n{whole}\nIt doubles.",
        fenced(BODIES[language]),
        BODIES[language] + "\n```\nand then\n",
        BODIES[language],
    ):
        assert cut(answer, language) == whole.split(), answer


@pytest.mark.parametrize("language", PROMPTS)
def test_a_helper_in_a_block_of_its_own_is_part_of_the_program(language: str) -> None:
    whole = PROMPTS[language] + BODIES[language].replace("2", CALLS.get(language, "other(2)"))
    used, unused = HELPERS[language], HELPERS[language].replace("ther", "ld")
    found = cut(f"First:\n{fenced(used)}Not so:\n{fenced(unused)}Then:\n{fenced(whole)}", language)
    assert sorted(found) == sorted((used + whole).split())


def test_a_comment_s_own_fence_ends_no_block() -> None:
    whole = "/// ```\n/// assert_eq!(twice(&vec![1]), vec![2]);\n/// ```\n" + PROMPTS["rust"] + BODIES["rust"]
    assert cut(fenced(whole), "rust") == whole.split()


@pytest.mark.parametrize(
    ("module", "plain"),
    [
        ("export default function f(x) { }", "function f(x) { }"),
        ("export default x => 1;", "module.exports = x => 1;"),
        ("export const f = 1;\nexport { f, g as h };", "const f = 1;\nexports.f = f; exports.h = g;"),
        ('import fs, { a, b as c } from "fs";', 'const fs = require("fs"); const { a, b: c } = require("fs");'),
        ("import * as u from 'node:util';\nimport 'x';", "const u = require('node:util');\nrequire('x');"),
        ("const exported = 1; // export x\nlet s = `\nexport y`;", "const exported = 1; // export x\nlet s = `\nexport y`;"),
    ],
)
def test_a_module_is_run_as_a_script(module: str, plain: str) -> None:
    assert script(module, ["f"]) == plain


# Right, and declared in another way than the prompt: (what to replace, by what) of the whole program.
DECLARED = {
    "cpp": [("vector<int> twice(vector<int> xs) {", text) for text in (
        "vector<int> twice(const vector<int>& in) { vector<int> xs = in;", "template <typename T> vector<T> twice(vector<T> xs) {",
        "static vector<int> twice(vector<int> xs, int k = 2) {", "vector<int> twice(vector<int> xs) {\n  std::erase(xs, 9);  // of C++20")],
    "java": [("class Solution {\n    public List<Integer> twice(List<Integer> xs) {", text) for text in (
        "public final class Solution {\n    public static List<Integer> twice(List<Integer> xs) {",
        "class Solution {\n    public <T extends Integer> AbstractList<Integer> twice(Collection<T> xs) {")],
    "go": [("func twice(xs []int) []int {\n\tr := []int{}", text) for text in (
        "func twice[T int | float64](xs []T) []T {\n\tr := []T{}",
        'import "fmt"; import "os"\nfunc twice(xs []int) []int {\n\tfmt.Fprint(os.Stdout, 1)\n\tr := []int{}')],
    "rust": [("fn twice(xs: &Vec<i32>)", text) for text in (
        "pub(crate) fn twice(xs: &[i32])", "use std::fmt::Debug; #[inline] fn twice<T: AsRef<[i32]> + Debug>(xs: T)", "fn asm() {}\nfn twice(xs: impl AsRef<[i32]>)")],
    "javascript": [("const twice = (xs) => {", text) for text in (
        "import { ok } from 'assert';\nexport default function twice(xs) {", "const two = await Promise.resolve(2);\nexports.twice = xs => {")],
}  # fmt: skip


@pytest.mark.parametrize(("language", "number"), [(language, n) for language, some in DECLARED.items() for n in range(len(some))])
def test_a_right_program_passes_however_it_is_declared(language: str, number: int, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    old, new = DECLARED[language][number]
    program = (PROMPTS[language] + BODIES[language]).replace(old, new)
    if "AbstractList" in new:
        program = program.replace("List<Integer> r", "AbstractList<Integer> r")
    if "AsRef" in new:
        program = program.replace("xs.iter", "xs.as_ref().iter")
    assert new in program
    one = task(language)
    found = [languages.judge(one, languages.program(fenced(text), one, one.prompt), sandbox) for text in (program, re.sub(r"\b2\b", "3", program))]
    assert [outcome.status for outcome in found] == ["passed", "failed"], found
    assert "not compiled" not in found[1].detail


# What equals everything, from a function that the first form of the tests does not compile with.
ALL_EQUAL = {
    "rust": "#[derive(Debug)]\npub struct All;\nimpl PartialEq<Vec<i32>> for All { fn eq(&self, _: &Vec<i32>) -> bool { true } }\nfn twice<T>(xs: T) -> All { All }\n",
    "java": "import java.util.*;\nfinal class Solution {\n  static List<Integer> twice(Collection<Integer> xs) {\n"
    "    return new ArrayList<Integer>() { public boolean equals(Object o) { return true; } };\n  }\n}\n",
    "cpp": "#include <vector>\nstruct All : std::vector<int> {};\nbool operator==(const All &, const std::vector<int> &) { return true; }\n"
    "static All twice(const std::vector<int> &) { return {}; }\n",
    "go": "type Same []int\nfunc twice[T any](xs T) T {\n\treturn xs\n}\n",
}  # fmt: skip


@pytest.mark.parametrize("language", ALL_EQUAL)
def test_another_declaration_brings_no_pass(language: str, sandbox: Backend) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed")
    found = languages.judge(task(language), ALL_EQUAL[language], sandbox)
    assert found.status == "failed", found
