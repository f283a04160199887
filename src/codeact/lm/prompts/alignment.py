"""Where the contents of a conversation stand in its rendered text.

A rendering with numbered holes in place of the contents gives the template's own words; the contents are what stands between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from codeact.lm.prompts.templates import CLOSE, OPEN, Conversation
from codeact.lm.prompts.turns import RefusedError
from codeact.records import Message

HOLE = re.compile(f"{OPEN}(\\d+){CLOSE}")
_TRIES = 1_000  # places at which contents that a template rewrites may be thought to end
_THOUGHTS_END = re.compile(r"(?:^|\n)[ \t]*</think>|</think>[ \t]*(?:\n|$)")
Span = tuple[int, int]


def with_holes(talk: Conversation) -> tuple[str, dict[int, Span]]:
    """The conversation with a hole for each content, and message number -> where the content stands, as far as it can be told.

    No holes where the template words itself by the contents.
    """
    holes = _holes(talk, thoughts=False)
    spans = _align(talk.text, holes, talk.messages)
    if spans is None and any(said_after_thoughts(m) for m in talk.messages):
        kept = _holes(talk, thoughts=True)
        if (spans := _align(talk.text, kept, talk.messages)) is not None:
            return kept, spans
    return holes, _search(talk) if spans is None else spans


def spans_in(talk: Conversation, holes: str) -> dict[int, Span]:
    """Where the contents stand in the conversation's text, of which `holes` is the rendering with holes."""
    aligned = _align(talk.text, holes, talk.messages)
    return _search(talk) if aligned is None else aligned


def said_after_thoughts(message: Message) -> str:
    """What an answer says behind its thoughts, which stand in its own text; "" where they do not.

    A `</think>` that the answer only speaks of, as code that cuts at it does, ends no thoughts.
    """
    content = message.content
    if message.role != "assistant" or content.count("</think>") != 1:
        return ""
    opened = content.lstrip().startswith("<think>")
    return content.partition("</think>")[2] if opened or _THOUGHTS_END.search(content) else ""


def thoughts_of(message: Message) -> list[str]:
    """An answer's thoughts, from its field and from its own text; none that are blank."""
    inline = message.content.partition("</think>")[0].rpartition("<think>")[2] if said_after_thoughts(message) else ""
    return [thought.strip() for thought in (message.reasoning, inline) if thought.strip()]


def shared(left: str, right: str) -> int:
    """Characters that both begin with."""
    if left.startswith(right) or right.startswith(left):
        return min(len(left), len(right))
    return next(n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)


def _holes(talk: Conversation, thoughts: bool) -> str:
    try:
        return talk.with_holes(keep=[_kept(m) for m in talk.messages] if thoughts else ())
    except RefusedError:
        return ""  # wording that depends on the contents


def _kept(message: Message) -> str:
    """The thoughts in an answer's own text, with the blanks behind them."""
    said = said_after_thoughts(message).lstrip()
    return message.content[: len(message.content) - len(said)] if said else ""


def _align(text: str, holes: str, messages: Sequence[Message]) -> dict[int, Span] | None:
    """Fill the holes one after the other; None where the template words itself by the contents.

    A content that the template rewrites ends where the template's next words fit, and has no span.
    """
    parts = HOLE.split(holes)
    if not holes or not text.startswith(parts[0]):
        return None
    numbers, afters = [int(name) for name in parts[1::2]], parts[2::2]
    at = len(parts[0])
    found: list[tuple[int, int, bool]] = []  # where a hole's content begins and ends, and whether it stands there as it is
    open_ends: list[Iterator[tuple[int, bool]]] = []  # of each of these and of the next hole, the ends not tried yet
    for _ in range(_TRIES + 2 * len(numbers)):
        if len(found) == len(numbers) and at == len(text):
            spans = {n: (begin, end) for n, (begin, end, same) in reversed([*zip(numbers, found, strict=True)]) if same}
            return dict(sorted(spans.items()))
        if len(found) < len(numbers):
            if len(open_ends) == len(found):
                open_ends.append(_ends(text, at, messages[numbers[len(found)]], afters[len(found)]))
            if (end := next(open_ends[-1], None)) is not None:
                at_next = end[0] + len(afters[len(found)])
                found.append((at, *end))
                at = at_next
                continue
            open_ends.pop()
        if not found:
            return None
        at = found.pop()[0]
    return None


def _ends(text: str, at: int, message: Message, after: str) -> Iterator[tuple[int, bool]]:
    """Where a content that begins at `at` may end, so that `after` follows; and whether it stands there as it is."""
    forms = _forms(message)
    end = next((at + len(form) for form in forms if text.startswith(form + after, at)), None)
    if end is not None:
        yield end, True
        return
    if not after or any(form and text.startswith(form, at) for form in forms):
        return  # the template's words differ, not the content
    end = text.find(after, at)
    while end >= 0:
        yield end, False
        end = text.find(after, end + 1)


def _forms(message: Message) -> Sequence[str]:
    """What templates make of a content: stripped at one end or both; without the thoughts of an earlier answer; a result as JSON."""
    content = message.content
    cut = [content, content.lstrip("\n"), content.rstrip("\n"), content.strip("\n")]
    cut += [content.lstrip(), content.rstrip(), content.strip()]
    if said := said_after_thoughts(message):
        cut += [said, said.lstrip("\n"), said.strip()]
    if message.role == "tool":
        cut += [json.dumps(form, ensure_ascii=plain)[1:-1] for form in (content, content.strip()) for plain in (False, True)]
    return tuple(dict.fromkeys(cut))


def _search(talk: Conversation) -> dict[int, Span]:
    """Find the contents one after the other, each with as much of the blanks around it as the template kept.

    An answer is looked for behind the generation prompt of the turns before it.
    """
    text = talk.text
    spans: dict[int, Span] = {}
    position = 0
    for number, message in enumerate(talk.messages):
        core = message.content.strip()
        if core and message.role == "assistant" and number:
            position = max(position, _prompted(talk, number))
        at = text.find(core, position) if core else -1
        if at < 0:
            continue
        lead = message.content[: len(message.content) - len(message.content.lstrip())]
        tail = message.content[len(message.content.rstrip()) :]
        before = text[max(position, at - len(lead)) : at]
        first = at - shared(before[::-1], lead[::-1])
        position = at + len(core)
        position += shared(text[position : position + len(tail)], tail)
        spans[number] = (first, position)
    return spans


def _prompted(talk: Conversation, number: int) -> int:
    """Where the generation prompt of the turns before `number` ends, where the text begins with it; else 0."""
    try:
        asked = talk.beginning(number, generation=True)
    except RefusedError:
        return 0
    return len(asked) if talk.text.startswith(asked) else 0
