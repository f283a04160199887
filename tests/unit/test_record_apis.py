"""Conversations as the programs' interfaces of providers write them: read with all they say, or refused with a mend that mends."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codeact import api
from codeact.errors import InputError
from codeact.records import Message, Record, read_records

ASKED = {"role": "user", "content": "Weather?"}
CALL = [{"type": "function", "function": {"name": "get", "arguments": {"a": 1}}}]
REASONING = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}], "encrypted_content": "gAA", "status": "completed"}
STEP = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "get", "arguments": '{"a": 1}', "status": "completed"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
SAID = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Sunny."}}]}


def record(row: dict[str, Any]) -> Record:
    reading = read_records([row])
    assert not reading.not_read
    return reading.usable()[0]


def said(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in messages]


@pytest.mark.parametrize(
    "row",
    [{"messages": [ASKED, REASONING, STEP, RESULT, SAID]}, {"input": "Weather?", "output": [REASONING, STEP, RESULT, SAID]}],
    ids=["among messages", "as output"],
)
def test_steps_of_the_responses_api_are_turns(row: dict[str, Any]) -> None:
    messages = record(row).messages
    assert said(messages) == [("user", "Weather?"), ("assistant", ""), ("tool", "sunny"), ("assistant", "Sunny.")]
    assert messages[1].reasoning == "Look it up."
    assert json.loads(messages[1].tool_calls) == [{"id": "c1", **CALL[0]}]
    assert messages[2].tool_call_id == "c1"


def test_thoughts_as_parts_of_a_thinking_turn_are_read() -> None:
    step = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}], "summary": []}
    assert record({"messages": [ASKED, step, SAID]}).messages[1].reasoning == "Hm."


def test_bedrocks_reasoning_tools_and_results() -> None:
    row = {
        "system": [{"text": "Be brief."}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "get", "description": "d", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"auto": {}}},
        "messages": [
            {"role": "user", "content": [{"text": "Weather?"}]},
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
                                              {"toolUse": {"toolUseId": "t", "name": "get", "input": {"a": 1}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "sunny"}], "status": "success"}}]},
            {"role": "assistant", "content": [{"text": "Sunny."}]},
        ],
    }  # fmt: skip
    found = record(row)
    assert said(found.messages) == [("system", "Be brief."), ("user", "Weather?"), ("assistant", ""), ("tool", "sunny"), ("assistant", "Sunny.")]
    assert found.messages[2].reasoning == "Hm."
    assert json.loads(found.tools) == [{"type": "function", "function": {"name": "get", "description": "d", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("part", [{"type": "redacted_thinking", "data": "x"}, {"reasoningContent": {"redactedContent": "x"}}])
def test_encrypted_thoughts_are_refused(part: dict[str, Any]) -> None:
    (refused,) = read_records([{"messages": [ASKED, {"role": "assistant", "content": [part, {"type": "text", "text": "Sunny."}]}]}]).rejected
    assert "thoughts that are encrypted; take the part out" in refused.detail


@pytest.mark.parametrize(
    "wrap",
    [
        lambda kind, name, held: {"type": kind, **held},
        lambda kind, name, held: {"type": kind, "data": {"type": kind, **held}},
        lambda kind, name, held: {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": held},
    ],
    ids=["plain", "as dictionaries", "serialised"],
)
def test_langchains_messages(wrap: Any) -> None:
    calls = [{"name": "get", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    turns = [
        wrap("system", "SystemMessage", {"content": "Be brief."}), wrap("human", "HumanMessage", {"content": "Weather?"}),
        wrap("ai", "AIMessage", {"content": "", "tool_calls": calls}), wrap("tool", "ToolMessage", {"content": "sunny", "tool_call_id": "c1"}),
        wrap("ai", "AIMessage", {"content": "Sunny.", "tool_calls": []}),
    ]  # fmt: skip
    messages = record({"messages": turns}).messages
    assert said(messages) == [("system", "Be brief."), ("user", "Weather?"), ("assistant", ""), ("tool", "sunny"), ("assistant", "Sunny.")]
    assert json.loads(messages[2].tool_calls) == [{"id": "c1", **CALL[0]}]


def test_the_answer_of_a_chat_api_is_read() -> None:
    assert said(record({"prompt": "Weather?", "response": ANSWER}).messages) == [("user", "Weather?"), ("assistant", "Sunny.")]
    (refused,) = read_records([{"prompt": "Weather?", "response": {"choices": ANSWER["choices"] * 2}}]).rejected
    assert refused.reason == "answers"
    (row,) = read_records([{"messages": [ASKED], "response": {"id": "x", **ANSWER}}], {"instruction": "messages", "response": "response"}).usable()
    assert said(row.messages) == [("user", "Weather?"), ("assistant", "Sunny.")]


REQUEST = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [ASKED]}}
LOGS = {
    "batch": {"id": "b", "custom_id": "1", "response": {"status_code": 200, "body": ANSWER}, "error": None},
    "log": {"request": {"messages": [ASKED]}, "response": ANSWER},
    "stored": {"messages": [ASKED], **ANSWER},
}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("kind", LOGS)
def test_the_command_that_joins_questions_and_answers_does(kind: str, tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(json.dumps(REQUEST) + "\n", encoding="utf-8")
    file = tmp_path / "my (data).jsonl"
    file.write_text(json.dumps(LOGS[kind]) + "\n", encoding="utf-8")
    try:
        message = str(api.preview(str(file))["first_rejected"])
    except InputError as error:
        message = str(error)
    command = message[message.index("jq ") :].replace("REQUESTS", "requests.jsonl").replace(" FILE", f" {shlex.quote(str(file))}")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    row = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert said(record({"messages": row["messages"]}).messages) == [("user", "Weather?"), ("assistant", "Sunny.")]


def ui(*parts: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A message of Vercel's AI SDK."""
    return {"id": "m", "role": "assistant", "parts": list(parts), **rest}


TEXT, STEP_START = {"type": "text", "text": "Sunny.", "state": "done"}, {"type": "step-start"}
INVOKED = {"toolCallId": "c1", "toolName": "get", "args": {"a": 1}, "result": "sunny", "state": "result"}
USED = {"toolCallId": "c1", "input": {"a": 1}, "output": "sunny", "state": "output-available"}


@pytest.mark.parametrize(
    "turns",
    [
        [ui(STEP_START, {"type": "tool-get", **USED}, STEP_START, TEXT, {"type": "source-url", "url": "https://x"}, {"type": "data-cost", "data": {"n": 3}})],
        [ui({"type": "dynamic-tool", "toolName": "get", **USED}, TEXT, metadata={"model": "m"})],
        [ui(STEP_START, {"type": "tool-invocation", "toolInvocation": INVOKED}, TEXT, content="Sunny.", toolInvocations=[INVOKED])],
        [{"role": "assistant", "content": "Sunny.", "toolInvocations": [INVOKED]}],
        [{"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "get", "args": {"a": 1}}]},
         {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "get", "result": "sunny"}]},
         {"role": "assistant", "content": [TEXT]}],
        [{"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "get", "input": {"a": 1}}]},
         {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "get", "output": {"type": "text", "value": "sunny"}}]},
         {"role": "assistant", "content": [TEXT]}],
    ],
    ids=["version 5", "dynamic tool", "version 4", "version 3", "for a model, 4", "for a model, 5"],
)  # fmt: skip
def test_messages_of_vercels_sdk_are_read_in_steps(turns: list[dict[str, Any]]) -> None:
    messages = record({"messages": [{"role": "user", "parts": [{"type": "text", "text": "Weather?"}]}, *turns]}).messages
    assert said(messages) == [("user", "Weather?"), ("assistant", ""), ("tool", "sunny"), ("assistant", "Sunny.")]
    assert json.loads(messages[1].tool_calls) == [{"id": "c1", **CALL[0]}]
    assert (messages[2].name, messages[2].tool_call_id) == ("get", "c1")


def test_two_steps_with_thoughts_a_failed_tool_and_one_that_waits() -> None:
    failed = {"type": "tool-get", "toolCallId": "c1", "input": {}, "errorText": "no net", "state": "output-error"}
    waits = {"type": "tool-ask", "toolCallId": "c2", "input": {"q": "which?"}, "state": "input-available"}
    messages = record({"messages": [ASKED, ui({"type": "reasoning", "text": "Hm."}, failed, STEP_START, {"type": "text", "text": "Once more."}, waits)]}).messages
    assert said(messages) == [("user", "Weather?"), ("assistant", ""), ("tool", "no net"), ("assistant", "Once more.")]
    assert messages[1].reasoning == "Hm."
    assert json.loads(messages[3].tool_calls)[0]["function"] == {"name": "ask", "arguments": {"q": "which?"}}


def test_the_text_beside_parts_without_it_is_kept() -> None:
    assert said(record({"messages": [ASKED, ui(STEP_START, content="Sunny.")]}).messages)[1:] == [("assistant", "Sunny.")]


@pytest.mark.parametrize(
    ("part", "reason"),
    [({"type": "tool-get", "toolCallId": "c", "input": {}, "state": "input-streaming"}, "invalid"),
     ({"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA"}, "media")],
)  # fmt: skip
def test_a_call_that_was_cut_off_and_a_file_are_refused(part: dict[str, Any], reason: str) -> None:
    (refused,) = read_records([{"messages": [ASKED, ui(TEXT, part)]}]).rejected
    assert refused.reason == reason


def parts_of(*switches: bool) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": f"part {n}", "train": train} for n, train in enumerate(switches)]}


def test_parts_say_whether_they_are_learnt() -> None:
    """axolotl's parts with `train`: a turn is learnt whole, or not at all."""
    (refused,) = read_records([{"messages": [ASKED, parts_of(False, True)]}]).rejected
    assert refused.reason == "weight"
    assert "make a turn of each" in refused.detail
    assert [m.learn for m in record({"messages": [ASKED, parts_of(False, False), ASKED, parts_of(True, True)]}).messages] == [True, False, True, True]


def test_the_command_for_segments_makes_turns(tmp_path: Path) -> None:
    """axolotl's `input_output`; the segments of a transcript of speech are another thing."""
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    pieces = [{"label": False, "text": "Weather?\n"}, {"label": True, "text": "Sunny."}]
    file = tmp_path / "a b.jsonl"
    file.write_text(json.dumps({"segments": pieces}) + "\n")
    with pytest.raises(InputError) as refused:
        api.preview(str(file))
    subprocess.run(["sh", "-c", str(refused.value).partition("out: ")[2]], cwd=tmp_path, check=True)
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert said(record(row).messages) == [("user", "Weather?\n"), ("assistant", "Sunny.")]
    with pytest.raises(InputError, match="unknown columns 'segments'"):
        read_records([{"segments": [{"start": 0, "end": 1, "text": "hello"}]}])


QAS = [{"question": "Q?", "answers": [{"text": "A"}]}, {"question": "R?", "answers": []}]
NESTED: dict[str, tuple[str, object, list[str]]] = {
    "squad": ("a.json", {"data": [{"title": "t", "paragraphs": [{"context": "C.", "qas": QAS}]}]}, ["Q?\n\nC.", "A"]),
    "squad in lines": ("a.jsonl", {"title": "t", "paragraphs": [{"context": "C.", "qas": QAS}]}, ["Q?\n\nC.", "A"]),
    "lists": ("a.jsonl", {"questions": ["Q?", "R?"], "outputs": ["A", "B"]}, ["Q?", "A", "R?", "B"]),
    "pairs": ("a.json", {"train": [["Q?", "A"]], "test": [["R?", "B"]]}, ["Q?", "A"]),
    "lists of another name": ("a.json", [{"Instructions": ["Q?"], "Golden_Answers": [[{"Action": "f"}]]}], ["Q?", '[{"Action":"f"}]']),
    "rows in a row": ("a.jsonl", {"topic": "t", "items": [{"question": "Q?", "answer": "A"}, {"question": "R?", "answer": "B"}]}, ["Q?", "A", "R?", "B"]),
    "scores": ("a.json", {"examples": [{"input": "Q?", "target_scores": {"A b": 1, "B": 0}}]}, ["Q?", "A b"]),
    "scores in lists": ("a.json", [{"question": "Q?", "mc1_targets": {"choices": ["A", "B"], "labels": [0, 1]}}], ["Q?", "B"]),
}  # fmt: skip


def test_the_number_of_a_choice_is_not_learnt(tmp_path: Path) -> None:
    """MMLU's answers; a number beside no list of texts, or beyond it, is told as before."""
    row = {"question": "Which is red?", "Choices": ["sky", "blood"], "answer": 1}
    (refused,) = read_records([row, {"question": "Q?", "answer": "A"}]).rejected
    assert refused.detail.startswith("column 'answer' is the number of one of 'Choices': where it counts from 0, take its text: jq -c ")
    sums = {"question": "1 - 0?", "answer": 1, "tags": ["maths", "easy"]}
    others = read_records([row | {"answer": 2}, sums, row | {"Choices": "sky"}, {"question": "Q?", "answer": "A"}]).rejected
    assert ["put it into quotes" in one.detail for one in others] == [True, True, True]
    if shutil.which("jq") is not None:
        (tmp_path / "FILE").write_text(json.dumps(row) + "\n", encoding="utf-8")
        subprocess.run(refused.detail[refused.detail.index("jq -c") :], shell=True, check=True, cwd=tmp_path)
        made = json.loads((tmp_path / "rows.jsonl").read_text())
        assert said(read_records([made]).records[0].messages) == [("user", "Which is red?"), ("assistant", "blood")]


TALK = ["Be brief.", "Q: is it?\nOr not?", "Ü\n\n- a: b", "R?", "B"]
SPEAKERS = ["system", "user", "assistant", "user", "assistant"]
TRANSCRIPTS = {
    "chat ml": "".join(f"<|im_start|>{role}\n{{}}<|im_end|>\n" for role in SPEAKERS),
    "llama 3": "<|begin_of_text|>" + "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{{}}<|eot_id|>" for role in SPEAKERS),
    "zephyr": "".join(f"<|{role}|>\n{{}}</s>\n" for role in SPEAKERS),
    "anthropic": "{}\n\nHuman: {}\n\nAssistant: {}\n\nHuman: {}\n\nAssistant: {}",
    "guanaco": "{}\n### Human: {}\n### Assistant: {}\n### Human: {}\n### Assistant: {}",
    "alpaca": "{}\n\n### Instruction:\n{}\n\n### Response:\n{}\n\n### Instruction:\n{}\n\n### Response:\n{}",
    "h2o": "{} <human>: {} <bot>: {} <human>: {} <bot>: {}",
    "tags": "".join(f"[{role.upper()}] {{}}\n" for role in SPEAKERS),
    "chinese": "{}\n用户：{}\n助手：{}\n用户：{}\n助手：{}",
    "bold": "{}\n**User:** {}\n**Assistant:** {}\n**User:** {}\n**Assistant:** {}",
}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("kind", NESTED)
def test_the_command_that_makes_rows_of_what_is_nested_does(kind: str, tmp_path: Path) -> None:
    name, held, said_then = NESTED[kind]
    file = tmp_path / f"my {name}"
    file.write_text(json.dumps(held) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        api.preview(str(file))
    message = str(refused.value)
    subprocess.run(message[message.index("jq -c") :].partition("; as rows")[0], shell=True, check=True, cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [m.content for row in rows for m in record(row).messages] == said_then


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("column", ["text", "messages", "my talk"])
@pytest.mark.parametrize("kind", TRANSCRIPTS)
def test_the_command_that_makes_turns_of_a_transcript_does(kind: str, column: str, tmp_path: Path) -> None:
    row = {column: TRANSCRIPTS[kind].format(*TALK), "source": "x"}
    (tmp_path / "FILE").write_text(json.dumps(row) + "\n", encoding="utf-8")
    try:
        (refused,) = read_records([row], where="FILE").rejected
        message = refused.detail
    except InputError as error:
        message = str(error)
    subprocess.run(message[message.index("jq -c") :].partition(" > rows")[0] + " > rows.jsonl", shell=True, check=True, cwd=tmp_path)
    (made,) = map(json.loads, (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines())
    assert said(record(made).messages) == list(zip(SPEAKERS, TALK, strict=True))
    assert made["source"] == "x"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("my a.TSV", "\t")])
def test_the_command_for_a_transcript_in_a_table_does(name: str, mark: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f'id{mark}text\n1{mark}"Human: Ü?\n\nAssistant: A"\n', encoding="utf-8")
    with pytest.raises(InputError) as refused:
        api.preview(str(tmp_path / name))
    message = str(refused.value)
    subprocess.run(message[message.index("python3 -c") :], shell=True, check=True, cwd=tmp_path)
    (made,) = map(json.loads, (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines())
    assert said(record(made).messages) == [("user", "Ü?"), ("assistant", "A")]


@pytest.mark.parametrize("text", ["Human: only asked", "Assistant: A\nUser: Q", "The human: an assistant: no", "Q&A: a list"])
def test_text_in_which_nobody_asks_and_answers_is_no_transcript(text: str) -> None:
    with pytest.raises(InputError) as refused:
        read_records([{"text": text}])
    assert "jq" not in str(refused.value)


def test_the_command_that_makes_json_of_yaml_does(tmp_path: Path) -> None:
    (tmp_path / "my a.yml").write_text("- instruction: Q?\n  output: A\n", encoding="utf-8")
    with pytest.raises(InputError, match="write it as JSON") as refused:
        api.preview(str(tmp_path / "my a.yml"))
    message = str(refused.value)
    subprocess.run(message[message.index("python3 -c") :].partition("; the known")[0], shell=True, check=True, cwd=tmp_path)
    assert api.preview(str(tmp_path / "my a.json"))["records"] == 1


def test_text_in_place_of_json_lines_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("<<start>>\n<user>: Q?\n<bot>: A\n", encoding="utf-8")
    with pytest.raises(InputError, match="text, and no JSON"):
        api.preview(str(tmp_path / "a.jsonl"))
    (tmp_path / "b.jsonl").write_text('x\n{"instruction": "Q?", "output": "A"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: broken JSON"):
        api.preview(str(tmp_path / "b.jsonl"))


@pytest.mark.parametrize("several", [["Q?", "R?"], [{"text": "Q?", "split": "a"}, {"text": "R?", "split": "b"}]])
def test_several_questions_are_not_joined(several: list[Any]) -> None:
    (refused,) = read_records([{"prompt": several, "response": "A"}]).rejected
    assert "holds 2 texts" in refused.detail
    assert said(record({"prompt": [{"text": "Q?"}, {"text": "R?"}], "response": "A"}).messages)[0] == ("user", "Q?\nR?")
    assert said(record({"prompt": ["Q?"], "response": "A"}).messages)[0] == ("user", "Q?")


@pytest.mark.parametrize("lines", [False, True])
def test_the_command_that_takes_one_text_of_an_object_does(lines: bool, tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    row = {"question": {"en": "Q?", "ru": "В?"}, "answer": "A"}
    (tmp_path / "FILE").write_text(json.dumps(row if lines else [row]), encoding="utf-8")
    (refused,) = read_records([row]).rejected
    subprocess.run(refused.detail.partition("take one: ")[2], shell=True, check=True, cwd=tmp_path)
    row = json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert said(record(row).messages) == [("user", "Q?"), ("assistant", "A")]
