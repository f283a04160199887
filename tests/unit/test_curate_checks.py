"""The checks beyond Python's syntax: broken answers fail with their evidence, sound ones do not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from codeact.config import CurateConfig
from codeact.coverage import coverage, distance, length_bands
from codeact.curate import BenchmarkItem, curate
from codeact.curate.answers import check_grammars, check_language
from codeact.curate.canonical import canonical_tokens, nameless_tokens
from codeact.curate.complete import check_complete
from codeact.curate.decontaminate import build_index, find_renamed_solution
from codeact.curate.examples import check_examples
from codeact.curate.languages import GRAMMAR_LANGUAGES, asked_language, fault, guess_language
from codeact.curate.mismatch import find_mismatches
from codeact.curate.names import check_names
from codeact.curate.near import NAMELESS_TOKENS, find_near, find_renamed, find_same_meaning, neighbours
from codeact.errors import CodeactError
from codeact.records import Message, Record
from codeact.sample import select
from codeact.sandbox import detect_backend

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


def fence(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt is done."


def record(identity: str, instruction: str, response: str, row: int = 0) -> Record:
    return Record(identity, (Message("user", instruction), Message("assistant", response)), {"row": row})


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


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("I'm sorry, but I cannot help with that.", "refusal"),
        ("<noinput>", "empty answer"),
        ("...", "empty answer"),
        ("```java\nint x = 1;", "truncated fence"),
        ("You can use a loop that runs over all of the", "cut off"),
        ("This is one sentence of it.\nThis is a second one here.\nIn this code, we", "cut off"),
        ("def f(xs):\n    for x in xs:\n        prin", "cut off"),
        ("<ul>\n  <li>One</li>\n  <li", "cut off"),
        ("SELECT name\nFROM users\nWHERE ag", "cut off"),
        ('#!/bin/bash\nif [ -e "$1" ]; then\n  echo yes', "cut off"),
        ("#include <stdio.h>\nint f(int n) { return n; }\n\nint mai", "cut off"),
        (fence("x = 1").replace("It is done.", "- It sets a name to one.\n- The name is then us"), "cut off"),
        (fence("x = 1").replace("It is done.", "1. It sets a name to one.\n2."), "cut off"),
        (fence("x = 1").replace("It is done.", "It sets a name. Then it is rea"), "cut off"),
        (fence("x = 1").replace("It is done.", "Output"), "cut off"),
        ("The prime numbers between 50 and 100 are:", "cut off"),
        ("The entropy is then H = -(0.05 * log2(0.05) + 0.1", "cut off"),
        ("words = ['a', 'b']\n\nfor word in wor", "cut off"),
        ("number = 200\n\n# Convert the number\nhex_num", "cut off"),
        ("def f(n):\n    return n + 1\n\n# Testing the fu", "cut off"),
        ("def f(xs):\n    count = 0\n    for x in xs:\n        count += 1\n    return", "cut off"),
        ("SELECT name\nFROM users\nWHERE hired >= '2018-", "cut off"),
        ("SELECT name\nFROM users\nWHERE name LIKE", "cut off"),
        ('<a href="https://example.com" target="_blank" d', "cut off"),
        ("It is not possible to give the output without the code. Please send it.", "refusal"),
    ],
)
def test_what_is_no_whole_answer(response: str, reason: str) -> None:
    verdict = check_complete(response)
    assert (verdict.status, verdict.reason) == ("failed", reason)


@pytest.mark.parametrize(
    "response",
    [
        "Paris",
        "[1, 2, 3]",
        "SELECT ID, name FROM employee ORDER BY salary DESC",
        '#!/bin/bash\necho "Number of files: ${#files[@]}"',
        "def f(x):\n    return x + 1\n\nprint(f(2))",
        "It prints the numbers from 1 to 10.",
        fence("x = 1"),
        "<!DOCTYPE html>\n<html><body><p>Hi</p></body></html>",
        '#!/bin/bash\nls "$1"\n\n# Usage: ./list.sh /home',
        "int f(int n) {\n    return n;\n}\n\n// Output: 55",
        fence("x = 1").replace("It is done.", "- It sets a name to one\n- The name is then used"),
        "SELECT * FROM customer WHERE customer_id = 3 ORDER BY customer",
        "import pandas as pd\ndf = pd.DataFrame([1])\ndf",
        fence("x = 1").replace("It is done.", "Output:\nHello World! This Is A Test, 123"),
    ],
)
def test_whole_answers_are_left_alone(response: str) -> None:
    assert check_complete(response).status == "passed"


@pytest.mark.parametrize(
    "part", ["WHERE ", "=", "(", '"', "<a ", "end\n", "1. a b c d\n", "a. B ", "# x\n\n", "x = 1\n", "`", "a_ "]
)
def test_long_input_made_to_be_slow_ends(part: str) -> None:
    text = part * (60_000 // len(part))
    for response in (text, f"SELECT a WHERE {text}x", fence("x = 1") + "\n" + text + "x"):
        assert check_complete(response, text).status in ("passed", "failed")


def test_code_in_the_instruction_does_not_say_what_is_asked_for() -> None:
    asked = "Write this in Java.\n```python\nprint(1)\n```"
    assert asked_language(asked) == "java"
    assert check_language(fence("def f(n):\n    return n"), asked).reason == "wrong language"


def test_a_bracket_in_a_regular_expression_is_no_fault() -> None:
    code = 'function tags(html) {\n  const found = html.match(/<\\w+[^>]*href="[^"]*"[^>]*>/g);\n  return found;\n}'
    assert check_grammars(code).status == "passed"
    assert check_grammars(code.replace("return found;\n}", "return found;\n")).status == "failed"


def test_the_language_that_is_asked_for() -> None:
    assert asked_language("Write a function in Java to reverse a list.") == "java"
    assert asked_language("Write an HTML page with JavaScript.") == "javascript"
    assert asked_language("Convert this Python code to another language.") == ""
    assert asked_language("Rewrite it from Python to Ruby.") == ""
    assert guess_language("def f(x):\n    return len(x)\n\nprint(f([]))") == "python"


def test_code_in_another_language_than_asked_for() -> None:
    python = fence("def add(a, b):\n    return a + b")
    verdict = check_language(python, "Write a Java method that adds two numbers.")
    assert (verdict.status, verdict.reason) == ("failed", "wrong language")
    assert check_language(python, "Write a Python function that adds two numbers.").status == "passed"
    assert check_language(fence(SOUND["c"], "c"), "Add two numbers in C++.").status != "failed"
    assert check_language(fence("SELECT 1", "sql"), "Query a table from Java.").status != "failed"


def test_undefined_names() -> None:
    verdict = check_names(
        fence("def f(xs):\n    total = 0\n    for x in xs:\n        totl += x\n    return total + missing_one")
    )
    assert (verdict.status, verdict.reason) == ("failed", "undefined name")
    assert check_names(fence("def f(xs):\n    return np.sum(xs)")).status == "unknown"
    assert check_names(fence("def f():\n    return my_list[0]"), "Take the head of my_list.").status == "unknown"
    assert check_names(fence("def f(xs):\n    return sum(xs)")).status == "passed"


@pytest.fixture(scope="module")
def backend():  # type: ignore[no-untyped-def]
    try:
        return detect_backend()
    except CodeactError as error:
        pytest.skip(f"no sandbox here: {error}")


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("def f(n):\n    return n * 2\n\nprint(f(3))  # Output: 6", "passed", ""),
        ("def f(n):\n    return n + 2\n\nprint(f(3))  # Output: 6", "failed", "wrong output"),
        ("def f(n):\n    return n / 3\n\nprint(f(10))  # Output: 3.33", "passed", ""),
        ("def f(n):\n    return n\n\nassert f(1) == 2", "failed", "examples raise"),
        ("def f(n):\n    return n\n\nassert f(1) == 1", "passed", ""),
        ('def f(n):\n    """\n    >>> f(2)\n    4\n    """\n    return n + 2', "passed", ""),
        ('def f(n):\n    """\n    >>> f(2)\n    5\n    """\n    return n + 2', "failed", "examples raise"),
        ("def f(xs):\n    return xs[len(xs)]\n\nprint(f([1, 2]))", "failed", "examples raise"),
        ("def f(n):\n    return n\n\nprint(f(1))", "unknown", "ran without a stated result"),
        ("name = input()\nprint(name)", "unknown", "no Python code"),
        (
            "def f(n):\n    assert n, 'n is 0'\n    return 1 / n\n\nf(0)",
            "unknown",
            "an error that is meant to be shown",
        ),
        ("# An incorrect version of the code\nprint([1][2])", "unknown", "an error that is meant to be shown"),
        ("def f(n):\n    return n\n\nprint(f(1))  # prints the number", "unknown", "ran without a stated result"),
    ],
)
def test_examples_are_run(backend, code: str, status: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    verdict = check_examples(fence(code), backend)
    assert (verdict.status, verdict.reason) == (status, reason)


LONG = "def total(values):\n    result = 0\n    for value in values:\n        if value > 3:\n            result += value\n    return result\n\nprint(total([1, 5, 9]))"
RENAMED = LONG.replace("values", "items").replace("value", "x").replace("result", "acc").replace("total", "add_up")


def test_renamed_code_is_a_copy_and_other_code_is_not() -> None:
    pool = [
        record("a", "Sum the numbers above three in a list.", fence(LONG), 0),
        record("b", "Please sum the numbers above three in the list.", fence(RENAMED), 1),
        record("c", "Sum the numbers above three in a list.", fence(LONG.replace("> 3", "< 3")), 2),
        record("d", "Draw a red circle.", fence(RENAMED), 3),
    ]
    found = find_renamed(pool)
    assert {identity: copy.original for identity, copy in found.items()} == {"b": "a"}
    assert find_renamed(pool[::-1]) == found


PAGE = """<button onclick={show}()>Go</button>
<script>
function {show}() {{
  const {title} = document.getElementById("t").value;
  const entry = {{ {title}, done: false, at: 0 }};
  entries.push(entry.{title});
  window.{show}();
}}
</script>"""


def test_code_whose_own_names_cannot_be_told_is_a_copy_where_the_instructions_agree() -> None:
    page, copy = PAGE.format(show="show", title="title"), PAGE.format(show="render", title="heading")
    assert canonical_tokens(page) != canonical_tokens(copy)
    assert nameless_tokens(page) == nameless_tokens(copy)
    assert len(nameless_tokens(page)) >= NAMELESS_TOKENS
    pool = [
        record("a", "Write a page with a button that adds an entry.", page, 0),
        record("b", "Please write a page with a button that adds one entry.", copy, 1),
        record("c", "Draw a red circle.", copy, 2),
        record("d", "Write a page with a button that adds an entry.", page.replace("false", "true"), 3),
    ]
    found = find_renamed(pool)
    assert {identity: copy.original for identity, copy in found.items()} == {"b": "a"}
    assert "all names" in found["b"].evidence
    assert find_renamed(pool[::-1]) == found


def test_short_code_with_other_functions_is_no_copy() -> None:
    pool = [
        record(
            "a",
            "Give back the largest of the values of a list.",
            "def f(values):\n    return max(values)\nprint(f([1, 2, 3]))",
            0,
        ),
        record(
            "b",
            "Give back the smallest of the values of a list.",
            "def f(values):\n    return min(values)\nprint(f([1, 2, 3]))",
            1,
        ),
    ]
    assert find_renamed(pool) == {}


@pytest.mark.parametrize(
    ("code", "copy"),
    [
        (
            "<?php\n$host = 'a';\n$conn = open($host, 1, 2);\necho 'to $host: ' . $conn . $host;\nclose($conn);",
            "host conn server link",
        ),
        (
            "def span(start, end, step):\n    end = end - start\n    print(f'{start:.2f} {end}')\n    return list(range(start, end, step))",
            "start end low high",
        ),
        (
            "class Box:\n    def delete(self, item):\n        self.kept = item\n        return f'{self.kept} {item}'\n\nBox().delete(3)",
            "delete item kept drop thing left",
        ),
    ],
)
def test_renamed_copies_with_soft_keywords_and_holes_in_strings(code: str, copy: str) -> None:
    names = copy.split()
    half = len(names) // 2
    other = code
    for old, new in zip(names[:half], names[half:], strict=True):
        other = re.sub(rf"\b{old}\b", new, other)
    assert canonical_tokens(other) == canonical_tokens(code)
    assert canonical_tokens(
        code.replace("start, end, step", "end, start, step").replace("1, 2", "2, 1").replace("(3)", "(4)")
    ) != (canonical_tokens(code))


def test_near_copies_name_one_that_stays_whatever_the_order() -> None:
    text = " ".join(f"word{i}" for i in range(200))
    pool = [
        record("a", "Say it.", text + " end", 0),
        record("b", "Say it.", text, 1),
        record("c", "Say it.", text[::-1], 2),
    ]
    found = find_near(pool, 0.8)
    assert {identity: copy.original for identity, copy in found.items()} == {"b": "a"}
    assert find_near(pool[::-1], 0.8) == found


def test_same_meaning_agrees_with_all_pairs() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 8)).astype(np.float32)
    points[40:] = points[:20] + 0.02 * rng.normal(size=(20, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = find_same_meaning([f"r{i}" for i in range(60)], points, list(range(60)), 0.98)
    stays: list[int] = []
    for i in range(60):
        if not stays or (points[stays] @ points[i]).max() < 0.98:
            stays.append(i)
    assert set(found) == {f"r{i}" for i in range(60)} - {f"r{i}" for i in stays}
    assert all(copy.original in {f"r{i}" for i in stays} for copy in found.values())
    near = neighbours(points, points[:20], 0.99)
    assert all(near[i] == (i, pytest.approx(1.0, abs=1e-5)) for i in range(20))


def test_a_renamed_solution_of_a_benchmark() -> None:
    item = BenchmarkItem(
        "toy",
        "toy/1",
        "def total(values):\n    '''Sum the values above three.'''\n",
        "\n".join(LONG.split("\n")[1:6]) + "\n",
    )
    index = build_index([item])
    assert find_renamed_solution(record("a", "Sum the values above three.", fence(RENAMED)), index) is not None
    assert (
        find_renamed_solution(record("b", "Sum the values above three.", fence(RENAMED.replace("+=", "-="))), index)
        is None
    )


def test_a_swapped_response_is_found() -> None:
    things = [
        "matrix",
        "palindrome",
        "invoice",
        "thermostat",
        "graph",
        "calendar",
        "password",
        "recipe",
        "robot",
        "tournament",
    ]
    pool = [
        record(
            f"{t}{k}",
            f"Write a class for a {t} of kind{k}.",
            f"Here is a class for the {t}. It keeps the {t} of kind{k} and prints each {t} in turn.",
            k,
        )
        for t in things
        for k in range(6)
    ]
    swapped = [record("bad", "Write a class for a locomotive.", pool[3].response), *pool]
    assert set(find_mismatches(swapped, 0.02)) == {"bad"}
    assert find_mismatches(swapped[:20], 0.02) == {}


def test_failed_records_are_penalised_instead_of_dropped_where_asked() -> None:
    pool = [record("good", "Write it.", fence("x = 1")), record("bad", "Write it.", fence("x = ("))]
    kept = curate(pool, CurateConfig(failed="penalise"), quiet=True)
    assert [(d.kept, d.penalised, d.verdict) for d in kept] == [(True, False, "passed"), (True, True, "failed")]
    assert kept[1].detail.startswith("syntax error: line 4")
    chosen = select(["a", "b", "c"], ratio=0.67, ifd=[0.9, 0.5, 0.4], cluster=[0, 0, 0], penalised=[True, False, False])
    assert chosen.selected.tolist() == [False, True, True]


def test_the_floor_moves_the_lowest_records_only() -> None:
    ids = [f"{i:03d}" for i in range(100)]
    ifd = [0.9 - i / 1000 for i in range(100)]
    language = ["python"] * 80 + ["java"] * 20
    plain = select(ids, strategy="complexity", ratio=0.4, ifd=ifd, language=language)
    raised = select(ids, strategy="complexity", ratio=0.4, ifd=ifd, language=language, floor=0.5)
    assert plain.selected[80:].sum() == 0
    assert raised.selected.sum() == plain.selected.sum() == 40
    assert raised.selected[80:].tolist() == [True] * 4 + [False] * 16
    assert raised.selected[:36].all()


def test_a_floor_of_lengths_silences_the_warning_about_them() -> None:
    rng = np.random.default_rng(0)
    count = 400
    tokens = rng.integers(10, 600, count).tolist()
    ids, bands = [f"{i:04d}" for i in range(count)], length_bands(tokens)
    ifd = [0.1 + t / 1000 + 0.01 * rng.random() for t in tokens]
    common = {"strategy": "cdas", "ratio": 0.4, "ifd": ifd, "cluster": rng.integers(0, 5, count).tolist()}
    language = ["python" if i % 3 else "" for i in range(count)]
    groups = {"length": bands, "cluster": common["cluster"]}
    plain = select(ids, **common, language=language)  # type: ignore[arg-type]
    raised = select(ids, **common, language=language, bands=bands, floor=0.5)  # type: ignore[arg-type]
    assert any("length 10" in w or "length 0" in w for w in coverage(plain.selected, groups)["warnings"])
    assert coverage(raised.selected, groups)["warnings"] == []
    assert raised.selected.sum() == plain.selected.sum() == 160
    went, came = plain.selected & ~raised.selected, raised.selected & ~plain.selected
    assert went.sum() == came.sum() > 0
    for band in set(bands):  # what comes in are the highest of its band that were left out
        inside = np.array([b == band for b in bands])
        if (came & inside).any():
            assert np.array(ifd)[came & inside].min() > np.array(ifd)[inside & ~raised.selected].max()


def test_coverage_figures() -> None:
    selected = np.array([True, False] * 10)
    vectors = np.tile(np.eye(2, dtype=np.float32), (10, 1))
    found = coverage(selected, {"language": ["a", "b"] * 10}, vectors)
    assert found["distance"] == {"mean": 1.0, "p95": 1.0}
    assert found["groups"]["language"][1] == {
        "group": "b",
        "pool": 10,
        "selected": 0,
        "share_pool": 0.5,
        "share_selected": 0.0,
    }
    assert len(found["warnings"]) == 1
    assert distance(vectors, np.ones(20, np.bool_)) is None
    assert length_bands([0, 49, 50, 900]) == ["0-49", "0-49", "50-99", "800+"]


def test_the_command_keeps_what_it_drops(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from codeact.cli import app

    rows = [{"instruction": f"Say {i}.", "output": f"It is {i}.", "tag": i} for i in range(5)]
    rows.append({"instruction": "Say 0.", "output": "it is 0.", "tag": 9})
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = CliRunner().invoke(app, ["curate", str(data), "-o", str(tmp_path / "clean.jsonl")])
    assert result.exit_code == 0, result.output
    dropped = [
        json.loads(line) for line in next(tmp_path.rglob("dropped.jsonl")).read_text(encoding="utf-8").splitlines()
    ]
    assert len(dropped) == 1
    assert (dropped[0]["reason"], dropped[0]["record"]) == ("duplicate", rows[dropped[0]["row"]])
    assert "duplicate" in result.output
