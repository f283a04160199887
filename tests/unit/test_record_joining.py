"""A prompt, a history and a conversation in several columns: the question is said once, and nothing before it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.record_lines import PLAIN, A, Row, U, read, turns


def test_plain_rows_among_preference_pairs(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"prompt": U[1], "chosen": A[1], "rejected": "x"},
        {"prompt": U[1], "completion": A[1], "chosen": None, "rejected": None},
        {"prompt": U[1], "completion": None, "chosen": "", "rejected": "x"},
        {"messages": PLAIN, "chosen": None},
        {"messages": [*PLAIN, PLAIN[0]], "rejected": [PLAIN[1]]},
    ]
    found = read(tmp_path, *rows)
    assert [one["row"] for one in found["shown"]] == [1, 2, 4]
    assert all(turns(found, n) == [U, A] for n in range(3))
    assert found["rejected"] == {"empty": 2}


ASKED = {"role": "user", "content": "My name?"}
EARLIER = [{"role": "user", "content": "I am Ann."}, {"role": "assistant", "content": "Hi Ann."}]
FRENCH = {"role": "system", "content": "Answer in French."}
ANN = {"role": "assistant", "content": "Ann"}
JOINED: list[tuple[Row, list[Row]]] = [
    ({"prompt": [FRENCH, ASKED], "chosen": [ASKED, ANN], "rejected": [ASKED, ANN]}, [FRENCH, ASKED, ANN]),
    ({"prompt": [*EARLIER, ASKED], "chosen": [ASKED, ANN], "rejected": [ASKED, ANN]}, [*EARLIER, ASKED, ANN]),
    ({"prompt": [*EARLIER, ASKED], "chosen": [*EARLIER, ASKED, ANN], "rejected": [ANN]}, [*EARLIER, ASKED, ANN]),
    ({"prompt": [FRENCH, ASKED], "chosen": [*EARLIER, ASKED, ANN], "rejected": [ANN]}, [FRENCH, *EARLIER, ASKED, ANN]),
    ({"prompt": "My name?", "chosen": [FRENCH, ASKED, ANN], "rejected": [ANN]}, [FRENCH, ASKED, ANN]),
    ({"prompt": "My name?", "completion": [ASKED, ANN]}, [ASKED, ANN]),
    ({"prompt": [FRENCH, ASKED], "completion": [FRENCH, ASKED, ANN]}, [FRENCH, ASKED, ANN]),
    ({"history": [*EARLIER, ASKED], "prompt": "My name?", "completion": "Ann"}, [*EARLIER, ASKED, ANN]),
    # an earlier turn that the chosen conversation words otherwise: it is a conversation of its own
    ({"prompt": [*EARLIER, ASKED], "chosen": [EARLIER[0], {"role": "assistant", "content": "<think>x</think>Hi Ann."}, ASKED, ANN], "rejected": [ANN]},
     [EARLIER[0], {"role": "assistant", "content": "<think>x</think>Hi Ann."}, ASKED, ANN]),
    ({"prompt": [{"role": "system", "content": "Antworte."}, ASKED], "chosen": [FRENCH, ASKED, ANN], "rejected": [ANN]}, [FRENCH, ASKED, ANN]),
    ({"prompt": [FRENCH], "chosen": [FRENCH, ASKED, ANN], "rejected": [ANN]}, [FRENCH, ASKED, ANN]),
    ({"prompt": [FRENCH], "chosen": [ASKED, ANN], "rejected": [ANN]}, [FRENCH, ASKED, ANN]),
    # asked a second time
    ({"history": [ASKED, ANN], "prompt": "My name?", "completion": "Ann"}, [ASKED, ANN, ASKED, ANN]),
]


@pytest.mark.parametrize(("row", "wanted"), JOINED)
def test_a_question_in_two_columns_is_said_once_and_nothing_before_it_is_lost(row: Row, wanted: list[Row], tmp_path: Path) -> None:
    assert turns(read(tmp_path, row)) == [(turn["role"], turn["content"]) for turn in wanted]


def test_two_columns_that_lead_to_the_question_otherwise_are_refused(tmp_path: Path) -> None:
    rows = [{"prompt": [*EARLIER, ASKED], "chosen": [*before, ASKED, ANN], "rejected": [ANN]} for before in (PLAIN, PLAIN[:1])]
    found = read(tmp_path, *rows)
    assert [one["row"] for one in found["shown"]] == [1]
    assert found["rejected"] == {"invalid": 1}


def test_a_prompt_that_ends_with_the_result_of_a_call_is_said_once(tmp_path: Path) -> None:
    def asked(identity: str) -> list[Row]:
        call = {"id": identity, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        return [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "sunny"}]

    row = {"prompt": asked("a"), "chosen": [*asked("b"), ANN], "rejected": [*asked("b"), ANN]}
    wanted = [("user", "Weather?"), ("assistant", "weather({})"), ("tool", "sunny"), ("assistant", "Ann")]
    assert turns(read(tmp_path, row)) == wanted
    assert turns(read(tmp_path, {"prompt": asked("a"), "completion": [*asked("a"), ANN]})) == wanted
