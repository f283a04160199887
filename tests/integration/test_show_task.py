"""`evaluate --show TASK DIR`, `--against` of several samples, and what makes an old evaluation void."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from codeact import api
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.evaluation.compare import per_task
from codeact.pipeline.plan import plan
from codeact.rundir.inputs import Inputs
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines

pytestmark = [pytest.mark.usefixtures("own_cache"), pytest.mark.usefixtures("sandbox")]
ADD = {
    "task_id": "add", "prompt": "def add(a, b):\n", "entry_point": "add",
    "examples": [{"input": [1, 2], "output": 3}, {"input": [20, 22], "output": 42}],
}  # fmt: skip
CHECK = {"task_id": "check", "prompt": "def one():\n", "entry_point": "one", "tests": ["assert one() == 1, 'not one'"]}
RIGHT, WRONG, HOSTILE = "    return a + b\n", "    return a * b + 1\n", "    return 'x'  # \x1b[2J\u202e\x07\n"


def evaluated(folder: Path, name: str, answers: dict[str, Sequence[str]]) -> Path:
    tasks = folder / "mine.jsonl"
    write_lines(tasks, (ADD, CHECK))
    rows = [{"task_id": task, "completion": text} for task, texts in answers.items() for text in texts]
    write_lines(folder / f"{name}.jsonl", rows)
    api.evaluate(None, folder / name, samples=folder / f"{name}.jsonl", settings={"evaluate.tasks": [str(tasks)]})
    return folder / name


def test_a_failed_task_is_shown_with_its_input_and_runs_again(tmp_path: Path) -> None:
    done = evaluated(tmp_path, "one", {"add": [RIGHT, WRONG, HOSTILE], "check": ["    return 2\n"]})
    shown = codeact_command("evaluate", "--show", "add", str(done), "--tasks", str(tmp_path / "mine.jsonl"))
    assert shown.returncode == 0, shown.stderr
    assert "sample 0: passed" in shown.stdout
    assert "input 2 of 2: expected 42, got 441" in shown.stdout
    assert "called with (20, 22)" in shown.stdout
    assert shown.stdout.count("run again: the same") == 2
    assert "return 'x'  # \\x1b[2J\\u202e\\x07" in shown.stdout
    assert not {"\x1b", "\x07", "\u202e"} & {*shown.stdout}

    found = json.loads(codeact_command("evaluate", "--show", "check", str(done), "--tasks", str(tmp_path / "mine.jsonl"), "--json").stdout)
    (sample,) = found["samples"]
    assert (sample["status"], sample["again"], sample["arguments"]) == ("failed", "failed", None)
    assert "not one" in sample["detail"]
    assert sample["program"] == "def one():\n    return 2\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--show", "ad", "DONE", "--tasks", "TASKS"], "has no answer to 'ad'; did you mean 'add'?"),
        (["--show", "add", "NOWHERE"], "holds no finished evaluation"),
        (["--show", "add"], "needs the folder of a finished evaluation"),
        (["--show", "add", "DONE", "--tasks", "OTHER"], "and .* is at hand"),
        (["--show", "add", "DONE"], "mine is a file of tasks of one's own; name it, for example with --tasks mine"),
        (["demo"], "name it with -o"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    done = evaluated(tmp_path, "one", {"add": [WRONG]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.jsonl").write_text(json.dumps({**ADD, "prompt": "def add(a, b, c=0):\n"}) + "\n", encoding="utf-8")
    names = {
        "DONE": str(done), "NOWHERE": str(tmp_path / "x"), "TASKS": str(tmp_path / "mine.jsonl"), "OTHER": str(tmp_path / "other" / "mine.jsonl"),
    }  # fmt: skip
    failed = codeact_command("evaluate", *(names.get(word, word) for word in words))
    assert failed.returncode == 2
    (line,) = failed.stderr.strip().splitlines()


    assert re.search(message, line), line


def test_several_samples_are_compared_for_each_k_and_tasks_by_name(tmp_path: Path) -> None:
    before = {"add": [RIGHT, *[WRONG] * 11], "check": ["    return 2\n"] * 12}
    after = {"add": [WRONG] * 12, "check": [*["    return 1\n"] * 2, *["    return 2\n"] * 10]}
    base, tuned = evaluated(tmp_path, "base", before), evaluated(tmp_path, "tuned", after)
    found: dict[str, Any] = api.differences(base, tuned)["mine"]
    assert found["pass@1"]["changed"] == {"gained": ["check"], "lost": ["add"], "flaky": ["add", "check"]}

    def brute(passed: int, k: int) -> float:
        return mean(float(any(chosen)) for chosen in combinations([True] * passed + [False] * (12 - passed), k))

    assert "pass@10" in found
    for k in (1, 10):
        assert per_task(base, "mine", f"pass@{k}") == pytest.approx({"add": brute(1, k), "check": 0.0})
        assert found[f"pass@{k}"]["difference"] == pytest.approx(((0 - brute(1, k)) + brute(2, k)) / 2)
    lines = "\n".join(api.result_lines({**json.loads((tuned / "results.json").read_text()), "against": "base", "differences": {"mine": found}}))
    assert "gained: 1: check" in lines
    assert "lost: 1: add" in lines
    assert "flaky: 2: add, check" in lines
    found["pass@1"]["changed"]["lost"] = ["a\x1b[2J"]  # a folder of somebody else's
    hostile = api.result_lines({**json.loads((tuned / "results.json").read_text()), "against": "base", "differences": {"mine": found}})
    assert "lost: 1: a\\x1b[2J" in "\n".join(hostile)


def test_what_cannot_be_compared_is_said_before_anything_is_done(tmp_path: Path) -> None:
    done = evaluated(tmp_path, "one", {"add": [WRONG]})
    (tmp_path / "new").mkdir()
    rows = {"mine.jsonl": {**ADD, "prompt": "def add(a, b, c=0):\n"}, "other.jsonl": ADD}
    for name, row in rows.items():
        (tmp_path / "new" / name).write_text(json.dumps(row) + "\n", encoding="utf-8")
    faults = [("new/mine.jsonl", {}, "its mine version is 'sha256 "), ("new/other.jsonl", {}, "has mine, and none of other"),
              ("mine.jsonl", {"evaluate.backend": "vllm"}, "its backend is 'not used', and it would be 'vllm' here")]  # fmt: skip
    for name, settings, message in faults:
        with pytest.raises(InputError, match=message):
            api.evaluate("no such model", tmp_path / "out", settings={"evaluate.tasks": [str(tmp_path / name)], **settings}, against=done)
        assert not (tmp_path / "out" / "samples.jsonl").exists()


def test_a_changed_file_of_tasks_makes_an_evaluation_anew(tmp_path: Path) -> None:
    tasks = tmp_path / "mine.jsonl"
    recipe = load_recipe(extra={"evaluate.tasks": [str(tasks)], "model.name": "demo"})

    def settings() -> dict[str, Any]:
        stage = next(stage for stage in plan(recipe, Inputs(recipe)) if stage.name == "evaluate_tuned")
        return dict(stage.config())

    tasks.write_text(json.dumps(ADD) + "\n", encoding="utf-8")
    first = settings()
    assert settings() == first
    tasks.write_text(json.dumps({**ADD, "examples": ADD["examples"][:1]}) + "\n", encoding="utf-8")
    assert settings() != first
    with pytest.raises(InputError, match="is a file of tasks of one"):
        api.show_task(evaluated(tmp_path, "one", {"add": [WRONG]}), "add")
