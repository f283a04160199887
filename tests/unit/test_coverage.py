"""What a selection covers, and the floors that raise it."""

from __future__ import annotations

import numpy as np

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
    assert any("length 10" in w or "length 0" in w for w in coverage(plain.selected, groups)["warnings"])
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
