"""Records to text to tokens: prompt templates, and which tokens are the response.

The whole conversation is tokenised once; the boundary between prompt and response comes from the character offsets of
that one tokenisation. A token that straddles the boundary belongs to the response only if it starts in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from codeact.errors import InputError
from codeact.records import Message

BUILT_IN = ("question", "alpaca")
_OPEN, _CLOSE = "\ue000", "\ue001"


@dataclass(frozen=True)
class Template:
    """A prompt template in jinja, as the chat templates of tokenizers are.

    Attributes:
        name: "question" (the paper's), "alpaca", "chat" (the tokenizer's own) or a file's path.
        source: the jinja text.
        adds_special: the tokenizer adds its own BOS; chat templates write theirs.
    """

    name: str
    source: str
    adds_special: bool

    @property
    def identity(self) -> str:
        """Hash of everything that changes what the template renders; part of score fingerprints."""
        return hashlib.sha256(f"{self.adds_special}\n{self.source}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Turn:
    """Token span of one assistant turn: `[start, end)` is its content, `[end, stop)` its end-of-turn marker."""

    start: int
    end: int
    stop: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised conversation. `turns` has one entry per assistant turn; an empty content gives start == end.

    Attributes:
        input_ids: all tokens.
        turns: where the tokens of each assistant turn are.
        contents: the text of each assistant turn as it was rendered.
        starts: for each turn, the character of `contents` at which each of its tokens starts.
    """

    input_ids: list[int]
    turns: tuple[Turn, ...]
    contents: tuple[str, ...]
    starts: tuple[list[int], ...]


def load_template(name: str, tokenizer: Any) -> Template:
    """Load "question", "alpaca", "chat", "auto" (chat where the tokenizer has one, else question) or a jinja file.

    Raises:
        InputError: unknown name, missing file, a jinja error, or "chat" on a tokenizer without a chat template.
    """
    chat = getattr(tokenizer, "chat_template", None)
    if name == "auto":
        name = "chat" if chat else "question"
    if name == "chat":
        if not chat:
            raise InputError(
                "template 'chat': this tokenizer has no chat template; use --template question, alpaca or a jinja file"
            )
        source = chat if isinstance(chat, str) else chat.get("default", next(iter(chat.values())))
        return Template("chat", source, adds_special=False)
    if name in BUILT_IN:
        source = (resources.files("codeact") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
        return Template(name, source, adds_special=True)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"template {name!r} is neither one of auto, chat, {', '.join(BUILT_IN)} nor a jinja file")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template {name} cannot be read as UTF-8 text: {error}") from error
    template = Template(name, source, adds_special=True)
    _skeleton(("user", "assistant"), template, tokenizer, False)
    return template


def prompt_text(messages: Sequence[Message], template: Template, tokenizer: Any) -> str:
    """The text that asks for the next assistant turn."""
    return _render(messages, template, tokenizer, add_generation_prompt=True)


def encode_text(text: str, template: Template, tokenizer: Any) -> list[int]:
    """Token ids of a rendered text, with the tokenizer's BOS where the template does not write it."""
    return list(tokenizer(text, add_special_tokens=_adds_special(text, template, tokenizer))["input_ids"])


def encode(messages: Sequence[Message], template: Template, tokenizer: Any, add_eos: bool = False) -> Encoded:
    """Tokenise one conversation and find its assistant turns.

    Args:
        messages: the conversation, ending with an assistant turn.
        template: how it becomes text.
        tokenizer: a fast Hugging Face tokenizer (it must give character offsets).
        add_eos: end with EOS where the template leaves the last turn open (training needs it; scoring does not).

    Raises:
        InputError: the template drops or rewrites a response, so its tokens cannot be told apart.
    """
    text, spans = render(messages, template, tokenizer)
    coded = tokenizer(text, add_special_tokens=_adds_special(text, template, tokenizer), return_offsets_mapping=True)
    ids: list[int] = list(coded["input_ids"])
    starts = _true_starts(text, coded["offset_mapping"])
    turns = [_token_span(starts, ids, span, tokenizer) for span in spans]
    eos = tokenizer.eos_token_id
    if add_eos and turns and turns[-1].stop == turns[-1].end:
        if eos is None:
            raise InputError(
                "this tokenizer has no EOS token, so a model cannot learn to stop; set tokenizer.eos_token or use a template that ends turns"
            )
        last = turns[-1]
        ids = [*ids[: last.end], eos]
        turns[-1] = Turn(last.start, last.end, last.end + 1)
    inside = tuple([s - first for s in starts[t.start : t.end]] for t, (first, _) in zip(turns, spans, strict=True))
    return Encoded(ids, tuple(turns), tuple(text[first:last] for first, last in spans), inside)


def render(messages: Sequence[Message], template: Template, tokenizer: Any) -> tuple[str, list[tuple[int, int]]]:
    """The conversation's text and the character span of each assistant turn's content.

    The template is rendered twice, once with placeholders for the contents, so the spans are exact even where a
    response also occurs in its prompt.

    Raises:
        InputError: as `encode`.
    """
    text = _render(messages, template, tokenizer, add_generation_prompt=False)
    skeleton = _skeleton(tuple(m.role for m in messages), template, tokenizer, False)
    for contents in ([m.content for m in messages], [m.content.strip() for m in messages]):
        filled, spans = _fill(skeleton, contents)
        if filled == text and len(spans) == len(messages):
            return text, [span for span, m in zip(spans, messages, strict=True) if m.role == "assistant"]
    return text, _search(text, messages, template)


_cache: dict[tuple[str, tuple[str, ...], bool, int], str] = {}


def _skeleton(roles: tuple[str, ...], template: Template, tokenizer: Any, generation: bool) -> str:
    key = (template.identity, roles, generation, id(tokenizer))
    if key not in _cache:
        holes = [Message(role, f"{_OPEN}{n}{_CLOSE}") for n, role in enumerate(roles)]  # type: ignore[arg-type]
        _cache[key] = _render(holes, template, tokenizer, generation)
    return _cache[key]


def _render(messages: Sequence[Message], template: Template, tokenizer: Any, add_generation_prompt: bool) -> str:
    import jinja2

    turns = [{"role": m.role, "content": m.content} for m in messages]
    try:
        text = tokenizer.apply_chat_template(
            turns, chat_template=template.source, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        # what a template's own expressions raise comes through as it is
        raise InputError(f"template {template.name!r}: {' '.join(str(error).split())}") from error
    return str(text)


def _fill(skeleton: str, contents: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    length = position = 0
    for number, content in enumerate(contents):
        hole = f"{_OPEN}{number}{_CLOSE}"
        at = skeleton.find(hole, position)
        if at < 0:
            continue
        before = skeleton[position:at]
        length += len(before)
        spans.append((length, length + len(content)))
        length += len(content)
        pieces += (before, content)
        position = at + len(hole)
    return "".join((*pieces, skeleton[position:])), spans


def _search(text: str, messages: Sequence[Message], template: Template) -> list[tuple[int, int]]:
    """Find the contents one after the other: for templates whose wording depends on the contents."""
    spans: list[tuple[int, int]] = []
    position = 0
    for number, message in enumerate(messages, 1):
        content = message.content.strip()
        at = text.find(content, position)
        if at < 0 and message.role == "assistant":
            raise InputError(
                f"template {template.name!r} drops or rewrites the assistant's turn {number} ({content[:40]!r}...); use --template question or your own jinja file"
            )
        if at >= 0:
            position = at + len(content)
            if message.role == "assistant":
                spans.append((at, position))
    return spans


def _adds_special(text: str, template: Template, tokenizer: Any) -> bool:
    bos = getattr(tokenizer, "bos_token", None)
    return template.adds_special and not (bos and text.startswith(bos))


def _true_starts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """First character of each token; -1 for a token that stands for no text (BOS).

    Byte-level tokenizers may trim the leading blank out of a token's offsets; it is given back to the token.
    """
    starts: list[int] = []
    reached = 0
    for start, end in offsets:
        if start > reached and text[reached:start].isspace():
            starts.append(reached)
        else:
            starts.append(start if start < end else -1)
        reached = max(reached, end)
    return starts


def _token_span(starts: Sequence[int], ids: Sequence[int], span: tuple[int, int], tokenizer: Any) -> Turn:
    first, last = span
    inside = [i for i, s in enumerate(starts) if first <= s < last]
    if not inside:
        at = next((i for i, s in enumerate(starts) if s >= last), len(starts))
        return Turn(at, at, at)
    start, end = inside[0], inside[-1] + 1
    special = set(tokenizer.all_special_ids)
    stop = end + 1 if end < len(ids) and ids[end] in special else end
    return Turn(start, end, stop)
