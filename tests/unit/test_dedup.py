"""Deduplication: what counts as a copy, who represents the group, and that the order of the input has no say."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.curate.dedup import find_duplicates, normalise
from codeact.records import Message, Record

CODE = "def add(a, b):\n    return a + b"


def record(identity: str, response: str, instruction: str = "Add two numbers in Python.", row: int = 0) -> Record:
    return Record(identity, (Message("user", instruction), Message("assistant", response)), {"row": row})


@pytest.mark.parametrize(
    "copy",
    [
        "def add(a, b):\n    # sum\n    return a + b  # done",
        "def add( a,b ):\n\n\treturn a+b\n",
        "DEF ADD(A, B):\n    RETURN A + B",
    ],
    ids=["comments", "blanks", "case"],
)
def test_copies_after_normalisation(copy: str) -> None:
    assert find_duplicates([record("a", CODE, row=0), record("b", copy, row=1)]) in ({"b": "a"}, {"a": "b"})


@pytest.mark.parametrize(
    "other",
    [
        "def add(a, b):\n    return a - b",
        "def add(a, b):\n    return a + bb",
        'def add(a, b):\n    return a + b + "# x"',
        "int x;\n# sum",
    ],
)
def test_other_answers_are_no_copies(other: str) -> None:
    assert find_duplicates([record("a", CODE), record("b", other, row=1)]) == {}


def test_the_instruction_counts() -> None:
    assert find_duplicates([record("a", CODE), record("b", CODE, "Write add(a, b).", 1)]) == {}


def test_comments_are_stripped_in_python_fences_only() -> None:
    python, c = "Here:\n```python\nx = 1  # {}\n```", "Here:\n```c\n#include <{}>\n```"
    assert normalise(python.format("one"), code=True) == normalise(python.format("two"), code=True)
    assert normalise(c.format("one"), code=True) != normalise(c.format("two"), code=True)
    assert normalise(python.format("one")) != normalise(python.format("two"))


def test_a_hash_inside_a_string_is_no_comment() -> None:
    code = "def f():\n    return '#a' + \"#b\" + '''#c\n#d'''"
    assert normalise(code, code=True) == normalise(code)


def test_composed_and_decomposed_letters_are_equal() -> None:
    assert normalise("caf\u00e9") == normalise("cafe\u0301")


def test_the_longest_response_then_the_lowest_row_represents_the_group() -> None:
    short, long = record("short", CODE, row=0), record("long", CODE + "  # the sum of both", row=9)
    twin = record("twin", CODE + "  # the sum of them", row=4)
    assert find_duplicates([short, long, twin]) == {"short": "twin", "long": "twin"}


def test_copies_without_a_row_fall_back_to_the_id() -> None:
    pair = [Record(name, (Message("user", "u"), Message("assistant", CODE))) for name in ("b", "a")]
    assert find_duplicates(pair) == {"b": "a"}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", " ", "  ", "\n"])), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_against_brute_force_and_any_order(parts: list[tuple[str, str]], rng: random.Random) -> None:
    records = [record(f"id{row}", letter + blank, "Say it.", row) for row, (letter, blank) in enumerate(parts)]
    expected = {}
    for one in records:
        group = [other for other in records if other.response.strip() == one.response.strip()]
        best = min(group, key=lambda r: (-len(r.response), r.meta["row"]))
        if best is not one:
            expected[one.id] = best.id
    shuffled = rng.sample(records, len(records))
    assert find_duplicates(shuffled) == expected


@pytest.mark.parametrize(
    "unit", [" ", "\n", "(", "'\\\n", '\\"', '\\"""\n', "'''", "# ", ". ", "```python\n", "```x\n    ```\n"]
)
def test_time_is_linear_in_the_length(unit: str) -> None:
    """A quadratic pattern would need hours on these 200,000 characters."""
    text = 'def f():\n    x = """\n' + unit * (200_000 // len(unit))
    for answer in (text, f"```python\n{text}\n```"):
        assert isinstance(normalise(answer, code=True), str)
