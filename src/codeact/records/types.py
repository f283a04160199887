"""The canonical form of every instruction data format: `Record(id, messages, meta, tools)`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        content: the text that is said.
        reasoning: the text of a thinking turn, shown before the content where the template has a place for it.
        tool_calls: calls of an assistant turn as JSON text, `[{"type": "function", "function": {"name": ..., "arguments": {...}}}]`;
            "" where there are none.
        name: the tool that a tool turn answers for; "" where it is not said.
        tool_call_id: the call that a tool turn answers; "" where it is not said.
        learn: False for an assistant turn that is context only (`weight: 0`, `train: false`): neither learnt nor scored.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    name: str = ""
    tool_call_id: str = ""
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """One training example: a conversation whose assistant turns are to be learnt.

    Attributes:
        id: unique in its data set; the row's own `id` where it has one, else a hash of the content.
        messages: at least one user turn and one assistant turn, in order.
        meta: the row's other fields, and `row`, its 0-based position in the source.
        tools: the tools that the model may call, a JSON array of schemas as text; "" where there are none.
    """

    id: str
    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tools: str = ""

    @property
    def instruction(self) -> str:
        """The user's text with its context, turns joined by a blank line: what gets embedded and clustered.

        Neither the system text nor the tools are in it: both are mostly the same in all records of a source.
        """
        return "\n\n".join([m.content for m in self.messages if m.role == "user"])

    @property
    def response(self) -> str:
        """The assistant's text and tool calls, turns joined by a blank line; its reasoning is not in it."""
        return "\n\n".join([text for m in self.messages if m.role == "assistant" for text in (m.content, m.tool_calls) if text])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot become a record, and why: it ends in the ledger, never in silence."""

    id: str
    row: int
    reason: str
    detail: str


_TO_JSON = json.JSONEncoder(ensure_ascii=True, check_circular=False).encode
_QUOTED = json.encoder.encode_basestring_ascii


def content_hash(messages: Sequence[Message], tools: str = "") -> str:
    """16 hex digits of SHA-256 over all that is said: the same conversation has the same hash everywhere."""
    said = [f"[{_QUOTED(m.role)}, {_QUOTED(m.content)}{_further(m)}]" for m in messages]
    return digest(f"[{', '.join([*said, _QUOTED(tools)] if tools else said)}]")


def _further(message: Message) -> str:
    """The fields that differ from their defaults, as JSON; plain turns keep the hash of their role and content alone."""
    if not (message.reasoning or message.tool_calls or message.name or message.tool_call_id) and message.learn:
        return ""
    names = ("reasoning", "tool_calls", "name", "tool_call_id")
    found: dict[str, Any] = {n: getattr(message, n) for n in names if getattr(message, n)}
    if not message.learn:
        found["learn"] = False
    return f", {_TO_JSON(found)}"


def digest(text: str) -> str:
    """The first 16 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Unreadable(Exception):
    """A row, or a part of it, that cannot be understood.

    Args:
        reason: one of `empty`, `invalid`, `media`, `answers`, `label`, `weight`: the word that is counted.
        detail: what, where and the mend, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail
