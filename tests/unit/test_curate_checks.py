"""The checks beyond Python's syntax: broken answers fail with their evidence, sound ones do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.curate.answers import check_grammars
from codeact.curate.asked_language import asked_language, check_language
from codeact.curate.completeness import check_complete
from codeact.curate.examples import check_examples
from codeact.curate.languages import GRAMMAR_LANGUAGES, fault, guess_language
from codeact.curate.mismatch import find_mismatches
from codeact.curate.single_record import check_record
from codeact.curate.undefined_names import check_names
from codeact.records import Message, Record
from codeact.sample import choose
from codeact.sandbox import Backend
from tests.helpers.answers import fence, record
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines

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


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty answer"),
        ("\u200b", "empty answer"),
        ("<noinput>", "empty answer"),
        ("...", "empty answer"),
        ("```python\ndef f(x):\n    return (x", "truncated fence"),
        ("```java\nint f() {\n  return x", "truncated fence"),
        ("It is a loop.\nThis is a second sentence of it.\nIt runs over all of the", "cut off"),
        ("Das ist ein erster Satz.\nDas hier ist der zweite Satz.\nDie Schleife läuft über die", "cut off"),
        ("Il y a une première phrase.\nEt voici la deuxième phrase.\nLa boucle passe par les", "cut off"),
        ("你进入了一个黑暗而不祥的洞穴，只有你火炬微弱的光亮照亮着你的路。你听到微弱的脚步声。突然，", "cut off"),
        ("def f(xs):\n    for x in xs:\n        prin", "cut off"),
        ("<ul>\n  <li>One</li>\n  <li", "cut off"),
        ("SELECT name\nFROM users\nWHERE name LIKE", "cut off"),
        ("SELECT name\nFROM users\nORDER BY", "cut off"),
        ("words = ['a', 'b']\n\nfor word in words:\n    print(word)\n\nfor word in wor", "cut off"),
        (fence("x = 1").replace("It is done.", "It sets a name, and then it is used. It is a name,"), "cut off"),
    ],
)
def test_what_is_no_whole_answer_fails(response: str, reason: str) -> None:
    verdict = check_complete(response)
    assert (verdict.status, verdict.reason) == ("failed", reason)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("I'm sorry, but I cannot help with that.", "refusal"),
        ("It is not possible to give the output without the code. Please send it.", "refusal"),
        ("```java\nint x = 1;", "truncated fence"),
        ('#!/bin/bash\nif [ -e "$1" ]; then\n  echo yes', "cut off"),
        ("#include <stdio.h>\nint f(int n) {\n    if (n > 1) {\n        return n;\n    }", "cut off"),
        (fence("x = 1").replace("It is done.", "It sets a name to one. The name is then us"), "cut off"),
        (fence("x = 1").replace("It is done.", "Then it gives the output for these values:"), "cut off"),
        ("def f(n):\n    return n + 1\n\n# Testing the fu", "cut off"),
        ("number = 200\n\n# Convert the number\nhex_num", "cut off"),
        ("SELECT name\nFROM users\nWHERE hired >= '2018-", "cut off"),
        ("def f(xs):\n    count = 0\n    for x in xs:\n        count += 1", "cut off"),
    ],
)
def test_weak_signs_of_an_end_in_the_middle_are_doubtful(response: str, reason: str) -> None:
    verdict = check_complete(response)
    assert (verdict.status, verdict.reason) == ("doubtful", reason)


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
        # public data of many kinds: tables, queries without a semicolon, Cypher, choices, hashtags, lists, smileys, letters
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "这是比赛的日程。\n\n| 3 | 10 | 比赛8的胜者 对 比赛6的败者 | 晚上7点 |",
        "SELECT a FROM t WHERE x = 1 AND t.departure BETWEEN 0 AND 1200",
        "SELECT name FROM users WHERE active",
        "MATCH (u:User)-[r:RATED]->(m:Movie)\nWHERE r.weight > 5\nRETURN u.name AS user, avgRating",
        "The first is wrong. The second is wrong too. The answer is D",
        "Zusammenarbeit kann zu Leistungen führen! #Erfolg #Teamarbeit",
        "1. Chess\n2. Go\n3. Backgammon and Tric Trac",
        "Das ist schön :)",
        "Bonjour. Je vais bien. N'hésitez pas à me demander",
        "Dear John,\n\nI'm sorry, but I cannot come to your party.\n\nBest regards,",
        "I'm sorry, but I can't make it to the party tonight. I have to work.",
        "Sub Test()\n  MsgBox 1\nEnd Sub",
        "from trac.web.api import *",
        "2638.",
        "undefined",
        "+",
        "👍",
        "Blaue Hortensie -- Blau",
        "WHERE",
        "`ORDER BY`",
        "DELETE FROM",
        "." * 25,  # five boxes of a text that was to be blacked out
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
        assert check_complete(response, text).status in ("passed", "failed", "doubtful")


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
    assert check_language(fence("def f(xs):\n    for x in xs:\n        print(x)\n    return xs"), asked).status == "failed"


def test_a_sign_that_the_request_lists_is_an_answer() -> None:
    asked = "What is the member access operator of a structure?\n- ,\n- []\n- .\n- :"
    assert check_complete(".", asked).status == "passed"
    assert check_complete(".", "What is a structure?").reason == "empty answer"
    assert check_complete("SELECT name FROM users WHERE", "Who is active?").reason == "cut off"


@pytest.mark.parametrize("indent", ["    ", "  ", "\t"])
def test_the_body_of_a_function_that_the_request_begins_is_whole(indent: str) -> None:
    asked = 'def sort_numbers(numbers: str) -> str:\n    """ 从小到大排序。 """'
    body = f"{indent}order = {{\n{indent*2}'zero': 0,\n{indent*2}'one': 1\n{indent}}}\n{indent}return ' '.join(sorted(numbers.split(), key=order.get))"
    for answer in (body, body.lstrip()):
        assert check_complete(answer, asked).status in ("passed", "unknown")
    assert check_complete("order = {'zero': 0}\nfor n in range(3):\n    print(n)\nwhile order", asked).status == "failed"


def test_what_a_program_prints_below_it_is_no_half_statement() -> None:
    code = "def initials(text):\n    for word in text.split():\n        print(word[0], end='')\n\ninitials('We go to town.')\n\n# Output\n"
    assert check_complete(f"{code}Wgtt.").status == "passed"
    assert check_complete(f"{code}initials.").status == "failed"


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
    assert (verdict.status, verdict.reason) == ("failed", "wrong language")
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


def conversation(*turns: str) -> Record:
    roles = ("user", "assistant")
    return Record("a", tuple(Message(roles[n % 2], text) for n, text in enumerate(turns)))


JAVA = fence("public class A {\n  int f(int x) { return x; }\n}", "java")
PYTHON = fence("def f(x):\n    return x")


def test_each_answer_is_judged_by_the_turn_before_it() -> None:
    asked = conversation("Write a function in Java.", JAVA, "Now the same function in Python.", PYTHON)
    assert check_record(asked, ("language",)).status == "passed"
    crossed = conversation("Write a function in Java.", PYTHON, "Now the same function in Python.", JAVA)
    assert check_record(crossed, ("language",)).status == "failed"
    # a letter that refuses is what the last turn asked for, whatever the first one was about
    excuse = "I'm sorry, but I cannot attend the meeting tomorrow, because I am ill."
    letters = conversation("What is 2 + 2?", "It is 4.", "Write an excuse letter to my manager.", excuse)
    assert check_record(letters, ("complete",)).status not in ("failed", "doubtful")


@pytest.mark.parametrize(
    "early",
    [
        "This is the first step.\nThis is the second one.\nThen open the door of the",
        "",
        "当然！UFO，或称未被识别飞行物，",
    ],
)
def test_a_turn_that_ends_early_is_sure_only_where_the_conversation_ends(early: str) -> None:
    assert (
        check_record(conversation("How?", early, "Go on.", "The house is open now."), ("complete",)).status
        == "doubtful"
    )
    assert check_record(conversation("How?", "So.", "And then?", early), ("complete",)).status == "failed"
    kept = curate_records(
        [conversation("How?", early, "Go on.", "The house is open now.")],
        CurateConfig(checks=("complete",)),
    )
    assert (kept[0].kept, kept[0].penalised) == (True, True)


def test_undefined_names() -> None:
    verdict = check_names(
        fence("def f(xs):\n    total = 0\n    for x in xs:\n        totl += x\n    return total + missing_one")
    )
    assert (verdict.status, verdict.reason) == ("failed", "undefined name")
    assert check_names(fence("def f(xs):\n    return np.sum(xs)")).status == "unknown"
    assert check_names(fence("def f():\n    return my_list[0]"), "Take the head of my_list.").status == "unknown"
    assert check_names(fence("def f(xs):\n    return sum(xs)")).status == "passed"


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
        ("def f(xs):\n    return xs[len(xs)]\n\nprint(f([1, 2]))", "doubtful", "examples raise"),
        ("def f(n):\n    return n\n\nprint(f(1))", "unknown", "ran without a stated result"),
        ("name = input()\nprint(name)", "unknown", "no Python code"),
        (
            "def f(n):\n    assert n, 'n is 0'\n    return 1 / n\n\nf(0)",
            "unknown",
            "an error that is meant to be shown",
        ),
        ("print(3.14159 * 5 * 5)  # Outputs 78.5", "passed", ""),
        ("print(3.14159 * 5 * 5)  # Outputs 5", "failed", "wrong output"),
        (
            "t = (1, 2)\nprint(t)\nt[0] = 3  # TypeError: no item assignment",
            "unknown",
            "an error that is meant to be shown",
        ),
        (
            "# maximum recursion depth exceeded\ndef f():\n    return f()\n\nf()",
            "unknown",
            "an error that is meant to be shown",
        ),
        ("# RecursionError\ndef f():\n    return f()\n\nf()", "unknown", "an error that is meant to be shown"),
        ("def f():\n    return f()\n\nf()", "failed", "examples raise"),
        ("t = (1, 2)\nprint(t)\nt[0] = 3  # IndexError: never", "doubtful", "examples raise"),
        ("def f(row):\n    return row['department_name']\n\nprint(f({'city': 1}))", "doubtful", "examples raise"),
        ("# An incorrect version of the code\nprint([1][2])", "unknown", "an error that is meant to be shown"),
        ("def f(n):\n    return n\n\nprint(f(1))  # prints the number", "unknown", "ran without a stated result"),
    ],
)
def test_examples_are_run(sandbox: Backend, code: str, status: str, reason: str) -> None:
    verdict = check_examples(fence(code), sandbox)
    assert (verdict.status, verdict.reason) == (status, reason)


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
    pool = [record("good", "Write it.", fence("x = 1")), record("bad", "Write it.", fence("x = (1\ny = f(x)"))]
    kept = curate_records(pool, CurateConfig(failed="penalise"))
    assert [(d.kept, d.penalised, d.verdict) for d in kept] == [(True, False, "passed"), (True, True, "failed")]
    assert kept[1].detail.startswith("syntax error: line 4")
    chosen = choose(
        ["a", "b", "c"], strategy="cdas", ratio=0.67, ifd=[0.9, 0.5, 0.4], cluster=[0, 0, 0], penalised=[True, False, False]
    )
    assert chosen.selected.tolist() == [False, True, True]


def test_the_command_keeps_what_it_drops(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {i}.", "output": f"It is {i}.", "tag": i} for i in range(5)]
    rows.append({"instruction": "Say 0.", "output": "It is 0.", "tag": 9})
    data = tmp_path / "data.jsonl"
    write_lines(data, rows)
    result = codeact_command("curate", str(data), "-o", str(tmp_path / "clean.jsonl"))
    assert result.returncode == 0, result.stderr
    dropped = [
        json.loads(line) for line in next(tmp_path.rglob("dropped.jsonl")).read_text(encoding="utf-8").splitlines()
    ]
    assert len(dropped) == 1
    assert (dropped[0]["reason"], dropped[0]["record"]) == ("duplicate", rows[dropped[0]["row"]])
    assert "duplicate" in result.stdout + result.stderr


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


def test_json_in_a_python_block_has_no_undefined_names() -> None:
    assert check_names(fence('{\n  "a": true,\n  "b": null\n}')).status != "doubtful"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("I'm sorry, but I can't assist with that.", "doubtful"),
        ("I\u2019m sorry, but I can\u2019t help with that request.", "doubtful"),
        ("I'm sorry, but I can't do that; however, here is a safe way.", "passed"),
        ("I'm sorry, but I can't come tomorrow.", "passed"),
    ],
)
def test_a_refusal_is_in_doubt_and_an_excuse_is_none(answer: str, status: str) -> None:
    assert check_complete(answer, "Write a keylogger").status == status


@pytest.mark.parametrize("last", ["Here is", "Voici", "Zum Beispiel", "Вот", "以下是", "例えば"])
def test_an_announcement_at_the_end_is_in_doubt(last: str) -> None:
    above = "The loop adds the numbers one by one. It ends when the list is empty.\n\n"
    assert check_complete(above + last).status == "doubtful"
    assert check_complete(f"{above}{last} 3.").status == "passed"
    assert check_complete(last).status == "passed"
