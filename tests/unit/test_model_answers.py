"""experiments/model_answers.py: the model's own answers, for the records that were wrong and that a pool draws, and for no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codeact.comparison.grid import Comparison, shared_recipes
from codeact.comparison.split import divide
from codeact.pipeline.run import run_pipeline
from codeact.storage import write_jsonl
from experiments import model_answers


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n:03}", "instruction": f"Add {n} to x, number {n}.", "output": f"x + {n}", "wrong": False} for n in range(count)]


def test_who_is_answered_is_who_the_pools_draw(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows(60))
    tree = {"data": {"source": str(tmp_path / "rows.jsonl"), "limit": 12}, "seed": 7, "model": {"name": "none"}}
    entrants = [{"name": "random", "strategy": "random"}]
    one = Comparison(run_dir=str(tmp_path), recipe=tree, strategies=entrants, held_out=10, pool_per_seed=True, seeds=(1, 2))  # type: ignore[arg-type]
    divide(one, tmp_path)
    pools = [{*run_pipeline(recipe, ("records",)).table("records")["id"].to_pylist()} for recipe in shared_recipes(one)]
    assert model_answers.drawn(rows(60), one) == pools[0] | pools[1]


def test_answers_are_those_of_one_at_a_time_and_not_written_twice(tiny_model_dir: Path, tmp_path: Path) -> None:
    asked = rows(5)
    together = model_answers.answers(asked, str(tiny_model_dir), tmp_path / "together", seed=3)
    alone = model_answers.answers(asked, str(tiny_model_dir), tmp_path / "alone", seed=3, batch_size=1)
    assert together == alone
    assert [*together] == [row["id"] for row in asked]
    # a part that is there is read: no model is needed for it
    (tmp_path / "together" / "0000.jsonl").write_text('{"id": "kept", "answer": "a", "tokens": 1, "finish": "eos"}\n', encoding="utf-8")
    assert [*model_answers.answers(asked, str(tiny_model_dir), tmp_path / "together", seed=3)] == ["kept"]


def test_an_empty_answer_leaves_its_record_as_it_is() -> None:
    clean = rows(3)
    made = model_answers.answered(clean, {"r000": {"answer": "mine"}, "r002": {"answer": ""}})
    assert [(row["output"], row["wrong"]) for row in made] == [("mine", True), ("x + 1", False), ("x + 2", False)]
