"""Every shape that people's data has, read through the call behind `codeact records`: each part is read, or the row says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import api
from codeact.errors import InputError
from tests.helpers.record_lines import PLAIN, SHARED, A, Row, S, U, read, turns

SHAPES: dict[str, tuple[Row, list[tuple[str, str]]]] = {
    "system column beside messages": ({"system": S[1], "messages": PLAIN}, [S, U, A]),
    "system column beside conversations": ({"system_prompt": S[1], "conversations": SHARED}, [S, U, A]),
    "the same system twice": ({"system": S[1], "messages": [{"role": "system", "content": S[1]}, *PLAIN]}, [S, U, A]),
    "two systems": (
        {"system": "eins", "messages": [{"role": "system", "content": "zwei"}, *PLAIN]}, [("system", "eins\n\nzwei"), U, A],
    ),
    "system of parts": ({"system": [{"text": S[1]}], "messages": PLAIN}, [S, U, A]),
    "Alpaca with system and history": (
        {"instruction": U[1], "input": "3 1 2", "output": A[1], "system": S[1], "history": [["早", "早上好"]]},
        [S, ("user", "早"), ("assistant", "早上好"), ("user", f"{U[1]}\n3 1 2"), A],
    ),
    "history as JSON text": (
        {"instruction": U[1], "output": A[1], "history": '[["q", "a"]]'}, [("user", "q"), ("assistant", "a"), U, A],
    ),
    "turns as JSON of JSON": ({"messages": json.dumps(json.dumps(PLAIN))}, [U, A]),
    "turns as JSON lines": ({"messages": "".join(json.dumps(turn) + "\n" for turn in PLAIN)}, [U, A]),
    "Dolly's context": (
        {"instruction": "Wann?", "context": "Seit dem Jahr 2000.", "response": "2000", "category": "closed_qa"},
        [("user", "Wann?\n\nSeit dem Jahr 2000."), ("assistant", "2000")],
    ),
    "SQuAD": (
        {"title": "t", "question": "Quand ?", "context": "En 1998.", "answers": {"text": ["1998", "1998"], "answer_start": [3, 3]}},
        [("user", "Quand ?\n\nEn 1998."), ("assistant", "1998")],
    ),
    "schema as context": (
        {"question": "How many?", "context": "CREATE TABLE t (a INT)", "answer": "SELECT COUNT(*) FROM t"},
        [("user", "How many?\n\nCREATE TABLE t (a INT)"), ("assistant", "SELECT COUNT(*) FROM t")],
    ),
    "a system column of any spelling": ({"System Prompt": S[1], "messages": PLAIN}, [S, U, A]),
    "a short system column": ({"sys_prompt": "Kurz.", "messages": PLAIN}, [("system", "Kurz."), U, A]),
    "系统": ({"系统": S[1], "指令": U[1], "输出": A[1]}, [S, U, A]),
    "the question in input alone": ({"instruction": "", "input": U[1], "output": A[1]}, [U, A]),
    "content parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}]}, PLAIN[1]]},
        [("user", "a\nb"), A],
    ),
    "reasoning and call parts": (
        {"messages": [PLAIN[0], {"role": "assistant", "content": [
            {"type": "reasoning", "value": "denken"}, {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'}]}]},
        [U, ("assistant", '<denken>f({"x": 1})')],
    ),
    "reasoning_content": ({"messages": [PLAIN[0], {**PLAIN[1], "reasoning_content": "思考"}]}, [U, ("assistant", f"<思考>{A[1]}")]),
    "reasoning column": ({"Question": U[1], "Complex_CoT": "推理", "Response": A[1]}, [U, ("assistant", f"<推理>{A[1]}")]),
    "OpenAI tool calls": (
        {"messages": [PLAIN[0], {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "7"}, PLAIN[1]]},
        [U, ("assistant", 'f({"x": 1})'), ("tool", "7"), A],
    ),
    "OpenAI function_call": (
        {"messages": [PLAIN[0], {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                      {"role": "function", "name": "f", "content": "7"}, PLAIN[1]]},
        [U, ("assistant", "f({})"), ("tool", "7"), A],
    ),
    "ShareGPT calls": (
        {"conversations": [SHARED[0], {"from": "gpt", "value": "Moment."},
                           {"from": "function_call", "value": "{'name': 'f', 'arguments': {'x': None}}"},
                           {"from": "observation", "value": '{"y": 2}'}, SHARED[1]]},
        [U, ("assistant", 'Moment.f({"x": null})'), ("tool", '{"y": 2}'), A],
    ),
    "Anthropic calls": (
        {"messages": [PLAIN[0], {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}]},
                      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "7"}]}]},
                      PLAIN[1]]},
        [U, ("assistant", 'f({"x": 1})'), ("tool", "7"), A],
    ),
    "an object as tool result": (
        {"messages": [PLAIN[0], {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {}}]}, {"role": "ipython", "content": {"y": 2}},
                      PLAIN[1]]},
        [U, ("assistant", "f({})"), ("tool", '{"y": 2}'), A],
    ),
    "ChatGLM calls": (
        {"conversations": [PLAIN[0], {"role": "assistant", "content": "查一下。"},
                           {"role": "tool", "name": "f", "parameters": {"x": 1}, "observation": {"y": 2}}, PLAIN[1]]},
        [U, ("assistant", '查一下。f({"x": 1})'), ("tool", '{"y": 2}'), A],
    ),
    "a refusal": ({"messages": [PLAIN[0], {"role": "assistant", "content": None, "refusal": "No."}]}, [U, ("assistant", "No.")]),
    "an empty history": ({"instruction": U[1], "output": A[1], "history": [["", ""]]}, [U, A]),
    "developer": ({"messages": [{"role": "developer", "content": S[1]}, *PLAIN]}, [S, U, A]),
    "weights": (
        {"messages": [PLAIN[0], {**PLAIN[1], "weight": 0}, PLAIN[0], {**PLAIN[1], "train": True}]}, [U, ("assistant off", A[1]), U, A],
    ),
    "weights of other names": (
        {"messages": [PLAIN[0], {**PLAIN[1], "trainable": False}, PLAIN[0], {**PLAIN[1], "Weight": 0}, *PLAIN]},
        [U, ("assistant off", A[1]), U, ("assistant off", A[1]), U, A],
    ),
    "a switch of xtuner's pairs": (
        {"conversation": [{"input": U[1], "output": A[1], "output_with_loss": False}, {"input": U[1], "output": A[1]}]},
        [U, ("assistant off", A[1]), U, A],
    ),
    "channels of gpt-oss": (
        {"messages": [PLAIN[0], {"role": "assistant", "channel": "analysis", "content": "hm"}, {**PLAIN[1], "channel": "final"}]},
        [U, ("assistant", f"<hm>{A[1]}")],
    ),
    "two weights": (
        {"messages": [PLAIN[0], {**PLAIN[1], "weight": 1, "train": False}, *PLAIN]}, [U, ("assistant off", A[1]), U, A],
    ),
    "loss_weight": ({"messages": [{**PLAIN[0], "loss_weight": 0.0}, {**PLAIN[1], "loss_weight": 1.0}]}, [U, A]),
    "human and assistant": ({"conversation": [{"human": U[1], "assistant": A[1]}]}, [U, A]),
    "one key a turn": ({"conversations": [{"user": U[1]}, {"assistant": A[1]}]}, [U, A]),
    "system, input, output": ({"conversation": [{"system": S[1], "input": U[1], "output": A[1]}]}, [S, U, A]),
    "Gemini": (
        {"systemInstruction": {"parts": [{"text": S[1]}]},
         "contents": [{"role": "user", "parts": [{"text": U[1]}]}, {"role": "model", "parts": [{"text": A[1]}]}]},
        [S, U, A],
    ),
    "pairs of role and text": ({"messages": [["user", U[1]], ["assistant", A[1]]]}, [U, A]),
    "pairs whose question is a role's name": (
        {"instruction": U[1], "output": A[1], "history": [["tool", "Werkzeug"]]}, [("user", "tool"), ("assistant", "Werkzeug"), U, A],
    ),
    "Gemini's results": (
        {"contents": [{"role": "user", "parts": [{"text": U[1]}]}, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                      {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"y": 2}}}]},
                      {"role": "model", "parts": [{"text": A[1]}]}]},
        [U, ("assistant", "f({})"), ("tool", '{"y": 2}'), A],
    ),
    "messages of a pair as JSON text": ({"prompt": json.dumps([{"role": "system", "content": S[1]}, PLAIN[0]]), "completion": json.dumps(PLAIN[1:])}, [S, U, A]),
    "messages of a pair as Python text": ({"prompt": str(PLAIN[:1]), "completion": str(PLAIN[1:])}, [U, A]),
    "messages of a preference as JSON text": ({"prompt": json.dumps(PLAIN[:1]), "chosen": json.dumps(PLAIN), "rejected": "x"}, [U, A]),
    "an answer that is JSON of turns": (
        {"prompt": U[1], "completion": json.dumps(PLAIN)}, [U, ("assistant", json.dumps(PLAIN))],
    ),
    "Gemini's thinking": (
        {"contents": [{"role": "user", "parts": [{"text": U[1]}]}, {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": A[1]}]}]},
        [U, ("assistant", f"<hm>{A[1]}")],
    ),
    "Gemini's calls in snake case": (
        {"contents": [{"role": "user", "parts": [{"text": U[1]}]}, {"role": "model", "parts": [{"function_call": {"name": "f", "args": {}}}]},
                      {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"y": 2}}}]},
                      {"role": "model", "parts": [{"text": A[1]}]}]},
        [U, ("assistant", "f({})"), ("tool", '{"y": 2}'), A],
    ),
    "calls that Parquet filled with nulls": (
        {"messages": [{**turn, "function_call": {"name": None, "arguments": None}, "tool_calls": [{"id": None, "function": None}]} for turn in PLAIN]},
        [U, A],
    ),
    "a history before a system turn": (
        {"history": [["q", "a"]], "messages": [{"role": "system", "content": S[1]}, *PLAIN]}, [S, ("user", "q"), ("assistant", "a"), U, A],
    ),
    "xLAM's calls as a list": (
        {"query": U[1], "answers": [{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {}}], "tools": [{"name": "f"}]},
        [U, ("assistant", 'f({"x": 1})f({})')],
    ),
    "empty messages beside a pair": ({"messages": [], "instruction": U[1], "output": A[1]}, [U, A]),
    "a list of one answer as text": ({"question": U[1], "answers": str([A[1]])}, [U, A]),
    "SQuAD in CSV": ({"question": U[1], "answers": "{'text': ['1998'], 'answer_start': [3]}"}, [U, ("assistant", "1998")]),
    "an object of lists": ({"conversations": {"from": ["human", "gpt"], "value": [U[1], A[1]]}}, [U, A]),
    "messages as JSON text": ({"messages": json.dumps(PLAIN)}, [U, A]),
    "messages as Python text": ({"messages": str(PLAIN)}, [U, A]),
    "prompt and completion of messages": ({"prompt": PLAIN[:1], "completion": PLAIN[1:]}, [U, A]),
    "a system in the prompt's messages": ({"prompt": [{"role": "system", "content": S[1]}, PLAIN[0]], "completion": A[1]}, [S, U, A]),
    "query/response": ({"query": U[1], "response": A[1]}, [U, A]),
    "question/solution": ({"question": U[1], "solution": A[1], "answer": "42"}, [U, A]),
    "question/answer": ({"Question": U[1], "Answer": A[1]}, [U, A]),
    "input/output": ({"input": U[1], "output": A[1]}, [U, A]),
    "problem/answer": ({"problem": U[1], "answer": A[1]}, [U, A]),
    "xLAM": (
        {"query": U[1], "answers": '[{"name": "f", "arguments": {"x": 1}}]', "tools": '[{"name": "f", "parameters": {}}]'},
        [U, ("assistant", 'f({"x": 1})')],
    ),
    "JSON that calls nothing": (
        {"query": U[1], "answers": '[{"name": "g", "arguments": {}}]', "tools": '[{"name": "f"}]'},
        [U, ("assistant", '[{"name": "g", "arguments": {}}]')],
    ),
    "Chinese names": ({"指令": U[1], "输入": "3 1 2", "输出": A[1]}, [("user", f"{U[1]}\n3 1 2"), A]),
    "Chinese roles": ({"messages": [{"role": "用户", "content": U[1]}, {"role": "助手", "content": A[1]}]}, [U, A]),
    "one answer in a list": ({"question": U[1], "answers": [A[1]]}, [U, A]),
    "self-instruct": ({"instruction": "i", "instances": [{"input": "x", "output": "y"}]}, [("user", "i\nx"), ("assistant", "y")]),
    "prompt/chosen/rejected": ({"prompt": U[1], "chosen": A[1], "rejected": "Nein."}, [U, A]),
    "chosen holds the conversation": (
        {"prompt": U[1], "chosen": PLAIN, "rejected": [PLAIN[0], {"role": "assistant", "content": "Nein."}]}, [U, A],
    ),
    "chosen alone": ({"chosen": PLAIN, "rejected": PLAIN}, [U, A]),
    "a chosen turn": (
        {"conversations": [*SHARED, SHARED[0]], "chosen": {"from": "gpt", "value": "gut"}, "rejected": {"from": "gpt", "value": "x"}},
        [U, A, U, ("assistant", "gut")],
    ),
    "OpenAI preference": (
        {"input": {"messages": PLAIN[:1]}, "preferred_output": PLAIN[1:], "non_preferred_output": PLAIN[1:]}, [U, A],
    ),
    "KTO true": ({"prompt": U[1], "completion": A[1], "label": True}, [U, A]),
    "KTO 1": ({"prompt": U[1], "completion": A[1], "label": 1}, [U, A]),
    "a class": ({"instruction": U[1], "output": A[1], "label": 0}, [U, A]),
    "a question about HTML": ({"prompt": "Was ist <image> in SVG?", "completion": A[1]}, [("user", "Was ist <image> in SVG?"), A]),
    "a silent turn": ({"messages": [PLAIN[0], {"role": "assistant", "content": ""}, *PLAIN]}, [U, ("assistant off", ""), U, A]),
    "an image column without an image": ({"messages": PLAIN, "images": None, "image": "python:3.11"}, [U, A]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_part_is_read(shape: str, tmp_path: Path) -> None:
    row, expected = SHAPES[shape]
    found = read(tmp_path, row)
    assert turns(found) == expected
    assert not found["rejected"]


REFUSED: dict[str, tuple[Row, str, str]] = {
    "KTO false": ({"messages": PLAIN, "label": False}, "label", "a bad answer"),
    "the answer in another column": ({"messages": PLAIN[:1], "response": A[1]}, "empty", "--map instruction=messages --map response=response"),
    "KTO 0": ({"messages": PLAIN, "kto_tag": 0}, "label", "a bad answer"),
    "several answers with scores": (
        {"query": "q", "responses": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]}, "answers", "2 different answers"
    ),
    "several answers as text": ({"question": "q", "answers": '["a", "b"]'}, "answers", "2 different answers"),
    "tools without names": ({"messages": PLAIN, "tools": {"f": {}, "g": {}}}, "invalid", "a tool without a name (its keys: f, g)"),
    "a screenshot": ({"instruction": "Was ist zu sehen?", "output": "y", "screenshot": "a.webp"}, "media", "'screenshot'"),
    "a recording": ({"instruction": "x", "output": "y", "wav_file": {"bytes": None, "path": "a"}}, "media", "'wav_file'"),
    "pixels": ({"instruction": "x", "output": "y", "pixel_values": [0.5, 1.0]}, "media", "'pixel_values'"),
    "no chosen answer": ({"conversations": [*SHARED, SHARED[0]], "chosen": None, "rejected": "x"}, "empty", "no chosen answer"),
    "marks without a width": ({"instruction": "\u200b \ufeff", "output": A[1]}, "empty", "the instruction is empty"),
    "a number as answer": ({"instruction": U[1], "output": 4}, "invalid", "put it into quotes"),
    "a transcript of tags": ({"conversation": "[USER] Hi\n[ASSISTANT] Ho"}, "invalid", "split it into turns with role and content"),
    "a half weight": ({"messages": [PLAIN[0], {**PLAIN[1], "weight": 0.5}]}, "weight", "only 0 and 1"),
    "nothing to learn": ({"messages": [PLAIN[0], {**PLAIN[1], "train": False}]}, "weight", "nothing is to be learnt"),
    "several answers": ({"question": "q", "answers": ["a", "b"]}, "answers", "2 different answers"),
    "several examples": ({"instruction": "i", "instances": [{"output": "a"}, {"output": "b"}]}, "answers", "2 examples"),
    "an image part": ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, PLAIN[1]]}, "media", "image_url"),
    "an audio part": ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}, PLAIN[1]]}, "media", "input_audio"),
    "an images column": ({"messages": PLAIN, "images": ["a.jpg"]}, "media", "'images'"),
    "an image file": ({"instruction": "<image> x", "output": "y", "image": "a"}, "media", "'image'"),
    "an image in the text": ({"query": "<img>https://x.y/z.jpeg</img> Was ist das?", "response": "y"}, "media", "the address of an image"),
    "an image in any column": ({"messages": [{"role": "user", "content": "<image>?"}, PLAIN[1]], "picture": "z.png"}, "media", "'picture'"),
    "an unknown part": ({"messages": [{"role": "user", "content": [{"type": "wizardry", "x": 1}]}, PLAIN[1]]}, "invalid", "wizardry"),
    "an unknown role": ({"messages": [{"role": "narrator", "content": "x"}, *PLAIN]}, "invalid", "narrator"),
    "no text in a turn": ({"messages": [{"role": "user", "body": "x"}, PLAIN[1]]}, "invalid", "its keys: role, body"),
    "a nested list": ({"messages": [[PLAIN]]}, "invalid", "turn 1"),
    "numbers": ({"instruction": 3, "output": 4}, "invalid", "int"),
    "a call that is no JSON": ({"conversations": [SHARED[0], {"from": "function_call", "value": "f(1)"}]}, "invalid", "not JSON"),
    "tools that are no JSON": ({"conversations": SHARED, "tools": "a hammer"}, "invalid", "--map tools=-"),
    "a context that is no text": ({"question": "q", "context": {"a": [1]}, "answer": "a"}, "invalid", "--map context=-"),
    "a user who calls": ({"messages": [{**PLAIN[0], "tool_calls": [{"name": "f"}]}, PLAIN[1]]}, "invalid", "'user'"),
    "turns as YAML": ({"messages": "- role: user\n  content: q\n- role: assistant\n  content: a\n"}, "invalid", "a list of turns is expected"),
    "turns as NumPy prints them": ({"messages": "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]"}, "invalid", "no JSON"),
    "turns as XML": ({"messages": "<turn role='user'>q</turn>"}, "invalid", "split a transcript"),
    "turns of an unknown type": ({"messages": [{"type": "widget", "data": {"content": "q"}}]}, "invalid", "does not say who speaks"),
    "a ranking": ({"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}, "answers", "2 different answers"),
    "a transcript": ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "x"}, "invalid", "split a transcript"),
}  # fmt: skip


@pytest.mark.parametrize("shape", REFUSED)
def test_what_cannot_be_read_says_why(shape: str, tmp_path: Path) -> None:
    row, reason, detail = REFUSED[shape]
    found = read(tmp_path, {**dict.fromkeys(row), "messages": PLAIN}, row)
    assert found["rejected"] == {reason: 1}
    assert detail in found["refused"][reason]["detail"]
    assert found["refused"][reason]["row"] == 2
    assert f"refused: {reason} 1; the first: row 2: " in "\n".join(found["lines"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"fields": {"prompt": "q", "response": "a"}, "status": "done"}, "stands in the object 'fields' ('prompt', 'response')"),  # Argilla
        ({"id": 1, "data": {"row": {"Question": "q", "Answer": "a"}}}, "| .data.row | objects"),
        ({"custom_id": "1", "body": {"model": "m", "messages": PLAIN}}, "| .body | objects"),
        ({"request": {"messages": PLAIN[:1]}, "response": {"choices": []}}, "the object 'request' end with a question"),
        ({"request": {"contents": [{"role": "user", "parts": []}]}}, "the object 'request' end with a question"),
        ({"message_id": "1", "parent_id": "", "role": "prompter", "text": "q"}, "unknown columns 'message_id'"),
        ({"mapping": {"a": {"message": {"author": {}}}}}, "unknown columns 'mapping'"),
        ({"old_contents": "a", "new_contents": "b"}, "--map instruction=COLUMN"),
        ({"prompt": "q", "response_a": "x", "response_b": "y", "winner": "b"}, "--map instruction=COLUMN"),
    ],
)
def test_logs_trees_and_annotations_say_where_the_conversation_stands(row: Row, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, row)
    assert message in str(caught.value)


def test_turns_that_are_arrow_maps_are_read(tmp_path: Path) -> None:
    maps = pa.array([[list(turn.items()) for turn in PLAIN]], pa.list_(pa.map_(pa.string(), pa.string())))
    pq.write_table(pa.table({"messages": maps}), tmp_path / "a.parquet")
    assert turns(api.preview(str(tmp_path / "a.parquet"), show=1)) == [U, A]


def test_all_rows_settle_the_format(tmp_path: Path) -> None:
    """Neither the first row nor the first 1,000 decide: shapes may be mixed, and columns may come late."""
    rows: list[Row] = [{"instruction": f"i{n}", "output": "o"} for n in range(1200)]
    rows += [
        {"prompt": "später", "completion": "c"},
        {"messages": PLAIN},
        {"instruction": "i", "output": "o", "system": S[1]},
    ]
    found = read(tmp_path, *rows)
    assert found["records"] == 1203
    assert found["forms"] == {"instruction/output": 1201, "prompt/completion": 1, "messages": 1}
    assert turns(found, 1200) == [("user", "später"), ("assistant", "c")]
    assert turns(found, 1202)[0] == S


def test_nothing_small_is_lost(tmp_path: Path) -> None:
    thought = {"messages": [*PLAIN, {"role": "user", "content": "thanks"}], "reasoning_content": "Two and two make four."}
    assert turns(read(tmp_path, thought)) == [U, ("assistant", f"<Two and two make four.>{A[1]}")]
    letter = {"question": "Is this injectable in C?", "context": "C", "answer": "Yes."}
    assert turns(read(tmp_path, letter))[0] == ("user", "Is this injectable in C?\n\nC")
    for question, context in (
        ("Which one?\nC\nD", "C\nD"), ("Answer from: Paris is a city. Where is Paris?", "Paris is a city."), ("Read:\r\nC D\r\nWhere?", "C D"),
    ):  # fmt: skip
        assert turns(read(tmp_path, {"question": question, "context": context, "answer": "C"}))[0] == ("user", question)
    shared = [
        {"from": "human", "value": "a"}, {"from": "thinking", "value": "t"}, {"from": "gpt", "value": "b", "weight": 0},
        {"from": "human", "value": "c"}, {"from": "thinking", "value": "u"}, {"from": "gpt", "value": "d"},
    ]  # fmt: skip
    assert turns(read(tmp_path, {"conversations": shared})) == [("user", "a"), ("assistant off", "<t>b"), ("user", "c"), ("assistant", "<u>d")]


def test_questions_about_files_of_pictures_are_text(tmp_path: Path) -> None:
    page = "```html\n<img>\n<video>\n  <source src='movie.mp4'>\n</video>\n```"
    asked = ("How do I show photo.png? It must be 100 px wide.", "Write an HTML5 page that plays movie.mp4")
    found = read(tmp_path, *({"instruction": text, "output": page} for text in asked), {"instruction": "<image> What?", "output": "x", "file": "a/b.png"})
    assert [one["row"] for one in found["shown"]] == [1, 2]
    assert found["rejected"] == {"media": 1}


@pytest.mark.parametrize(
    ("column", "value", "asked", "refused"),
    [
        ("image_name", "swebench/sweb.eval.x86_64.django_1776_django-1", "Fix the <video> tag.", False), ("docker_image", "a/b:1", "Fix the <img> tag.", False),
        ("image", "registry.io:5000/a/b:latest", "Fix the <image> tag.", False), ("image_caption", "A cat.", "<image> What?", False),
        ("image_name", "a.png", "<image> What?", True), ("image_name", "https://x.y/z?id=3", "<image> What?", True), ("image", "coco/0001", "<image> What?", True),
        ("image_name", "COCO_000123", "<image>\nWhat?", True), ("image_id", 123, "What is here?\n<image>", True), ("photo", "a7", "See:\n<image>\nWhat?", True),
        ("image_name", "swebench/sweb.eval:latest", "The <image> tag, please.", False), ("image_id", "7", "Does `<image>` close itself?", False),
        ("images_per_page", 3, "Write <image> three times.", False),
    ],
)  # fmt: skip
def test_images_of_docker_beside_a_tag_are_no_pictures(column: str, value: str, asked: str, refused: bool, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": asked}, PLAIN[1]], column: value}
    assert read(tmp_path, row)["rejected"] == ({"media": 1} if refused else {})


def test_missing_values_are_no_text(tmp_path: Path) -> None:
    nan = float("nan")
    found = read(
        tmp_path,
        {"instruction": "a", "input": nan, "system": None, "output": "b", "history": [], "id": nan},
        {"instruction": "a", "input": "", "output": nan},
    )
    assert turns(found) == [("user", "a"), ("assistant", "b")]
    assert found["rejected"] == {"empty": 1}


def test_huge_things_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, {"id": 10**40, "messages": PLAIN * 5000, "size": 2**200})
    assert len(found["shown"][0]["messages"]) == 10_000
    assert found["shown"][0]["id"] == str(10**40)
