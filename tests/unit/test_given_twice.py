"""A key that an argument stands for and a setting too: what differs is refused, by every command and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact.errors import InputError
from tests.helpers.command import codeact_command

DATA = '{"instruction": "Add two numbers.", "output": "def add(a, b):\\n    return a + b"}\n'


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["curate", "d.jsonl", "--run-dir", "a", "--set", "run_dir=b"], "run_dir"),
        (["curate", "d.jsonl", "--set", "data.source=other.jsonl"], "data.source"),
        (["embed", "d.jsonl", "--set", "data={limit: 5}"], "data"),
        (["curate", "d.jsonl", "--map", "output=response", "--set", "data.map={output: answer}"], "data.map"),
        (["cluster", "d.jsonl", "--embedder", "demo", "--set", "embed.model=other"], "embed.model"),
        (["curate", "d.jsonl", "--limit", "3", "--set", "data.limit=4"], "data.limit"),
        (["score", "d.jsonl", "--model", "demo", "--set", "model.name=other"], "model.name"),
        (["sample", "d.jsonl", "--model", "demo", "--seed", "1", "--set", "seed=2"], "seed"),
        (["select", "d.jsonl", "-o", "o.jsonl", "--run-dir", "a", "--set", "run_dir=b"], "run_dir"),
        (["select", "d.jsonl", "-o", "o.jsonl", "--set", "data.source=other.jsonl"], "data.source"),
        (["select", "d.jsonl", "-o", "o.jsonl", "--ratio", "0.2", "--set", "sample={ratio: 0.3}"], "sample"),
        (["select", "d.jsonl", "-o", "o.jsonl", "--dtype", "float32", "--set", "model.dtype=float16"], "model.dtype"),
        (["train", "d.jsonl", "--model", "demo", "-o", "o", "--set", "data.source=other.jsonl"], "data.source"),
        (["train", "d.jsonl", "--model", "demo", "-o", "o", "--set", "run_dir=b"], "run_dir"),
        (["train", "d.jsonl", "--model", "demo", "-o", "o", "--epochs", "1", "--set", "train.epochs=2"], "train.epochs"),
        (["evaluate", "demo", "-o", "o", "--set", "model.name=other"], "model.name"),
        (["evaluate", "demo", "-o", "o", "--set", "run_dir=b"], "run_dir"),
    ],
)
def test_what_an_argument_says_and_a_setting_too_is_refused(
    arguments: list[str], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("d.jsonl", "other.jsonl"):
        Path(name).write_text(DATA, encoding="utf-8")
    refused = codeact_command(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"codeact: {key} is given twice: as a setting, and by an argument")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.jsonl", "other.jsonl"]


def test_a_run_dir_that_only_a_setting_names_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.jsonl").write_text(DATA, encoding="utf-8")
    plain = ["--set", "run_dir=mine", "--set", "curate.decontaminate=[]", "--set", "data.source=d.jsonl"]  # the last says the same
    done = codeact_command("curate", "d.jsonl", "-o", "clean.jsonl", *plain)
    assert done.returncode == 0, done.stderr
    assert Path("mine/curate.parquet").is_file()
    assert not Path("clean.codeact").exists()


@pytest.mark.parametrize("setting", [{"run_dir": "b"}, {"data.source": "other.jsonl"}, {"sample.ratio": 0.3}, {"model.name": "other"}])
def test_from_python_too(setting: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.loads(DATA)]
    with pytest.raises(InputError, match="is given twice"):
        codeact.select(rows, model="demo", ratio=0.2, run_dir=tmp_path / "a", settings=setting)
    if "sample.ratio" not in setting:
        with pytest.raises(InputError, match="is given twice"):
            codeact.train(rows, tmp_path / "a", model="demo", settings=setting)
    assert not list(tmp_path.iterdir())


def test_a_folder_named_demo_is_not_the_demo_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codeact.config import load_recipe
    from codeact.rundir.inputs import Inputs

    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    recipe = load_recipe(extra={"model.name": "demo", "run_dir": "demo", "data.source": "rows.jsonl"})
    assert "demo" not in Inputs(recipe).paths()
