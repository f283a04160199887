"""Checks of a record as a whole: turns, names, examples, swapped answers, and what becomes of the failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.curate.examples import check_examples
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


def conversation(*turns: str) -> Record:
    roles = ("user", "assistant")
    return Record("a", tuple(Message(roles[n % 2], text) for n, text in enumerate(turns)))


JAVA = fence("public class A {\n  int f(int x) { return x; }\n}", "java")
PYTHON = fence("def f(x):\n    return x")


def test_each_answer_is_judged_by_the_turn_before_it() -> None:
    asked = conversation("Write a function in Java.", JAVA, "Now the same function in Python.", PYTHON)
    assert check_record(asked, ("language",)).status == "passed"
    crossed = conversation("Write a function in Java.", PYTHON, "Now the same function in Python.", JAVA)
    assert check_record(crossed, ("language",)).status == "doubtful"
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


def test_json_in_a_python_block_has_no_undefined_names() -> None:
    assert check_names(fence('{\n  "a": true,\n  "b": null\n}')).status != "doubtful"
