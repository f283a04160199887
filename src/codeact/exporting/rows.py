"""Records as rows of the `messages` form that people read and most tools do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from codeact.records import Message, Record


def message_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row per record: `id, messages`, and `tools` where the record has some.

    A turn holds `role, content` and, where there are any, `reasoning_content, tool_calls, name, tool_call_id`: the field
    names of transformers' chat templates. Where a turn of the records is context only, each assistant turn also holds
    `train`: false for such turns. `tools` and the `arguments` of calls are JSON text, as OpenAI's API has them: loaders of
    tables give all objects of a column the same keys, and fill them with nulls.

    Args:
        records: in the order of the rows.
    """
    marked = any(not m.learn for r in records for m in r.messages)
    rows: list[dict[str, Any]] = []
    for record in records:
        row: dict[str, Any] = {"id": record.id, "messages": [_turn(message, marked) for message in record.messages]}
        if record.tools:
            row["tools"] = record.tools
        rows.append(row)
    return rows


def _turn(message: Message, marked: bool) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in json.loads(message.tool_calls)]
    for name in ("name", "tool_call_id"):
        if getattr(message, name):
            turn[name] = getattr(message, name)
    if marked and message.role == "assistant":
        turn["train"] = message.learn
    return turn


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}
