"""Every known data format becomes the same canonical record; bad rows are named, never lost."""

from __future__ import annotations

import pytest

from codeact.errors import InputError
from codeact.records import Message, content_hash, detect_format, read_records

PAIR = (Message("user", "Add two numbers."), Message("assistant", "def add(a, b): return a + b"))

SHAPES = {
    "instruction/output": {"instruction": PAIR[0].content, "output": PAIR[1].content},
    "instruction/response": {"instruction": PAIR[0].content, "response": PAIR[1].content},
    "problem/solution": {"problem": PAIR[0].content, "solution": PAIR[1].content, "lang": "python"},
    "prompt/completion": {"prompt": PAIR[0].content, "completion": PAIR[1].content},
    "alpaca": {"instruction": PAIR[0].content, "input": "", "output": PAIR[1].content},
    "sharegpt": {
        "conversations": [{"from": "human", "value": PAIR[0].content}, {"from": "gpt", "value": PAIR[1].content}]
    },
    "messages": {
        "messages": [{"role": "user", "content": PAIR[0].content}, {"role": "assistant", "content": PAIR[1].content}]
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_format_gives_the_same_record(name: str) -> None:
    row = SHAPES[name]
    assert detect_format(row).name == name
    reading = read_records([row])
    records, rejected = reading.records, reading.rejected
    assert rejected == []
    assert records[0].messages == PAIR
    assert records[0].id == content_hash(PAIR)
    assert records[0].instruction == PAIR[0].content
    assert records[0].response == PAIR[1].content


def test_alpaca_input_joins_the_instruction() -> None:
    records = read_records([{"instruction": "Sort it.", "input": "3 1 2", "output": "1 2 3"}]).records
    assert records[0].instruction == "Sort it.\n3 1 2"


def test_several_turns_and_a_trailing_user_turn() -> None:
    turns = [("system", "s"), ("human", "q1"), ("gpt", "a1"), ("human", "q2"), ("gpt", "a2"), ("human", "dangling")]
    records = read_records([{"conversations": [{"from": f, "value": v} for f, v in turns]}]).records
    assert [m.content for m in records[0].messages] == ["s", "q1", "a1", "q2", "a2"]
    assert records[0].instruction == "q1\n\nq2"
    assert records[0].response == "a1\n\na2"


def test_other_fields_stay_in_meta() -> None:
    records = read_records([{"problem": "p", "solution": "s", "lang": "rust", "seed": 7}]).records
    assert dict(records[0].meta) == {"lang": "rust", "seed": 7, "row": 0}


def test_mapping_overrides_detection() -> None:
    row = {"q": "question", "a": "answer", "instruction": "no", "output": "no"}
    records = read_records([row], {"instruction": "q", "response": "a"}).records
    assert records[0].instruction == "question"
    assert records[0].response == "answer"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "x", "output": ""}, "empty"),
        ({"instruction": "x", "output": "  \n"}, "empty"),
        ({"instruction": "", "output": "y"}, "empty"),
        ({"instruction": "x", "output": None}, "empty"),
        ({"instruction": "x", "output": 7}, "invalid"),
        ({"instruction": "x", "output": "bad \ud800 text"}, "invalid"),
    ],
)
def test_a_bad_row_is_rejected_with_its_number_and_reason(row: dict[str, object], reason: str) -> None:
    reading = read_records([{"instruction": "good", "output": "fine"}, row])
    records, rejected = reading.records, reading.rejected
    assert [r.meta["row"] for r in records] == [0]
    assert [(r.row, r.reason) for r in rejected] == [(1, reason)]


@pytest.mark.parametrize(
    "turns", [[], "text", [{"role": "wizard", "content": "x"}], [{"role": "user", "content": "x"}], [3], None]
)
def test_bad_conversations_are_rejected(turns: object) -> None:
    rejected = read_records([{"messages": turns}]).rejected
    assert len(rejected) == 1


def test_ids_do_not_depend_on_the_order_and_stay_unique() -> None:
    rows = [{"instruction": f"i{n % 3}", "output": "o"} for n in range(6)]
    forward = {r.id for r in read_records(rows).records}
    assert len(forward) == 6
    assert forward == {r.id for r in read_records(rows[::-1]).records}


def test_duplicate_ids_name_both_rows() -> None:
    rows = [{"id": "a", "instruction": "x", "output": "y"}, {"id": "a", "instruction": "z", "output": "w"}]
    with pytest.raises(InputError, match=r"rows 1 and 2 share the id 'a'"):
        read_records(rows)


def test_unknown_columns_name_the_mend() -> None:
    with pytest.raises(InputError, match=r"unknown columns 'foo', 'bar'.*--map"):
        read_records([{"foo": "x", "bar": "y"}], where="data.jsonl")


@pytest.mark.parametrize("mapping", [{"nonsense": "a"}, {"instruction": "missing"}, {"instruction": "a"}])
def test_a_bad_mapping_is_refused(mapping: dict[str, str]) -> None:
    with pytest.raises(InputError, match="--map"):
        read_records([{"a": "x", "b": "y"}], mapping)


def test_no_rows() -> None:
    with pytest.raises(InputError, match="no rows"):
        read_records([])
