"""The simulation of workers that are slow and die, against cases that have a closed form."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.scale_model import checks, seconds_with_failures, simulate


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("shards", "workers"), [(12, 4), (13, 4), (3, 8)])
def test_equal_shards_without_failures_take_whole_rounds(shards: int, workers: int, shared: bool) -> None:
    found = simulate(np.full(shards, 7.0), np.ones(workers), shared=shared)
    assert found.seconds == pytest.approx(-(-shards // workers) * 7.0)
    assert (found.lost, found.failures, found.again) == (0, 0, 0)


@pytest.mark.parametrize(("work", "mtbf", "restart"), [(60.0, 600.0, 120.0), (60.0, 60.0, 0.0), (5.0, 360.0, 30.0)])
def test_one_worker_that_fails_takes_what_the_formula_says(work: float, mtbf: float, restart: float) -> None:
    shards = 20_000
    found = simulate(np.full(shards, work), np.ones(1), mtbf=mtbf, restart=restart)
    assert found.seconds == pytest.approx(seconds_with_failures(shards, work, mtbf, restart), rel=0.02)
    # what is lost: a failure comes after m - t / (e^(t/m) - 1) seconds of work, on average
    assert found.lost / found.failures == pytest.approx(mtbf - work / np.expm1(work / mtbf), rel=0.05)
    assert found.failures == pytest.approx(shards * np.expm1(work / mtbf), rel=0.05)


def test_shared_shards_end_within_grahams_bound() -> None:
    drawn = np.random.default_rng(1)
    for _ in range(20):
        work, workers = drawn.exponential(10, drawn.integers(1, 200)), int(drawn.integers(1, 20))
        found = simulate(work, np.ones(workers))
        assert work.sum() / workers <= found.seconds + 1e-9
        assert found.seconds <= work.sum() / workers + work.max() * (1 - 1 / workers) + 1e-9
        assert found.idle == pytest.approx(found.seconds * workers - work.sum())


def test_a_shard_that_failed_is_done_by_another() -> None:
    found = simulate(np.full(40, 10.0), np.array([1.0, 1.0]), mtbf=30.0, restart=1e6)
    alone = simulate(np.full(40, 10.0), np.array([1.0, 1.0]), mtbf=30.0, restart=1e6, shared=False)
    assert found.failures > 0
    assert found.seconds <= alone.seconds


def test_the_model_is_near_what_was_measured() -> None:
    assert [one["what"] for one in checks() if "FLOPs" in one["what"] or "training" in one["what"]]
    for one in checks():
        if "FLOPs" in one["what"] or "training" in one["what"] or "select" in one["what"]:
            assert 0.8 < one["ratio"] < 1.25, one
