"""What a second comparison draws from what the first one left is a random sample of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.comparison.grid import Comparison, shared_recipes
from codeact.comparison.split import check_pools, check_seeds, divide
from codeact.errors import InputError
from codeact.pipeline.run import run_pipeline
from tests.helpers.lines import write_lines


def rows(name: str, count: int = 240) -> list[dict[str, str]]:
    return [{"instruction": f"{name} task {n}", "output": f"x = {n}", "source": name} for n in range(count)]


def comparison(folder: Path, name: str, data: list[dict[str, str]], seed: int, **more: Any) -> Comparison:
    source = folder / f"{name}.jsonl"
    write_lines(source, data)
    recipe = {"seed": seed, "model": {"name": "none"}, "data": {"source": str(source), "limit": 60}}
    named = [{"name": "random", "strategy": "random"}]
    return Comparison(run_dir=str(folder / name), recipe=recipe, strategies=named, **more)  # type: ignore[arg-type]


def drawn(one: Comparison) -> list[dict[str, str]]:
    """The rows that it keeps out; its pool is drawn too."""
    root = Path(one.run_dir)
    root.mkdir()
    divide(one, root)
    for recipe in shared_recipes(one.model_copy(update={"apart_from": ()})):
        run_pipeline(recipe, ("records",))
    return [json.loads(line) for line in (root / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]


def test_what_is_held_out_is_a_fair_sample_of_what_is_left(tmp_path: Path) -> None:
    first = comparison(tmp_path, "first", rows("old"), 0, held_out=120)
    assert len(drawn(first)) == 120
    own_pools: Any = {"held_out": 60, "apart_from": first.run_dir, "pool_per_seed": True, "seeds": (5,)}
    later = comparison(
        tmp_path, "later", rows("old") + rows("new"), 0, **own_pools
    )  # held out under seed 0, as the first
    kept_out = drawn(later)
    old = sum(row["source"] == "old" for row in kept_out)
    # about 90 old ones are left beside 240 new ones: 16 of 60, give or take three standard deviations
    assert 6 <= old <= 27
    again = comparison(tmp_path, "again", rows("old") + rows("new"), 0, **own_pools)
    assert drawn(again) == kept_out


def test_a_second_draw_under_the_seed_of_the_first_is_refused(tmp_path: Path) -> None:
    first = comparison(tmp_path, "first", rows("old"), 3, held_out=10)
    drawn(first)
    both = rows("old") + rows("new")
    same = comparison(tmp_path, "same", both, 3, held_out=10, apart_from=first.run_dir)
    with pytest.raises(InputError, match=r"under seed 3.*recipe\.seed"):
        check_seeds(same)
    pools = comparison(
        tmp_path, "pools", both, 0, held_out=10, apart_from=first.run_dir, pool_per_seed=True, seeds=(2, 3)
    )
    with pytest.raises(InputError, match=r"under seed 3.*other seeds"):
        check_seeds(pools)


def test_a_comparison_that_has_not_drawn_all_its_pools_is_refused(tmp_path: Path) -> None:
    """Kept apart from it, a second one would draw what the first draws later."""
    first = comparison(tmp_path, "first", rows("old"), 0, held_out=10, pool_per_seed=True, seeds=(1, 2))
    root = Path(first.run_dir)
    root.mkdir()
    divide(first, root)
    pools = shared_recipes(first)
    run_pipeline(pools[0], ("records",))
    both = rows("old") + rows("new")
    later = comparison(tmp_path, "later", both, 7, held_out=10, apart_from=first.run_dir)
    Path(later.run_dir).mkdir()
    with pytest.raises(InputError, match=r"first has not drawn all its records yet \(shared-seed2 is left\)"):
        divide(later, Path(later.run_dir))
    assert not (Path(later.run_dir) / "split.json").exists()
    run_pipeline(pools[1], ("records",))
    divide(later, Path(later.run_dir))
    more = first.model_copy(update={"seeds": (1, 2, 3)})  # a third pool, drawn later, is told to whom it concerns
    divide(more, root)
    with pytest.raises(InputError, match="shared-seed3 is left"):
        divide(later, Path(later.run_dir))
    divide(first, root)  # given up again
    divide(later, Path(later.run_dir))
    (root / "pools.json").unlink()
    with pytest.raises(InputError, match=r"does not say which pools it draws \(pools.json\); run that comparison's command again"):
        divide(later, Path(later.run_dir))


def test_pools_that_share_records_are_told(tmp_path: Path) -> None:
    """The factor beside simulated pools whose effect is the mean over their records."""
    one = comparison(tmp_path, "pools", rows("old", 250), 0, held_out=10, pool_per_seed=True, seeds=(1, 2, 3))
    line = check_pools(one, 240)
    assert line is not None
    assert "share 25% of their records (60 of 240 rows each)" in line
    told = float(line.split("by about ")[1].split(" times")[0])
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(4000):
        effects = rng.normal(size=240)
        pools = [effects[rng.choice(240, 60, replace=False)].mean() for _ in range(3)]
        means.append(np.mean(pools))
        errors.append(np.var(pools, ddof=1) / 3)
    assert told == pytest.approx(np.sqrt(np.var(means) / np.mean(errors)), rel=0.05)
    assert check_pools(one, 600) is None
    assert check_pools(one.model_copy(update={"pool_per_seed": False}), 240) is None
    assert check_pools(one.model_copy(update={"seeds": (1,)}), 60) is None


def test_pools_that_would_all_be_the_same_are_refused(tmp_path: Path) -> None:
    one = comparison(tmp_path, "same", rows("old", 70), 0, held_out=10, pool_per_seed=True, seeds=(1, 2))
    root = Path(one.run_dir)
    root.mkdir()
    with pytest.raises(InputError, match=r"each seed draws 60 records, and there are 60 rows besides those held out.*lower recipe\.data\.limit"):
        divide(one, root)
    assert not (root / "pool.jsonl").exists()


def test_pools_that_an_earlier_comparison_leaves_too_few_rows_for_are_refused(tmp_path: Path) -> None:
    """100 rows are enough for two pools of 60, but not without the 10 and 30 that the first took."""
    first = comparison(tmp_path, "first", rows("old", 40), 0, held_out=10)
    drawn(first)
    later = comparison(tmp_path, "later", rows("old", 100), 7, held_out=10, apart_from=first.run_dir, pool_per_seed=True, seeds=(1, 2))
    root = Path(later.run_dir)
    root.mkdir()
    with pytest.raises(InputError, match=r"there are 50 rows besides those held out and what .*first used, so all pools"):
        divide(later, root)
    assert not (root / "pool.jsonl").exists()
