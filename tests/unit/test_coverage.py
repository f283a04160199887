"""What a selection covers, and the floors that raise it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codeact.reporting.wording import coverage_rows
from codeact.sample import Rules, choose
from codeact.sample.coverage import coverage, distance, length_bands


def test_the_floor_moves_the_lowest_records_only() -> None:
    ids = [f"{i:03d}" for i in range(100)]
    ifd = [0.9 - i / 1000 for i in range(100)]
    language = ["python"] * 80 + ["java"] * 20
    plain = choose(ids, strategy="complexity", ratio=0.4, ifd=ifd, language=language)
    raised = choose(ids, strategy="complexity", ratio=0.4, ifd=ifd, language=language, rules=Rules(floor=0.5))
    assert plain.selected[80:].sum() == 0
    assert raised.selected.sum() == plain.selected.sum() == 40
    assert raised.selected[80:].tolist() == [True] * 4 + [False] * 16
    assert raised.selected[:36].all()


IDS, LANGUAGE = list("abcdef"), ["python"] * 4 + ["go"] * 2
TWINS = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 0, 5]]  # e is like a


@pytest.mark.parametrize(
    ("strategy", "columns", "selected", "reasons"),
    [
        ("deita", {"complexity": [6, 5, 4, 3, None, None], "embedding": np.eye(6)}, "abc", {"d": "below cut", "e": "no rating", "f": "no rating"}),
        ("deita", {"complexity": [6, 5, 4, 3, 2, 1], "embedding": TWINS}, "abf", {"c": "gave way to a floor", "d": "below cut", "e": "below cut"}),
        ("deita", {"complexity": [6, 5, 4, 3, 9, None], "embedding": TWINS}, "bce", {"a": "too similar", "d": "below cut", "f": "no rating"}),
        ("instag", {"tags": [["x", "y"], ["x"], ["z"], ["w"], [], ["q"]]}, "acf", {"b": "no new tag", "d": "gave way to a floor", "e": "no tags"}),
        ("complexity", {"ifd": [0.9, 0.8, 0.7, 0.6, 0.5, None]}, "abe", {"c": "gave way to a floor", "d": "below cut", "f": "status:nonfinite"}),
    ],
)
def test_a_floor_brings_in_what_the_strategy_could_take(strategy: str, columns: dict[str, Any], selected: str, reasons: dict[str, str]) -> None:
    more = {"quality": [1.0] * 6} if strategy == "deita" else {}
    found = choose(IDS, strategy=strategy, ratio=0.5, language=LANGUAGE, rules=Rules(floor=1.0), **columns, **more)
    assert "".join(found.chosen) == selected
    assert {i: reason for i, reason in zip(found.ids, found.reason, strict=True) if reason} == reasons


@pytest.mark.parametrize("floor", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_draw_of_like_lengths_takes_no_record_without_tokens(floor: float, seed: int) -> None:
    columns = {"ifd": [0.9, 0.8, 0.7, 0.6, None, None], "response_tokens": [5, 5, 5, 5, 0, 0], "language": LANGUAGE}
    found = choose(IDS, strategy="length-matched", ratio=0.5, seed=seed, rules=Rules(floor=floor, like="complexity"), **columns)
    assert len(found.chosen) == 3
    assert found.reason[4:] == ("no response tokens",) * 2


def test_a_floor_of_lengths_silences_the_warning_about_them() -> None:
    rng = np.random.default_rng(0)
    count = 400
    tokens = rng.integers(10, 600, count).tolist()
    ids, bands = [f"{i:04d}" for i in range(count)], length_bands(tokens)
    ifd = [0.1 + t / 1000 + 0.01 * rng.random() for t in tokens]
    common = {"strategy": "cdas", "ratio": 0.4, "ifd": ifd, "cluster": rng.integers(0, 5, count).tolist()}
    language = ["python" if i % 3 else "" for i in range(count)]
    groups = {"length": bands, "cluster": common["cluster"]}
    plain = choose(ids, **common, language=language)
    raised = choose(ids, **common, language=language, response_tokens=tokens, rules=Rules(floor=0.5, floor_lengths=True))
    assert any("answers of 10" in w or "answers of 0-" in w for w in coverage(plain.selected, groups)["warnings"])
    assert coverage(raised.selected, groups)["warnings"] == []
    assert raised.selected.sum() == plain.selected.sum() == 160
    went, came = plain.selected & ~raised.selected, raised.selected & ~plain.selected
    assert went.sum() == came.sum() > 0
    for band in set(bands):  # what comes in are the highest of its band that were left out
        inside = np.array([b == band for b in bands])
        if (came & inside).any():
            assert np.array(ifd)[came & inside].min() > np.array(ifd)[inside & ~raised.selected].max()


def test_coverage_figures() -> None:
    selected = np.array([True, False] * 10)
    vectors = np.tile(np.eye(2, dtype=np.float32), (10, 1))
    found = coverage(selected, {"language": ["a", "b"] * 10}, vectors)
    assert found["distance"] == {"mean": 1.0, "p95": 1.0}
    assert found["groups"]["language"][1] == {
        "group": "b",
        "pool": 10,
        "selected": 0,
        "share_pool": 0.5,
        "share_selected": 0.0,
    }
    assert len(found["warnings"]) == 1
    assert distance(vectors, np.ones(20, np.bool_)) is None
    assert length_bands([0, 49, 50, 900]) == ["0-49", "0-49", "50-99", "800+"]


def test_distances_of_many_records_are_sampled_with_an_interval() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    selected = np.arange(3000) < 400
    exact, sampled = distance(vectors, selected), distance(vectors, selected, most=500)
    assert exact is not None
    assert sampled is not None
    assert set(exact) == {"mean", "p95"}
    assert sampled == distance(vectors, selected, most=500)  # the same draw every time
    assert (sampled["unselected_sampled"], sampled["selected_sampled"], sampled["upper_bound"]) == (500, 400, False)
    for figure in ("mean", "p95"):
        low, high = sampled[f"{figure}_interval"]
        assert low <= exact[figure] <= high
        assert low <= sampled[figure] <= high
    bound, true = distance(vectors, ~selected, most=500), distance(vectors, ~selected)
    assert bound is not None
    assert true is not None
    assert bound["upper_bound"]
    assert (bound["unselected_sampled"], bound["selected_sampled"]) == (400, 500)
    assert bound["mean"] > true["mean"]
    assert bound["p95"] > true["p95"]


def test_intervals_hold_the_true_figures_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(2)
    held = {"mean": 0, "p95": 0}
    for _ in range(100):
        vectors = rng.normal(size=(1200, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        selected = rng.permutation(1200) < 150
        exact, sampled = distance(vectors, selected), distance(vectors, selected, most=300)
        assert exact is not None
        assert sampled is not None
        for figure in held:
            low, high = sampled[f"{figure}_interval"]
            held[figure] += low <= exact[figure] <= high
    assert all(90 <= count <= 100 for count in held.values()), held


def test_the_summary_says_that_distances_were_sampled() -> None:
    gap = {
        "mean": 0.3, "p95": 0.5, "unselected_sampled": 20000, "selected_sampled": 20000, "mean_interval": [0.298, 0.302], "upper_bound": True
    }  # fmt: skip
    ((_, said),) = coverage_rows({"distance": {"selection": gap}, "warnings": []})
    assert said == (
        "mean 0.300, 95 % below 0.500 (from 20,000 unselected, to 20,000 selected: an upper bound;"
        " 95 % interval of the mean 0.2980 to 0.3020)"
    )
