"""Records to the token streams of the two passes: with the instruction (conditional), and without it (unconditional).

Two variants, defined in docs/scoring.md:

    default   the conversation is tokenised once; the very tokens of a response are scored in both passes, after BOS (EOS
              where there is none) in the unconditional one
    paper     the CodeACT reference: prompt, prompt + response, and response are tokenised separately
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.lm.prompts import RefusedError, Template, encode, encode_text, load_template, prompt_text
from codeact.lm.streams import Span, Stream
from codeact.records import Record
from codeact.score.surprise import Spot, find_spots
from codeact.statuses import MEASURED, Status
from codeact.types import Tokenizer

Variant = Literal["default", "paper"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant turn: its status before the model has run, tokens of context, and tokens to score.

    The status `context` is that of a turn which is not to be learnt, and so is not scored.
    """

    status: Status
    prompt_tokens: int
    response_tokens: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is run through the model for one record.

    Attributes:
        status: ok, truncated, empty, too_long or refused; the last three have no streams.
        conditional: streams with the instruction; one per record, or in the paper's variant one per turn.
        unconditional: streams without it, one per turn that has tokens to score.
        prompt_tokens: conditional tokens that are not scored, up to the last scored one.
        response_tokens: conditional tokens that are scored.
        turns: one entry per assistant turn.
        same_tokens: both passes score the same tokens (the default variant).
        spots: scored tokens of operators and whole numbers, counted over all turns; none in the paper's variant.
        detail: why the template refuses the record; "" for any other status.
    """

    id: str
    status: Status
    conditional: tuple[Stream, ...]
    unconditional: tuple[Stream, ...]
    prompt_tokens: int
    response_tokens: int
    turns: tuple[Turn, ...]
    same_tokens: bool
    spots: tuple[Spot, ...] = ()
    detail: str = ""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All streams, the conditional ones first."""
        return (*self.conditional, *self.unconditional)


def default_template(variant: str, tokenizer: Tokenizer, name: str = "auto") -> Template:
    """The template `name`; for `auto` that of the variant: the paper's "Question/Answer", or for the default the tokenizer's own where it has one.

    Raises:
        InputError: unknown variant, or as `load_template`.
    """
    return load_template(template_name(variant, name), tokenizer)


def template_name(variant: str, name: str) -> str:
    """The name of the template that a variant scores with where `name` is asked for.

    Raises:
        InputError: unknown variant.
    """
    return "question" if check_variant(variant) == "paper" and name == "auto" else name


def check_variant(variant: str) -> Variant:
    """The same name, typed.

    Raises:
        InputError: unknown variant.
    """
    if variant not in get_args(Variant):
        raise InputError(f"scoring variant {variant!r} is unknown; use {' or '.join(get_args(Variant))}")
    return cast(Variant, variant)


def build_sequences(
    record: Record,
    template: Template,
    tokenizer: Tokenizer,
    variant: str = DEFAULTS.score.variant,
    max_length: int = DEFAULTS.model.max_length,
) -> Prepared:
    """Tokenise one record for both passes.

    What does not fit into `max_length` tokens is cut from the end of the response (truncated); a prompt is never cut, and
    where it leaves no room for a response token the turn is too_long. Later turns of a conversation that was cut are
    too_long. A record that the template refuses, or would leave a part of out, is refused.

    Args:
        record: the conversation; assistant turns are scored, each after all that precedes it.
        template: how the conversation becomes text.
        tokenizer: a fast Hugging Face tokenizer.
        variant: default or paper.
        max_length: most tokens of a stream.

    Raises:
        InputError: unknown variant, `max_length` below 2, a template with a fault in it, or (default variant) a tokenizer
            without BOS and EOS.
    """
    if max_length < 2:
        raise InputError(f"max_length is {max_length}; scoring needs at least 2 tokens")
    build: Callable[[Record, Template, Any, int], Prepared]
    build = _paper if check_variant(variant) == "paper" else _default
    try:
        return build(record, template, tokenizer, max_length)
    except RefusedError as error:
        return Prepared(record.id, "refused", (), (), 0, 0, (), same_tokens=variant == "default", detail=str(error))


def context_token(tokenizer: Tokenizer) -> int:
    """What the unconditional pass of the default variant starts with: BOS, or EOS where there is none.

    Raises:
        InputError: the tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InputError(
        "this tokenizer has neither BOS nor EOS, so the first response token has no context; set one, or use variant=paper"
    )


def _default(record: Record, template: Template, tokenizer: Tokenizer, max_length: int) -> Prepared:
    coded = encode(record.messages, template, tokenizer, tools=record.tools)
    first = context_token(tokenizer)
    # a template without any prompt: the first token still needs a context to be predicted from
    shift = 1 if coded.turns and coded.turns[0].start == 0 else 0
    ids = [first] * shift + coded.input_ids
    spans: list[Span] = []
    alone: list[Stream] = []
    turns: list[Turn] = []
    spots: list[Spot] = []
    for number, turn in enumerate(coded.turns):
        start, end = turn.start + shift, min(turn.end + shift, max_length)
        if not turn.learn or turn.start == turn.end:
            turns.append(Turn("empty" if turn.learn else "context", start, 0))
        elif end <= start:
            turns.append(Turn("too_long", start, 0))
        else:
            before = sum(span.end - span.start for span in spans)
            spots += find_spots(coded.contents[number], coded.starts[number], end - start, before)
            spans.append(Span(number, start, end))
            # one token of context stands for the whole prompt, so this is never longer than the conditional stream
            alone.append(Stream([first, *ids[start:end]], (Span(number, 1, 1 + end - start),)))
            turns.append(Turn("ok" if end == turn.end + shift else "truncated", start, end - start))
    whole = (Stream(ids[: spans[-1].end], tuple(spans)),) if spans else ()
    scored = sum(span.end - span.start for span in spans)
    prompt = spans[-1].end - scored if spans else turns[0].prompt_tokens if turns else len(ids)
    return Prepared(
        record.id,
        _overall(turns),
        whole,
        tuple(alone),
        prompt,
        scored,
        tuple(turns),
        same_tokens=True,
        spots=tuple(spots),
    )


def _paper(record: Record, template: Template, tokenizer: Tokenizer, max_length: int) -> Prepared:
    conditional: list[Stream] = []
    alone: list[Stream] = []
    turns: list[Turn] = []
    for position, message in enumerate(record.messages):
        if message.role != "assistant":
            continue
        if not message.learn:
            turns.append(Turn("context", 0, 0))
            continue
        prompt = prompt_text(record.messages[:position], template, tokenizer, record.tools)
        boundary = len(encode_text(prompt, template, tokenizer))
        full, cut = _cut(encode_text(prompt + message.content, template, tokenizer), max_length)
        room = max_length - boundary + 1
        answer, _ = _cut(list(tokenizer(message.content)["input_ids"]), room) if room > 0 else ([], True)
        if message.content and boundary >= max_length:
            turns.append(Turn("too_long", boundary, 0))
        elif not message.content or len(full) <= max(boundary, 1) or len(answer) < 2:
            # without BOS an answer of one token has nothing before it that could predict it
            turns.append(Turn("empty", boundary, 0))
        else:
            number, start = len(turns), max(boundary, 1)
            conditional.append(Stream(full, (Span(number, start, len(full)),)))
            alone.append(Stream(answer, (Span(number, 1, len(answer)),)))
            turns.append(Turn("truncated" if cut else "ok", start, len(full) - start))
    scored = sum(turn.response_tokens for turn in turns)
    prompt_tokens = sum(turn.prompt_tokens for turn in turns if turn.response_tokens) or (
        turns[0].prompt_tokens if turns else 0
    )
    return Prepared(
        record.id,
        _overall(turns),
        tuple(conditional),
        tuple(alone),
        prompt_tokens,
        scored,
        tuple(turns),
        same_tokens=False,
    )


def _cut(ids: list[int], limit: int) -> tuple[list[int], bool]:
    return ids[:limit], len(ids) > limit


def _overall(turns: list[Turn]) -> Status:
    found = {turn.status for turn in turns}
    if not found & set(MEASURED):
        return "too_long" if "too_long" in found else "empty"
    return "truncated" if found & {"truncated", "too_long"} else "ok"
