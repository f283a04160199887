"""What NumPy prints in a cell is no list: its answers are not glued, and it is not learnt as text."""

from __future__ import annotations

import csv
import pprint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact import api
from tests.helpers.record_lines import PLAIN, A, U, read, turns


def told(path: Path, **columns: object) -> dict[str, Any]:
    """What is read of a table of one row, whose cells are `str()` of these as pandas writes them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), [str(cell) for cell in columns.values()]])
    return api.preview(str(path))


def array(*parts: object) -> np.ndarray[Any, Any]:
    found = np.empty(len(parts), dtype=object)
    found[:] = parts
    return found


@pytest.mark.parametrize(
    "columns",
    [
        {"question": "Who?", "answers": array("Barack Obama", "Obama")},
        {"question": "Who?", "answers": array("it's", 'a "b"', "c" * 80)},
        {"question": "Who?", "answers": np.array(["a", "b"])},
        {"question": "Who?", "answers": array("a", None)},
        {"question": "Who?", "answers": np.array([["a"], ["b"]])},
        {"question": "Who?", "answers": array(*map(str, range(2000)))},
        {"question": "Who?", "answers": {"text": array("Barack Obama", "Obama"), "answer_start": np.array([1, 2])}},
        {"question": "Who?", "answers": {"text": np.array(["Obama"]), "answer_start": np.array([1])}},
        {"question": "Who?", "responses": "[np.str_('a'), np.str_('b')]"},
        {"prompt": array(*PLAIN[:1], *PLAIN[:1]), "completion": "A"},
        {"prompt": "Q?", "chosen": array(*PLAIN), "rejected": "x"},
        {"question": "Who?", "context": array("He was born.", "He died."), "answer": "A"},
        {"question": "Who?", "context": {"title": array("A", "B"), "sentences": array("c", "d")}, "answer": "A"},
        {"prompt": [{"role": "user", "content": array("Q?")}], "completion": "A"},
    ],
    ids=str,
)
def test_what_numpy_prints_is_refused(columns: dict[str, object], tmp_path: Path) -> None:
    found = told(tmp_path / "a.csv", **columns)
    assert found["rejected"] == {"invalid": 1}
    assert "as NumPy prints it" in found["first_rejected"]
    assert "orient='records', lines=True" in found["first_rejected"]


def test_nothing_is_glued_in_turns_and_tools(tmp_path: Path) -> None:
    assert told(tmp_path / "a.csv", messages="[{'role': 'user', 'content': ['a' 'b']}, {'role': 'assistant', 'content': 'c'}]")["rejected"] == {"invalid": 1}
    assert read(tmp_path, {"messages": PLAIN, "tools": "[{'name': 'f', 'required': ['a' 'b']}]"})["rejected"] == {"invalid": 1}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("['A', 'A']", "A"), (array("A"), "A"), ("{'text': ['A'], 'answer_start': [3]}", "A"), ("[1 2 3]", "[1 2 3]"), ("[x for x in 'a' 'b']", "[x for x in 'a' 'b']"),
        ("{ return array('x') }", "{ return array('x') }"), ('{"a": 1}\n{"b": 2}', '{"a": 1}\n{"b": 2}'), ('{"a" "b"}', '{"a" "b"}'),
    ],
    ids=str,
)  # fmt: skip
def test_lists_and_other_texts_are_read_as_before(answer: object, said: str, tmp_path: Path) -> None:
    assert turns(told(tmp_path / "a.csv", question="Q?", answers=answer)) == [("user", "Q?"), ("assistant", said)]


@pytest.mark.parametrize("context", ["[1 2 3]", "A ['b' 'c'] in it.", "['a', 'b']", '{"a": 1}', "xs = ['a' 'b']\nprint(xs)"])
def test_contexts_that_are_texts_stay(context: str, tmp_path: Path) -> None:
    asked, _ = turns(told(tmp_path / "a.csv", question="Q?", context=context, answer="A"))
    assert asked == ("user", f"Q?\n\n{context}")


def test_long_texts_that_pprint_breaks_are_whole(tmp_path: Path) -> None:
    long = " ".join(["word"] * 60)
    written = pprint.pformat([PLAIN[0], {"role": "assistant", "content": long}])
    assert "'\n" in written
    assert turns(told(tmp_path / "a.csv", messages=written)) == [U, ("assistant", long)]


def test_a_long_text_of_quotes_is_looked_at_in_little_time(tmp_path: Path) -> None:
    row = {"question": "Q?", "answers": "[" + "'a' " * 20_000 + "x"}
    assert read(tmp_path, row, {"question": U[1], "answers": A[1]})["records"] == 2
