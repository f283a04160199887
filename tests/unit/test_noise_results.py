"""experiments/noise_results.py: shares of wrong records counted by hand, and a table that says what was not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.statistics import crossed_interval
from codeact.storage import write_jsonl
from experiments.noise_results import apart, ifd_by_length, share_wrong, tables_of, wrong_records


def test_what_is_wrong_of_a_choice_is_counted_in_records_and_in_characters(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "45.jsonl", [{"id": f"r{n}", "instruction": "i", "output": "x" * n, "wrong": n % 2 == 1} for n in range(1, 9)])
    known = wrong_records(tmp_path / "45.jsonl")
    found = share_wrong(["r1", "r2", "r4", "r7"], known)  # 1 + 7 of 14 characters
    assert found == {"records": 0.5, "characters": pytest.approx(8 / 14)}
    assert share_wrong(["r2"], known) == {"records": 0.0, "characters": 0.0}


def test_ifd_of_the_wrong_and_the_others_is_compared_at_equal_length() -> None:
    known = {f"r{n}": (n % 2 == 1, 10) for n in range(6)}
    scored = [("r0", 0.2, 10), ("r2", 0.4, 59), ("r1", 0.9, 60), ("r3", 0.7, 119), ("r5", None, 70), ("r4", 0.5, 400)]
    found = ifd_by_length(scored, known)
    assert found[0] == {"tokens": [1, 60], "wrong": {"records": 0, "ifd": None}, "others": {"records": 2, "ifd": pytest.approx(0.3)}}
    assert found[1] == {"tokens": [60, 120], "wrong": {"records": 2, "ifd": pytest.approx(0.8)}, "others": {"records": 0, "ifd": None}}
    assert found[4]["others"] == {"records": 1, "ifd": 0.5}


def row(entrant: str, unit: str, wrong: float, low: float, high: float) -> dict[str, Any]:
    minus = {"difference": (low + high) / 2, "interval": [low, high]}
    figures = {"held-out loss": {"minus_against": minus}}
    return {"entrant": entrant, "unit": unit, "records": 200.0, "wrong": {"records": wrong}, "metrics": figures, "minus_clean": {}, "minus_full": {}}


def test_tables_have_a_share_a_column_and_say_what_was_not_run() -> None:
    shares = {
        "0%": {"rows": [row("cdas", "tokens", 0.0, -0.01, 0.02), row("cdas", "records", 0.0, 0.01, 0.02)]},
        "45%": {"rows": [row("cdas", "tokens", 0.5, 0.01, 0.03)]},
        "45% own answers": {"rows": []},
    }
    lines = tables_of(shares, ["held-out loss"])
    assert "| trained on | 0% wrong | 45% wrong | 45% own answers |" in lines
    assert "| cdas | 0% of 200 | 50% of 200 | not run |" in lines
    assert "| cdas, equal records | 0% of 200 | not run | not run |" in lines
    assert "| cdas | 0.0050 [−0.0100, 0.0200] | **0.0200 [0.0100, 0.0300]** | not run |" in lines
    assert "| cdas, equal records | **0.0150 [0.0100, 0.0200]** | not run | not run |" in lines


def test_differences_are_paired_by_pool_and_item() -> None:
    rng = np.random.default_rng(0)
    clean = {seed: rng.normal(1.0, 0.5, 30) for seed in (1, 2)}
    wrong = {seed: values + 0.1 + rng.normal(0, 0.01, 30) for seed, values in clean.items()}
    sides = [{seed: {"held-out loss": {f"i{n}": float(v) for n, v in enumerate(some)}} for seed, some in side.items()} for side in (wrong, clean)]
    found = apart(*sides)["held-out loss"]
    change = np.array([wrong[s] - clean[s] for s in (1, 2)])
    assert found["difference"] == pytest.approx(change.mean())
    assert found["interval"] == pytest.approx(list(crossed_interval(change)))
    assert apart(sides[0], {3: sides[1][1]}) == {}
