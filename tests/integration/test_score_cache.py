"""Scores outlive a run: only what is new is computed, and what is reused is what would have been computed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.pipeline.run import run_pipeline
from codeact.stages.score import VERSION
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEACT_SCORES", str(tmp_path / "scores"))
    return tmp_path


def score(folder: Path, run: str, data: Path, model: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stage's summary, and its rows by id."""
    extra = {
        "run_dir": str(folder / run), "data.source": str(data), "model.name": str(model), "model.dtype": "float32", "model.template": "question",
        "curate.dedup": False, "score.shard_size": 8, **settings,
    }  # fmt: skip
    store = run_pipeline(load_recipe(extra=extra), ("score",))
    return store.marker("score")["summary"], {row["id"]: row for row in store.table("score").to_pylist()}  # type: ignore[index]


def test_only_new_records_are_scored(folder: Path, tiny_model_dir: Path) -> None:
    rows = pool_rows(30)
    some, more = write_lines(folder / "some.jsonl", rows[:20]), write_lines(folder / "more.jsonl", rows[::-1])
    first, before = score(folder, "a", some, tiny_model_dir)
    again, after = score(folder, "b", some, tiny_model_dir)
    wider, whole = score(folder, "c", more, tiny_model_dir)
    assert (first["cached"], again["cached"], wider["cached"]) == (0, 20, 20)
    assert after == before
    _, fresh = score(folder, "d", more, tiny_model_dir, **{"score.cache": False})
    assert whole.keys() == fresh.keys()
    for key, row in whole.items():
        assert row["ifd"] == pytest.approx(fresh[key]["ifd"], rel=1e-5)
        assert {k: row[k] for k in ("status", "response_tokens", "prompt_tokens")} == {
            k: fresh[key][k] for k in ("status", "response_tokens", "prompt_tokens")
        }


def test_what_decides_a_score_keeps_scores_apart(folder: Path, tiny_model_dir: Path) -> None:
    data = write_lines(folder / "data.jsonl", pool_rows(8))
    other = folder / "other-model"
    shutil.copytree(tiny_model_dir, other)
    text = (other / "config.json").read_text()
    (other / "config.json").write_text(text.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02'))
    assert (other / "config.json").read_text() != text
    _, first = score(folder, "a", data, tiny_model_dir)
    changes: list[tuple[Path, dict[str, Any]]] = [
        (other, {}),
        (tiny_model_dir, {"score.variant": "paper"}),
        (tiny_model_dir, {"model.template": "alpaca"}),
        (tiny_model_dir, {"model.max_length": 90}),
    ]
    for number, (model, settings) in enumerate(changes):
        summary, found = score(folder, f"run{number}", data, model, **settings)
        assert summary["cached"] == 0, settings
        assert {key: row["ifd"] for key, row in found.items()} != {key: row["ifd"] for key, row in first.items()}


def test_a_raised_version_of_scoring_scores_again(
    folder: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_lines(folder / "data.jsonl", pool_rows(8))
    first, before = score(folder, "a", data, tiny_model_dir)
    monkeypatch.setattr("codeact.stages.score.VERSION", VERSION + 1)
    raised, after = score(folder, "a", data, tiny_model_dir)  # the stage of the same run is not kept either
    monkeypatch.setattr("codeact.stages.score.VERSION", VERSION)
    again, _ = score(folder, "b", data, tiny_model_dir)
    assert (first["cached"], raised["cached"], again["cached"]) == (0, 0, 8)
    assert after == before


def test_records_of_equal_content_share_a_score(folder: Path, tiny_model_dir: Path) -> None:
    rows = pool_rows(4)
    data = write_lines(folder / "data.jsonl", [{**row, "id": f"{copy}{n}"} for copy in "xy" for n, row in enumerate(rows)])
    summary, found = score(folder, "a", data, tiny_model_dir)
    assert sum(summary["status"].values()) == 8
    for n in range(4):
        assert found[f"x{n}"]["ifd"] == found[f"y{n}"]["ifd"]
    assert len({row["ifd"] for row in found.values()}) == 4


@pytest.mark.slow
def test_a_killed_run_goes_on_in_another_run_directory(folder: Path, tiny_model_dir: Path) -> None:
    data = write_lines(folder / "data.jsonl", pool_rows(48))
    settings = [
        f"model.name={tiny_model_dir}",
        "model.dtype=float32",
        "model.template=question",
        f"data.source={data}",
        "score.shard_size=2",
    ]
    recipe = folder / "recipe.yaml"
    recipe.write_text("curate: {dedup: false}\n", encoding="utf-8")
    program = (
        "import sys; from codeact.pipeline.run import run_pipeline; from codeact.config import load_recipe;"
        "run_pipeline(load_recipe(sys.argv[1], sys.argv[2:]), ('score',))"
    )
    with Started("-c", program, str(recipe), *settings, f"run_dir={folder / 'killed'}") as process:
        deadline = time.monotonic() + 120
        while len(list((folder / "scores").glob("*/*.parquet"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    kept = sum(pq.read_metadata(file).num_rows for file in (folder / "scores").glob("*/*.parquet"))
    assert 0 < kept < 48
    shared = {"score.shard_size": 2, "curate.dedup": False}
    summary, found = score(folder, "second", data, tiny_model_dir, **shared)
    _, fresh = score(folder, "fresh", data, tiny_model_dir, **shared, **{"score.cache": False})
    assert summary["cached"] == kept
    assert found == fresh
