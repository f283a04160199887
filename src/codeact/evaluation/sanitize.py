"""From a model's answer to a program: find the code, keep what the entry point needs, drop the rest.

Everything here is linear in the length of the answer and never raises: an answer without usable code comes back as the
best guess, which then fails its tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from codeact.evaluation import answer_text
from codeact.evaluation.answer_text import Part
from codeact.evaluation.definitions import Quality
from codeact.evaluation.program import Statement, below_prose, moved_left, needed, quality_of, statements
from codeact.parsing import parse

GIVES = re.compile(r"\b(?:return|yield)\b")
BODIES = 4  # so many bodies without a head are tried, the last first


class Code:
    """A part of an answer, read when it is needed."""

    def __init__(self, part: Part) -> None:
        self.text, self.fenced = part.text, part.fenced

    @cached_property
    def statements(self) -> list[Statement]:
        return statements(self.text)

    def quality(self, entry_point: str) -> Quality:
        return quality_of(self.statements, entry_point) if entry_point in self.text else Quality.NONE


def sanitize(text: str, entry_point: str, prompt: str = "") -> str:
    """The program in an answer: the entry point and the top-level statements that it needs, in their order.

    The answer is what follows the thinking (`</think>`). Looked for are, until there is one: the text as the
    continuation of `prompt`, a whole program; the last whole definition in the fenced blocks and the text between them;
    the body alone, with or without its indentation, below the prompt's signature. A definition is whole when it parses to
    its end, gives something back and elides nothing; the beginning of an earlier one, shown again, does not count.
    Names that the chosen part uses but does not define are taken from the other parts, then from the prompt. Statements
    that only try the entry point out (calls, prints, asserts, the `__main__` guard) are dropped.

    Args:
        text: a chat answer or a raw completion.
        entry_point: name of the function (or class, or variable) that must be defined.
        prompt: the source that a raw completion continues, to the letter; "" for none.

    Returns:
        Source text. Without any definition: the longest fenced block, else `prompt` and the answer as they are.
    """
    prompt = answer_text.normalize(prompt)
    text = answer_text.final_answer(answer_text.normalize(text))
    if entry_point in prompt + text and parse(prompt + text):
        whole = Code(Part(prompt + text, False))
        if whole.quality(entry_point) is Quality.WHOLE:
            return _program(whole, [], prompt, entry_point)
    parts = [Code(part) for part in answer_text.markdown_parts(text)]
    fallback = Code(Part("", False))
    for reading in _readings(text, parts, entry_point):
        chosen = _last_whole(reading, entry_point)
        if chosen.quality(entry_point) is Quality.WHOLE:
            return _program(chosen, reading, prompt, entry_point)
        fallback = max(fallback, chosen, key=lambda code: code.quality(entry_point))
    body = _completed(parts, text, entry_point, prompt)
    if body is not None:
        return _program(body, parts, prompt, entry_point)
    if fallback.quality(entry_point):
        return _program(fallback, parts, prompt, entry_point)
    return max((code.text for code in parts if code.fenced), key=len, default="") or prompt + text


def _readings(text: str, parts: Sequence[Code], entry_point: str) -> Iterator[Sequence[Code]]:
    """The ways to read an answer: as Markdown, as HTML, as Markdown whose fences mean nothing, as code within a line."""
    yield parts
    yield [Code(part) for part in answer_text.html_parts(text)]
    if any(code.fenced for code in parts):
        yield [Code(Part("\n".join(code.text for code in parts), False))]
    yield [Code(part) for part in answer_text.inline_parts(text, entry_point)]


def _last_whole(parts: Sequence[Code], entry_point: str) -> Code:
    """The part with the best definition, of equal ones the last; not one that only repeats an earlier one's beginning."""
    best = Code(Part("", False))
    for code in parts:
        if code.quality(entry_point) >= max(best.quality(entry_point), Quality.STUB):
            best = best if _begins(best, code, entry_point) else code
    return best


def _begins(long: Code, short: Code, entry_point: str) -> bool:
    """Whether the definition in `short` is the beginning of the longer one in `long`."""
    first, second = (
        next((s.source.rstrip() for s in reversed(code.statements) if entry_point in s.quality), "")
        for code in (long, short)
    )
    return bool(second) and len(second) < len(first) and first.startswith(second + "\n")


def _completed(parts: Sequence[Code], text: str, entry_point: str, prompt: str) -> Code | None:
    """The prompt's signature with the body that the answer gives without one."""
    if not re.search(rf"\bdef[ \t]+{re.escape(entry_point)}\b", prompt):
        return None
    head = prompt.rstrip(" \t")
    margin = _margin(prompt)
    for body in _bodies(parts, text):
        first, _, rest = body.lstrip("\n").partition("\n")
        bodies = (body, moved_left(body, margin), f"{margin}{first.lstrip()}\n{rest}")
        for source in (prompt + body, *(f"{head.rstrip()}\n{one}" for one in bodies)):
            code = Code(Part(source, False))
            if code.quality(entry_point) is Quality.WHOLE:
                return code
    return None


def _margin(prompt: str) -> str:
    """The indentation of the prompt's open function."""
    last = next((line for line in reversed(prompt.split("\n")) if line.strip()), "")
    return last[: len(last) - len(last.lstrip())] or "    "


def _bodies(parts: Sequence[Code], text: str) -> Iterator[str]:
    """Code that may be a body: fenced blocks, the last first; all of the text; what is indented below prose, the last first.

    A piece that another part holds too is a quotation from there.
    """
    squeezed = [_squeezed(code.text) for code in parts]

    def giving(found: Sequence[str]) -> Iterator[str]:
        for body in reversed([one for one in found if GIVES.search(one)][-BODIES:]):
            if sum(_squeezed(body) in whole for whole in squeezed) <= 1:
                yield body

    yield from giving([code.text for code in parts if code.fenced])
    yield "\n".join(code.text for code in parts) if parts else text
    yield from giving([run for code in parts if not code.fenced for run in below_prose(code.text)])


def _squeezed(text: str) -> str:
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def _program(chosen: Code, parts: Sequence[Code], prompt: str, entry: str) -> str:
    """The needed statements of the chosen part, with what they miss from the other parts and from the prompt."""
    own = _without_drafts(chosen.statements, entry)
    _, names = needed(own, {entry}, entry)
    bound = frozenset(name for s in own for name in s.names.binds)
    others = [s for code in parts if code is not chosen for s in _offered(code, entry, bound)]
    borrowed: list[Statement] = []
    for pool in (others, [s for s in statements(prompt) if entry not in s.names.binds]):
        known = bound.union(*(s.names.binds for s in borrowed))
        taken, names = needed([s for s in pool if s.names.binds.isdisjoint(known)], names, entry)
        borrowed = [*taken, *borrowed]
    kept, _ = needed(own, names, entry)
    sources = {s.source for s in kept}
    borrowed = [s for s in borrowed if not (s.names.binds and s.source in sources)]
    # what runs on the chosen part's objects has to follow them
    late = [s for s in borrowed if not (s.names.calls if s.names.defines else s.names.reads).isdisjoint(bound)]
    ordered = [*(s for s in borrowed if s not in late), *kept, *late]
    ordered.sort(key=lambda s: not s.source.startswith("from __future__"))
    return "\n".join(s.source for s in ordered) + "\n"


def _without_drafts(part: Sequence[Statement], entry: str) -> list[Statement]:
    """Where there is a whole definition: without the signatures before it, and those that are cut off."""
    whole = [number for number, s in enumerate(part) if s.quality.get(entry) is Quality.WHOLE]
    last = whole[-1] if whole else -1
    unfinished = (Quality.STUB, Quality.CUT)
    return [
        s
        for n, s in enumerate(part)
        if not whole or s.quality.get(entry) not in (unfinished if n < last else unfinished[1:])
    ]


def _offered(code: Code, entry: str, bound: frozenset[str]) -> list[Statement]:
    """What another part may give: its definitions and values; where it neither defines nor tries `entry`, its changes."""
    part = [s for s in code.statements if entry not in s.names.binds]
    tries = len(part) < len(code.statements) or any(entry in s.names.calls for s in part)
    again = bound & {name for s in part for name in s.names.binds}
    return [
        s
        for s in part
        if (s.names.binds and not s.always) or not (tries or any(name in again for name, _ in s.names.changes))
    ]
