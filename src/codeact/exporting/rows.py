"""Records as rows of the `messages` form that TRL, axolotl, LLaMA-Factory and torchtune read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from codeact.records import Message, Record


def message_rows(records: Sequence[Record], learn_key: str = "") -> list[dict[str, Any]]:
    """One row per record: `id, messages`, and `tools` where the record has some.

    A turn holds `role, content` and, where there are any, `reasoning_content, tool_calls, name, tool_call_id`: the field
    names of transformers' chat templates.

    Args:
        records: in the order of the rows.
        learn_key: turns that are context only get this field with the value false, and all other assistant turns with true.
    """
    marked = bool(learn_key) and any(not m.learn for r in records for m in r.messages)
    rows: list[dict[str, Any]] = []
    for record in records:
        row: dict[str, Any] = {"id": record.id}
        row["messages"] = [_turn(message, learn_key if marked else "") for message in record.messages]
        if record.tools:
            row["tools"] = json.loads(record.tools)
        rows.append(row)
    return rows


def _turn(message: Message, learn_key: str) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = json.loads(message.tool_calls)
    for name in ("name", "tool_call_id"):
        if getattr(message, name):
            turn[name] = getattr(message, name)
    if learn_key and message.role == "assistant":
        turn[learn_key] = message.learn
    return turn
