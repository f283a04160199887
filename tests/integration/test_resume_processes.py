"""A training goes on with the number of processes that it had, or refuses: another number would read other records."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import launched


@pytest.mark.slow
def test_another_number_of_processes(tiny_model_dir: Path, tmp_path: Path) -> None:
    data = tmp_path / "pool.jsonl"
    write_lines(data, pool_rows(24))

    def words(out: str) -> list[str]:
        options = {"--model": tiny_model_dir, "-o": tmp_path / out, "--max-length": 128, "--template": "question", "--epochs": 2}
        options |= {"--dtype": "float32", "--batch-size": 2, "--learning-rate": 1e-3, "--set": "train.save_steps=2"}
        return ["train", str(data), *(str(word) for pair in options.items() for word in pair)]

    metrics = tmp_path / "cut" / "metrics.jsonl"
    pair = launched(2, "-m", "codeact", *words("cut"))
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 5):
        assert pair[0].poll() is None, pair[0].communicate()
        time.sleep(0.005)
    for process in pair:
        process.kill()
        process.wait()
    assert list((tmp_path / "cut").glob("checkpoints/checkpoint-*/complete.json"))

    alone = codeact(*words("cut"))
    assert alone.returncode == 2
    assert "cannot be gone on from here (processes 2 there, 1 here)" in alone.stderr
    assert len([line for line in alone.stderr.splitlines() if line.startswith("codeact:")]) == 1
    assert list((tmp_path / "cut").glob("checkpoints/checkpoint-*/complete.json"))  # nothing is lost

    for process in launched(2, "-m", "codeact", *words("cut")):
        _, errors = process.communicate()
        assert process.returncode == 0, errors[-2000:]
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))  # 2 epochs of 6 steps of 2 x 2 records, each once
    assert sum(row["tokens"] for row in rows[:6]) == sum(row["tokens"] for row in rows[6:])  # each epoch reads all records


@pytest.mark.parametrize(("steps", "asked", "highest"), [(6, 15, 1), (12, 15, 2), (6, 2, 3), (1, 15, 1)])
def test_a_run_shorter_than_its_warm_up_reaches_its_rate(
    tiny_model_dir: Path, tmp_path: Path, steps: int, asked: int, highest: int
) -> None:
    """Also: `records` counts those trained on, and settings that mean nothing are said."""
    data = tmp_path / "pool.jsonl"
    long = {"instruction": "x " * 400, "output": "y"}
    rows = [*pool_rows(4 * steps), long]
    write_lines(data, rows)
    options = ["--max-length", "256", "--template", "question", "--batch-size", "4", "--epochs", "1", "--learning-rate", "0.001"]
    settings = [f"train.warmup_steps={asked}", "train.eval_steps=3", "train.scheduler=constant_with_warmup"]
    sets = [word for setting in settings for word in ("--set", setting)]
    done = codeact("train", str(data), "--model", str(tiny_model_dir), "-o", str(tmp_path / "out"), *options, *sets, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["records"], summary["dropped"]) == (4 * steps, 1)
    assert any("train.eval_steps means nothing" in line for line in summary["warnings"])
    logged = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = [row["learning_rate"] for row in logged]
    assert len(rates) == steps
    assert max(rates) == pytest.approx(1e-3)
    assert 1 + rates.index(max(rates)) == highest
    assert summary["warmup_steps"] == highest - 1
