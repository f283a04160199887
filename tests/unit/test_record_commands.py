"""The commands in messages about rows that are not read: each works on the file that it names, and none makes answers of what is none."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import api
from codeact.errors import InputError

JQ = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
ROW = {"instruction": "Q?", "output": "A"}
TASK = "Write a function that adds two numbers."
TALK = "Human: Q?\n\nAssistant: A"


def message(file: Path, split: str | None = None) -> str:
    try:
        return str(api.preview(str(file), split=split)["first_rejected"])
    except InputError as error:
        return str(error)


def rows_of(told: str, file: Path) -> list[dict[str, Any]]:
    """What the command of a message writes, run as a reader would."""
    begins = [found for first in ("gzip -dc", "python3 -c", "jq -c") if (found := told.find(first)) >= 0]
    line = told[begins[0] :].partition(" > rows.jsonl")[0].replace(" FILE", f" {shlex.quote(str(file))}").replace("python3 -c", f"{shlex.quote(sys.executable)} -c", 1)
    subprocess.run(["sh", "-c", f"{line} > rows.jsonl"], cwd=file.parent, check=True)
    return [json.loads(row) for row in (file.parent / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


def said(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for shown in api.preview(rows, show=len(rows))["shown"] for m in shown["messages"]]


VIEWER = {"features": [{"name": "instruction"}], "rows": [{"row_idx": 0, "row": ROW, "truncated_cells": []}], "num_rows_total": 1}
STORED = {"messages": [{"role": "user", "content": "Q?"}], "choices": [{"message": {"role": "assistant", "content": "A"}}]}
LOGGED = {"request": {"messages": STORED["messages"]}, "response": {"choices": STORED["choices"]}}
DOCUMENTS: dict[str, tuple[object, str | None]] = {
    "an object in a list": ([{"id": 1, "data": ROW}], None),
    "an object in an object": ([{"id": 1, "data": {"a row": ROW}}], None),
    "the viewer of the hub": (VIEWER, "rows"),
    "a stored answer": ([STORED], None),
    "a log": ([LOGGED], None),
    "segments": ([{"segments": [{"label": False, "text": "Q?"}, {"label": True, "text": "A"}]}], None),
    "a choice": ([{"question": "Q?", "choices": ["A", "B"], "answer": 0}], None),
}


@JQ
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_commands_for_a_document_work_on_it(kind: str, tmp_path: Path) -> None:
    held, split = DOCUMENTS[kind]
    file = tmp_path / "my data.json"
    file.write_text(json.dumps(held), encoding="utf-8")
    assert said(rows_of(message(file, split), file)) == [("user", "Q?"), ("assistant", "A")]


@JQ
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.csv.gz"])
def test_commands_for_packed_files_and_parquet_work_on_them(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if file.suffix == ".parquet":
        pq.write_table(pa.table({"text": [TALK]}), file)
    else:
        text = f'text\n"{TALK}"\n' if ".csv" in name else json.dumps({"text": TALK}) + "\n"
        file.write_bytes(gzip.compress(text.encode()))
    assert said(rows_of(message(file), file)) == [("user", "Q?"), ("assistant", "A")]


def test_of_several_files_a_command_names_none(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": TALK}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"del\(\.text\)' FILE > rows\.jsonl"):
        api.preview([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])


@pytest.mark.parametrize(
    "row",
    [
        {"name": "n", "description": TASK, "public_tests": {"input": ["1"], "output": ["2"]}, "solutions": {"language": [3], "solution": ["A"]}},
        {"id": 1, "publicTests": {"input": "1", "output": "2"}},
        {"id": 1, "test_cases": [{"input": "1", "output": "2"}]},
        {"question": TASK, "inputs": ["1 2"], "outputs": ["3"]},
        {"problem_statement": TASK, "io": [{"input": "1", "output": "2"}]},
        {"question": TASK, "limits": {"seconds": 2, "nanos": 0}},
        {"question": TASK, "solutions": {"language": [3, 4], "solution": ["A", "B"]}},
        {"question": TASK, "tests": {"input": ["1", "2"], "output": [2, 3]}},
    ],
    ids=lambda row: ", ".join(row),
)
def test_no_command_makes_answers_of_tests_and_limits(row: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="--map instruction=COLUMN --map response=COLUMN") as refused:
        api.preview(str(file))
    assert "jq" not in str(refused.value)


@JQ
@pytest.mark.parametrize("row", [{"task": "qa", "data": ROW}, {"system_prompt": TASK, "data": ROW}, {"title": TASK, "contests": [ROW]}], ids=str)
def test_rows_that_lie_beside_no_question_are_taken_out(row: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert rows_of(message(file), file) == [ROW]


CALL = '<functioncall> {"name": "rate"}'
GLAIVE = f"USER: Q?\n\n\nASSISTANT: {CALL} <|endoftext|>\n\n\nFUNCTION RESPONSE: {{}}\n\n\nASSISTANT: A <|endoftext|>\n\n\n"
FOUR = [("user", "Q?"), ("assistant", "c"), ("tool", "42"), ("assistant", "A")]
WITH_TOOLS = {
    "glaive": (GLAIVE, [("user", "Q?"), ("assistant", CALL), ("tool", "{}"), ("assistant", "A")]),
    "a tool": ("User: Q?\nAssistant: c\nTool: 42\nAssistant: A", FOUR),
    "an observation": ("User: Q?\nAssistant: c\nObservation: 42\nAssistant: A", FOUR),
    "a heading": ("### Instruction:\nQ?\n\n### Response:\nc\n\n### Tool Response:\n42\n\n### Response:\nA", FOUR),
    "llama 3": ("".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in [*FOUR[:2], ("ipython", "42"), FOUR[3]]), FOUR),
    "at the end": ("".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in FOUR[:3]), FOUR[:2]),
    "lines of an answer": ("User: Q?\nAssistant: c\nFunction: add\nUser: R?\nAssistant: A", [FOUR[0], ("assistant", "c\nFunction: add"), ("user", "R?"), FOUR[3]]),
}


@JQ
@pytest.mark.parametrize("kind", WITH_TOOLS)
def test_a_transcript_with_results_of_tools_teaches_none_of_them(kind: str, tmp_path: Path) -> None:
    text, expected = WITH_TOOLS[kind]
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"chat": text}) + "\n", encoding="utf-8")
    assert said(rows_of(message(file), file)) == expected


def test_a_transcript_in_which_the_model_goes_on_behind_an_observation_has_no_command(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "User: Q?\nAssistant: Thought: t\nAction: ls\nObservation: 42\nThought: u\nFinal Answer: A"}) + "\n", encoding="utf-8")
    assert "jq" not in message(file)
