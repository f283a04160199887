"""What stands beside the one list of a JSON document: what is said to the model is refused with the command that keeps it, the rest told or left."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codeact import api
from codeact.errors import InputError

SUM, PAIR = {"input": "1 2", "output": "3"}, {"question": "Q?", "answer": "A"}
TURNS = {"messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}]}
TOOL = {"name": "f", "parameters": {}}
KEPT: dict[str, tuple[dict[str, Any], str | None, list[str]]] = {
    "natural instructions": ({"Definition": ["Add.", "Now."], "Positive Examples": [SUM], "Instances": [SUM]}, "Instances", ["Add.\nNow.\n1 2", "3"]),
    "two requests": ({"Prompt": "Add.", "Definition": "Sum.", "Instances": [SUM]}, None, ["Add.\nSum.\n1 2", "3"]),
    "big bench": ({"name": "t", "description": "Add", "task_prefix": "Give the sum.", "examples": [SUM]}, None, ["Give the sum.\n1 2", "3"]),
    "a prompt": ({"prompt": "Answer in French.", "data": [PAIR]}, None, ["Answer in French.", "Q?", "A"]),
    "of rows with their own": ({"System Prompt": "S", "data": [{**PAIR, "system": "T"}]}, None, ["S\nT", "Q?", "A"]),
    "a passage": ({"passage": "Rome fell.", "my questions": [PAIR]}, None, ["Q?\n\nRome fell.", "A"]),
    "a text of turns": ({"document": "Rome fell.", "data": [TURNS]}, None, ["Rome fell.", "Q?", "A"]),
    "system and tools": ({"system": "S", "tools": [TOOL], "data": [TURNS]}, "data", ["S", "Q?", "A"]),
}


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("kind", KEPT)
def test_what_is_said_to_the_model_is_refused_and_the_command_keeps_all_of_it(kind: str, tmp_path: Path) -> None:
    document, split, texts = KEPT[kind]
    file = tmp_path / "my data.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="beside the list") as refused:
        api.preview(str(file), split=split)
    subprocess.run(str(refused.value).partition("into each: ")[2], shell=True, check=True, cwd=tmp_path)
    (shown,) = api.preview(str(tmp_path / "rows.jsonl"))["shown"]
    assert [m["content"] for m in shown["messages"]] == texts
    assert [tool["function"] for tool in shown["tools"]] == ([TOOL] if "tools" in document else [])


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"name": "sums", "version": "1.0", "license": "Apache 2.0, see the file there", "citation": "@article{a, title = b c}", "homepage": "https://x.y"}, ""),
        ({"canary": "BENCHMARK DATA SHOULD NEVER APPEAR", "keywords": ["maths"], "contributors": ["A B", "C D"], "info": {"a": 1}, "total": 1}, ""),
        ({"type": "text2text", "exported_at": "2024-01-01 10:00", "prompt": ""}, ""),
        ({"version": "1.0", "description": "Sums of numbers"}, "'description'"),
        ({"task": "summarization"}, "'task'"),
        ({"Things to Avoid": "Do not use a calculator"}, "'Things to Avoid'"),
        ({"任务": "请把下面的句子翻译成英文然后解释"}, "'任务'"),
    ],
    ids=str,
)
def test_what_describes_the_data_is_left_and_what_may_be_asked_is_told(beside: dict[str, Any], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({**beside, "data": [PAIR]}), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert api.preview(str(file))["records"] == 1
    assert [line for line in caplog.messages if "beside the list" in line] == ([f"{file}: {told} beside the list of rows is not read; if the model has"
                                                                               " to know it, write it into each row"] if told else [])  # fmt: skip
