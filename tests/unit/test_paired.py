"""The paired comparison of two evaluations, which `evaluate --against` and the report share, and the words for a rank correlation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.errors import InputError
from codeact.evaluation.compare import compare_results
from codeact.reporting.results import evaluation_figures
from codeact.score.length import length_figures, relation
from codeact.statistics import spearman, spearman_interval
from tests.helpers.lines import write_lines


def evaluation(folder: Path, passed: list[list[bool]], plus: list[list[bool]], **settings: Any) -> Path:
    """A finished evaluation of HumanEval+: outcomes of every task's samples."""
    folder.mkdir(parents=True)
    rows = []
    for task, (base_ok, plus_ok) in enumerate(zip(passed, plus, strict=True)):
        for number, (one, two) in enumerate(zip(base_ok, plus_ok, strict=True)):
            status = {"status": "passed" if one else "failed", "plus_status": "passed" if two else "failed"}
            rows.append({"task_set": "humaneval", "task_id": f"HumanEval/{task}", "sample": number, **status})
    write_lines(folder / "samples.jsonl", rows)
    results: dict[str, Any] = {"model": folder.name, "sandbox": "landlock", "prompting": "base", **settings}
    for name, outcomes in (("humaneval", passed), ("humaneval+", plus)):
        rate = float(np.mean([np.mean(one) for one in outcomes]))
        results[name] = {"version": "v1", "tasks": len(outcomes), "pass@1": rate, "interval": [0.0, 1.0]}
        results[name] |= {"bits_per_byte": None}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def report_of(root: Path) -> dict[str, dict[str, Any]]:
    return {metric["set"]: metric for metric in evaluation_figures(root, ["base", "tuned"])["metrics"]}


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"), [(5, 0, "no clear difference"), (6, 0, "better"), (0, 7, "worse")]
)
def test_the_report_and_the_command_say_the_same_of_plus_sets(
    tmp_path: Path, gained: int, lost: int, verdict: str
) -> None:
    none, some = [[False]] * 20, [[n < gained] for n in range(20)]
    before = [[n >= 20 - lost] for n in range(20)]
    evaluation(tmp_path / "base", before, before)
    evaluation(tmp_path / "tuned", none if lost else some, none if lost else some)
    found, told = compare_results(tmp_path / "base", tmp_path / "tuned"), report_of(tmp_path)
    for name in ("humaneval", "humaneval+"):
        pair = found[name]["pass@1"]
        assert (pair["gained"], pair["lost"], pair["verdict"]) == (gained, lost, verdict)
        assert told[name]["verdict"] == verdict
        assert told[name]["difference"]["interval"] == pair["interval"]


def test_several_samples_of_a_task_count_as_their_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outcomes = [[bool(v) for v in row] for row in rng.random((30, 4)) < 0.3]
    better = [[value or n % 2 == 0 for n, value in enumerate(row)] for row in outcomes]
    evaluation(tmp_path / "base", outcomes, outcomes)
    evaluation(tmp_path / "tuned", better, better)
    pair = compare_results(tmp_path / "base", tmp_path / "tuned")["humaneval"]["pass@1"]
    assert pair["difference"] == pytest.approx(np.mean(better) - np.mean(outcomes))
    assert report_of(tmp_path)["humaneval"]["difference"]["value"] == pair["difference"]
    assert (pair["verdict"], "gained" in pair, "samples" in pair) == ("better", False, False)
    evaluation(tmp_path / "twice", [row * 2 for row in outcomes], [row * 2 for row in outcomes])
    pair = compare_results(tmp_path / "base", tmp_path / "twice")["humaneval"]["pass@1"]
    assert (pair["difference"], pair["samples"]) == (0.0, [4, 8])


@pytest.mark.parametrize("setting", ["sandbox", "prompting", "template", "dtype", "backend", "temperature", "thinking_tokens"])
def test_results_that_were_not_made_alike_are_not_compared(tmp_path: Path, setting: str) -> None:
    evaluation(tmp_path / "base", [[False]] * 20, [[False]] * 20)
    evaluation(tmp_path / "tuned", [[True]] * 20, [[True]] * 20, **{setting: "another"})
    with pytest.raises(InputError, match=f"{setting} is .* and 'another'"):
        compare_results(tmp_path / "base", tmp_path / "tuned")
    assert {metric["verdict"] for metric in report_of(tmp_path).values()} == {"no clear difference"}


@pytest.mark.parametrize(
    ("rho", "records", "said"),
    [
        (0.01, 1966, "no clear relation"),
        (-0.60, 200, "moderate to strong: longer responses tend to have a lower IFD"),
        (0.84, 200, "strong: longer responses tend to have a higher IFD"),
        (0.4, 12, "no clear relation"),
        (0.06, 100_000, "hardly any relation"),
        (-0.2, 5000, "weak: longer responses tend to have a lower IFD"),
        (0.5, 20, "very weak to strong: longer responses tend to have a higher IFD"),
        (-0.45, 200, "moderate to strong: longer responses tend to have a lower IFD"),
        (0.9, 3, "too few records to say whether they are related"),
        (None, 50, "not defined for these records"),
    ],
)
def test_a_rank_correlation_is_said_with_its_size_sign_and_certainty(
    rho: float | None, records: int, said: str
) -> None:
    assert relation(rho, None if rho is None else spearman_interval(rho, records)) == said


def test_ranks_that_agree_in_full_are_no_certainty() -> None:
    for records in (4, 5, 8, 50):
        low, high = spearman_interval(1.0, records) or (1.0, 1.0)
        assert high == 1.0
        assert low < 1.0 - 12.0 / (records**3 - records)
        assert spearman_interval(-1.0, records) == [-1.0, -low]
    assert (spearman_interval(1.0, 4) or [1.0])[0] < 0.0  # one order of 24 agrees by chance, and one is its reverse


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_the_interval_of_spearman_covers(strength: float) -> None:
    """Against the value of a very large sample; 95 % nominal."""
    rng = np.random.default_rng(1)
    large = rng.normal(size=(2, 200_000))
    truth = spearman(large[0], large[1] + strength * large[0])
    assert truth is not None
    covered = 0
    for _ in range(400):
        a, b = rng.normal(size=(2, 60))
        rho = spearman(a, b + strength * a)
        interval = spearman_interval(rho or 0.0, 60)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert 0.92 < covered / 400 < 0.99


def test_length_figures_leave_out_what_is_not_ranked() -> None:
    found = length_figures([0.5, np.nan, 0.9, 0.7], [10, 1000, 30, -1], [True, True, False, True])
    assert found is not None
    assert (found["records"], found["selected"], found["response_tokens"], found["selected_tokens"]) == (2, 1, 40, 10)
    assert found["token_share"] == pytest.approx(0.25)
    assert length_figures([np.nan], [3], [True]) is None
