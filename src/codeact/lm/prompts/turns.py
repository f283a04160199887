"""A conversation's turns and tools in the forms that chat templates take."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from codeact.errors import InputError
from codeact.records import Message

SHORT_ID = 9  # letters and digits of a call's id, as Mistral's templates demand


class RefusedError(InputError):
    """The template cannot render this one record, or would leave a part of it out."""


def ways(messages: Sequence[Message]) -> Iterator[list[dict[str, Any]]]:
    """The turns as templates want them; with calls also: arguments as text, short ids, no content in place of an empty one."""
    yield _turns(messages, as_text=False, short=False)
    if any(m.tool_calls for m in messages):
        for nothing, short, as_text in list(product((False, True), repeat=3))[1:]:
            yield [
                {**turn, "content": None} if nothing and "tool_calls" in turn and not turn["content"].strip() else turn
                for turn in _turns(messages, as_text, short)
            ]


def _turns(messages: Sequence[Message], as_text: bool, short: bool) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    waiting: list[str] = []  # ids of calls that no result has answered yet
    made = 0
    for number, message in enumerate(messages, 1):
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning:
            turn |= {"reasoning_content": message.reasoning, "thinking": message.reasoning}
        if message.name:
            turn["name"] = message.name
        if message.tool_calls:
            calls = _calls(message.tool_calls, number, as_text)
            for call in calls:
                made += 1
                if short:
                    call["id"] = _short(call.get("id", ""), made)
                waiting.append(call.get("id", ""))
            turn["tool_calls"] = calls
        if message.role == "tool":
            answered = waiting.pop(0) if waiting else ""
            given = _short(message.tool_call_id, made) if short and message.tool_call_id else message.tool_call_id
            if identity := given or answered:
                turn["tool_call_id"] = identity
        turns.append(turn)
    return turns


def _short(identity: str, number: int) -> str:
    if len(identity) == SHORT_ID and identity.isalnum():
        return identity
    return hashlib.sha256((identity or str(number)).encode("utf-8", "replace")).hexdigest()[:SHORT_ID]


def _calls(text: str, number: int, as_text: bool) -> list[dict[str, Any]]:
    """Calls in the form of transformers: arguments are objects, or JSON text where a template joins them to strings."""
    found = _json(text, f"turn {number}: tool_calls")
    calls: list[dict[str, Any]] = []
    for call in found if isinstance(found, list) else [found]:
        if not isinstance(call, dict):
            raise RefusedError(f"turn {number}: a tool call is {type(call).__name__}, not an object")
        inner = call.get("function")
        function = (
            dict(inner) if isinstance(inner, dict) else {k: v for k, v in call.items() if k not in ("id", "type")}
        )
        arguments = function.get("arguments", {})
        if isinstance(arguments, str) and not as_text:
            with contextlib.suppress(ValueError):  # kept as it is: a model's own broken JSON
                arguments = json.loads(arguments)
        elif as_text and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        identity = {"id": str(call["id"])} if call.get("id") else {}
        calls.append({**identity, "type": "function", "function": {**function, "arguments": arguments}})
    return calls


def tools_of(text: str) -> list[Any] | None:
    """Schemas in the form of transformers, `{"type": "function", "function": ...}`; bare ones are wrapped."""
    if not text:
        return None
    found = _json(text, "tools")
    tools = found if isinstance(found, list) else [found]
    bare = [isinstance(tool, dict) and "name" in tool and "function" not in tool for tool in tools]
    wrapped = [{"type": "function", "function": t} if b else t for t, b in zip(tools, bare, strict=True)]
    return wrapped or None


def _json(text: str, where: str) -> object:
    try:
        found: object = json.loads(text)
        return found
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{where} cannot be read as JSON: {error}") from error
