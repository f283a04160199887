"""What a long work tells of itself: whole units, evenly with the work, and all of them at the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact import progress
from codeact.progress import Steady


class Told:
    def __init__(self) -> None:
        self.amounts: list[float] = []

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.amounts.append(amount)


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=60), st.integers(0, 500))
def test_units_follow_the_work_within_one_and_are_complete(costs: list[int], units: int) -> None:
    told = Told()
    steady = Steady(told, units, sum(costs))
    for number, cost in enumerate(costs, 1):
        steady.add(cost)
        assert abs(sum(told.amounts) - units * sum(costs[:number]) / sum(costs)) < 1
    assert sum(told.amounts) == units
    assert all(amount == int(amount) >= 0 for amount in told.amounts)


def test_work_that_was_done_before_has_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    before = progress.show()
    try:
        with progress.track("score", 23, done=23):
            pass
        with progress.track("score", 23, done=20) as shown:
            shown.advance(3)
    finally:
        progress.show(before)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "score: 23/23 records (done before)"
    assert second.startswith("score: 23/23 records (")
    assert second.endswith(" records/s)")
