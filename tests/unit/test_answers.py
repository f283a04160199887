"""What is learnt, scored and asked under chat templates: beside transformers' assistant masks and generation prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codeact.errors import InputError
from codeact.lm.prompts import RefusedError, Template, ask, encode, encode_text, load_template, prompt_text, special_ids
from codeact.packing import apply_overlong
from codeact.packing.overlong import IGNORE
from codeact.records import Message, Record
from codeact.score import build_sequences
from codeact.training.data import tokenise_records
from tests.helpers.chat_templates import TEMPLATES, TOKENIZERS, byte_level, metaspace

U, A = "user", "assistant"
CHATML = (
    "{% for m in messages %}{{ '<|go|>' + m.role + '\\n' + m.content + '<|EOT|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|go|>assistant\\n' }}{% endif %}"
)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML


def chat(source: str) -> Template:
    return Template("chat", source, adds_special=False)


def talk(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(A if n % 2 else U, text) for n, text in enumerate(texts))  # type: ignore[arg-type]


def learnt(messages: tuple[Message, ...], template: Template, tokenizer: Any, **options: Any) -> list[str]:
    """The text of each run of learnt tokens."""
    record = Record("r", messages, tools=options.pop("tools", ""))
    (sample,) = tokenise_records([record], template, tokenizer, 4096, **options).samples
    runs: list[list[int]] = [[]]
    for label in sample["labels"].tolist():
        if label != IGNORE:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return TOKENIZERS[request.param]()


TALKS = {
    "one answer": talk("Is 7 prime?", "Yes, it is."),
    "one word": talk("Is 7 prime?", "Yes"),
    "two answers": talk("Is 7 prime?", "Yes, it is.", "Add a and b.", "return a + b"),
    "other script": talk("7?", "日本は7です。"),
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("what", TALKS)
def test_learnt_is_what_transformers_masks_behind_the_generation_prompt(name: str, what: str, tokenizer: Any) -> None:
    messages, template = TALKS[what], chat(TEMPLATES[name])
    (sample,) = tokenise_records([Record("r", messages)], template, tokenizer, 4096).samples
    turns = [{"role": m.role, "content": m.content} for m in messages]
    made = tokenizer.apply_chat_template(
        turns, chat_template=template.source, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = made["input_ids"], made["assistant_masks"]
    assert sample["input_ids"].tolist() == ids[: len(sample["input_ids"])]
    ours = [i for i, label in enumerate(sample["labels"]) if label != IGNORE]
    wanted = [i for i, on in enumerate(mask) if on]
    if name == "marker of words":  # the prompt ends in a blank, which is left for the model to write before every word
        blank = tokenizer.convert_ids_to_tokens(ids)
        wanted = [i for i in range(len(ids)) if i in wanted or (i + 1 in wanted and blank[i] in ("Ġ", "▁"))]
    assert ours == wanted
    # the prompt of evaluation is the context of training
    last = coded_start(messages, template, tokenizer)
    asked = ask(messages[:-1], template, tokenizer)
    assert list(asked.ids) == ids[:last]
    prompt = prompt_text(messages[:-1], template, tokenizer)
    assert tokenizer.decode(asked.ids).strip() == tokenizer.decode(encode_text(prompt, template, tokenizer)).strip()
    # and so is that of scoring
    (stream,) = build_sequences(Record("r", messages), template, tokenizer).conditional
    assert stream.spans[-1].start == last


def coded_start(messages: tuple[Message, ...], template: Template, tokenizer: Any) -> int:
    return encode(messages, template, tokenizer).turns[-1].start


@pytest.mark.parametrize("name", [n for n in TEMPLATES if n != "header written always"])
def test_generation_ends_at_what_was_learnt(name: str, tokenizer: Any) -> None:
    template = chat(TEMPLATES[name])
    (text,) = learnt(TALKS["one answer"], template, tokenizer)
    asked = ask(TALKS["one answer"][:1], template, tokenizer)
    marker = text.partition("Yes, it is.")[2]
    ids = tokenizer(marker, add_special_tokens=False)["input_ids"]
    assert asked.ends & set(ids) if asked.ends else asked.stops == (marker,)
    assert not asked.ends & set(asked.header)


@pytest.mark.parametrize("answer", ["    return a + b", "\n    return a + b\n", "  a\n\n", "\n\nx = 1\n"])
def test_blanks_around_an_answer_are_learnt_as_the_template_keeps_them(answer: str, tokenizer: Any) -> None:
    (whole,) = learnt(talk("Add.", answer), chat(CHATML), tokenizer)
    # decoding a SentencePiece text drops its first blank
    assert whole.endswith((answer.lstrip("\n") + "<|EOT|>").removeprefix(" "))
    think = TEMPLATES["think block in training only"]
    (text,) = learnt(talk("Add.", answer), chat(think), tokenizer)
    assert text == "<think>\n\n</think>\n\n" + answer.lstrip("\n") + "<|EOT|>"


def test_every_special_token_of_a_folder_is_known(tmp_path: Path) -> None:
    from codeact.lm.models import load_tokenizer

    made = byte_level()
    made.chat_template = CHATML
    made.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    loaded = load_tokenizer(str(tmp_path))
    marker = loaded.convert_tokens_to_ids("<|EOT|>")
    assert marker not in loaded.all_special_ids
    assert marker in special_ids(loaded)
    found = tokenise_records([Record("r", TALKS["two answers"])], load_template("chat", loaded), loaded, 512)
    assert found.stops == (marker,)
    assert found.samples[0]["input_ids"][-1] == marker
    assert learnt(TALKS["two answers"], load_template("chat", loaded), loaded) == [
        "Yes, it is.<|EOT|>",
        "return a + b<|EOT|>",
    ]


def test_where_training_and_generation_differ_one_note_says_so() -> None:
    tokenizer = byte_level()
    forced = CHATML.replace("'<|go|>assistant\\n' }}{% endif", "'<|go|>assistant\\n<think>\\n' }}{% endif")
    template = chat(forced)
    found = tokenise_records([Record(f"{n}", TALKS["one answer"]) for n in range(3)], template, tokenizer, 512)
    (note,) = found.notes
    assert "<think>" in note
    asked = ask(TALKS["one answer"][:1], template, tokenizer)
    # the answer is learnt behind the very prompt that generation gets
    assert list(asked.ids) == encode_text(
        prompt_text(TALKS["one answer"][:1], template, tokenizer), template, tokenizer
    )
    assert found.samples[0]["input_ids"][: len(asked.ids)].tolist() == list(asked.ids)
    switched = forced.replace(
        "<think>\\n' }}{% endif",
        "' + ('<think></think>' if enable_thinking is defined and not enable_thinking else '<think>\\n') }}{% endif",
    ).replace("m.role + '\\n' +", "m.role + '\\n' + ('<think></think>' if m.role == 'assistant' else '') +")
    asked = ask(TALKS["one answer"][:1], chat(switched), tokenizer)
    assert tokenizer.decode(asked.ids).endswith("assistant\n<think></think>")
    assert "enable_thinking=False" in asked.notes[0]
    assert not tokenise_records([Record("r", TALKS["one answer"])], chat(CHATML), tokenizer, 512).notes


def test_what_a_template_refuses_or_leaves_out_is_the_status_of_that_record() -> None:
    tokenizer = byte_level()
    silent = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    for source, reason in ((STRICT, "System role not supported"), (silent, "leaves the system's turn 1 out")):
        template = chat(source)
        bad = Record("bad", (Message("system", "Be brief."), *TALKS["one answer"]))
        good = Record("good", TALKS["one answer"])
        found = tokenise_records([bad, good], template, tokenizer, 512)
        assert [s["id"] for s in found.samples] == ["good"]
        assert found.refused[0][0] == "bad"
        assert reason in found.refused[0][1]
        scored = build_sequences(bad, template, tokenizer)
        assert (scored.status, scored.streams) == ("refused", ())
        assert reason in scored.detail
        with pytest.raises(InputError, match=rf"1 record is refused; the first, 'bad': .*{reason}"):
            tokenise_records([bad], template, tokenizer, 512)
        with pytest.raises(RefusedError, match=reason):
            encode(bad.messages, template, tokenizer)


def test_turns_that_are_context_are_neither_learnt_nor_scored(tokenizer: Any) -> None:
    messages = (*talk("Is 7 prime?", "No."), *talk("Sure?", "Yes, it is."))
    messages = (messages[0], Message(A, "No.", learn=False), *messages[2:])
    assert learnt(messages, chat(CHATML), tokenizer) == ["Yes, it is.<|EOT|>"]
    found = build_sequences(Record("r", messages), chat(CHATML), tokenizer)
    assert [t.status for t in found.turns] == ["context", "ok"]
    assert len(found.unconditional) == 1
    assert [s.turn for s in found.conditional[0].spans] == [1]
    paper = build_sequences(Record("r", messages), load_template("question", tokenizer), tokenizer, "paper")
    assert [t.status for t in paper.turns] == ["context", "ok"]
    late = (*talk("Sure?", "Yes, it is."), Message(U, "Bye"), Message(A, "Bye", learn=False))
    (sample,) = tokenise_records([Record("r", late)], chat(CHATML), tokenizer, 512).samples
    assert tokenizer.decode(sample["input_ids"]).endswith("Yes, it is.<|EOT|>")


CALLS = json.dumps([{"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "日"}}}])
TOOLS = json.dumps([{"name": "add", "description": "Adds two.", "parameters": {"type": "object"}}])
TOOL_TALK = (
    Message("system", "Be brief."),
    Message(U, "1 + 2?"),
    Message(A, "", reasoning="I must add.", tool_calls=CALLS),
    Message("tool", '{"sum": 3}', name="add", tool_call_id="c1"),
    Message(A, "It is 3."),
)


@pytest.mark.parametrize("name", ["question", "alpaca"])
def test_built_in_templates_show_all_that_is_said(name: str, tokenizer: Any) -> None:
    template = load_template(name, tokenizer)
    text = tokenizer.decode(encode(TOOL_TALK, template, tokenizer, tools=TOOLS).input_ids)
    for part in ("Adds two.", "Be brief.", "1 + 2?", "I must add.", '{"a": 1, "b": "日"}', '{"sum": 3}', "It is 3."):
        assert part in text
    first, last = learnt(TOOL_TALK, template, tokenizer, tools=TOOLS)
    assert "I must add." in first
    assert first.endswith("</tool_call></s>")
    assert last == "It is 3.</s>"


def test_chat_templates_get_tools_calls_and_thoughts_in_transformers_form() -> None:
    tokenizer = byte_level()
    source = (
        "{% for t in tools or [] %}{{ t.function.name + ':' + t.function.description + '\\n' }}{% endfor %}"
        "{% for m in messages %}{{ '<|go|>' + m.role + '\\n' }}"
        "{% if m.role == 'tool' %}{{ m.name + '/' + m.tool_call_id + '=' }}{% endif %}"
        "{% if m.reasoning_content %}{{ '(' + m.reasoning_content + ')' }}{% endif %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{% if c.id | length != 9 %}{{ raise_exception('ids of 9') }}{% endif %}"
        "{{ c.function.name }}{% for k, v in c.function.arguments.items() %}{{ ' ' + k + '=' + v | string }}{% endfor %}"
        "{% endfor %}{{ '<|EOT|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|go|>assistant\\n' }}{% endif %}"
    )
    template = chat(source)
    coded = encode(TOOL_TALK, template, tokenizer, tools=TOOLS)
    text = tokenizer.decode(coded.input_ids)
    assert text.startswith("add:Adds two.\n")
    assert learnt(TOOL_TALK, template, tokenizer, tools=TOOLS) == [
        "(I must add.)add a=1 b=日<|EOT|>",
        "It is 3.<|EOT|>",
    ]
    as_text = source.replace(
        "{% for k, v in c.function.arguments.items() %}{{ ' ' + k + '=' + v | string }}{% endfor %}",
        "{{ ' ' + c.function.arguments }}",
    )
    assert 'add {"a": 1, "b": "日"}' in learnt(TOOL_TALK, chat(as_text), tokenizer, tools=TOOLS)[0]
    with pytest.raises(RefusedError, match="leaves tool calls out"):
        encode((TOOL_TALK[1], TOOL_TALK[2], TOOL_TALK[4]), chat(CHATML), tokenizer)


def test_truncation_never_leaves_a_learnt_end_inside_a_question() -> None:
    ids, labels = [*range(10, 30), 2], [-100] * 18 + [28, 29, 2]
    cut = apply_overlong([{"input_ids": ids, "labels": labels}], 10, "truncate", 2)
    assert (cut.samples, cut.counts.unlabelled, cut.counts.truncated) == ([], 1, 1)
    for capacity, kept in ((20, [*range(10, 29), 2]), (19, [*range(10, 29)])):
        (piece,) = apply_overlong([{"input_ids": ids, "labels": labels}], capacity, "truncate", 2).samples
        assert piece["input_ids"].tolist() == kept
    tokenizer = byte_level()
    whole = encode(TALKS["two answers"], chat(CHATML), tokenizer)
    first, second = whole.turns
    for length in range(first.stop, second.start + 2):
        for prompts in (False, True):
            (sample,) = tokenise_records(
                [Record("r", TALKS["two answers"])], chat(CHATML), tokenizer, length, prompts
            ).samples
            assert sample["input_ids"].tolist() == whole.input_ids[: first.stop]
    (sample,) = tokenise_records([Record("r", TALKS["two answers"])], chat(CHATML), tokenizer, second.start + 2).samples
    marker = whole.input_ids[second.end : second.stop]
    assert sample["input_ids"].tolist() == [*whole.input_ids[: second.start + 1], *marker]


def test_an_answer_of_one_token_does_not_stop_a_run() -> None:
    tokenizer = metaspace()
    template = chat(TEMPLATES["blank before the content"])
    records = [Record(f"{n}", talk("Is 7 prime?", word)) for n, word in enumerate(("Yes", "7", "日", "a"))]
    found = tokenise_records(records, template, tokenizer, 512)
    assert (len(found.samples), found.refused) == (4, ())
    assert all(build_sequences(r, template, tokenizer).status == "ok" for r in records)


def test_long_conversations_are_rendered_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_level()
    calls = []
    render = tokenizer.apply_chat_template
    monkeypatch.setattr(tokenizer, "apply_chat_template", lambda *a, **k: calls.append(1) or render(*a, **k))
    turns = talk(*(f"text {n}" for n in range(2000)))
    coded = encode(turns, chat(TEMPLATES["think block in training only"]), tokenizer)
    assert len(coded.turns) == 1000
    assert len(calls) < 12
