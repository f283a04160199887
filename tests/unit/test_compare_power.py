"""What a comparison says of the differences that it cannot find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.comparison.grid import Comparison
from codeact.comparison.power import power_lines, smallest_seen, smallest_told
from codeact.statistics import crossed_interval, mean_squares

SIZES = {"items": (0.02, 1.0, 0.3), "seeds": (0.3, 0.3, 0.3), "rest": (0.02, 0.02, 1.0)}
ITEMS = 40


def table(rng: np.random.Generator, seeds: int, noise: tuple[float, float, float], size: float = 0.0) -> np.ndarray:
    """Differences [seeds, items] with noise of seeds, of items and of the rest around a true difference."""
    of_seeds, of_items, rest = noise
    return size + rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_items, (1, ITEMS)) + rng.normal(0, rest, (seeds, ITEMS))


def compared(values: np.ndarray, entrant: str = "cdas") -> dict[str, Any]:
    """A row of compare.json."""
    ends, found = crossed_interval(values), mean_squares(values)
    squares = {"of_seeds": found.of_seeds, "of_items": found.of_items, "rest": found.rest}
    change = {"difference": float(values.mean()), "interval": ends and list(ends), "seeds": found.seeds, "items": found.items, "mean_squares": squares}
    return {"entrant": entrant, "strategy": "cdas", "metrics": {"loss": {"minus_against": change}, "none": None}}


@pytest.mark.parametrize(("noise", "known", "planned"), [
    ("items", 2, 12), ("seeds", 2, 5), ("seeds", 3, 3), ("rest", 2, 2), ("rest", 3, 12),
])  # fmt: skip
def test_four_of_five_comparisons_see_the_smallest_difference_that_is_told(noise: str, known: int, planned: int) -> None:
    """Simulated: learnt from one set of comparisons and tried on others, of more seeds. Where items make the noise, seeds do not help."""
    rng = np.random.default_rng(0)
    told = smallest_seen([compared(table(rng, known, SIZES[noise])) for _ in range(100)], ("random",), planned)["loss"]
    assert told is not None
    seen = 0
    for _ in range(300):
        ends = crossed_interval(table(rng, planned, SIZES[noise], told))
        assert ends is not None
        seen += not ends[0] <= 0 <= ends[1]
    assert 0.73 <= seen / 300 <= 0.88


def test_more_seeds_make_less_of_the_noise_of_seeds_alone() -> None:
    rng = np.random.default_rng(1)
    for noise, most, least in (("items", 1.0, 0.9), ("rest", 0.55, 0.3)):
        rows = [compared(table(rng, 4, SIZES[noise])) for _ in range(50)]
        few, many = (smallest_seen(rows, (), seeds)["loss"] for seeds in (4, 16))
        assert few is not None
        assert many is not None
        assert least <= many / few <= most


def test_rivals_and_rows_without_spread_do_not_count() -> None:
    """A draw and its mirror were in the median, and tasks that none solved made it "humaneval pass@1 0"."""
    rng = np.random.default_rng(2)
    own = [compared(table(rng, 3, SIZES["rest"])) for _ in range(3)]
    draws = [compared(9 * table(rng, 3, SIZES["rest"]), name) for name in ("random", "random-2")]
    assert smallest_seen([*own, *draws], ("random", "random-2")) == smallest_seen(own, ())
    flat = compared(np.zeros((3, ITEMS)))
    assert smallest_seen([*own, flat], ()) == smallest_seen(own, ())
    assert smallest_told(smallest_seen([flat], ())) == "loss not known"
    assert smallest_seen([compared(table(rng, 1, SIZES["rest"]))], ()) == {}
    assert smallest_seen(draws, ("random", "random-2")) == {}


def test_the_plan_says_beforehand_what_an_earlier_comparisons_noise_forbids(tmp_path: Path) -> None:
    grid = Comparison(run_dir=str(tmp_path / "run"), recipe={}, strategies=("random",), seeds=(0, 1), apart_from=(str(tmp_path / "earlier"),))  # type: ignore[arg-type]
    assert power_lines(grid) == []
    row = compared(table(np.random.default_rng(0), 2, SIZES["rest"]))
    file = tmp_path / "earlier" / "compare.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"rows": [row], "rivals": ["random"]}), encoding="utf-8")
    (line,) = power_lines(grid)
    assert line.startswith("with 2 seeds smaller differences are missed in more than one of five comparisons: loss ")
    assert line.endswith(f"(by the noise of {file.parent})")
    del row["metrics"]["loss"]["minus_against"]["mean_squares"]  # as versions before wrote it
    file.write_text(json.dumps({"rows": [row]}), encoding="utf-8")
    assert power_lines(grid) == []
