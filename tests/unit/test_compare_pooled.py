"""experiments/compare_pooled.py: several comparisons together, against scipy's one-sample t-test on differences made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from experiments.compare_cells import packed
from tests.helpers.processes import Started


def write_cells(
    file: Path, seeds: tuple[int, ...], items: int, entrants: tuple[str, ...]
) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(seeds[0])
    values = {(name, seed): rng.integers(-10_000, 10_000, size=items) / 10_000 for name in entrants for seed in seeds}
    results = {
        f"{name}-0.4-tokens-seed{seed}": {
            "cell": {"entrant": name, "rate": 0.4, "unit": "tokens", "seed": seed},
            "values": {"held-out loss": {f"item {i}": value for i, value in enumerate(found.tolist())}},
        }
        for (name, seed), found in values.items()
    }
    file.write_text(json.dumps(packed({"base": {"values": {}}, **results}, 4)))
    return values


def test_the_unit_is_the_pool(tmp_path: Path) -> None:
    everyone = ("random", "random-2", "cdas", "longest")
    one = write_cells(tmp_path / "one_cells.json", (1, 2, 3), 20, everyone)
    two = write_cells(tmp_path / "two_cells.json", (4, 5), 30, (*everyone, "alone"))
    files = [str(tmp_path / name) for name in ("one_cells.json", "two_cells.json", "out.json")]
    script = Started("-m", "experiments.compare_pooled", *files[:2], "--output", files[2], "--versus", "longest:cdas")
    told = script.communicate()
    assert script.returncode == 0, told
    document = json.loads((tmp_path / "out.json").read_text())
    found = {row["entrant"]: row["metrics"]["held-out loss"] for row in document["rows"]}
    assert set(found) == set(everyone)  # `alone` was in one comparison only
    pools = [(values, seed) for values, seeds in ((one, (1, 2, 3)), (two, (4, 5))) for seed in seeds]
    draws = [(values["random", seed] + values["random-2", seed]) / 2 for values, seed in pools]
    expected = {
        "cdas": [(values["cdas", seed] - draw).mean() for (values, seed), draw in zip(pools, draws, strict=True)],
        "random": [(values["random", seed] - values["random-2", seed]).mean() for values, seed in pools],
    }
    for name, differences in expected.items():
        interval = ttest_1samp(differences, 0).confidence_interval(0.95)
        assert found[name]["difference"] == pytest.approx(np.mean(differences))
        assert found[name]["interval"] == pytest.approx([interval.low, interval.high])
        assert (found[name]["pools"], found[name]["below"]) == (5, sum(d < 0 for d in differences))
    against = document["versus"]["longest"][0]["metrics"]["held-out loss"]["difference"]
    assert against == pytest.approx(np.mean([(values["cdas", s] - values["longest", s]).mean() for values, s in pools]))
