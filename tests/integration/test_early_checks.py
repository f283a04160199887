"""Mistakes that cost nothing to see are said before the first stage, in one line with the mend, by every command; nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from codeact import config
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(8))
    (tmp_path / "other.jsonl").write_text('{"foo": 1}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return file


ANOTHER_MODEL = "evaluate.endpoint: its server holds another model than the one that is trained here"
MISTAKES: dict[str, tuple[str, str, str]] = {
    # what is wrong: (recipe setting, message, package that is missing)
    "template": ("model.template=quesion", "did you mean 'question'?", ""),
    "device": ("model.device=cuda:9", "CUDA devices", ""),
    "no device": ("model.device=gpu", "is not a device", ""),
    "number type": ("model.dtype=bflot16", "did you mean 'bfloat16'?", ""),
    "strategy": ("sample.strategy=cads", "did you mean 'cdas'?", ""),
    "strategy in capitals": ("sample.strategy=CDAS", "did you mean 'cdas'?", ""),
    "scope": ("pack.scope=bach", "did you mean 'batch'?", ""),
    "variant": ("score.variant=papr", "did you mean 'paper'?", ""),
    "check": ("curate.checks=[syntx]", "did you mean 'syntax'?", ""),
    "near duplicates": ("curate.near=0.8", "pip install 'codeact[curate]'", "datasketch"),
    "names": ("curate.checks=[names]", "pip install 'codeact[curate]'", "pyflakes"),
    "one grammar": ("curate.checks=[grammars]", "pip install 'codeact[curate]'", "tree_sitter_rust"),
    "benchmark file": ("curate.benchmark_files=[other.jsonl]", "other.jsonl: row 1", ""),
    "target": ("sample={strategy: targeted, target: other.jsonl}", "sample.target", ""),
    "ray": ("backend=ray", "pip install 'codeact[ray]'", "ray"),
}
LATER: dict[str, tuple[str, str, str]] = {
    "scheduler": ("train.scheduler=cosin", "did you mean 'cosine'?", ""),
    "training": ("train.epochs=1", "pip install 'codeact[train]'", "accelerate"),
    "lora": ("train.method=lora", "pip install 'codeact[train]'", "peft"),
    "qlora": ("train.method=qlora", "pip install 'codeact[gpu]'", "bitsandbytes"),
    "tracker": ("train.report_to=[tensorbord]", "did you mean 'tensorboard'?", ""),
    "tracker's package": ("train.report_to=[wandb]", "pip install 'codeact[trackers]'", "wandb"),
    "a short context": ("model.max_length=1000000", "is beyond the context of", ""),
    "float16 on a CPU": ("model={dtype: float16, device: cpu}", "trains on CUDA GPUs only", ""),
}
MEASURED: dict[str, tuple[str, str, str]] = {
    "task set": ("evaluate.tasks=[humanevl]", "did you mean 'humaneval'?", ""),
    "task set with +": ("evaluate.tasks=[mbp+]", "did you mean 'mbpp+'?", ""),
    "samples": ("evaluate.samples_per_task=5", "evaluate.temperature", ""),
    "vllm": ("evaluate.backend=vllm", "pip install 'codeact[vllm]'", "vllm"),
    "an endpoint": ("evaluate.endpoint=http://127.0.0.1:9/v1", ANOTHER_MODEL, ""),
}


def recipe(model: Path, embedder: Path, setting: str) -> dict[str, object]:
    key, _, value = setting.partition("=")
    whole = config.load_recipe(
        extra={"model.name": str(model), "embed.model": str(embedder), "data.source": "pool.jsonl", "run_dir": "run"}
    ).model_dump(mode="json", exclude_defaults=True)
    tree = json.loads(json.dumps(whole))
    if not value.startswith("{"):
        return {"tree": tree, "settings": [setting]}
    section = dict(part.split(": ") for part in value.strip("{}").split(", "))
    return {"tree": tree, "settings": [f"{key}.{name}={text}" for name, text in section.items()]}


@pytest.mark.parametrize("mistake", [*MISTAKES, *LATER, *MEASURED])
def test_a_run_says_it_before_the_first_stage(
    mistake: str, data: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, message, missing = {**MISTAKES, **LATER, **MEASURED}[mistake]
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    made = recipe(tiny_model_dir, tiny_embedder_dir, setting)
    Path("recipe.yaml").write_text(json.dumps(made["tree"]), encoding="utf-8")
    done = cli("run", "recipe.yaml", *made["settings"])  # type: ignore[misc]
    refused(done, message)
    assert not Path("run").exists()


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("command", ["select", "sample"])
def test_selecting_says_it_too(
    command: str,
    mistake: str,
    data: Path,
    tiny_model_dir: Path,
    tiny_embedder_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting, message, missing = MISTAKES[mistake]
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    settings = [
        part for one in recipe(tiny_model_dir, tiny_embedder_dir, setting)["settings"] for part in ("--set", one)
    ]  # type: ignore[attr-defined]
    call = [command, "pool.jsonl", "--model", str(tiny_model_dir), "--embedder", str(tiny_embedder_dir), *settings]
    if setting.startswith("pack"):
        call += ["--strategy", "random", "--unit", "records"] if command == "select" else []
    refused(cli(*call, "-o", "out.parquet"), message)
    assert not Path("out.parquet").exists()
    assert not Path("out.codeact").exists()


@pytest.mark.parametrize("mistake", ["template", "device", *LATER])
def test_training_says_it_before_it_reads(
    mistake: str, data: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, message, missing = {**MISTAKES, **LATER}[mistake]
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    settings = [
        part for one in recipe(tiny_model_dir, tiny_embedder_dir, setting)["settings"] for part in ("--set", one)
    ]  # type: ignore[attr-defined]
    refused(cli("train", "pool.jsonl", "--model", str(tiny_model_dir), "-o", "tuned", *settings), message)
    assert not Path("tuned").exists()


def test_other_commands(data: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ["--model", str(tiny_model_dir)]
    refused(cli("pack", "pool.jsonl", *model, "--template", "alpacca"), "did you mean 'alpaca'?")
    refused(cli("pack", "pool.jsonl", *model, "--set", "pack.scoop=epoch"), "did you mean 'pack.scope'?")
    refused(cli("score", "pool.jsonl", *model, "--template", "Chat", "-o", "s.parquet"), "did you mean 'chat'?")
    refused(cli("embed", "pool.jsonl", "--embedder", str(tiny_model_dir), "--set", "model.device=tpu"), "device")
    judged = ["judge", "pool.jsonl", "--set", "judge.endpoint=http://127.0.0.1:9/v1", "--set", "judge.model=m"]
    refused(cli(*judged, "--set", "judge.api_key_env=NO_SUCH_KEY_HERE"), "not set")
    with monkeypatch.context() as gone:  # the hub's client wants it too
        gone.setitem(sys.modules, "httpx2", None)
        refused(cli(*judged), "pip install 'codeact[judge]'")
    grid = {"run_dir": "grid", "strategies": ["random"], "recipe": {"model": {"name": str(tiny_model_dir)}}}
    grid["recipe"] |= {"data": {"source": "pool.jsonl"}, "embed": {"model": str(tiny_model_dir)}}  # type: ignore[operator]
    Path("grid.yaml").write_text(json.dumps(grid), encoding="utf-8")
    assert cli("compare", "grid.yaml", "recipe.train.scheduler=cosin").returncode == 2
    for words in (["compare", "grid.yaml"], ["compare", "grid.yaml", "--plan"]):
        refused(cli(*words, "recipe.evaluate.endpoint=http://127.0.0.1:9/v1"), ANOTHER_MODEL)
    served = ["data.source=pool.jsonl", "evaluate.endpoint=http://127.0.0.1:9/v1"]
    for words in (["--plan"], ["--plan", "control=random"]):
        refused(cli("run", "demo", *served, *words), ANOTHER_MODEL)
    assert cli("run", "demo", *served, "evaluate.enabled=false", "--plan").returncode == 0
    assert not Path("grid").exists()
    assert not Path("runs").exists()
    for words, near in ((["selct", "x"], "select"), (["score", "x", "--modle", "m"], "--model")):
        done = cli(*words)
        assert (done.returncode, near in done.stderr) == (2, True), done.stderr


def refused(done: object, message: str) -> None:
    status, told = done.returncode, done.stderr  # type: ignore[attr-defined]
    assert status == 2, told
    assert message in told, told
    assert len([line for line in told.splitlines() if line.startswith("codeact:")]) == 1, told
    assert "Traceback" not in told


def test_the_demo_model_takes_the_demo_embedder_along() -> None:
    assert config.load_recipe(extra={"model.name": "demo"}).embed.model == "demo"
    assert config.load_recipe(extra={"model.name": "demo", "embed.batch_size": 3}).embed.model == "demo"
    assert config.load_recipe(extra={"model.name": "demo", "embed.model": "mine"}).embed.model == "mine"
    assert config.load_recipe(extra={"model.name": "other"}).embed.model.endswith("all-mpnet-base-v2")
    assert config.load_recipe("verified", ["model.name=demo"]).embed.model == "demo"
