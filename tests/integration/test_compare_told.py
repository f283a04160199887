"""What `codeact compare` says where something is amiss: a cell that fails, data that changed, answers that are cut, tokens to come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codeact import api
from codeact.comparison.grid import load_comparison
from codeact.comparison.kept import FAILED
from codeact.reporting.compare import failures
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

pytestmark = pytest.mark.slow
WILD = "strategies=[random,{name: wild, strategy: random, set: {train.learning_rate: 1.0e+6}}]"


@pytest.fixture
def grid(tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    write_lines(tmp_path / "pool.jsonl", pool_rows(24))
    (tmp_path / "compare.yaml").write_text(
        f"""
run_dir: {tmp_path / "runs"}
seeds: [0]
rates: [0.5]
units: [records]
held_out: 4
strategies: [random]
recipe:
  model: {{name: {tiny_model_dir}, max_length: 512, template: question, dtype: float32}}
  data: {{source: {tmp_path / "pool.jsonl"}}}
  embed: {{model: {tiny_embedder_dir}}}
  cluster: {{k: 2}}
  train: {{epochs: 1, batch_size: 2, learning_rate: 1.0e-3, warmup_steps: 0, max_grad_norm: 1000000}}
  evaluate: {{tasks: [humaneval], generate_limit: 0, bits_limit: 2}}
""",
        encoding="utf-8",
    )
    return tmp_path / "compare.yaml"


def done(grid: Path, *changes: str) -> int:
    found: int = api.compare_plan(grid, changes)["done"]
    return found


def test_a_cell_that_fails_is_named_and_the_others_go_on(grid: Path) -> None:
    """The first failure ended the comparison without its cell's name, and so did every later call."""
    ended = codeact("compare", str(grid), WILD)
    assert ended.returncode == 1
    assert "codeact: 1 of 2 trainings failed: wild-0.5-records-seed0;" in ended.stderr
    summary = json.loads((grid.parent / "runs" / "compare.json").read_text())
    assert summary["cells"] == {"planned": 2, "done": 1}
    (one,) = summary["failed"]
    assert one["error"].startswith("the training loss became nan")
    for text in (ended.stdout, (grid.parent / "runs" / "compare.html").read_text(encoding="utf-8")):
        assert f"failed: wild-0.5-records-seed0: {one['error']}" in text
    kept = codeact("compare", str(grid), WILD, "--minutes", "0", "--json")
    assert (kept.returncode, json.loads(kept.stdout)["failed"]) == (1, summary["failed"])
    mended = codeact("compare", str(grid), WILD.replace("1.0e+6", "1.0e-4"), "--json")
    assert (mended.returncode, json.loads(mended.stdout)["failed"]) == (0, [])
    assert not list((grid.parent / "runs").glob(f"cells/*/{FAILED}"))


def test_a_fault_that_all_cells_share_is_not_met_by_each(grid: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each cell of the grid was trained up to the same failure; cells that were not tried come first in the next call."""
    words = ("recipe.train.learning_rate=1e6", "seeds=[0,1,2,3]")
    first = api.compare(grid, words)["failed"]
    assert "all 3 cells that were tried failed for that reason; 1 cell left: mend it and run the same command again" in caplog.text
    names = [f"random-0.5-records-seed{seed}" for seed in range(4)]
    assert failures({"failed": first}) == [f"failed: {', '.join(names[:3])}: {first[0]['error']}"]
    assert [one["cell"] for one in api.compare(grid, words)["failed"]] == names


def test_a_plan_counts_nothing_as_done_that_the_call_would_do_again(grid: Path) -> None:
    """It went by the files of the earlier division, whatever they were made of."""
    api.compare(grid)
    assert done(grid) == 1
    assert done(grid, "held_out=5") == 0
    rows = pool_rows(24)
    write_lines(grid.parent / "pool.jsonl", rows[:23])
    assert done(grid) == 0
    write_lines(grid.parent / "pool.jsonl", rows)
    assert done(grid) == 1


def test_held_out_answers_that_are_cut_are_told(grid: Path) -> None:
    short = "recipe.model.max_length=40"
    ended = codeact("compare", str(grid), short)
    assert ended.returncode == 0, ended.stderr
    (line,) = json.loads((grid.parent / "runs" / "compare.json").read_text())["cautions"]
    assert line.startswith("held-out loss: ")
    assert line.endswith(" of 4 answers are measured only as far as model.max_length = 40 reaches")
    for text in (ended.stdout, ended.stderr, (grid.parent / "runs" / "compare.html").read_text(encoding="utf-8")):
        assert line in text
    assert line in " ".join(api.compare_plan(grid, [short])["notes"])


def plan(grid: Path, *changes: str) -> dict[str, Any]:
    return api.compare_plan(grid, ["recipe.evaluate.generate_limit=3", "recipe.evaluate.max_new_tokens=8", *changes])


def test_the_tokens_of_a_plan_are_at_most(grid: Path) -> None:
    """Thoughts, further temperatures and the model before training were left out."""
    assert plan(grid)["generated_tokens"] == 2 * 3 * 8  # of the base and of one cell
    thinking = ("recipe.evaluate.thinking_tokens=5", "recipe.evaluate.prompting=instruct")
    drawn = ("recipe.evaluate.temperature=0.2", "recipe.evaluate.temperatures=[0.6,0.8]", "recipe.evaluate.samples_per_task=2")
    assert plan(grid, *thinking, *drawn)["generated_tokens"] == 2 * 3 * 2 * (8 + 5) * 3
    entrants = "strategies=[random,{name: long, strategy: random, set: {evaluate.max_new_tokens: 16}}]"
    assert plan(grid, entrants)["generated_tokens"] == 3 * (8 + 8 + 16)
    shared = ["evaluate.generate_limit=3", "evaluate.max_new_tokens=8", f"data.source={grid.parent / 'pool.jsonl'}", f"run_dir={grid.parent / 'run'}"]
    model = load_comparison(grid).recipe["model"]["name"]
    each = api.plan("demo", [*shared, f"model.name={model}", *(one.removeprefix("recipe.") for one in (*thinking, *drawn))])
    assert each["generated_tokens"] == 3 * 2 * (8 + 5) * 3
