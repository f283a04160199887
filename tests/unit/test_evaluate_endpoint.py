"""An endpoint in place of a model: chat and continuation, greedy and sampled, resumed, within a budget; and what pass@k needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact import storage
from codeact.config import EvaluateConfig, ModelConfig, load_recipe
from codeact.errors import CodeactError, InputError
from codeact.evaluation.run import evaluate_model
from codeact.sandbox import Backend
from codeact.stages.evaluate import stage_trained
from tests.helpers.judge_server import JudgeServer, judge_server
from tests.helpers.lines import write_lines

pytestmark = pytest.mark.usefixtures("own_cache")
TASKS = [
    {"task_id": "add", "prompt": "def add(a, b):\n", "entry_point": "add", "tests": ["assert add(1, 2) == 3"], "canonical_solution": "    return a + b\n"},
    {"task_id": "half", "prompt": "def half(x):\n", "entry_point": "half", "examples": [{"input": [3], "output": 1.5}]},
]


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.jsonl"
    write_lines(path, TASKS)
    return str(path)


def reply(prompt: str) -> str:
    right = "    return a + b\n" if "add(" in prompt else "    return x\n"
    if prompt.startswith("def "):
        return f"\n{right}\ndef other():\n    pass\n"
    head = "def add(a, b):\n" if "add(" in prompt else "def half(x):\n"
    return f"<think>hm</think>Sure:\n```python\n{head}{right}```\n"


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server(reply) as served:
        yield served


def run(server: JudgeServer, out: Path, mine: str, **changes: Any) -> dict[str, Any]:
    config = EvaluateConfig(**{"tasks": [mine], "endpoint": server.url, "prompting": "auto", "max_new_tokens": 64, "timeout": 2.0, **changes})
    return evaluate_model("model-1", out, model=ModelConfig(), config=config, seed=0)


def test_chat_and_continuation(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    for prompting, said in (("auto", "instruct"), ("base", "base")):
        found = run(server, tmp_path / prompting, mine, prompting=prompting)
        assert (found["prompting"], found["backend"], found["model"], found["endpoint"]) == (said, "endpoint", "model-1", server.url)
        assert (found["mine"]["pass@1"], found["mine"]["bits_per_byte"]) == (0.5, None)
        statuses = {row["task_id"]: row["status"] for row in storage.read_jsonl(tmp_path / prompting / "samples.jsonl")}
        assert statuses == {"add": "passed", "half": "failed"}
    chat, plain = server.payloads[0], server.payloads[2]
    assert (chat["temperature"], chat["max_tokens"], "stop" in chat, "seed" in chat) == (0, 64, False, False)
    assert (plain["prompt"] in ("def add(a, b):", "def half(x):"), plain["stop"][0]) == (True, "\nclass ")
    again = run(server, tmp_path / "auto", mine)
    assert (again["prompting_why"], len(server.payloads)) == ("auto: an endpoint answers chat turns with its own template", 4)


def test_samples_have_seeds_and_a_sweep_has_figures_of_its_own(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    found = run(server, tmp_path / "out", mine, temperature=0.2, temperatures=[0.6, 0.8], samples_per_task=2)
    drawn = {(body["temperature"], body["seed"], body["messages"][0]["content"]) for body in server.payloads}
    assert len(drawn) == len(server.payloads) == 12
    assert {t for t, _, _ in drawn} == {0.2, 0.6, 0.8}
    assert list(found["mine"]["temperatures"]) == ["0.6", "0.8"]
    assert {figures["pass@1"] for figures in found["mine"]["temperatures"].values()} == {0.5}
    assert sorted(path.name for path in (tmp_path / "out").glob("samples*")) == ["samples-t0.6.jsonl", "samples-t0.8.jsonl", "samples.jsonl"]
    with pytest.raises(InputError, match="set all of them above 0"):
        run(server, tmp_path / "x", mine, temperatures=[0.6])
    for wrong, says in (([-0.5], "set all of them above 0"), ([3.7], "at most 2"), ([0.6, 0.6000001], "two are the same"), ([0.2], "two are the same")):
        with pytest.raises(InputError, match=says):
            run(server, tmp_path / "x", mine, temperature=0.2, temperatures=wrong)


def test_samples_of_all_numbers_are_asked_for_at_the_same_time(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    server.pause = 0.4
    run(server, tmp_path / "out", mine, temperature=0.2, samples_per_task=4, concurrency=8)
    assert (len(server.payloads), server.most_active) == (8, 8)


def test_what_failed_is_no_figure_and_a_second_start_goes_on(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    server.script.append((400, {}))
    with pytest.raises(CodeactError, match=r"1 of 2 requests failed \(HTTP 400: 1, said: .*scripted.*\); no figure is made of some tasks: answers are kept"):
        run(server, tmp_path / "out", mine)
    assert not (tmp_path / "out" / "results.json").exists()
    server.script.append((400, {}, b'{"message": "the context is 2048 tokens"}'))
    with pytest.raises(CodeactError, match=r"HTTP 400: 1, said: .*the context is 2048 tokens.*start the same command again, mended"):
        run(server, tmp_path / "out", mine)
    assert run(server, tmp_path / "out", mine)["mine"]["pass@1"] == 0.5
    assert len(server.payloads) == 4
    server.script.extend([(401, {}), (401, {})])
    with pytest.raises(InputError, match=r"evaluate\.endpoint .* answers 401: the key is refused .*evaluate\.api_key_env"):
        run(server, tmp_path / "two", mine, max_new_tokens=65)
    with pytest.raises(InputError, match=r"evaluate\.budget = 0\.001: 2 requests .* at most about \$"):
        run(server, tmp_path / "three", mine, max_new_tokens=66, budget=0.001, price_out=1000.0)


def chat(content: str | None, finish: str, **more: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}]}).encode()


def test_an_answer_without_a_text_is_an_empty_one(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    server.script.extend([chat(None, "length", reasoning_content="So the user wants"), chat(None, "content_filter")])
    found = run(server, tmp_path / "out", mine, concurrency=1)
    rows = {row["task_id"]: row for row in storage.read_jsonl(tmp_path / "out" / "samples.jsonl")}
    assert sorted((row["completion"], row["finish"], row["status"]) for row in rows.values()) == [("", "content_filter", "failed"), ("", "length", "failed")]
    assert (len(server.payloads), found["mine"]["pass@1"]) == (2, 0.0)
    assert any(line.startswith("mine: the endpoint's content filter ended 1 of 2 answers (") for line in found["warnings"])
    server.script.extend([chat(None, "error"), b'{"choices": []}'] * 2)
    assert run(server, tmp_path / "two", mine, max_new_tokens=65)["mine"]["pass@1"] == 0.5  # those were tried again


def test_servers_that_want_another_limit_say_the_prompt_or_think_aloud(tmp_path: Path, mine: str, sandbox: Backend) -> None:
    def aloud(prompt: str) -> str:
        if prompt.startswith("def "):
            return prompt + reply(prompt)
        return f"The task:\nQuestion: which?\n</think>{reply(prompt).partition('</think>')[2]}\nQuestion: next"

    unsupported = b'{"error": {"message": "Unsupported parameter: \'max_tokens\'. Use \'max_completion_tokens\' instead."}}'
    with judge_server(aloud) as server:
        server.script.append((400, {}, unsupported))
        assert run(server, tmp_path / "chat", mine, concurrency=1)["mine"]["pass@1"] == 0.5
        assert [("max_tokens" in body, body.get("max_completion_tokens")) for body in server.payloads] == [(True, None), (False, 64), (False, 64)]
        assert run(server, tmp_path / "base", mine, prompting="base")["mine"]["pass@1"] == 0.5
        completions = {row["task_id"]: row["completion"] for row in storage.read_jsonl(tmp_path / "base" / "samples.jsonl")}
        assert completions["add"] == "\n    return a + b\n"
        server.url = server.url.removesuffix("/v1")
        server.script.extend([(404, {})] * 4)
        with pytest.raises(InputError, match=r"answers 404: no such path or model .*; most servers are asked at an address that ends in /v1"):
            run(server, tmp_path / "x", mine)


def test_a_band_takes_what_a_finished_evaluation_of_the_same_set_says(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    other = tmp_path / "other"
    run(server, other, mine)
    band = {"solve_rate": [0.0, 1.0], "solve_rate_of": str(other)}
    assert run(server, tmp_path / "a", mine, **band, generate_limit=1)["mine"]["tasks"] == 1
    assert run(server, tmp_path / "b", mine, **band, skip_tasks=["add"])["mine"]["task_ids"] == ["half"]
    recipe = load_recipe(extra={"model.name": "m", "evaluate.tasks": [mine], **{f"evaluate.{key}": value for key, value in band.items()}})
    before = stage_trained(recipe, "tuned").config()
    changed = [recipe.evaluate.model_copy(update=one) for one in ({"budget": 5.0}, {"asked_since": "2021-01-01T00:00:00+00:00"})]
    assert [stage_trained(recipe.model_copy(update={"evaluate": one}), "tuned").config() == before for one in changed] == [True, False]
    (other / "samples.jsonl").write_bytes((other / "samples.jsonl").read_bytes() + b"\n")
    assert stage_trained(recipe, "tuned").config() != before  # a run in which it was measured anew is measured anew
    (tmp_path / "mine.jsonl").write_text((tmp_path / "mine.jsonl").read_text().replace("1.5", "2.5"))
    with pytest.raises(InputError, match=r"solve_rate_of .* has mine sha256 .*, and not mine sha256 .*; evaluate that there first"):
        run(server, tmp_path / "c", mine, **band)
    (other / "results.json").unlink()
    with pytest.raises(InputError, match=r"holds no finished evaluation \(no results.json\)"):
        run(server, tmp_path / "d", mine, **band)


def test_tasks_of_a_band_from_another_run_than_the_one_compared_with(server: JudgeServer, tmp_path: Path, mine: str, sandbox: Backend) -> None:
    settings = {"evaluate.tasks": [mine], "evaluate.endpoint": server.url, "evaluate.prompting": "auto"}
    first, other, last = (str(tmp_path / name) for name in ("first", "other", "last"))
    codeact.evaluate("model-1", first, settings=settings)
    codeact.evaluate("model-2", other, settings=settings)
    band = {**settings, "evaluate.solve_rate": [0.5, 1.0]}
    with pytest.raises(InputError, match="tasks chosen by luck there would look changed"):
        codeact.evaluate("model-3", last, settings={**band, "evaluate.solve_rate_of": first}, against=first)
    found = codeact.evaluate("model-3", last, settings={**band, "evaluate.solve_rate_of": other}, against=first)
    assert (found["mine"]["task_ids"], found["solve_rate"]) == (["add"], {"band": [0.5, 1.0], "of": other})
    (row,) = storage.read_jsonl(Path(last) / "against.jsonl")
    assert row == {"task_set": "mine", "task_id": "add", "base": 1.0, "tuned": 1.0, "base_samples": 1, "tuned_samples": 1, "flaky": False, "change": "same"}
    with pytest.raises(InputError, match=r"solve_rate 0\.2-0\.3: .* solves none of its 2 tasks that often"):
        codeact.evaluate("model-3", str(tmp_path / "x"), settings={**band, "evaluate.solve_rate": [0.2, 0.3], "evaluate.solve_rate_of": other})
    with pytest.raises(InputError, match="go together"):
        codeact.evaluate("model-3", str(tmp_path / "y"), settings=band)
