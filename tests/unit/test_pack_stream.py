"""Streaming packing: every sample once, rows that fit, fuller with a wider window, and the same rows after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.errors import InputError
from codeact.packing import PackedStream, padding_rate, plan_epoch


def stream(lengths: list[int], capacity: int, **options: Any) -> PackedStream:
    return PackedStream(list(enumerate(lengths)), capacity, length=lambda sample: sample[1], **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), max_size=120), st.integers(50, 90), st.integers(1, 40), st.integers(0, 3))
def test_every_sample_is_in_exactly_one_row_that_fits(
    lengths: list[int], capacity: int, window: int, seed: int
) -> None:
    rows = list(stream(lengths, capacity, window=window, seed=seed))
    assert sorted(n for row in rows for n, _ in row) == list(range(len(lengths)))
    assert all(0 < sum(size for _, size in row) <= capacity for row in rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=120), st.integers(1, 40), st.data())
def test_a_stopped_stream_goes_on_with_the_same_rows(lengths: list[int], window: int, data: st.DataObject) -> None:
    whole = list(stream(lengths, 60, window=window, seed=1))
    stop = data.draw(st.integers(0, len(whole)))
    first = stream(lengths, 60, window=window, seed=1)
    rows = iter(first)
    begun = [next(rows) for _ in range(stop)]
    saved = json.loads(json.dumps(first.state()))  # through a file
    assert begun + list(stream(lengths, 60, window=window, seed=1, state=saved)) == whole


def test_never_holds_more_than_the_window() -> None:
    held = most = 0

    def source() -> Iterator[int]:
        nonlocal held, most
        for size in np.random.default_rng(0).integers(1, 400, 5000).tolist():
            held += 1
            most = max(most, held)
            yield size

    for row in PackedStream(source(), 1024, window=256, length=int):
        held -= len(row)
    assert most <= 256
    assert held == 0


def test_a_wide_window_packs_as_well_as_the_whole_epoch() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(5.3, 0.8, 20_000).astype(int) + 1, 2048).tolist()
    rates = {}
    for window in (16, 256, 4096):
        rows = [np.array([n for n, _ in row]) for row in stream(lengths, 2048, window=window)]
        rates[window] = padding_rate(rows, lengths, 2048)
    epoch = padding_rate(plan_epoch(lengths, 2048), lengths, 2048)
    assert rates[16] > rates[256] > rates[4096]
    assert rates[4096] < epoch + 0.005


def test_no_sample_waits_for_ever() -> None:
    # one sample of 60 never fits well beside samples of 50 in rows of 100
    lengths = [60] + [50] * 4000
    rows = list(stream(lengths, 100, window=32))
    where = next(i for i, row in enumerate(rows) if (0, 60) in row)
    assert where < 200


def test_bad_input() -> None:
    with pytest.raises(InputError, match="both must be at least 1"):
        stream([1], 0)
    with pytest.raises(InputError, match="sample 1 of the stream has 70 tokens"):
        list(stream([5, 70], 60))
    with pytest.raises(InputError, match="end before the 9 that were read"):
        list(stream([5], 60, state={"read": 9, "round": 1, "held": {}, "rows": []}))
