"""Prompt templates: which there are, and a conversation rendered by one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from codeact.errors import InputError, did_you_mean
from codeact.lm.prompts.turns import RefusedError, tools_of, ways
from codeact.records import Message
from codeact.types import Tokenizer

BUILT_IN = ("question", "alpaca")
OPEN, CLOSE = "\ue000", "\ue001"
PAIR = ("user", "assistant")
THINKING_ON = {"enable_thinking": True, "thinking": True}
THINKING_OFF = {"enable_thinking": False, "thinking": False}  # how Qwen, GLM, Nemotron and DeepSeek, Granite call it
CLOCK = "strftime_now"  # transformers' function of the date

# transformers 5 makes an empty tokenizer for most architectures where a folder has no files of one
NO_WORDS = "its tokenizer knows no words, as where the folder has no tokenizer files; save the tokenizer beside the model"


@dataclass(frozen=True)
class Template:
    """A prompt template in jinja, as the chat templates of tokenizers are.

    Attributes:
        name: "question" (the paper's), "alpaca", "chat" (the tokenizer's own) or a file's path.
        source: the jinja text.
        adds_special: the tokenizer adds its own BOS; chat templates write theirs.
        tool_source: what renders conversations with tools instead, where the tokenizer has a template of its own for them.
    """

    name: str
    source: str
    adds_special: bool
    tool_source: str = ""

    @property
    def identity(self) -> str:
        """Hash of everything that changes what the template renders; part of score fingerprints."""
        tools = f"\n{self.tool_source}" if self.tool_source else ""
        return hashlib.sha256(f"{self.adds_special}\n{self.source}{tools}".encode()).hexdigest()[:16]


def load_template(name: str | PathLike[str], tokenizer: Tokenizer) -> Template:
    """Load "question", "alpaca", "chat", "auto" (chat where the tokenizer has one, else question) or a jinja file.

    Raises:
        InputError: unknown name, missing file, a jinja error, or "chat" on a tokenizer without a chat template.
    """
    name = fspath(name)
    chat = getattr(tokenizer, "chat_template", None)
    if name == "auto":
        name = "chat" if chat else "question"
    if name == "chat":
        if not chat:
            raise InputError(
                "template 'chat': this tokenizer has no chat template; use --template question, alpaca or a jinja file"
            )
        if isinstance(chat, str):
            return Template("chat", chat, adds_special=False)
        source = chat.get("default", next(iter(chat.values())))
        return Template("chat", source, adds_special=False, tool_source=chat.get("tool_use", ""))
    if name in BUILT_IN:
        source = (resources.files("codeact") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
        return Template(name, source, adds_special=True)
    path = Path(name)
    if not path.is_file():
        near = did_you_mean(name, ("auto", "chat", *BUILT_IN))
        raise InputError(f"template {name!r} is neither one of auto, chat, {', '.join(BUILT_IN)} nor a jinja file{near}")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template {name} cannot be read as UTF-8 text: {error}") from error
    template = Template(name, source, adds_special=True)
    skeleton(("user", "assistant"), template, tokenizer)
    return template


def prompt_text(messages: Sequence[Message], template: Template, tokenizer: Tokenizer, tools: str = "") -> str:
    """The text that asks for the next assistant turn.

    Raises:
        RefusedError: the template does not take these messages.
    """
    return Conversation(messages, template, tokenizer, tools, generation=True).text


def encode_text(text: str, template: Template, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a rendered text, with the tokenizer's BOS where the template does not write it.

    Raises:
        RefusedError: as `check_vocabulary`.
    """
    ids = list(tokenizer(text, add_special_tokens=adds_special(text, template, tokenizer))["input_ids"])
    check_vocabulary(ids, tokenizer)
    return ids


def adds_special(text: str, template: Template, tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer is to add its special tokens to this text."""
    bos = getattr(tokenizer, "bos_token", None)
    return template.adds_special and not (bos and text.lstrip().startswith(bos))


_special: WeakKeyDictionary[Any, tuple[tuple[int, ...], frozenset[int]]] = WeakKeyDictionary()


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Every special token: the named ones, and those that only the table of added tokens marks as special.

    transformers 5 does not count the latter among `all_special_ids` (Gemma's `<end_of_turn>`, Phi's `<|end|>`).
    """
    stamp = (len(tokenizer), *tokenizer.all_special_ids)
    known = _special.get(tokenizer)
    if known is None or known[0] != stamp:  # the table is made anew at each look, of thousands of tokens
        table = getattr(tokenizer, "added_tokens_decoder", {})
        marked = (int(number) for number, token in table.items() if getattr(token, "special", False))
        known = _special[tokenizer] = (stamp, frozenset((*tokenizer.all_special_ids, *marked)))
    return known[1]


def has_words(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer knows more than special tokens."""
    return len(tokenizer) > len(special_ids(tokenizer))


_limits: WeakKeyDictionary[Any, tuple[int, str]] = WeakKeyDictionary()


def limit_vocabulary(tokenizer: Tokenizer, rows: int, model: str) -> None:
    """Note that the model of a tokenizer has embeddings for the first `rows` of its tokens only.

    Tokenizers of published models have more (Gemma 3's `<image_soft_token>`), and so have those that somebody added tokens to.
    """
    _limits[tokenizer] = (rows, model)


def check_vocabulary(ids: Sequence[int], tokenizer: Tokenizer) -> None:
    """Refuse token ids that the tokenizer's model is known to have no embedding of.

    Raises:
        RefusedError: it has none; on a GPU the model would end with an error that says nothing of it.
    """
    rows, model = _limits.get(tokenizer, (0, ""))
    if rows and (most := max(ids, default=0)) >= rows:
        raise RefusedError(
            f"token {tokenizer.convert_ids_to_tokens(most)!r} is number {most}, and {model} has embeddings of {rows} tokens:"
            " take the tokenizer that belongs to it, or resize_token_embeddings and train them"
        )


class Conversation:
    """One conversation as a template takes it, rendered whole; its beginnings are rendered from the same turns.

    Attributes:
        text: the whole of it.

    Raises:
        RefusedError: the template does not take it.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        template: Template,
        tokenizer: Tokenizer,
        tools: str = "",
        generation: bool = False,
    ) -> None:
        self.messages, self.template, self.tokenizer = messages, template, tokenizer
        self.tools = tools_of(tools)
        first: RefusedError | None = None
        for turns in ways(messages):
            self.turns = turns
            try:
                self.text = self.beginning(len(turns), generation)
            except RefusedError as error:
                first = first or error
                continue
            if self._shows_calls(generation):
                return
            first = RefusedError(
                f"template {template.name!r} leaves tool calls out; use --template question or a template with tools"
            )
        assert first is not None
        raise first

    def called(self, number: int) -> list[str]:
        """The names of the functions that a turn calls."""
        return [str(call["function"].get("name", "")) for call in self.turns[number].get("tool_calls", ())]

    def _shows_calls(self, generation: bool) -> bool:
        """Whether the text is another without the calls, and without the second and the last of several (some templates show the first)."""
        most = max((len(turn.get("tool_calls", ())) for turn in self.turns), default=0)
        for left_out in (None, *sorted({1, most - 1} if most > 1 else ())) if most else ():
            fewer = [_without_call(turn, left_out) for turn in self.turns]
            try:
                if self._render(fewer, generation) == self.text:
                    return False
            except RefusedError:
                continue  # a result without its call
        return True

    def beginning(self, count: int, generation: bool, thinking: bool = True) -> str:
        """The first `count` turns, with the prompt for the next assistant turn where `generation` asks for it.

        Without `thinking` it is the prompt of a thinking model that is told not to think.
        """
        return self._render(self.turns[:count], generation, {} if thinking else THINKING_OFF)

    def asking_for_thoughts(self) -> str:
        """All turns, with the prompt for an answer of a thinking model that is told to think."""
        return self._render(self.turns, True, THINKING_ON)

    def with_holes(self, count: int | None = None, generation: bool = False, keep: Sequence[str] = ()) -> str:
        """The same with a numbered hole in the place of each content that is not blank; all turns without a `count`.

        `keep`: for each turn the text that stays before its hole.
        """
        plain = all(m.content.strip() and turn.keys() == {"role", "content"} for m, turn in self._pairs())
        if plain and not self.tools and count is None and not keep and len(self.turns) <= 8:
            return skeleton(tuple(m.role for m in self.messages), self.template, self.tokenizer)
        holes = [
            {**turn, "content": f"{keep[n] if keep else ''}{OPEN}{n}{CLOSE}"} if m.content.strip() else turn
            for n, (m, turn) in enumerate(self._pairs())
        ]
        return self._render(holes[:count], generation)

    def _pairs(self) -> Iterator[tuple[Message, dict[str, Any]]]:
        return zip(self.messages, self.turns, strict=True)

    def _render(
        self, turns: Sequence[dict[str, Any]], generation: bool, options: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        return _apply(turns, self.template, self.tokenizer, generation, self.tools, options)


def _without_call(turn: dict[str, Any], number: int | None) -> dict[str, Any]:
    """A turn without one of its calls, or without all."""
    if "tool_calls" not in turn:
        return turn
    calls = [] if number is None else [call for n, call in enumerate(turn["tool_calls"]) if n != number]
    return {**turn, "tool_calls": calls} if calls else {key: turn[key] for key in turn if key != "tool_calls"}


_cache: dict[tuple[Any, ...], str] = {}


def skeleton(roles: tuple[str, ...], template: Template, tokenizer: Tokenizer) -> str:
    """A plain conversation of these roles with a numbered hole for each content."""
    named = tuple(sorted((key, str(value)) for key, value in tokenizer.special_tokens_map.items()))
    key = (template.identity, roles, named)
    if key not in _cache:
        if len(_cache) >= 512:
            _cache.clear()
        holes = [{"role": role, "content": f"{OPEN}{n}{CLOSE}"} for n, role in enumerate(roles)]
        _cache[key] = _apply(holes, template, tokenizer, False, None, {})
    return _cache[key]


_dated: dict[str, list[str]] = {}


def dated(template: Template, tokenizer: Tokenizer) -> list[str]:
    """The note of a template that writes the day of the run into conversations, as Llama 3.2's and gpt-oss' do; else nothing."""
    if template.identity not in _dated:
        writes = False
        if CLOCK in template.source:
            turns = [{"role": role, "content": role} for role in PAIR]
            clock = f"{{%- macro {CLOCK}(form) -%}}{OPEN}{{%- endmacro -%}}"
            with contextlib.suppress(RefusedError):
                writes = OPEN in _apply(turns, replace(template, source=clock + template.source), tokenizer, False, None, {})
        _dated[template.identity] = [
            f"template {template.name!r} writes the day of the run into conversations: answers are learnt and scored behind it, and another day's"
            " scores differ a little; a jinja file of yours can hold a fixed date"
        ] if writes else []  # fmt: skip
    return _dated[template.identity]


def piece(roles: tuple[str, ...], number: int | None, template: Template, tokenizer: Tokenizer) -> str:
    """What the template writes between the content of turn `number` (None: the start) and the next one's, or the end."""
    try:
        found = skeleton(roles, template, tokenizer)
    except RefusedError:
        return ""
    after = found if number is None else found.partition(f"{OPEN}{number}{CLOSE}")[2]
    return after.partition(OPEN)[0]


def _apply(
    turns: Sequence[dict[str, Any]],
    template: Template,
    tokenizer: Tokenizer,
    generation: bool,
    tools: list[Any] | None,
    options: Mapping[str, Any],
) -> str:
    import jinja2

    source = template.tool_source if tools and template.tool_source else template.source
    try:
        return str(
            tokenizer.apply_chat_template(
                as_shown(turns, source, tokenizer),
                chat_template=source,
                tools=tools,
                tokenize=False,
                add_generation_prompt=generation,
                **options,
            )
        )
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"template {template.name!r}, line {error.lineno}: {' '.join(str(error).split())}") from error
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        # what a template's own expressions raise comes through as it is
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RefusedError(f"template {template.name!r}: {reason}") from error


def as_shown(turns: Sequence[dict[str, Any]], source: str, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Turns with their contents as texts, or as lists of parts where only those are shown by a chat template (LLaVA, Idefics)."""
    return _in_parts(turns) if _wants_parts(source, tokenizer) else list(turns)


def _in_parts(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns whose contents are lists of one part, as processors of models that see images have them."""
    return [{**turn, "content": [{"type": "text", "text": turn["content"]}]} if isinstance(turn.get("content"), str) else turn for turn in turns]


_parted: dict[tuple[str, str], bool] = {}


def _wants_parts(source: str, tokenizer: Tokenizer) -> bool:
    """Whether a template shows contents that are lists of parts, and does not show texts."""
    key = (source, type(tokenizer).__name__)
    if key not in _parted:
        import jinja2

        holes = [{"role": role, "content": f"{OPEN}{role}{CLOSE}"} for role in PAIR]
        shown = []
        for turns in (holes, _in_parts(holes)):
            try:
                text = str(tokenizer.apply_chat_template(turns, chat_template=source, tokenize=False))
            except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
                text = ""  # said where a conversation is rendered
            shown.append(all(hole["content"] in text for hole in holes))
            if shown[0]:
                break
        _parted[key] = shown == [False, True]
    return _parted[key]
