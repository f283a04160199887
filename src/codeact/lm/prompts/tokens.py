"""A rendered conversation as tokens: which are the answers, which end them, and what generation is given.

The whole conversation is tokenised once; the character offsets of that one tokenisation decide. A token that straddles the
beginning of an answer belongs to the answer, since generation has to write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any
from weakref import WeakKeyDictionary

from codeact.errors import InputError
from codeact.lm.prompts.answers import Answer, locate
from codeact.lm.prompts.templates import (
    PAIR,
    Conversation,
    Template,
    adds_special,
    check_vocabulary,
    encode_text,
    piece,
    prompt_text,
    special_ids,
)
from codeact.lm.prompts.turns import RefusedError
from codeact.records import Message
from codeact.types import Tokenizer

PROBE = "The"  # begins a word in every tokenizer
Span = tuple[int, int]
NOWHERE: Span = (-1, -1)


@dataclass(frozen=True, slots=True)
class Turn:
    """Token span of one assistant turn: `[start, end)` is its answer, `[end, stop)` its end-of-turn marker.

    `learn` is False where the turn is context only. An empty answer gives start == end.
    """

    start: int
    end: int
    stop: int
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised conversation. `turns` has one entry per assistant turn.

    Attributes:
        input_ids: all tokens.
        turns: where the tokens of each assistant turn are.
        contents: the text of each assistant turn as it was rendered.
        starts: for each turn, the character of `contents` at which each of its tokens starts; negative for what the
            template writes between the generation prompt and the content.
        notes: what the template does otherwise in training than in generation, one line each.
    """

    input_ids: list[int]
    turns: tuple[Turn, ...]
    contents: tuple[str, ...]
    starts: tuple[list[int], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What generation is given, and how its answer is read.

    Attributes:
        ids: the tokens that stand before an answer in training; at least one.
        lead: what the model writes before the answer's own text (a blank, an empty think block, a channel), without special
            tokens.
        header: the same as tokens; none where it is blank.
        ends: special tokens that end a turn.
        stops: texts that end a turn where no special token does.
        notes: as in `Encoded`.
    """

    ids: tuple[int, ...]
    lead: str = ""
    header: tuple[int, ...] = ()
    ends: frozenset[int] = frozenset()
    stops: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def encode(
    messages: Sequence[Message], template: Template, tokenizer: Tokenizer, add_eos: bool = False, tools: str = ""
) -> Encoded:
    """Tokenise one conversation and find its assistant turns.

    Args:
        messages: the conversation, with an assistant turn.
        template: how it becomes text.
        tokenizer: a fast Hugging Face tokenizer (it must give character offsets).
        add_eos: end with EOS where the template leaves the last turn that is learnt open (training needs it; scoring does not).
        tools: schemas that the model may call, as JSON text.

    Raises:
        RefusedError: the template does not take the conversation, or leaves a part of it out; as `check_vocabulary`.
        InputError: `add_eos` on a tokenizer without EOS.
    """
    found = locate(messages, template, tokenizer, tools)
    text = found.text
    coded = tokenizer(text, add_special_tokens=adds_special(text, template, tokenizer), return_offsets_mapping=True)
    ids: list[int] = list(coded["input_ids"])
    check_vocabulary(ids, tokenizer)
    special = special_ids(tokenizer)
    spans = _token_spans(text, coded["offset_mapping"], ids, special)
    marks = _marks(template, tokenizer)
    turns: list[Turn] = []
    at = 0
    for answer in found.answers:
        start, end = _tokens_of(text, answer, spans, at)
        stop = _stop(text, answer, end, ids, spans, marks) if end > start else end
        turns.append(Turn(start, end, stop, answer.learn))
        at = stop
    last = max((n for n, turn in enumerate(turns) if turn.learn and turn.end > turn.start), default=-1)
    if add_eos and last >= 0 and turns[last].stop == turns[last].end:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "this tokenizer has no EOS token, so a model cannot learn to stop; set tokenizer.eos_token or use a template that ends turns"
            )
        end = turns[last].end
        ids = [*ids[:end], tokenizer.eos_token_id]
        after = [Turn(end + 1, end + 1, end + 1, turn.learn) for turn in turns[last + 1 :]]
        turns = [*turns[:last], Turn(turns[last].start, end, end + 1), *after]
    inside = tuple(
        [s - a.content[0] for s, _ in spans[t.start : t.end]] for t, a in zip(turns, found.answers, strict=True)
    )
    contents = tuple(text[slice(*a.content)] for a in found.answers)
    notes = found.notes + _plain_note(template, marks, tokenizer)
    return Encoded(ids, tuple(turns), contents, inside, notes)


def ask(messages: Sequence[Message], template: Template, tokenizer: Tokenizer, tools: str = "") -> Asked:
    """The tokens that ask for the next answer: those that stand before an answer in training.

    Raises:
        RefusedError: the template does not take these messages.
    """
    prompt = prompt_text(messages, template, tokenizer, tools)
    ids = encode_text(prompt, template, tokenizer)
    try:
        trained = encode((*messages, Message("assistant", PROBE)), template, tokenizer, tools=tools)
    except RefusedError:
        return Asked(tuple(ids))
    turn, starts = trained.turns[-1], trained.starts[-1]
    special = special_ids(tokenizer)
    # a blank at the prompt's end that a tokenizer joins to what follows is left for the model to write
    ids = trained.input_ids[: turn.start] or ids
    own = sum(start < 0 for start in starts)
    written = trained.input_ids[turn.start : turn.start + own]
    header = tuple(written) if str(tokenizer.decode(written)).strip() else ()
    both = (ids, trained.input_ids[: turn.end])
    before, whole = (str(tokenizer.decode(part, skip_special_tokens=True)) for part in both)
    lead, found, _ = whole[len(before) :].partition(PROBE) if own and whole.startswith(before) else ("", "", "")
    lead = lead if found else ""
    marker = trained.input_ids[turn.end : turn.stop]
    ends = frozenset(next(([i] for i in marker if i in special), []))
    stop = "" if ends or not marker else str(tokenizer.decode(marker))
    return Asked(tuple(ids), lead, header, ends, (stop,) if stop.strip() else (), trained.notes)


def ask_to_think(messages: Sequence[Message], template: Template, tokenizer: Tokenizer) -> Asked:
    """The tokens that ask a reasoning model for its thoughts and an answer: the template's generation prompt with thinking switched on.

    Raises:
        RefusedError: the template does not take these messages.
    """
    told = ask(messages, template, tokenizer)
    text = Conversation(messages, template, tokenizer, generation=True).asking_for_thoughts()
    return Asked(tuple(encode_text(text, template, tokenizer)), ends=told.ends, stops=told.stops, notes=told.notes)


@dataclass(frozen=True, slots=True)
class _Marks:
    """How a template ends turns with this tokenizer.

    Attributes:
        special: every special token.
        closing: those that may end a turn: all but a BOS that is not EOS too.
        following: those that may follow another one in a marker: not what the template writes before the first turn.
        plain: words that end a turn, with or without special tokens behind them; "" for none.
    """

    special: frozenset[int]
    closing: frozenset[int]
    following: frozenset[int]
    plain: str


_known: WeakKeyDictionary[Any, dict[tuple[str, tuple[int | None, ...], int], _Marks]] = WeakKeyDictionary()


def _marks(template: Template, tokenizer: Tokenizer) -> _Marks:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    key = (template.identity, (bos, eos), len(tokenizer))
    kept = _known.setdefault(tokenizer, {})
    if key not in kept:
        special = special_ids(tokenizer)
        before = piece(PAIR, None, template, tokenizer)
        after = piece(PAIR, 1, template, tokenizer)
        opening = tokenizer(before, add_special_tokens=False)["input_ids"]
        earlier = piece(PAIR * 2, 1, template, tokenizer)
        run = _closing_run(after, earlier, opening, special, tokenizer)
        closing = special if bos == eos else special - {bos}
        following = closing - (frozenset(opening) - frozenset(run))
        kept[key] = _Marks(special, closing, following, _plain_end(tokenizer, after, earlier, run))
    return kept[key]


def _closing_run(
    after: str, earlier: str, opening: Sequence[int], special: frozenset[int], tokenizer: Tokenizer
) -> list[int]:
    """The adjacent special tokens with which the template ends its last answer."""
    run, other = (
        list(takewhile(special.__contains__, dropwhile(lambda i: i not in special, ids)))
        for ids in (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (after, earlier))
    )
    if not earlier or earlier.startswith(after.rstrip()):
        return run
    # the template writes the next header always: what both have in common, less the token that starts a turn
    shared = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(run, other, strict=False))]
    starts = next((i for i in opening if i in special and i != tokenizer.bos_token_id), None)
    return list(takewhile(lambda i: i != starts, shared)) or run[:1]


def _plain_end(tokenizer: Tokenizer, after: str, earlier: str, run: Sequence[int]) -> str:
    """The words that end a turn, with the special tokens behind them: what follows the last answer and every earlier one."""
    words = after.rstrip()
    for mark in tokenizer.convert_ids_to_tokens(list(run)):
        words = after[: after.find(mark) + len(mark)] if mark in after else words
    if not words.strip() or (run and not after.partition(str(tokenizer.convert_ids_to_tokens(run[0])))[0].strip()):
        return ""
    return words if not earlier or earlier.startswith(words) else ""


def _tokens_of(text: str, answer: Answer, spans: Sequence[Span], at: int) -> tuple[int, int]:
    """The tokens of an answer, without its marker, from token `at` on: linear over a conversation."""
    start = at
    while start < len(spans) and not (spans[start][1] > answer.begin or spans[start] == (answer.begin, answer.begin)):
        start += 1
    end = start
    while end < len(spans) and spans[end] != NOWHERE and spans[end][0] < answer.end:
        end += 1
    if answer.begin == answer.end or not any(last > first for first, last in spans[start:end]):
        return start, start
    # most first words take a blank at the prompt's end into their token; then it is the answer's before every word
    while start > at and text[slice(*spans[start - 1])] and not text[slice(*spans[start - 1])].strip(" "):
        start -= 1
    return start, end


def _stop(text: str, answer: Answer, end: int, ids: Sequence[int], spans: Sequence[Span], marks: _Marks) -> int:
    """Where the end-of-turn marker ends that starts at token `end`: blanks and special tokens, or the template's words."""
    said = answer.end
    at = end
    while at < len(ids) and ids[at] not in marks.special and not text[slice(*spans[at])].strip():
        at += 1
    if at < len(ids) and ids[at] in marks.closing:
        at += 1
        while at < len(ids) and ids[at] in marks.following and 0 <= spans[at][0] < answer.limit:
            at += 1
        return at
    if marks.plain and text.startswith(marks.plain, said):
        return next((i for i in range(end, len(ids)) if spans[i][0] >= said + len(marks.plain)), len(ids))
    return end


def _plain_note(template: Template, marks: _Marks, tokenizer: Tokenizer) -> tuple[str, ...]:
    plain = marks.plain
    if not plain or not marks.special.isdisjoint(tokenizer(plain, add_special_tokens=False)["input_ids"]):
        return ()
    return (
        f"template {template.name!r} ends answers with {plain!r}, which is no special token of this tokenizer: "
        "evaluate stops there, other programs may not",
    )


def _token_spans(text: str, offsets: Sequence[Span], ids: Sequence[int], special: frozenset[int]) -> list[Span]:
    """First character of each token and the one after its last; (-1, -1) for a token that stands for no text (BOS).

    Byte-level tokenizers may trim blanks out of a token's offsets; they are given back to the token. No special token holds
    any: before one stand blanks that the tokenizer drops, or an end-of-turn marker would count as the answer's.
    """
    spans: list[Span] = []
    reached = 0
    following = len(text)
    nexts = [0] * len(offsets)
    for index in range(len(offsets) - 1, -1, -1):
        nexts[index] = following
        following = offsets[index][0] if offsets[index][0] < offsets[index][1] else following
    for (start, end), identity, upto in zip(offsets, ids, nexts, strict=True):
        if start == end and identity in special:
            spans.append(NOWHERE)
            continue
        if start == end:
            start, end = reached, upto if text[reached:upto].isspace() else reached
        elif start > reached and text[reached:start].isspace() and identity not in special:
            start = reached
        spans.append((start, end))
        reached = max(reached, end)
    return spans
