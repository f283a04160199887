"""What two columns both hold is said once: a question and what leads to it, a context within its question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from codeact.records.types import Message, Unreadable

CONTEXT = 12  # characters from which on a context is not in a question by chance


def holds(text: str, context: str) -> bool:
    """Whether a question has its context in it: a short one may be a word of it by chance, and counts where it has lines of its own."""
    wanted = [line.strip() for line in context.strip().splitlines()]
    lines = [line.strip() for line in text.splitlines()]
    whole = any(lines[at : at + len(wanted)] == wanted for at in range(len(lines) - len(wanted) + 1))
    return whole or (len(context.strip()) >= CONTEXT and context.strip() in text)


def behind(before: list[Message], after: list[Message]) -> list[Message]:
    """The turns of `after` behind those of `before`, and the turns that both hold, up to the last of `before` that is no answer, once.

    Where both have turns before it that differ, `after` is a conversation of its own, and is taken if it has no fewer of them.

    Raises:
        Unreadable: it has fewer.
    """
    asked = before[-1] if before and before[-1].role != "assistant" else None
    places = [n for n, m in enumerate(after, 1) if asked is not None and same_turn(m, asked)]
    if not places:
        return [*before, *after]
    at = max(places, key=lambda n: _common_end(before, after[:n]))
    common = _common_end(before, after[:at])
    own, others = before[: len(before) - common], after[: at - common]
    apart = all(m.role == "system" for m in own) and not any(m.role == "system" for m in others)
    if own and others and not apart:
        if len(others) < len(own):
            raise Unreadable("invalid", "the question stands in two columns, with different turns before it; keep the turns in one of them")
        return after
    return [*own, *others, *after[at - common :]]


def _common_end(before: Sequence[Message], after: Sequence[Message]) -> int:
    pairs = zip(reversed(before), reversed(after), strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if not same_turn(one, other)), min(len(before), len(after)))


def same_turn(one: Message, other: Message) -> bool:
    """Whether two turns say the same, but for blanks at the ends and the ids of calls."""
    if one.role != other.role or one.content.strip() != other.content.strip():
        return False
    return one.tool_calls == other.tool_calls or _without_ids(one.tool_calls) == _without_ids(other.tool_calls)


def _without_ids(calls: str) -> list[Any]:
    return [call["function"] for call in json.loads(calls)] if calls else []
