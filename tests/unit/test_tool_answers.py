"""Tool calls, their results and thoughts under templates that rewrite them: what is learnt is what the template writes for a turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codeact.lm.prompts import RefusedError, encode
from codeact.records import Message
from tests.helpers.chat_templates import byte_level
from tests.unit.test_answers import CHATML, A, U, chat, learnt, talk

GOES = "{% if add_generation_prompt %}{{ '<|go|>assistant\\n' }}{% endif %}"
CALLED = "{% for c in m.tool_calls or [] %}{{ '<call>' + c.function.name + c.function.arguments | tojson + '</call>' }}{% endfor %}"
# as Qwen 3: the last turn gets an empty think block, thoughts in the text are put into one, and dropped from earlier turns
LAST_THINKS = (
    "{% for m in messages %}{% set ns = namespace(thought='', said=m.content) %}"
    "{% if m.role == 'assistant' and '</think>' in m.content %}"
    "{% set ns.thought = m.content.split('</think>')[0].split('<think>')[-1] %}{% set ns.said = m.content.split('</think>')[-1] %}{% endif %}"
    "{{ '<|go|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n' + ns.thought | trim + '\\n</think>\\n\\n' + ns.said | trim }}"
    "{% else %}{{ ns.said | trim }}{% endif %}" + CALLED + "{{ '<|EOT|>\\n' }}{% endfor %}" + GOES
)
# as Llama 3.1: a tool's result is written as JSON
RESULT_AS_JSON = (
    "{% for m in messages %}{{ '<|go|>' + m.role + '\\n' + (m.content | tojson if m.role == 'tool' else m.content) }}"
    + CALLED + "{{ '<|EOT|>\\n' }}{% endfor %}" + GOES
)  # fmt: skip
# as gpt-oss: thoughts of a turn with a call are dropped once an answer follows, and a channel stands before each answer
CHANNELS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% set end = loop.last %}"
    "{% if m.reasoning_content and (end or not messages[-1].role == 'assistant') %}"
    "{{ '<|go|>assistant<|say|>' + m.reasoning_content + '<|over|>' }}{% endif %}"
    "{% if m.tool_calls %}{{ '<|go|>assistant to=' + m.tool_calls[0].function.name + m.tool_calls[0].function.arguments | tojson + '<|EOT|>' }}"
    "{% else %}{{ '<|go|>assistant final:' + m.content + '<|EOT|>' }}{% endif %}"
    "{% else %}{{ '<|go|>' + m.role + ':' + (m.content | tojson if m.role == 'tool' else m.content) + '<|EOT|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|go|>assistant' }}{% endif %}"
)


def call(*names: str) -> str:
    return json.dumps([{"type": "function", "function": {"name": name, "arguments": {"a": 4}}} for name in names])


def written(messages: tuple[Message, ...], source: str, tokenizer: Any, prompt: str) -> list[str]:
    """What the template writes between each generation prompt and the end of that turn, in a rendering of its own."""
    turns: list[dict[str, Any]] = []
    for m in messages:
        turn: dict[str, Any] = {"role": m.role, "content": m.content}
        if m.tool_calls:
            turn["tool_calls"] = json.loads(m.tool_calls)
        turns.append(turn | ({"reasoning_content": m.reasoning} if m.reasoning else {}))
    text = tokenizer.apply_chat_template(turns, chat_template=source, tokenize=False)
    return [part.partition("<|EOT|>")[0] + "<|EOT|>" for part in text.split(prompt)[1:]]


AGENT = {
    "a call": (Message(U, "2 + 2?"), Message(A, "", tool_calls=call("add")), Message("tool", "4"), Message(A, "It is 4.")),
    "a call with words": (Message(U, "2 + 2?"), Message(A, "I add.", tool_calls=call("add")), Message("tool", "4"), Message(A, "It is 4.")),
    "two calls": (Message(U, "2 + 2?"), Message(A, "", tool_calls=call("add", "mul")), Message("tool", "4"), Message("tool", "5"), Message(A, "4")),
    "the answer in the result": (Message(U, "2 + 2?"), Message(A, "", tool_calls=call("add")), Message("tool", '{"sum": "4"}'), Message(A, "4")),
    "a result of lines": (Message(U, "ok?"), Message(A, "", tool_calls=call("add")), Message("tool", 'é 1\n"ok"'), Message(A, "ok")),
    "a second question": (
        Message(U, "2 + 2?"), Message(A, "", tool_calls=call("add")), Message("tool", '{"s": 4}'), Message(A, "4"),
        Message(U, "3 + 4?"), Message(A, "I add.", tool_calls=call("add")), Message("tool", '{"s": 7}'), Message(A, "7"),
    ),
    "a call at the end": (Message(U, "2 + 2?"), Message(A, "I add.", tool_calls=call("add"))),
}  # fmt: skip


@pytest.mark.parametrize("what", AGENT)
@pytest.mark.parametrize("source", [LAST_THINKS, RESULT_AS_JSON], ids=["last thinks", "result as JSON"])
def test_calls_and_the_answers_behind_them_are_learnt_as_the_template_writes_them(source: str, what: str) -> None:
    tokenizer = byte_level()
    wanted = written(AGENT[what], source, tokenizer, "<|go|>assistant\n")
    assert learnt(AGENT[what], chat(source), tokenizer) == wanted


@pytest.mark.parametrize("result", ["4", '{"sum": "four"}'])
def test_an_answer_behind_a_call_keeps_its_channel_and_its_thoughts(result: str) -> None:
    tokenizer = byte_level()
    turns = (
        Message(U, "2 + 2?"), Message(A, "", reasoning="hm", tool_calls=call("add")), Message("tool", result),
        Message(A, "four", reasoning="ok so"),
    )  # fmt: skip
    first, last = learnt(turns, chat(CHANNELS), tokenizer)
    assert first == ' to=add{"a": 4}<|EOT|>'
    assert last == "<|say|>ok so<|over|><|go|>assistant final:four<|EOT|>"


def test_a_template_that_shows_the_first_of_several_calls_is_refused() -> None:
    turns = (Message(U, "2 + 2?"), Message(A, "", tool_calls=call("add", "mul")), Message("tool", "4"), Message("tool", "5"), Message(A, "4"))
    with pytest.raises(RefusedError, match="leaves tool calls out"):
        encode(turns, chat(CHANNELS), byte_level())


def test_many_calls_at_once_are_rendered_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, made = byte_level(), []
    render = tokenizer.apply_chat_template
    monkeypatch.setattr(tokenizer, "apply_chat_template", lambda *a, **k: made.append(1) or render(*a, **k))
    turns = (Message(U, "2 + 2?"), Message(A, "", tool_calls=call(*["add"] * 200)), *[Message("tool", "4")] * 200, Message(A, "4"))
    coded = encode(turns, chat(RESULT_AS_JSON), tokenizer)
    assert tokenizer.decode(coded.input_ids[coded.turns[-1].start : coded.turns[-1].stop]) == "4<|EOT|>"
    assert len(made) < 16


def test_a_short_answer_is_found_behind_its_question_where_another_is_rewritten() -> None:
    turns = talk("pick", "a", "again", "<think>x</think>b")
    assert learnt(turns, chat(LAST_THINKS), byte_level()) == ["a<|EOT|>", "<think>\nx\n</think>\n\nb<|EOT|>"]


@pytest.mark.parametrize("more", [(), ("thanks", "Welcome!")])
def test_an_answer_that_only_speaks_of_thoughts_is_not_cut(more: tuple[str, ...]) -> None:
    tokenizer = byte_level()
    answer = "Use `text.split('</think>')[-1]` and strip it."
    for said in (answer, f"<think>hm</think>{answer}"):
        with pytest.raises(RefusedError, match="drops or rewrites"):
            encode(talk("How?", said, *more), chat(LAST_THINKS), tokenizer)
        assert learnt(talk("How?", said, *more), chat(CHATML), tokenizer)[0] == f"{said}<|EOT|>"
    # thoughts whose opening mark the generation prompt wrote
    assert learnt(talk("How?", "hm\n</think>\n\nSo.", "And?", "Yes"), chat(LAST_THINKS), tokenizer)[0] == "So.<|EOT|>"


def test_thoughts_are_learnt_behind_a_prompt_that_asks_for_none() -> None:
    """As Qwen 3.5's without thinking: the generation prompt holds an empty block, and an answer with thoughts has a full one."""
    block = "'<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' +"
    source = CHATML.replace("m.content +", f"({block} m.content if m.role == 'assistant' else m.content) +")
    source = source.replace("'<|go|>assistant\\n' }}{% endif", "'<|go|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif")
    turns = (Message(U, "2 + 2?"), Message(A, "4", reasoning="hm"), Message(U, "3 + 3?"), Message(A, "6"), Message(U, "9?"), Message(A, "9", reasoning="so"))
    assert learnt(turns, chat(source), byte_level()) == ["hm\n</think>\n\n4<|EOT|>", "6<|EOT|>", "so\n</think>\n\n9<|EOT|>"]


def test_words_that_a_template_puts_behind_the_results_of_their_calls_are_refused() -> None:
    source = (
        "{% set ns = namespace(said='') %}{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}{% set ns.said = m.content %}"
        "{{ '<|go|>assistant\\n' }}" + CALLED + "{% elif m.role == 'tool' %}{{ '(' + m.content + ')' + ns.said }}"
        "{% else %}{{ '<|go|>' + m.role + '\\n' + m.content + '<|EOT|>\\n' }}{% endif %}{% endfor %}" + GOES
    )  # fmt: skip
    with pytest.raises(RefusedError, match="shows what turn 2 says behind later turns"):
        encode(AGENT["a call with words"], chat(source), byte_level())
    assert learnt(AGENT["a call"], chat(source), byte_level())[-1] == "It is 4.<|EOT|>"
