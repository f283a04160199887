"""experiments/noise.py: wrong in the share that was asked for, nested, and clean where the comparison measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeact.comparison.grid import Comparison, shared_recipes
from codeact.comparison.split import divide, normal_text
from codeact.pipeline.run import run_pipeline
from codeact.records import Message, Record, content_hash
from codeact.storage import write_jsonl
from experiments import noise


def record(n: int) -> Record:
    code = f"def f{n}(xs):\n    total = {n}\n    for x in xs:\n        if x > {n} and x != 3:\n            total = total + x\n    return total\n"
    messages = (Message("user", f"Sum what exceeds {n}, number {n}."), Message("assistant", code))
    return Record(content_hash(messages), messages, {"row": n})


@pytest.mark.parametrize("share", noise.SHARES)
def test_share_is_met_with_every_kind_and_held_out_records_stay_clean(share: float) -> None:
    clean = [record(n) for n in range(220)]
    kept = noise.held_out(clean, 20, 5)
    made, found = noise.noisy(clean, share, kept, 5)
    wrong = [n for n in range(220) if made[n].response != clean[n].response]
    assert len(wrong) == sum(found.values()) == round(share * 200)
    assert share == 0 or {*found} == {*noise.KINDS}
    assert [r.instruction for r in made] == [r.instruction for r in clean]
    assert not any(normal_text(clean[n].instruction) in kept for n in wrong)


def test_what_is_wrong_at_fifteen_per_cent_is_wrong_at_thirty() -> None:
    clean = [record(n) for n in range(120)]
    few, many = (noise.noisy(clean, share, set(), 1)[0] for share in (0.15, 0.3))
    assert all(many[n].response == few[n].response for n in range(120) if few[n].response != clean[n].response)


def test_the_comparison_holds_out_what_was_left_clean(tmp_path: Path) -> None:
    clean = [record(n) for n in range(60)]
    kept = noise.held_out(clean, 10, 7)
    made, _ = noise.noisy(clean, 0.45, kept, 7)
    write_jsonl(tmp_path / "45.jsonl", noise.rows(made, clean))
    tree = {"data": {"source": str(tmp_path / "45.jsonl")}, "seed": 7}
    comparison = Comparison(run_dir=str(tmp_path / "run"), recipe=tree, strategies=("random",), held_out=10)  # type: ignore[arg-type]
    out = divide(comparison, tmp_path / "run")
    assert {normal_text(r.instruction) for r in out} == kept
    assert {r.response for r in out} <= {r.response for r in clean}


def test_pools_hold_the_same_records_at_every_share(tmp_path: Path) -> None:
    clean = [record(n) for n in range(90)]
    kept = noise.held_out(clean, 10, 7)
    drawn: list[list[set[str]]] = []
    for share in (0.0, 0.45):
        folder = tmp_path / str(share)
        folder.mkdir()
        made, _ = noise.noisy(clean, share, kept, 7)
        write_jsonl(folder / "rows.jsonl", noise.rows(made, clean))
        tree = {"data": {"source": str(folder / "rows.jsonl"), "limit": 8}, "seed": 7, "model": {"name": "none"}}
        entrants = [{"name": "random", "strategy": "random"}]
        one = Comparison(run_dir=str(folder), recipe=tree, strategies=entrants, held_out=10, pool_per_seed=True, seeds=(1, 2))  # type: ignore[arg-type]
        divide(one, folder)
        drawn.append([{*run_pipeline(recipe, ("records",)).table("records")["id"].to_pylist()} for recipe in shared_recipes(one)])
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]
