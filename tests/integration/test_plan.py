"""The plan of a run: what it counts before anything runs, against what is counted afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from codeact import api, config
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plan")
    write_lines(made / "pool.jsonl", pool_rows(40))
    return made


def test_the_plan_counts_and_writes_nothing(folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> None:
    recipe = folder / "plan.yaml"
    recipe.write_text(
        json.dumps(
            {
                "run_dir": str(folder / "planned"),
                "model": {"name": str(tiny_model_dir), "max_length": 512, "template": "question", "dtype": "float32"},
                "data": {"source": str(folder / "pool.jsonl")},
                "embed": {"model": str(tiny_embedder_dir)},
                "sample": {"strategy": "cdas", "unit": "records"},
                "train": {"epochs": 2, "batch_size": 4},
                "evaluate": {"tasks": ["humaneval"], "generate_limit": 10, "max_new_tokens": 20},
            }
        ),
        encoding="utf-8",
    )
    done = codeact("run", str(recipe), "--plan", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not (folder / "planned").exists()
    assert set(found["stages"].values()) == {"to do"}
    assert (found["records"], found["selected"], found["generated_tokens"]) == (40, 16, 200)
    parameters = _parameters(tiny_model_dir)
    assert found["memory"]["optimizer"] == 8 * parameters
    assert found["memory"]["weights"] == 6 * parameters
    lora = json.loads(codeact("run", str(recipe), "train.method=lora", "--plan", "--json").stdout)
    assert lora["memory"]["optimizer"] == 8 * _lora_parameters(tiny_model_dir)
    assert lora["train_flops"] == pytest.approx(found["train_flops"] * 2 / 3)

    text = codeact("run", str(recipe), "--plan")
    assert "A100 80GB" in text.stdout
    assert "H100 80GB" in text.stdout
    told = [line for line in codeact("run", str(recipe), "--plan", "control=random").stdout.splitlines() if not line.startswith("note: ")]
    column = len("evaluate_control ")  # the longest name
    assert [line for line in told if line[column - 1] != " " or line[column] == " "] == []
    api.run_stages(config.load_recipe(recipe), ["score"], None)
    scored = json.loads(codeact("run", str(recipe), "--plan", "--json").stdout)
    assert scored["stages"]["score"] == "done before, kept"
    assert scored["score_tokens"] == 0
    assert _scored_tokens(folder / "planned") == pytest.approx(found["score_tokens"], rel=0.05)


def test_the_size_alone_is_enough_for_a_plan_of_select(folder: Path) -> None:
    call = ["select", str(folder / "pool.jsonl"), "--strategy", "cdas", "-o", str(folder / "out.jsonl"), "--plan", "--gpu", "a100", "--json"]
    assert "--model" in codeact(*call).stderr
    unnamed, named = (codeact(*call, "--parameters", "6.7B", *more) for more in ([], ["--model", "some/model"]))
    assert (unnamed.returncode, named.returncode) == (0, 0), unnamed.stderr
    assert json.loads(unnamed.stdout)["devices"] == json.loads(named.stdout)["devices"]


def _parameters(folder: Path) -> int:
    from codeact.lm import models

    return sum(p.numel() for p in models.load_model(str(folder), dtype="float32").parameters())


def _lora_parameters(folder: Path) -> int:
    from codeact.config import ModelConfig, TrainConfig
    from codeact.training.checks import parameter_counts
    from codeact.training.sft import prepare_model

    network = prepare_model(
        ModelConfig(name=str(folder), dtype="float32"), TrainConfig(method="lora"), packed=True, seed=0
    )
    return parameter_counts(network)[1]


def _scored_tokens(run_dir: Path) -> int:
    """Prompt and response in the first pass, the response alone in the second; each with its context token, less the last one."""
    found = pq.read_table(run_dir / "score.parquet")
    prompt, response = (sum(found[name].to_pylist()) for name in ("prompt_tokens", "response_tokens"))
    return prompt + 2 * response
