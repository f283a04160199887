"""What a row says of tools, read through the call behind `codeact records`: whatever the form, one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import api
from tests.helpers.record_lines import PLAIN, Row, read, turns


@pytest.mark.parametrize(
    "value", ['[{"name": "f", "parameters": {}}]', [{"type": "function", "function": {"name": "f", "parameters": {}}}]]
)
@pytest.mark.parametrize("column", ["tools", "functions", "tool-definitions"])
def test_tools_are_one_form(column: str, value: Any, tmp_path: Path) -> None:
    found = read(tmp_path, {"messages": PLAIN, column: value})
    assert found["shown"][0]["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "system", "content": "", "tools": [{"name": "f", "parameters": {}}]}, *PLAIN]},
        {"messages": json.dumps([{"role": "system", "content": "", "tools": [{"name": "f", "parameters": {}}]}, *PLAIN])},
        {"messages": PLAIN, "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}}]}]},
        {"messages": PLAIN, "tools": [{"name": "f", "input_schema": {}}]},
    ],
    ids=["of a system turn", "of a system turn in text", "Gemini", "Anthropic"],
)
def test_tools_of_others_are_the_same_form(row: Row, tmp_path: Path) -> None:
    assert read(tmp_path, row)["shown"][0]["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {}}}
    ]


def test_parquet_gives_a_tool_only_what_it_declares(tmp_path: Path) -> None:
    def row(name: str, argument: str, value: str) -> Row:
        schema = {"type": "object", "properties": {argument: {"type": "string"}}}
        call = {"type": "function", "function": {"name": name, "arguments": {argument: value}}}
        said = {"role": "assistant", "content": "", "tool_calls": [call]}
        return {"messages": [PLAIN[0], said], "tools": [{"type": "function", "function": {"name": name, "parameters": schema}}]}

    rows = [row("weather", "city", "Paris"), row("time", "zone", "CET")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found, plain = api.preview(str(tmp_path / "a.parquet"), show=2), read(tmp_path, *rows)
    assert [turns(found, n)[1] for n in range(2)] == [("assistant", 'weather({"city": "Paris"})'), ("assistant", 'time({"zone": "CET"})')]
    assert [json.loads(one["tools"]) if isinstance(one["tools"], str) else one["tools"] for one in found["shown"]] == [
        json.loads(one["tools"]) if isinstance(one["tools"], str) else one["tools"] for one in plain["shown"]
    ]


def test_what_means_something_stays_in_a_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"const": None}], "default": {"z": None}, "title": None}}}
    odd = [{"name": "f", "parameters": schema}, {"name": {"x": 1}, "title": "t"}]
    call = {"name": "f", "arguments": {"a": None}}
    found = read(tmp_path, {"messages": [PLAIN[0], {"role": "assistant", "content": "", "tool_calls": [call]}], "tools": odd})
    assert turns(found)[1] == ("assistant", 'f({"a": null})')
    assert '{"anyOf": [{"type": "string"}, {"const": null}], "default": {"z": null}}' in json.dumps(found["shown"][0]["tools"]).replace('\\"', '"')
