"""How a task is asked: `auto`, the field's few-shot form, and the thoughts of reasoning models, cut and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from codeact.config import EvaluateConfig
from codeact.errors import InputError
from codeact.evaluation.answering import thoughts
from codeact.evaluation.generate import Completion, Prompt
from codeact.evaluation.prompting import asked, check_prompting, own_words, resolved, with_thoughts
from codeact.evaluation.samples import begun
from codeact.evaluation.sets import load_tasks, mbpp
from codeact.evaluation.task_selection import to_generate
from codeact.evaluation.tasks import Task, TaskSet
from codeact.lm import prompts
from codeact.records import Message
from tests.helpers.tiny_models import byte_level

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
THINKS = CHAT.replace("<|assistant|>", "<|assistant|>{% if enable_thinking is defined and enable_thinking %}<think>\n{% endif %}")
TASK = Task("T/1", "def area(x):\n", "area", "")


def tokenizer(template: str | None = None) -> Any:
    from transformers import PreTrainedTokenizerFast

    raw = byte_level(["def area(x): return x <think> </think>"], 300, ["<end>", "<|user|>", "<|assistant|>"])
    made: Any = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")
    made.chat_template = template
    return made


def settings(**changes: Any) -> EvaluateConfig:
    return EvaluateConfig(**{"prompting": "auto", **changes})


@pytest.mark.parametrize(
    ("template", "key", "chosen", "why"),
    [
        (CHAT, "auto", "instruct", "auto: the tokenizer has a chat template"),
        (None, "auto", "base", "auto: the tokenizer has no chat template"),
        (None, "alpaca", "instruct", "auto: model.template is alpaca"),
    ],
)
def test_auto_goes_by_the_template(template: str | None, key: str, chosen: str, why: str) -> None:
    config, said = resolved(settings(), key, tokenizer(template))
    assert (config.prompting, said) == (chosen, why)
    assert resolved(settings(prompting="base"), key, None) == (settings(prompting="base"), "")


@pytest.mark.parametrize(
    ("begins", "words"),
    [
        ("<|system|>\nYou are a helpful assistant.<end>", True),
        ("<|system|>system\nKnowledge Date: December 2023\n<end>", True),
        ("<|system|>system\n<end>", False),
        ("[SYSTEM_PROMPT]Be brief, and polite.[/SYSTEM_PROMPT]", True),
        ("", False),
    ],
)
def test_a_text_that_a_template_begins_with_is_said(begins: str, words: bool) -> None:
    made = tokenizer(begins + CHAT)
    said = own_words(prompts.load_template("chat", made), made)
    assert said == (f"{begins}<|user|>" if words else "")
    assert begun("chat", "<s>\n" + "so " * 99).startswith("template 'chat' begins every prompt with a text of its own: <s> so so")


def test_a_template_of_a_file_that_writes_the_bos_behind_a_blank_has_one(tmp_path: Path) -> None:
    made = tokenizer()
    made.bos_token = "<|user|>"
    made._tokenizer.post_processor = TemplateProcessing(single="<|user|> $A", special_tokens=[("<|user|>", made.bos_token_id)])
    path = tmp_path / "mine.jinja"
    for source, count in ((CHAT, 1), ("\n" + CHAT, 1), (CHAT.replace("<|{{ m.role }}|>", "Q: "), 1)):
        path.write_text(source)
        found = prompts.ask([Message("user", "x")], prompts.load_template(str(path), made), made)
        assert found.ids.count(made.bos_token_id) == count


ROWS = [
    {"task_id": f"Mbpp/{n}", "prompt": f'"""\nWrite function {n}.\nassert f{n}(1) == {n}\n"""\n', "canonical_solution": f"\ndef f{n}(x):\n  return {n}\n",
     "assertion": f"\nassert f{n}(1) == {n}\nassert f{n}(2) == {n}\n"} for n in (2, 3, 4, 11)
]  # fmt: skip


def test_few_shot_is_the_field_s_form() -> None:
    said = mbpp.shot(ROWS[3])
    assert said == (
        "You are an expert Python programmer, and here is your task: Write function 11. Your code should pass these tests:\n\n"
        "assert f11(1) == 11\nassert f11(2) == 11\n[BEGIN]\n"
    )


def test_few_shot_leaves_its_examples_out_and_is_for_mbpp_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = [{**row, "entry_point": "f", "base_input": [[[1]]], "plus_input": [], "atol": 0, "contract": ""} for row in ROWS]
    monkeypatch.setattr(mbpp, "read_rows", lambda release, folder: whole)
    task_set = mbpp.load("mbpp", "", None)
    config = settings(prompting="few-shot")
    check_prompting(config, [task_set])
    assert [t.id for t in to_generate([task_set], config)["mbpp"]] == ["Mbpp/11"]
    text = task_set.tasks[3].few_shot
    assert text.count("[BEGIN]") == 4
    assert text.count("[DONE]") == 3
    assert "def f2(x):\n  return 2\n[DONE]\n\nYou are" in text
    made = asked(task_set.tasks[3], config, None, tokenizer())
    assert "[DONE]" in made.stops
    other = TaskSet("humaneval", "1", (TASK,), "x")
    with pytest.raises(InputError, match="few-shot is for mbpp and mbpp\\+; humaneval has no published examples"):
        check_prompting(config, [task_set, other])
    with pytest.raises(InputError, match="thinking_tokens needs a chat turn"):
        check_prompting(settings(prompting="base", thinking_tokens=5), [other])


def test_the_published_file_has_three_examples() -> None:
    try:
        task_set = load_tasks("mbpp+")
    except Exception as error:  # noqa: BLE001 the data are not at hand
        pytest.skip(str(error))
    assert all(task.few_shot.count("[DONE]") == 3 for task in task_set.tasks)
    assert "find the shared elements from the given two lists. Your code should pass" in task_set.tasks[0].few_shot


def test_a_thinking_model_is_told_to_think_or_not_to() -> None:
    tok = tokenizer(THINKS)
    template = prompts.load_template("auto", tok)
    free = asked(TASK, settings(prompting="instruct", thinking_tokens=8), template, tok)
    told = asked(TASK, settings(prompting="instruct"), template, tok)
    assert tok.decode(free.ids) == tok.decode(told.ids) + "<think>\n"
    assert tok.decode(told.ids).endswith("<|assistant|>")
    assert free.ends == told.ends != frozenset()


def test_thoughts_are_cut_at_the_budget_counted_and_said() -> None:
    tok = tokenizer()
    ask = [Prompt((n,), stops=("X",)) for n in range(4)]
    first = {0: Completion("<think>so", 5, "stop"), 1: Completion("<think>and so", 9, "length"), 2: Completion("at once", 3, "eos"), 3: Completion("", 0, "too_long")}
    seen: list[tuple[list[Prompt], int]] = []

    def complete(requests: Sequence[Prompt], tokens: int) -> Iterator[list[tuple[int, Completion]]]:
        seen.append((list(requests), tokens))
        yield from ([[(n, c)] for n, c in first.items()] if len(seen) == 1 else [[(n, Completion(f"answer {n}", 7, "eos"))] for n in (1, 0)])

    found = dict(pair for part in with_thoughts(complete, ask, tok, 9, 50) for pair in part)
    assert [tokens for _, tokens in seen] == [9, 50]
    assert "</think>" in seen[0][0][0].stops
    assert [tok.decode(r.ids[1:]) for r in seen[1][0]] == ["<think>so</think>\n\n", "<think>and so\n</think>\n\n"]
    assert [r.stops for r in seen[1][0]] == [("X",), ("X",)]
    told = {n: (c.text, c.thought, c.thought_tokens) for n, c in found.items()}
    assert told == {0: ("answer 0", "closed", 5), 1: ("answer 1", "cut", 9), 2: ("at once", "none", 0), 3: ("", "none", 0)}
    rows = {"s": [{"thought": c.thought, "thought_tokens": c.thought_tokens} for c in found.values()]}
    assert thoughts(rows, 9) == {"budget": 9, "closed": 1, "cut": 1, "none": 2, "mean_tokens": 7.0}
    assert json.dumps(thoughts({"s": []}, 9))
