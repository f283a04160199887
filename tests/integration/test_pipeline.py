"""The whole pipeline through the command line on a random 2-layer model: run, reuse, override, kill and resume, explain."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from codeact.config import Recipe, load_recipe
from codeact.pipeline.run import run_pipeline
from tests.helpers import run_page
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started

STAGES = (
    "records",
    "curate",
    "embed",
    "cluster",
    "score",
    "sample",
    "pack",
    "train",
    "evaluate_base",
    "evaluate_tuned",
)


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("a path with spaces")
    rows = [
        *pool_rows(48),
        {"instruction": "empty", "output": ""},
        {"instruction": "broken", "output": "def f(:\n    return 1\n"},
    ]
    rows.append(dict(rows[0]))
    write_lines(folder / "pool.jsonl", rows)
    file = folder / "recipe.yaml"
    file.write_text(
        f"""
run_dir: {json.dumps(str(folder / "run"))}
model: {{name: {json.dumps(str(tiny_model_dir))}, max_length: 2048, template: question, dtype: float32}}
data: {{source: {json.dumps(str(folder / "pool.jsonl"))}}}
curate: {{decontaminate: [humaneval]}}
embed: {{model: {json.dumps(str(tiny_embedder_dir))}}}
cluster: {{k: 4}}
score: {{shard_size: 8, cache: false}}
sample: {{strategy: cdas, unit: records}}
train: {{epochs: 2, batch_size: 4, learning_rate: 1.0e-3, warmup_steps: 1, save_steps: 2}}
evaluate: {{tasks: [humaneval], generate_limit: 3, bits_limit: 40, max_new_tokens: 8, batch_size: 3}}
""",
        encoding="utf-8",
    )
    return file


@pytest.fixture(scope="module")
def finished(recipe_file: Path) -> Path:
    done = codeact("run", str(recipe_file), "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures
    return recipe_file.parent / "run"


def fingerprints(run_dir: Path) -> dict[str, str]:
    return {s: json.loads((run_dir / "markers" / f"{s}.json").read_text())["finished_at"] for s in STAGES}


def test_every_stage_leaves_its_table_and_marker(finished: Path) -> None:
    for stage in STAGES:
        marker = json.loads((finished / "markers" / f"{stage}.json").read_text())
        assert marker["stage"] == stage
        assert marker["seconds"] >= 0
    for name in ("records", "curate", "embed", "cluster", "score", "sample", "ledger"):
        table = pq.read_table(finished / f"{name}.parquet")
        assert len(set(table["id"].to_pylist())) == table.num_rows > 0
    assert (finished / "train" / "model" / "config.json").is_file()
    for side in ("base", "tuned"):
        results = json.loads((finished / "evaluate" / side / "results.json").read_text())
        assert results["humaneval"]["bits_per_byte_tasks"] == 40
        assert results["humaneval"]["bits_per_byte"] > 0
        assert results["sandbox"]
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert not (finished / "shards").exists() or not any((finished / "shards").rglob("*.parquet"))


def test_the_page_on_run_directories_is_true_of_a_run(finished: Path) -> None:
    assert run_page.faults(finished) == []
    conditional = {"review.jsonl", "outputs.json", "train_control", "shards", "spent.jsonl"}
    assert run_page.files() - conditional <= {path.name for path in finished.iterdir()}


def test_every_input_row_is_in_the_ledger_once(finished: Path) -> None:
    rows = pq.read_table(finished / "ledger.parquet").to_pylist()
    assert [r["row"] for r in rows] == list(range(51))
    why = {r["row"]: (r["status"], r["stage"], r["reason"]) for r in rows}
    assert why[48] == ("dropped", "records", "empty")
    assert why[49][:2] == ("dropped", "curate")
    assert sorted(why[n][1] for n in (0, 50)) == ["curate", "sample"] or why[0][1] == why[50][1] == "curate"
    pool = pq.read_table(finished / "sample.parquet").num_rows
    kept = sum(r["status"] == "kept" for r in rows)
    assert pool == 48
    assert kept == round(0.4 * pool)


def test_a_second_run_redoes_nothing(finished: Path, recipe_file: Path) -> None:
    before = fingerprints(finished)
    done = codeact("run", str(recipe_file))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done before, kept") == len(STAGES)
    assert fingerprints(finished) == before


def test_explain_says_why(finished: Path) -> None:
    ledger = pq.read_table(finished / "ledger.parquet").to_pylist()
    broken = next(r for r in ledger if r["row"] == 49)
    told = codeact("explain", str(finished), broken["id"])
    assert told.returncode == 0, told.stderr
    assert broken["reason"] in told.stdout
    assert "def f(:" in told.stdout
    wrong = codeact("explain", str(finished), "nonsense")
    assert wrong.returncode == 2
    assert "no record has the id 'nonsense'" in wrong.stderr


def redone(recipe: Recipe, run_dir: Path) -> set[str]:
    with logged() as lines:
        run_pipeline(recipe, ("pack",))
    return {line.partition(":")[0] for line in lines if "done before" not in line}


def test_a_change_redoes_its_stage_and_those_after_it(tmp_path: Path, recipe_file: Path, tiny_model_dir: Path) -> None:
    import shutil

    other = tmp_path / "other-model"
    shutil.copytree(tiny_model_dir, other)
    text = (other / "config.json").read_text()
    (other / "config.json").write_text(text.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert (other / "config.json").read_text() != text
    base = [f"run_dir={tmp_path / 'run'}"]
    assert redone(load_recipe(recipe_file, base), tmp_path) == set(STAGES[:7])
    assert redone(load_recipe(recipe_file, base), tmp_path) == set()
    assert redone(load_recipe(recipe_file, [*base, "sample.ratio=0.3"]), tmp_path) == {"sample", "pack"}
    assert redone(load_recipe(recipe_file, [*base, "sample.ratio=0.3", f"model.name={other}"]), tmp_path) == {
        "score",
        "sample",
        "pack",
    }
    assert redone(load_recipe(recipe_file, [*base, "sample.ratio=0.3", f"model.name={other}", "cluster.k=3"]), tmp_path) == {
        "cluster", "sample", "pack",
    }  # fmt: skip


@pytest.mark.slow
def test_killed_again_and_again_and_resumed_is_the_same(finished: Path, recipe_file: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    command = ["run", str(recipe_file), f"run_dir={run_dir}", "--json"]
    for moment in ("shards/score/*/000001-*.parquet", "train/metrics.jsonl", "evaluate/tuned"):
        with Started("-m", "codeact", *command) as process:
            deadline = time.monotonic() + 300
            while not any(run_dir.glob(moment)) and process.poll() is None:
                assert time.monotonic() < deadline, moment
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    done = codeact(*command)
    assert done.returncode == 0, done.stderr
    for name in ("records", "curate", "embed", "cluster", "score", "sample", "ledger"):
        assert pq.read_table(tmp_path / "run" / f"{name}.parquet").equals(
            pq.read_table(finished / f"{name}.parquet")
        ), name
    fresh, resumed = (json.loads((r / "train/summary.json").read_text()) for r in (finished, tmp_path / "run"))
    assert resumed["steps"] == fresh["steps"]
    assert resumed["final_loss"] == pytest.approx(fresh["final_loss"], rel=1e-5)
    for side in ("base", "tuned"):
        old, new = (
            json.loads((r / "evaluate" / side / "results.json").read_text())["humaneval"]
            for r in (finished, tmp_path / "run")
        )
        assert new["bits_per_byte"] == pytest.approx(old["bits_per_byte"], rel=1e-5)
        assert new["task_ids"] == old["task_ids"]


def test_two_processes_do_not_share_a_run_directory(recipe_file: Path, tmp_path: Path) -> None:
    from codeact.errors import InputError
    from codeact.rundir.store import Store

    recipe = load_recipe(recipe_file, [f"run_dir={tmp_path}"])
    with Store(tmp_path).lock(), pytest.raises(InputError, match="another codeact process"):
        run_pipeline(recipe, ("records",))


def test_padding_is_measured_again_where_long_records_become_something_else(recipe_file: Path, tmp_path: Path) -> None:
    for overlong in ("truncate", "drop"):
        few = {"sample.strategy": "random", "sample.unit": "records", "model.max_length": 64, "pack.overlong": overlong, "run_dir": str(tmp_path / "run")}
        run_pipeline(load_recipe(recipe_file, (f"{key}={value}" for key, value in few.items())), ("pack",))
        report = json.loads((tmp_path / "run" / "pack.json").read_text())
        assert (report["truncated"] > 0, report["dropped"] > 0) == (overlong == "truncate", overlong == "drop")


def test_a_changed_embedder_in_the_same_folder_embeds_again(recipe_file: Path, tiny_embedder_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "embedder"
    shutil.copytree(tiny_embedder_dir, folder)
    recipe = load_recipe(recipe_file, (f"embed.model={folder}", f"run_dir={tmp_path / 'run'}"))
    tables = []
    for changed in (False, False, True):
        if changed:
            (weights,) = folder.rglob("model.safetensors")
            tensors = load_file(weights)
            noise = np.random.default_rng(0)
            save_file({name: t + noise.normal(0, 1, t.shape).astype(t.dtype) for name, t in tensors.items()}, weights, {"format": "pt"})
        tables.append((run_pipeline(recipe, ("embed",)).marker("embed"), pq.read_table(tmp_path / "run" / "embed.parquet")))
    (first, before), (second, _), (_, after) = tables
    assert second == first
    assert not after["embedding"].equals(before["embedding"])
