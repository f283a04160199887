"""Copies of records and of benchmarks' solutions: renamed, near, of the same meaning."""

from __future__ import annotations

import re

import numpy as np
import pytest

from codeact.curate import BenchmarkItem
from codeact.curate.canonical import canonical_tokens, nameless_tokens
from codeact.curate.decontaminate import build_index, find_renamed_solution
from codeact.curate.near import NAMELESS_TOKENS, find_near, find_renamed, find_same_meaning, neighbours
from codeact.records import Message, Record

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")


def fence(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt is done."


def record(identity: str, instruction: str, response: str, row: int = 0) -> Record:
    return Record(identity, (Message("user", instruction), Message("assistant", response)), {"row": row})


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
