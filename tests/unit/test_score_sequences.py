"""Streams of both passes: which tokens are run, which are scored, and what a record that cannot be scored becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeact.errors import InputError
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import Template, load_template
from codeact.records import Message, Record
from codeact.score import Prepared, build_sequences, default_template

ANSWER = "def add_numbers(numbers):\n    return numbers\n"
RECORD = Record("one", (Message("user", "Write a function."), Message("assistant", ANSWER)))
TALK = Record(
    "talk",
    (
        Message("user", "Write a function."),
        Message("assistant", ANSWER),
        Message("user", "Again."),
        Message("assistant", ""),
        Message("user", "Shorter."),
        Message("assistant", "return 1"),
    ),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(str(tiny_model_dir))


def build(record: Record, tokenizer: Any, variant: str = "default", max_length: int = 2048) -> Prepared:
    return build_sequences(record, load_template("question", tokenizer), tokenizer, variant, max_length)


def scored(stream: Any, tokenizer: Any) -> list[str]:
    return [tokenizer.decode(stream.ids[span.start : span.end]) for span in stream.spans]


def test_both_passes_score_the_same_tokens_after_bos_or_eos(tokenizer: Any) -> None:
    found = build(RECORD, tokenizer)
    (given,), (alone,) = found.conditional, found.unconditional
    (span,) = given.spans
    assert found.status == "ok"
    assert scored(given, tokenizer) == [ANSWER]
    assert alone.ids == [tokenizer.eos_token_id, *given.ids[span.start :]]
    assert (found.prompt_tokens, found.response_tokens) == (span.start, span.end - span.start)
    assert tokenizer.decode(given.ids) == f"Question:\nWrite a function.\n\nAnswer:\n{ANSWER}"


def test_bos_is_the_context_where_there_is_one(tokenizer: Any, tiny_model_dir: Path) -> None:
    other = load_tokenizer(str(tiny_model_dir))
    other.bos_token = "!"
    (alone,) = build(RECORD, other).unconditional
    assert alone.ids[0] == other.convert_tokens_to_ids("!") != tokenizer.eos_token_id


def test_without_bos_and_eos_only_the_paper_variant_can_score(tiny_model_dir: Path) -> None:
    other = load_tokenizer(str(tiny_model_dir))
    template = Template("bare", "{% for m in messages %}{{ m.content }}\n{% endfor %}", adds_special=True)
    other.eos_token = None
    with pytest.raises(InputError, match="neither BOS nor EOS"):
        build_sequences(RECORD, template, other)
    assert build_sequences(RECORD, template, other, "paper").status == "ok"


def test_paper_variant_tokenises_prompt_whole_and_answer_apart(tokenizer: Any) -> None:
    found = build(RECORD, tokenizer, "paper")
    (given,), (alone,) = found.conditional, found.unconditional
    prompt = "Question:\nWrite a function.\n\nAnswer:\n"
    assert given.ids == tokenizer.encode(prompt + ANSWER)
    assert given.spans[0].start == len(tokenizer.encode(prompt))
    assert alone.ids == tokenizer.encode(ANSWER)
    assert (alone.spans[0].start, alone.spans[0].end) == (1, len(alone.ids))


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_each_assistant_turn_has_its_own_status(variant: str, tokenizer: Any) -> None:
    found = build(TALK, tokenizer, variant)
    assert [t.status for t in found.turns] == ["ok", "empty", "ok"]
    assert found.status == "ok"
    assert [t for s in found.conditional for t in scored(s, tokenizer)] == [ANSWER, "return 1"]
    assert [s.spans[0].turn for s in found.unconditional] == [0, 2]
    assert found.response_tokens == sum(t.response_tokens for t in found.turns)
    assert len(found.conditional) == (1 if variant == "default" else 2)


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_a_response_is_cut_and_a_prompt_never(variant: str, tokenizer: Any) -> None:
    whole = build(RECORD, tokenizer, variant)
    room = whole.prompt_tokens + 3
    cut = build(RECORD, tokenizer, variant, room)
    assert (cut.status, cut.prompt_tokens, cut.response_tokens) == ("truncated", whole.prompt_tokens, 3)
    assert cut.conditional[0].ids == whole.conditional[0].ids[:room]
    assert all(len(s.ids) <= room for s in cut.streams)
    none = build(RECORD, tokenizer, variant, whole.prompt_tokens)
    assert (none.status, none.streams, none.response_tokens) == ("too_long", (), 0)


def test_turns_beyond_the_limit_are_too_long_and_the_rest_is_kept(tokenizer: Any) -> None:
    whole = build(TALK, tokenizer)
    first = whole.turns[0]
    found = build(TALK, tokenizer, max_length=first.prompt_tokens + first.response_tokens)
    assert [t.status for t in found.turns] == ["ok", "empty", "too_long"]
    assert found.status == "truncated"
    assert found.response_tokens == first.response_tokens


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_an_empty_response_is_a_status(variant: str, tokenizer: Any) -> None:
    empty = Record("none", (Message("user", "Write a function."), Message("assistant", "")))
    found = build(empty, tokenizer, variant)
    assert (found.status, found.streams, found.response_tokens) == ("empty", (), 0)
    assert found.prompt_tokens > 0


def test_a_template_without_prompt_still_has_a_context(tokenizer: Any) -> None:
    bare = Template(
        "bare", "{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}", adds_special=True
    )
    found = build_sequences(RECORD, bare, tokenizer)
    assert found.conditional[0].ids == found.unconditional[0].ids
    assert found.prompt_tokens == 1


def test_bad_arguments_are_one_clear_line(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="variant 'papr' is unknown; use default or paper"):
        build(RECORD, tokenizer, "papr")
    with pytest.raises(InputError, match="max_length is 1"):
        build(RECORD, tokenizer, max_length=1)


def test_the_paper_variant_defaults_to_the_papers_template(tokenizer: Any, tiny_model_dir: Path) -> None:
    other = load_tokenizer(str(tiny_model_dir))
    other.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    assert default_template("paper", other).name == "question"
    assert default_template("default", other).name == "chat"
    assert default_template("default", tokenizer).name == "question"
