"""Columns: which matter and are named where they are not read, what may be named by hand, signs of damage in the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeact.errors import InputError
from tests.helpers.record_lines import PLAIN, A, Row, S, U, read, turns


@pytest.mark.parametrize(
    "extra",
    [
        {"passage": "Kurz."}, {"schema": "a int"}, {"choices": ["A", "B"]}, {"is_correct": False}, {"desirable": 0}, {"loss_weight": 0.5},
        {"hint": "bisect"}, {"persona": "pirate"}, {"target_language": "Rust"}, {"starter_code": "def f"}, {"train_on_inputs": True},
        {"masks": [0, 1]}, {"mask": "User"}, {"A": "x", "B": "y"}, {"opa": "x", "opb": "y"}, {"option 1": "x", "option 2": "y"},
        {"source_code": "x = 1"}, {"user_input": "3, 1"}, {"task_description": "Sort the list"}, {"codeSnippet": "x = 1"}, {"response_2": "Or so."},
        {"solved": False}, {"all_tests_passed": 0}, {"verdict": "wrong"}, {"reward": 0.0}, {"split": "test"}, {"meta": {"system": "Kurz."}},
        {"title": "How can I sort a dictionary by its values?"}, {"task": "用一句话概括下面的文字"},
        {"meta": '{"tools": [{"name": "f"}]}'}, {"选项": "A. 甲 B. 乙"}, {"思维链": "先排序"},
        {"材料": "某公司"}, {"背景": "小明在公司担任会计"}, {"备注": "请用三十个字以内的中文来回答"},
        {"train": False}, {"label": 0}, {"file": "a.png"}, {"output": "Anders."}, {"system_note": "Kurz."},
    ],
    ids=str,
)  # fmt: skip
def test_short_columns_that_matter_by_their_name_are_named(extra: Row, tmp_path: Path) -> None:
    found = read(tmp_path, {"messages": PLAIN, **extra})
    assert found["not_read"] == {f"column {name!r}": 1 for name in extra}


def test_verdicts_that_are_good_and_labels_of_a_row_are_not_named(tmp_path: Path) -> None:
    quiet = {
        "is_correct": True, "category": "qa", "score": 0.5, "split": "train", "title": "Mercury_(planet)", "task": "summarization", "text_length": 7,
        "lang_code": "en", "metadata": {"year": 2024}, "status": "ok", "reward": 1.0,
    }  # fmt: skip
    assert not read(tmp_path, {"messages": PLAIN, **quiet})["not_read"]
    mapped = read(tmp_path, {"messages": PLAIN, "ok": 1}, {"messages": PLAIN, "ok": 0}, mapping={"label": "ok"})
    assert mapped["rejected"] == {"label": 1}


def test_colliding_keys_and_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    row = {
        "messages": PLAIN, "conversations": [{"from": "human", "value": "etwas anderes"}], "instruction": U[1], "id": 1, "url": "https://x.y/z",
        "comment": "a remark that is long enough to be more than a label", "category": "a label",
        "file": "some/rather/long/folder/of/a/file.py", "path": "def f():\n    return 'a whole file'",
    }  # fmt: skip
    found = read(tmp_path, row)
    assert turns(found) == [U, A]
    assert found["not_read"] == {"column 'comment'": 1, "column 'conversations'": 1, "column 'path'": 1}
    assert "may matter and was not read: column 'comment' (1), column 'conversations' (1)" in "\n".join(found["lines"])


def test_the_conversation_as_a_template_shows_it_is_no_further_text(tmp_path: Path) -> None:
    found = read(
        tmp_path, {"instruction": U[1], "output": A[1], "text": f"### Instruction:\n{U[1]}\n\n### Response:\n{A[1]}"}
    )
    assert found["not_read"] == {}


def test_a_column_of_reasoning_that_may_be_a_judges_is_named(tmp_path: Path) -> None:
    row = {"question": U[1], "answer": A[1], "reasoning": "The answer is clear and correct.", "score": 5}
    assert read(tmp_path, row)["not_read"] == {"column 'reasoning'": 1}
    assert turns(read(tmp_path, row, mapping={"reasoning": "reasoning"})) == [
        U,
        ("assistant", f"<The answer is clear and correct.>{A[1]}"),
    ]


def test_a_prompt_that_is_a_transcript_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, {"prompt": f"Human: {U[1]} Assistant: ", "chosen": A[1]})["marks"] == {"Assistant:": 1}


def test_marks_of_a_template_in_the_text_are_named(tmp_path: Path) -> None:
    row = {"prompt": f"<|im_start|>user\n{U[1]}<|im_end|>", "completion": A[1]}
    found = read(tmp_path, row, {"prompt": U[1], "completion": A[1]})
    assert found["marks"] == {"<|im_start|>": 1, "<|im_end|>": 1}
    assert "marks of a template: <|im_start|> (1), <|im_end|> (1)" in "\n".join(found["lines"])


def test_absent_values_and_broken_characters_are_named(tmp_path: Path) -> None:
    rows = [{"instruction": U[1], "input": "<noinput>", "output": A[1]}, {"instruction": "-", "output": "Gr\ufffd\ufffde"}, {"instruction": U[1], "output": "None"}]
    found = read(tmp_path, *rows)
    assert found["marks"] == {"'<noinput>' as column 'input'": 1, "'-' as column 'instruction'": 1, "U+FFFD (a broken character)": 1}
    assert "look like damage or an absent value: '<noinput>' as column 'input' (1), " in "\n".join(found["lines"])


@pytest.mark.parametrize("key", ["mask", "loss_mask", "is_trained", "weights"])
def test_switches_of_turns_that_are_not_known_are_named(key: str, tmp_path: Path) -> None:
    assert read(tmp_path, {"messages": [PLAIN[0], {**PLAIN[1], key: 0}]})["not_read"] == {f"turns' key {key!r}": 1}


def test_keys_of_turns_that_are_not_read_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, {"messages": [PLAIN[0], {**PLAIN[1], "inner_voice": "hm, let me see"}]})
    assert found["not_read"] == {"turns' key 'inner_voice'": 1}


def test_every_field_can_be_named(tmp_path: Path) -> None:
    row = {
        "q": U[1],
        "doc": "Text",
        "a": A[1],
        "persona": S[1],
        "before": [["x", "y"]],
        "api": '{"name": "f"}',
        "w": 1,
        "key": "k7",
        "ok": True,
    }
    mapping = {
        "instruction": "q", "context": "doc", "response": "a", "system": "persona", "history": "before", "tools": "api", "weight": "w", "id": "key",
        "label": "ok",
    }  # fmt: skip
    found = read(tmp_path, row, mapping=mapping)
    assert turns(found) == [S, ("user", "x"), ("assistant", "y"), ("user", f"{U[1]}\n\nText"), A]
    assert found["shown"][0]["id"] == "k7"
    assert found["shown"][0]["tools"][0]["function"]["name"] == "f"
    assert turns(read(tmp_path, {"log": PLAIN}, mapping={"messages": "log"})) == [U, A]
    assert turns(read(tmp_path, {"system": S[1], "messages": PLAIN}, mapping={"system": "-"})) == [U, A]
    assert read(tmp_path, {"messages": PLAIN, "label": False}, mapping={"label": "-"})["records"] == 1
    off = read(tmp_path, {"messages": [*PLAIN, PLAIN[0], {**PLAIN[1], "learnt": 0}]}, mapping={"weight": "learnt"})
    assert turns(off)[3] == ("assistant off", A[1])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"messages": "messages", "instruction": "q"}, "exclude each other"),
        ({"weight": "nowhere"}, "no column and no turn"),
        ({"context": "q"}, "have no place for it"),
        ({"persona": "q"}, "unknown field 'persona'"),
    ],
)
def test_mappings_that_say_nothing_are_refused(mapping: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, {"messages": PLAIN, "q": "x"}, mapping=mapping)


def test_ids_that_repeat_have_a_mend(tmp_path: Path) -> None:
    rows = [{"id": 1, "messages": PLAIN}, {"id": 1, "messages": PLAIN}]
    with pytest.raises(InputError, match="--map id=-"):
        read(tmp_path, *rows)
    assert read(tmp_path, *rows, mapping={"id": "-"})["records"] == 2


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("verdict", "WRONG_ANSWER"), ("verdict", "TLE"), ("verdict", "IDLENESS_LIMIT_EXCEEDED"), ("verdict", "PARTIAL"), ("status", "Wrong Answer"),
        ("status", "Runtime Error"), ("status", "WA: Presentation Error"), ("status", "Time limit exceeded on test 3"), ("result", "Compile Error"),
        ("test_result", "error"), ("human_label", "reject"), ("is_safe", False), ("compiles", False), ("executable", False), ("is_incorrect", True),
        ("has_error", True), ("is_passed", [False]), ("correctness_math_verify", [False, False]), ("tests_execution_status", '["fail"]'),
        ("average_test_score", "0.0"), ("test_pass_rate", 0),
    ],
)  # fmt: skip
def test_verdicts_that_say_wrong_are_named_as_judges_write_them(column: str, said: object, tmp_path: Path) -> None:
    assert read(tmp_path, {"messages": PLAIN, column: said})["not_read"] == {f"column {column!r}": 1}


def test_what_looks_like_a_verdict_and_is_none_is_not_named(tmp_path: Path) -> None:
    quiet = {
        "status": "published", "verdict": "AC", "country": "re", "element": "Ce", "topic_label": "error", "log_level": "error", "result": "wait", "score": 0,
        "is_passed": [True, False], "has_error": False, "is_incorrect": False, "average_test_score": "0.8", "pass_rate": 1.0, "bug_type": "missing logic",
        "toxicity": 0.0, "exit_status": "submitted", "error_count": 1, "evaluation": "no error",
    }  # fmt: skip
    assert not read(tmp_path, {"messages": PLAIN, **quiet})["not_read"]


def test_the_request_beside_input_is_named_under_any_name(tmp_path: Path) -> None:
    asked = {"goal": "Add docs", "user_request": "Sort it", "subject": "Fix the bug", "task": "Summarize:", "任务": "翻译成英文"}
    facts = {
        "source": "Stack Overflow", "licence": "MIT License", "rights": "CC BY 4.0", "model_name": "Some model 4", "programming_language": "Python 3",
        "updated": "2024-01-01 10:00", "time_limit": "1 second", "memory": "256 MB", "homepage": "https://x.y/z", "annotator": "Jane Doe", "state": "done",
    }  # fmt: skip
    assert read(tmp_path, {"input": "x=1", "output": "x=2", **asked, **facts})["not_read"] == {f"column {name!r}": 1 for name in asked}
    assert not read(tmp_path, {"instruction": "Do.", "input": "x=1", "output": "x=2", "subject": "Fix the bug"})["not_read"]


def test_labels_in_chinese_are_not_named(tmp_path: Path) -> None:
    quiet = {"来源": "《中华人民共和国民法典》第一编总则", "类别": "人工智能", "背景": "教育", "学科": "计算机科学与技术"}
    assert not read(tmp_path, {"问题": U[1], "答案": A[1], **quiet})["not_read"]


@pytest.mark.parametrize("column", ["text", "prompt"])
def test_the_columns_of_a_turn_may_stand_apart_in_a_template(column: str, tmp_path: Path) -> None:
    told = f"### Instruction:\n{U[1]}\n\n### Input:\n3, 1, 2\n\n### Response:\n{A[1]}"
    row = {"instruction": U[1], "input": "3, 1, 2", "output": A[1]}
    assert not read(tmp_path, {**row, column: told})["not_read"]
    assert read(tmp_path, {**row, column: told.replace("3, 1, 2", "something else")})["not_read"] == {f"column {column!r}": 1}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"messages": [{"role": "user", "content": "-"}, PLAIN[1]]}, ["'-' as a turn of the user"]),
        ({"conversations": [{"from": "human", "value": "nan"}, {"from": "gpt", "value": "[deleted]"}]},
         ["'nan' as a turn of the user", "'[deleted]' as a turn of the assistant"]),
        ({"prompt": [{"role": "user", "content": "-"}], "completion": A[1]}, ["'-' as a turn of the user"]),
        ({"input": [{"role": "user", "content": "-"}], "output": A[1]}, ["'-' as a turn of the user"]),
        ({"messages": [{"role": "user", "content": " "}, PLAIN[1], *PLAIN]}, ["'' as a turn of the user"]),
        ({"messages": [*PLAIN, {"role": "user", "content": ""}, {**PLAIN[1], "weight": 0}]}, []),
        ({"instruction": "-", "output": A[1]}, ["'-' as column 'instruction'"]),
    ],
    ids=str,
)  # fmt: skip
def test_turns_that_stand_for_absent_ones_are_named(row: Row, named: list[str], tmp_path: Path) -> None:
    found = read(tmp_path, row)
    assert found["marks"] == dict.fromkeys(named, 1)
    assert not named or f"look like damage or an absent value: {named[0]} (1)" in "\n".join(found["lines"])


def test_a_list_of_no_calls_is_no_answer(tmp_path: Path) -> None:
    tools = [{"name": "f", "description": "", "parameters": {}}]
    for nothing in ("[]", []):
        found = read(tmp_path, {"query": U[1], "answers": nothing, "tools": tools}, {"query": U[1], "answers": '[{"name": "f", "arguments": {}}]', "tools": tools})
        assert (found["rejected"], turns(found)) == ({"empty": 1}, [U, ("assistant", "f({})")])
    assert turns(read(tmp_path, {"query": U[1], "answers": "[]", "tools": []})) == [U, ("assistant", "[]")]
