"""Grammars of many languages, and code in another language than was asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codeact.curate.answers import check_grammars
from codeact.curate.asked_language import asked_language, check_language
from codeact.curate.languages import GRAMMAR_LANGUAGES, fault, guess_language
from codeact.curate.single_record import check_record
from tests.helpers.answers import fence, record

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")
SOUND = {
    "java": "public int add(int a, int b) {\n    return a + b;\n}",
    "javascript": "const add = (a, b) => {\n  return a + b;\n};",
    "typescript": "function add(a: number, b: number): number {\n  return a + b;\n}",
    "c": "int add(int a, int b) {\n    return a + b;\n}",
    "cpp": "template <typename T>\nT add(T a, T b) {\n    return a + b;\n}",
    "csharp": "public int Add(int a, int b)\n{\n    return a + b;\n}",
    "go": "func add(a int, b int) int {\n\treturn a + b\n}",
    "rust": "fn add(a: i32, b: i32) -> i32 {\n    a + b\n}",
    "php": "function add($a, $b) {\n    return $a + $b;\n}",
    "ruby": "def add(a, b)\n  [a, b].sum { |x| x }\nend",
    "sql": "SELECT name, COUNT(*) FROM users WHERE (age > 3) GROUP BY name;",
    "bash": 'for f in *.txt; do\n  echo "$f"\ndone',
}


@pytest.mark.parametrize("language", sorted(GRAMMAR_LANGUAGES))
def test_every_grammar_takes_sound_code(language: str) -> None:
    assert fault(language, SOUND[language]) is None
    assert check_grammars(fence(SOUND[language], language)).status == "passed"


@pytest.mark.parametrize("language", sorted(GRAMMAR_LANGUAGES - {"bash"}))
def test_a_lost_bracket_fails_in_every_language(language: str) -> None:
    at = SOUND[language].index("(" if language != "ruby" else "{")
    broken = SOUND[language][:at] + SOUND[language][at + 1 :]
    verdict = check_grammars(fence(broken, language))
    assert (verdict.status, verdict.reason) == ("failed", "syntax error")
    assert "line" in verdict.detail


BROKEN_SCRIPT = 'for f in *.txt; do\n  echo "$(wc -l "$f")"\n  if [ -e "$f" ]; then\n    echo yes\ndone'


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_script_fails_where_bash_cannot_parse_it_either(tmp_path: Path) -> None:
    verdict = check_grammars(fence(BROKEN_SCRIPT, "bash"))
    assert (verdict.status, verdict.reason) == ("failed", "syntax error")
    written = tmp_path / "written"
    assert check_grammars(fence(f"touch {written}\n{BROKEN_SCRIPT}", "sh")).status == "failed"
    assert check_grammars(fence(f"touch {written}; echo $(touch {written})", "sh")).status == "passed"
    assert not written.exists()  # it was read, not run


@pytest.mark.parametrize(
    ("code", "language"),
    [(BROKEN_SCRIPT, "zsh"), ("$ ls (\n", "bash"), ("docker run <image> (", "shell"), ("git clone <url>", "bash")],
)
def test_shell_blocks_that_are_no_bash_scripts_are_not_judged(code: str, language: str) -> None:
    assert check_grammars(fence(code, language)).status != "failed"


def test_without_bash_a_script_is_not_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_grammars(fence(BROKEN_SCRIPT, "bash")).status == "unknown"


def test_a_language_without_a_grammar_is_judged_by_its_brackets() -> None:
    assert check_grammars(fence("func f() {\n  print(1)\n}", "swift")).status == "passed"
    assert check_grammars(fence("func f() {\n  print(1\n}", "swift")).reason == "syntax error"
    assert check_grammars(fence("func f() {\n  ...\n", "swift")).status == "unknown"


def test_code_in_the_instruction_does_not_say_what_is_asked_for() -> None:
    asked = "Write this in Java.\n```python\nprint(1)\n```"
    assert asked_language(asked) == "java"
    assert check_language(fence("def f(n):\n    return n"), asked).reason == "wrong language"


def test_a_syntax_error_that_is_shown_on_purpose_is_no_fault() -> None:
    broken = fence("const a = { b: 1;", "javascript")
    assert check_grammars(broken).status == "failed"
    assert check_grammars(f"SyntaxError: Unexpected end of input\n\n{broken}").status == "unknown"


def test_a_bracket_in_a_regular_expression_is_no_fault() -> None:
    code = 'function tags(html) {\n  const found = html.match(/<\\w+[^>]*href="[^"]*"[^>]*>/g);\n  return found;\n}'
    assert check_grammars(code).status == "passed"
    assert check_grammars(code.replace("return found;\n}", "return found;\n")).status in ("failed", "doubtful")


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("在 Java 中创建一个函数来计算面积。", "java"), ("用C语言写一个函数", "c"), ("用 Go 语言实现", "go"), ("用Rust實作一個排序函數", "rust"),
        ("Go 언어로 정렬 함수를 작성하세요", "go"), ("C言語で書いてください", "c"), ("Java'da bir fonksiyon yazin", "java"), ("Java ile bir liste yazin", "java"),
    ],
)  # fmt: skip
def test_a_language_is_asked_for_in_many_languages(asked: str, language: str) -> None:
    assert asked_language(asked) == language
    assert check_language(fence("def f(xs):\n    for x in xs:\n        print(x)\n    return xs"), asked).status == "doubtful"


def test_the_language_that_is_asked_for() -> None:
    assert asked_language("Write a function in Java to reverse a list.") == "java"
    assert asked_language("Write an HTML page with JavaScript.") == "javascript"
    assert asked_language("Write me a Java Script code that sorts a list.") == "javascript"
    assert asked_language("Convert this Python code to another language.") == ""
    assert asked_language("Rewrite it from Python to Ruby.") == ""
    assert guess_language("def f(x):\n    return len(x)\n\nprint(f([]))") == "python"


def test_code_in_another_language_than_asked_for() -> None:
    python = fence("def add(a, b):\n    return a + b")
    verdict = check_language(python, "Write a Java method that adds two numbers.")
    assert (verdict.status, verdict.reason) == ("doubtful", "wrong language")
    assert check_language(python, "Write a Python function that adds two numbers.").status == "passed"
    assert check_language(fence(SOUND["c"], "c"), "Add two numbers in C++.").status != "failed"
    assert check_language(fence("SELECT 1", "sql"), "Query a table from Java.").status != "failed"


@pytest.mark.parametrize(
    "asked",
    [
        "I have a React.js app that connects to a backend written with actix-web in Rust. How can it change the URL at run time?",
        "Add an example for an embedded R function call.",
        "Fix the Python binding.",
        "Our service is implemented in Python. Show how a browser calls it.",
    ],
)
def test_a_language_that_is_only_told_of_is_not_asked_for(asked: str) -> None:
    script = fence("const add = (a, b) => {\n  return a + b;\n};\nconsole.log(add(1, 2));", "javascript")
    assert check_language(script, asked).status != "failed"


LIFETIMES = "fn longest<'a>(x: &'a str, y: &'a str) -> &'a str {\n    if x.len() > y.len() { x } else { y }\n}"


@pytest.mark.parametrize(
    "answer", [fence(LIFETIMES, "rust"), fence(LIFETIMES), LIFETIMES, f"#![deny(warnings)]\n\n{LIFETIMES}"]
)
def test_a_lifetime_of_rust_is_no_open_quote(answer: str) -> None:
    verdict = check_record(
        record("a", "Write it in Rust.", answer), ("syntax", "grammars", "complete", "language", "names")
    )
    assert verdict.status not in ("failed", "doubtful")
    broken = record("a", "Write it in Rust.", fence(LIFETIMES.removesuffix("}"), "rust"))
    assert check_record(broken, ("grammars",)).status == "failed"


def test_a_part_that_begins_with_a_closing_bracket_is_no_fault() -> None:
    assert check_grammars(fence("} else if (x > 3) {\n    y = 1;\n", "c")).status == "unknown"


@pytest.mark.parametrize(
    "answer",
    [
        "Read [here](https://example.org/docs/overview.html#harvester)",
        "More [on this](https://example.org//a/b#c-d) topic, and `kubectl get pods`",
        "sub last {\n    my @all = @_;\n    return $all[ int rand $#all ];\n}\n1;",
        fence("for ( my ( $i, $j ) = ( 0, $#chars ); $i < $j; $i++, $j-- ) {\n    swap( $i, $j );  # both (\n}", "perl"),
    ],
)
def test_addresses_and_lengths_of_lists_begin_no_remark(answer: str) -> None:
    assert check_grammars(answer).status not in ("failed", "doubtful")
