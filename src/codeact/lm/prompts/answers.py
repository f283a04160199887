"""Where each answer stands in a rendered conversation, as characters.

An answer begins where the generation prompt for the turns before it ends, so that a model is trained, scored and asked in
the same context: a blank, a line break or a header that the template writes after that prompt belongs to the answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codeact.lm.prompts.alignment import HOLE, Span, said_after_thoughts, shared, spans_in, thoughts_of, with_holes
from codeact.lm.prompts.templates import (
    CLOSE,
    OPEN,
    PAIR,
    Conversation,
    Template,
    dated,
    piece,
    special_ids,
)
from codeact.lm.prompts.turns import RefusedError
from codeact.records import Message
from codeact.types import Tokenizer

_THOUGHT_MARK = re.compile(r"\s*(</?think>)\s*")
_SHOWN = 60  # characters of a template's text that a note quotes


@dataclass(frozen=True, slots=True)
class Answer:
    """One assistant turn, as characters of the text: begin <= end.

    Attributes:
        begin: where the generation prompt ends.
        content: where what the turn says stands; `begin` may lie before it (a blank, a header) or in it.
        end: where the turn's own text ends and its end-of-turn marker follows.
        limit: no further than here goes a marker of several tokens.
        learn: False for a turn that is context only.
    """

    begin: int
    content: Span
    end: int
    limit: int
    learn: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation's text, the answers in it, and what the template does otherwise in training than in generation."""

    text: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]


def render(
    messages: Sequence[Message], template: Template, tokenizer: Tokenizer, tools: str = ""
) -> tuple[str, list[tuple[int, int]]]:
    """The conversation's text and the character span of each assistant turn's content.

    Raises:
        RefusedError: as `locate`.
    """
    found = locate(messages, template, tokenizer, tools)
    return found.text, [answer.content for answer in found.answers]


def locate(messages: Sequence[Message], template: Template, tokenizer: Tokenizer, tools: str = "") -> Rendered:
    """Render a conversation and find its answers.

    It is also rendered with holes for the contents, so the places are exact even where an answer occurs in its prompt too.

    Raises:
        RefusedError: the template does not take the conversation, or leaves a part of it out.
    """
    talk = Conversation(messages, template, tokenizer, tools)
    holes, spans = with_holes(talk)
    notes: list[str] = []
    holes = _agree(talk, holes, spans, notes)
    spans = spans_in(talk, holes)
    _check_complete(talk, spans, holes)
    leads: dict[str, int] = {}
    answers: list[Answer] = []
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        span, floor = spans.get(number), _end_before(spans, number, answers)
        if span is None and not (message.learn and _says(message)):
            answers.append(Answer(floor, (floor, floor), floor, floor, message.learn))
            continue
        gap = talk.text[floor : span[0]] if span else None
        if gap is not None and gap in leads:
            assert span is not None
            begin = span[0] - leads[gap]
        else:
            begin = _begin(talk, number, floor, spans, notes)
            if gap is not None and span is not None:
                leads[gap] = span[0] - begin
        limit = len(talk.text)
        if span is None or message.tool_calls:
            end, limit = _turn_end(talk, number, begin, spans)
            if span is None:
                _check_same(talk, number, talk.text[floor:end])
                span = (begin, end)
        else:
            end = span[1]
        answers.append(Answer(min(begin, end), span, end, limit, message.learn))
    notes += _uneven(talk.text, answers) + _unsaid(talk, answers) + dated(template, tokenizer)
    return Rendered(talk.text, tuple(answers), tuple(dict.fromkeys(notes)))


def _unsaid(talk: Conversation, answers: Sequence[Answer]) -> list[str]:
    """Notes of what the template leaves out of answers: their thoughts in every turn (of earlier turns many do so on purpose), an indentation."""
    name = talk.template.name
    said = [m for m in talk.messages if m.role == "assistant"]
    thoughts = [thought for message in said for thought in thoughts_of(message)]
    notes = []
    if thoughts and not any(thought in talk.text for thought in thoughts):
        notes.append(
            f"template {name!r} leaves the reasoning out, and answers are learnt without it; write it into their text, or take a template with a"
            " place for it"
        )
    asked = [m.content.strip() for m in talk.messages if m.role == "user" and m.content.strip()]
    if asked and not any(question in talk.text for question in asked):
        notes.append(f"template {name!r} shows no question: answers are learnt and scored without what was asked")
    lost = any(
        m.content[:1] in (" ", "\t") and a.learn and not talk.text[a.begin : a.content[1]].startswith(m.content[:1])
        for m, a in zip(said, answers, strict=True)
    )
    if lost:
        notes.append(
            f"template {name!r} strips the indentation with which an answer begins, and code is learnt without it; begin answers with a line at the"
            " margin"
        )
    return notes


def _agree(talk: Conversation, holes: str, spans: Mapping[int, Span], notes: list[str]) -> str:
    """Make the text begin with the generation prompt for its last answer, where the template's own rendering does not.

    A model that thinks unless it is told not to is asked so; else the last answer is put behind the generation prompt.
    Returns the text with holes, changed in step.
    """
    last = max((n for n, m in enumerate(talk.messages) if m.role == "assistant"), default=0)
    try:
        asked = talk.beginning(last, generation=True) if last else ""
    except RefusedError:
        return holes
    if talk.text.startswith(asked):
        return holes
    name = talk.template.name
    if talk.text.startswith(talk.beginning(last, generation=True, thinking=False)):
        notes.append(
            f"template {name!r}: answers without thoughts stand behind the prompt of a model that is told not to think "
            "(enable_thinking=False); evaluate asks so, and so must others"
        )
        return holes
    hole = holes.find(f"{OPEN}{last}{CLOSE}")
    if hole < 0 or last not in spans:
        return holes
    same, begin = shared(asked, talk.text), spans[last][0]
    # what differs further up is how the template shows earlier turns; and no thoughts are cut off or begun twice
    further_up = same < max((end for n, (_, end) in spans.items() if n < last), default=0)
    begun = asked.rstrip().endswith("<think>") and talk.text[begin:].lstrip().startswith("<think>")
    if further_up or begun or _thinks_in(talk, last, talk.text[same:begin]):
        return holes
    try:
        before = talk.with_holes(last, generation=True)
    except RefusedError:
        return holes
    trained = talk.text[:begin]
    talk.text = asked + talk.text[begin:]
    notes.append(f"template {name!r}: {_difference(asked, trained)}; answers are learnt behind the generation prompt")
    return before + holes[hole:]


def _says(message: Message) -> bool:
    return bool(message.content.strip() or message.tool_calls or message.reasoning.strip())


def _check_complete(talk: Conversation, spans: Mapping[int, Span], holes: str) -> None:
    """Refuse what the template leaves out: a turn's text, a tool."""
    shown = Counter(map(int, HOLE.findall(holes)))
    asked = not holes or any(talk.messages[number].role == "user" for number in shown)
    name, late = talk.template.name, _late(spans)
    for number, message in enumerate(talk.messages):
        told = number in spans or number in shown or not message.content.strip()
        if not told and message.role in ("system", "tool"):
            raise RefusedError(f"template {name!r} leaves the {message.role}'s turn {number + 1} out; {_mend(message)}")
        if not told and message.role == "assistant" and message.learn and holes:
            raise RefusedError(f"template {name!r} {_REWRITES.format('assistant', number + 1, message.content[:40])}")
        if message.role == "assistant" and message.learn and number in late:
            raise RefusedError(f"template {name!r} shows what turn {number + 1} says behind later turns; {_mend(message)}")
        if message.role == "assistant" and message.learn and shown[number] > 1:
            raise RefusedError(f"template {name!r} shows the assistant's turn {number + 1} {shown[number]} times; {_mend(message)}")
        if number in spans or message.content.strip() in talk.text or (message.role == "user" and not asked):
            continue
        if message.role in ("user", "system"):
            raise RefusedError(f"template {name!r} {_REWRITES.format(message.role, number + 1, message.content[:40])}")
    for tool in talk.tools or ():
        called = tool.get("function", tool).get("name", "") if isinstance(tool, dict) else ""
        if isinstance(called, str) and called not in talk.text:
            raise RefusedError(
                f"template {name!r} does not show the tool {called!r}; use --template question or a template with tools"
            )


def _late(spans: Mapping[int, Span]) -> set[int]:
    """Turns whose content stands behind that of a later turn."""
    found: set[int] = set()
    first: int | None = None
    for number in sorted(spans, reverse=True):
        begin = spans[number][0]
        if first is not None and begin > first:
            found.add(number)
        first = begin if first is None else min(first, begin)
    return found


_REWRITES = "drops or rewrites the {}'s turn {} ({!r}...); use --template question or your own jinja file"


def _mend(message: Message) -> str:
    if message.role == "system":
        return "put its text into the first user turn, or use --template question"
    return "use --template question or your own jinja file"


def _check_same(talk: Conversation, number: int, found: str) -> None:
    """Refuse a turn whose content was not found as it is: nothing but blanks around the marks of its thoughts may differ."""
    content = talk.messages[number].content
    wanted, there = content.strip(), found
    if said_after_thoughts(talk.messages[number]):
        wanted, there = (_THOUGHT_MARK.sub(r"\1", text) for text in (wanted, there))
    if wanted not in there:
        raise RefusedError(f"template {talk.template.name!r} {_REWRITES.format('assistant', number + 1, content[:40])}")


def _end_before(spans: Mapping[int, Span], number: int, answers: Sequence[Answer]) -> int:
    """Where the turn before ends: no answer begins earlier."""
    before = spans.get(number - 1)
    return max(before[1] if before else 0, answers[-1].end if answers else 0)


def _begin(talk: Conversation, number: int, floor: int, spans: Mapping[int, Span], notes: list[str]) -> int:
    """Where the generation prompt for the turns before `number` ends in the text."""
    text, span = talk.text, spans.get(number)
    last = span[1] if span else len(text)
    prompts: list[str] = []
    for thinking in (True, False):
        try:
            asked = talk.beginning(number, generation=True, thinking=thinking)
        except RefusedError:
            break  # a conversation that the assistant opens
        if asked and text.startswith(asked) and floor <= len(asked) <= last:
            # a template without generation prompts: what it writes before each answer is context, and `ask` writes it too
            header = text[len(asked) : span[0]] if span else ""
            unprompted = header.strip() and not _thinks_in(talk, number, header) and _never_prompts(talk, number, asked)
            return span[0] if span is not None and unprompted else len(asked)
        prompts.append(asked)
    if prompts and talk.messages[number].learn:
        differs = _difference(prompts[0], text[: span[0]] if span else text)
        notes.append(f"template {talk.template.name!r}: {differs}; an earlier answer is learnt so")
    # tools or a system text may stand elsewhere in a shorter conversation: what follows the last turn decides
    core = text[slice(*spans[number - 1])].strip() if number - 1 in spans else talk.messages[number - 1].content.strip() if number else ""
    for asked in prompts:
        tail = asked[asked.rfind(core) + len(core) :] if core and core in asked else ""
        if tail and text.startswith(tail, floor) and floor + len(tail) <= last:
            return floor + len(tail)
        if tail and span is not None and _thinks_in(talk, number, text[floor : span[0]]):
            return floor + shared(tail, text[floor : span[0]])  # a prompt without thoughts, and an answer with them
    return span[0] if span is not None else max(floor, shared(prompts[-1], text) if prompts else 0)


def _thinks_in(talk: Conversation, number: int, text: str) -> bool:
    """Whether a turn's thoughts stand in a part of the text."""
    return any(thought in text for thought in thoughts_of(talk.messages[number]))


def _never_prompts(talk: Conversation, number: int, asked: str) -> bool:
    """Whether the template has no generation prompts; one that writes them always does so after the last answer too."""
    if asked != talk.beginning(number, generation=False):
        return False
    last, earlier = (piece(roles * n, 1, talk.template, talk.tokenizer) for roles, n in ((PAIR, 1), (PAIR, 2)))
    return not earlier or earlier.startswith(last.rstrip())


def _difference(asked: str, trained: str) -> str:
    same = shared(asked, trained)
    before = asked[max(0, same - 20) : same]
    here, there = (text[same : same + _SHOWN] for text in (asked, trained))
    return f"the generation prompt has {here!r} after {before!r}, the template's rendering of an answer {there!r}"


def _turn_end(talk: Conversation, number: int, begin: int, spans: Mapping[int, Span]) -> tuple[int, int]:
    """Where a turn's text ends whose calls, or rewritten content, follow no hole; and where its end-of-turn marker ends at last."""
    text, limit = talk.text, len(talk.text)
    specials = talk.tokenizer.convert_ids_to_tokens(sorted(special_ids(talk.tokenizer)))
    if number + 1 < len(talk.messages):
        until = talk.beginning(number + 1, generation=False)
        following = spans.get(number + 1)
        limit = max(shared(text, until), begin + _same_end(text, until, begin))
        if limit <= begin:
            limit = following[0] if following else len(text)
        elif not until.endswith(text[begin:limit]):  # the template writes the next header always: back to where a turn starts
            before = piece(PAIR, None, talk.template, talk.tokenizer)
            opening = sorted(
                (before.find(s), s) for s in specials if s and s in before and s != talk.tokenizer.bos_token
            )
            at = text.rfind(opening[0][1], begin, limit + len(opening[0][1])) if opening else -1
            limit = at if at > begin else limit
        if any(name not in text[begin:limit] for name in talk.called(number)):
            raise RefusedError(
                f"template {talk.template.name!r}: where the tool calls of turn {number + 1} end cannot be told;"
                " use --template question or your own jinja file"
            )
    said = text[begin:limit].rstrip()
    while (mark := next((s for s in specials if s and said.endswith(s)), None)) is not None:
        said = said[: -len(mark)].rstrip()
    return begin + len(said), limit


def _same_end(text: str, until: str, begin: int) -> int:
    """Characters of the text from `begin` on with which the conversation up to that turn ends: a last turn may begin otherwise."""
    first = text[begin : begin + 8]
    at = until.find(first, min(begin, shared(text, until)))
    while at >= 0 and first:
        if text.startswith(until[at:], begin):
            return len(until) - at
        at = until.find(first, at + 1)
    return 0


def _uneven(text: str, answers: Sequence[Answer]) -> list[str]:
    """A note where some answers of one conversation get a header that others lack."""
    heads = dict.fromkeys(text[a.begin : a.content[0]] for a in answers if a.learn and a.begin < a.content[1])
    if len({head.strip() for head in heads}) < 2:
        return []
    shown = " and ".join(repr(head[-_SHOWN:]) for head in heads)
    return [
        f"the template begins the answers of one conversation differently ({shown}), and each is learnt as it stands"
    ]
