"""What curation doubts is chosen after all others: by a draw, by the control, and `explain` says so."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import codeact
from codeact.config import Recipe
from codeact.draws import seeded_order
from codeact.pipeline.run import run_pipeline
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

SOUND, DOUBTFUL = 45, 15


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python 2 among Python: kept, and doubted."""
    rows = [{**row, "id": f"sound-{n}"} for n, row in enumerate(pool_rows(SOUND))]
    old = "```python\nfor n in range({n}):\n    print 'line', n * {n}\n```"
    rows += [{"id": f"old-{n}", "instruction": f"Print {n} lines, number {n}.", "output": old.format(n=n)} for n in range(2, 2 + DOUBTFUL)]
    file = tmp_path_factory.mktemp("doubtful") / "data.jsonl"
    write_lines(file, rows)
    return file


@pytest.mark.parametrize("strategy", ["random", "k-centre"])
def test_a_draw_and_an_order_take_it_last(data: Path, tmp_path: Path, tiny_embedder_dir: Path, strategy: str) -> None:
    settings = {"sample.strategy": strategy, "sample.unit": "records", "curate.decontaminate": []}
    found = codeact.select(str(data), embedder=str(tiny_embedder_dir), ratio=0.7, run_dir=tmp_path / "run", settings=settings)
    doubted = {row["id"] for row in pq.read_table(tmp_path / "run" / "curate.parquet").to_pylist() if row["penalised"]}
    assert doubted == {f"old-{n}" for n in range(2, 2 + DOUBTFUL)}
    taken = {row["id"] for row in found.table.to_pylist() if row["selected"]}
    assert len(taken) == 42
    assert not taken & doubted
    assert "ranked last (Python 2" in found.explain("old-3")["sentence"]
    more = codeact.select(str(data), embedder=str(tiny_embedder_dir), ratio=0.9, run_dir=tmp_path / "more", settings=settings)
    taken = {row["id"] for row in more.table.to_pylist() if row["selected"]}
    assert {f"sound-{n}" for n in range(SOUND)} <= taken
    assert len(taken & doubted) == 54 - SOUND


def test_the_control_draws_it_last_too(data: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "run_dir": str(tmp_path / "run"), "control": "random", "model": {"name": str(tiny_model_dir), "template": "question", "dtype": "float32"},
            "data": {"source": str(data)}, "embed": {"model": str(tiny_embedder_dir)}, "cluster": {"k": 1},
            "curate": {"decontaminate": []}, "sample": {"strategy": "cdas", "unit": "records", "ratio": 0.3},
            "evaluate": {"tasks": ["humaneval"], "generate_limit": 0, "bits_limit": 2},
        }
    )  # fmt: skip
    run_pipeline(recipe, ("control",))
    drawn = {row["id"] for row in pq.read_table(tmp_path / "run" / "control.parquet").to_pylist() if row["selected"]}
    assert len(drawn) > 10
    assert all(name.startswith("sound") for name in drawn)


def test_adaptive_scoring_looks_for_the_cut_of_the_others(tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> None:
    """What comes last takes no place above a cut: it is not measured but in the pilot, and the choice is about that of full scoring."""
    plain = [{**row, "id": f"sound-{n}"} for n, row in enumerate(pool_rows(200))]
    broken = [{**row, "id": f"failed-{n}", "output": f"{row['output']}\n```python\ndef f(:\n    return {n}\n```"} for n, row in enumerate(pool_rows(290)[200:])]
    write_lines(tmp_path / "data.jsonl", [*plain, *broken])
    settings = {
        "model.template": "question", "model.dtype": "float32", "cluster.k": 2, "curate.decontaminate": [], "curate.failed": "penalise", "curate.dedup": False,
        "sample.strategy": "cdas", "sample.unit": "records",
    }  # fmt: skip
    taken, scores = {}, {}
    for adaptive in (False, True):
        root = tmp_path / str(adaptive)
        codeact.select(
            str(tmp_path / "data.jsonl"), model=str(tiny_model_dir), embedder=str(tiny_embedder_dir), ratio=0.1, run_dir=root,
            settings={**settings, "score.adaptive": adaptive, "score.cache": False},
        )  # fmt: skip
        taken[adaptive] = {row["id"] for row in pq.read_table(root / "sample.parquet").to_pylist() if row["selected"]}
        scores[adaptive] = pq.read_table(root / "score.parquet").to_pylist()
    ids = [row["id"] for row in scores[True]]
    pilot = {ids[n] for n in seeded_order(ids, 0)[:64]}
    measured = {row["id"] for row in scores[True] if row["status"] == "ok"}
    assert len(measured) < len(ids)
    assert {name for name in measured if name.startswith("failed")} <= pilot
    assert not any(name.startswith("failed") for name in taken[True] | taken[False])
    assert len(taken[True] & taken[False]) / len(taken[True] | taken[False]) >= 0.75
