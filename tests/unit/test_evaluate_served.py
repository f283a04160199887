"""What a server behind an endpoint does to figures: answers that are kept, cut off, empty or repeated; and what a failed start leaves of a finished one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact import storage
from codeact.errors import CodeactError, InputError
from codeact.evaluation.endpoint_engine import cache_file
from codeact.sandbox import Backend
from tests.helpers.command import codeact_command
from tests.helpers.judge_server import JudgeServer, judge_server
from tests.helpers.lines import write_lines

pytestmark = pytest.mark.usefixtures("own_cache")
RIGHT = "    return a + b\n"
TASKS = [
    {"task_id": name, "prompt": f"def {name}(a, b):\n", "entry_point": name,
     "tests": [f"assert {name}(1, 2) == 3"], "canonical_solution": RIGHT}
    for name in ("add", "plus", "total")
]  # fmt: skip


def right(prompt: str) -> str:
    name = next(task["task_id"] for task in TASKS if f"{task['task_id']}(" in prompt)
    return f"```python\ndef {name}(a, b):\n{RIGHT}```\n"


def evaluated(server: JudgeServer, tmp_path: Path, out: str = "out", model: str = "model-1", **changes: Any) -> dict[str, Any]:
    mine = write_lines(tmp_path / "mine.jsonl", TASKS)
    fixed = {"tasks": [str(mine)], "endpoint": server.url, "prompting": "instruct", "max_new_tokens": 64, "timeout": 2.0}
    return codeact.evaluate(model, tmp_path / out, settings={f"evaluate.{key}": value for key, value in {**fixed, **changes}.items()})


def chat(content: str | None, finish: str, **more: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}]}).encode()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_chat_answer_is_not_cut_at_texts_that_untuned_models_write(tmp_path: Path, sandbox: Backend) -> None:
    with judge_server(lambda prompt: f"Here is how.\n\n### Instructions\n\nQuestion: how?\n\n{right(prompt)}") as server:
        assert evaluated(server, tmp_path)["mine"]["pass@1"] == 1.0


def test_answers_that_were_not_asked_for_again_are_told(tmp_path: Path, sandbox: Backend) -> None:
    now: list[Callable[[str], str]] = [lambda prompt: "I do not know."]
    with judge_server(lambda prompt: now[0](prompt)) as server:
        first = evaluated(server, tmp_path, "first")
        assert (first["kept_answers"], first["warnings"]) == ({"answers": 3, "cache": 0, "folder": 0}, [])
        now[0] = right  # other weights under the same name
        second = evaluated(server, tmp_path, "second")
        (day,) = {row["asked"][:10] for row in storage.read_jsonl(tmp_path / "second" / "samples.jsonl")}
        assert (second["mine"]["pass@1"], second["kept_answers"]) == (0.0, {"answers": 3, "cache": 3, "folder": 0, "asked": [day, day]})
        words = ["evaluate", "model-1", "--endpoint", server.url, "--tasks", str(tmp_path / "mine.jsonl"), "--prompting", "instruct"]
        done = codeact_command(*words, "--max-new-tokens", "64", "-o", str(tmp_path / "second"))
        assert f"3 of 3 answers were not asked for again (3 from the output folder, asked for on {day}" in done.stdout


def test_cut_and_empty_answers_are_counted(tmp_path: Path, sandbox: Backend) -> None:
    with judge_server(right) as server:
        server.script.extend([chat(None, "length", reasoning_content="hm"), chat("```python\ndef plus(a, b):\n    # let", "length"), chat("", "stop")])
        found = evaluated(server, tmp_path, concurrency=1, thinking_tokens=10, extra={"reasoning_effort": "low"})
    assert found["mine"]["pass@1"] == 0.0
    assert found["warnings"] == [
        "mine: 2 of 3 answers ended at evaluate.max_new_tokens = 64 + thinking_tokens = 10 (add, plus) and 2 of 3 answers empty (add, total); they"
        " count as they are; thoughts count too, so a reasoning model may need a higher limit"
    ]
    assert found["request_extra"] == {"reasoning_effort": "low"}
    assert {body["reasoning_effort"] for body in server.payloads} == {"low"}
    for key in ("temperature", "api_key"):
        with pytest.raises(InputError, match=rf"evaluate\.extra: {key} "):
            evaluated(server, tmp_path, extra={key: "1"})


def test_samples_of_one_text_are_told(tmp_path: Path, sandbox: Backend) -> None:
    with judge_server(right) as server:
        found = evaluated(server, tmp_path, temperature=0.5, samples_per_task=2)
    assert found["warnings"] == ["mine: all samples of a task are the same text, for each of 3 tasks; pass@k says no more than pass@1"]


def test_a_finished_evaluation_outlives_a_start_that_fails(tmp_path: Path, sandbox: Backend) -> None:
    with judge_server(right) as server:
        evaluated(server, tmp_path)
        before = content_of(tmp_path / "out")
        server.script.append((401, {}))
        with pytest.raises(InputError, match="answers 401"):
            evaluated(server, tmp_path, max_new_tokens=65, concurrency=1)
        assert content_of(tmp_path / "out") == before
        server.script.append((400, {}))
        with pytest.raises(CodeactError, match="1 of 3 requests failed"):
            evaluated(server, tmp_path, max_new_tokens=65)
        assert {name: text for name, text in content_of(tmp_path / "out").items() if name in before} == before
        asked = len(server.payloads)
        again = evaluated(server, tmp_path, max_new_tokens=65)
        assert (len(server.payloads) - asked, again["max_new_tokens"], again["kept_answers"]["folder"]) == (1, 65, 2)
        assert content_of(tmp_path / "out").keys() == before.keys()


def test_the_budget_that_is_named_is_the_one_that_was_set(tmp_path: Path, sandbox: Backend) -> None:
    used = json.dumps({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 0, "completion_tokens": 400}}).encode()
    with judge_server(right) as server:
        server.script.extend([used] * 6)
        with pytest.raises(CodeactError, match=r"evaluate\.budget = 1\.5 is spent \(\$1\.20 .*may cost \$0\.40"):
            evaluated(server, tmp_path, temperature=0.5, samples_per_task=2, max_new_tokens=100, concurrency=1, budget=1.5, price_out=1000.0)


def test_one_budget_for_all_temperatures_and_starts(tmp_path: Path, sandbox: Backend) -> None:
    priced = {"temperature": 0.2, "temperatures": [0.4, 0.6], "max_new_tokens": 100, "price_out": 1000.0, "concurrency": 1}  # at most 0.1 dollars a request
    with judge_server(right) as server:  # 10 tokens each
        with pytest.raises(InputError, match=r"evaluate\.budget = 0\.8: 9 requests \(0 answers known\)"):
            evaluated(server, tmp_path, budget=0.8, **priced)
        assert server.payloads == []
        server.script.extend([None, None, None, (400, {})])
        with pytest.raises(CodeactError, match="1 of 3 requests failed"):
            evaluated(server, tmp_path, budget=0.95, **priced)
        with pytest.raises(InputError, match=r"evaluate\.budget = 0\.42: \$0\.05 is spent \(.*spent\.jsonl\), and 4 requests"):
            evaluated(server, tmp_path, budget=0.42, **priced)
        found = evaluated(server, tmp_path, budget=0.46, **priced)
        assert (len(server.payloads), found["usd"], found["kept_answers"]) == (10, pytest.approx(0.09), {**found["kept_answers"], "answers": 9, "folder": 5})


def test_older_answers_and_those_of_other_weights_are_asked_for_anew(tmp_path: Path, sandbox: Backend) -> None:
    now: list[Callable[[str], str]] = [lambda prompt: "I do not know."]
    with judge_server(lambda prompt: now[0](prompt)) as server:
        evaluated(server, tmp_path)
        now[0] = right
        with sqlite3.connect(cache_file()) as data:
            data.execute("UPDATE kept SET asked = '2020-05-06T07:08:09+00:00'")
        data.close()
        for asked in (6, 6):  # a start that goes on asks nothing again
            found = evaluated(server, tmp_path, asked_since="2021-01-01")
            assert (len(server.payloads), found["mine"]["pass@1"]) == (asked, 1.0)
        now[0] = lambda prompt: "I do not know."
        server.models = [{"id": "model-1", "root": "/checkpoints/900"}]
        assert evaluated(server, tmp_path)["mine"]["pass@1"] == 1.0  # what those answers are of is not known
        server.models[0]["root"] = "/checkpoints/901"
        assert evaluated(server, tmp_path, max_new_tokens=65)["mine"]["pass@1"] == 0.0
        server.models[0]["root"], now[0] = "/checkpoints/902", right
        assert evaluated(server, tmp_path, max_new_tokens=65)["mine"]["pass@1"] == 1.0


def test_another_model_than_the_one_asked_for_is_told_by_each_start(tmp_path: Path, sandbox: Backend) -> None:
    with judge_server(right) as server:
        server.script.extend([json.dumps({"model": "other", "choices": [{"message": {"content": "x"}}]}).encode()] * 2)
        for _ in range(2):
            found = evaluated(server, tmp_path, concurrency=1)
            assert found["answered_by"] == {"other": 2}
            assert any("2 of 3 answers were of the model 'other', as the server says, and 'model-1' was asked for" in line for line in found["warnings"])


def ready(tmp_path: Path, rows: list[dict[str, str]], **settings: Any) -> dict[str, Any]:
    mine, samples = write_lines(tmp_path / "mine.jsonl", TASKS), write_lines(tmp_path / "samples.jsonl", rows)
    return codeact.evaluate(
        None, tmp_path / "ready", samples=samples, settings={"evaluate.tasks": [str(mine)], **{f"evaluate.{key}": value for key, value in settings.items()}}
    )


def test_ready_generations_are_of_the_chosen_tasks(tmp_path: Path, sandbox: Backend) -> None:
    rows = [{"task_id": str(task["task_id"]), "solution": f"def {task['task_id']}(a, b):\n{RIGHT}"} for task in TASKS]
    for settings in ({"skip_tasks": ["add"]}, {"generate_tasks": ["plus", "total"]}, {"generate_limit": 2}):
        found = ready(tmp_path, rows, **settings)
        assert found["mine"]["tasks"] == 2
        assert "samples.jsonl: 1 of 3 samples not graded, of tasks that evaluate.skip_tasks" in found["warnings"][0]
    with pytest.raises(InputError, match=r"evaluate\.generate_limit = 0 generates nothing"):
        ready(tmp_path, rows, generate_limit=0)
    with pytest.raises(InputError, match=r"holds no sample of the tasks that evaluate\.skip_tasks"):
        ready(tmp_path, rows[:1], skip_tasks=["add"])


def test_what_nobody_knows_of_ready_generations_is_not_told(tmp_path: Path, sandbox: Backend) -> None:
    rows = [{"task_id": str(task["task_id"]), "solution": f"def {task['task_id']}(a, b):\n{RIGHT}"} for task in TASKS]
    found = ready(tmp_path, rows * 10, temperature=0.8)
    assert [found[key] for key in ("temperature", "max_new_tokens", "samples_per_task")] == [None, None, None]
    assert (found["mine"]["pass@10"], len(found["warnings"])) == (1.0, 2)
    assert "no effect on ready generations: evaluate.temperature" in found["warnings"]
    assert "mine: all samples of a task are the same text, for each of 3 tasks; pass@k says no more than pass@1" in found["warnings"]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"only such lines are read here: jq -c '\.\[\]' .*s\.json > rows\.jsonl"):
        codeact.evaluate(None, tmp_path / "x", samples=tmp_path / "s.json", settings={"evaluate.tasks": [str(tmp_path / "mine.jsonl")]})
