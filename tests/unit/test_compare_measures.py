"""The measures of a comparison: their order, pass@k of several samples, and held-out loss and bits per byte by length."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import result_files
from codeact.comparison.grid import Comparison, cells, load_comparison
from codeact.comparison.measures import MEASURED, by_length, in_order, solution_characters
from codeact.comparison.results import summarise
from codeact.comparison.run import task_values
from codeact.config import EvaluateConfig
from codeact.reporting.compare import tables, write_comparison
from codeact.statistics import crossed_interval, pass_at_k, rate_estimate
from tests.helpers.lines import write_lines

RESULTS = Path(__file__).parents[2] / "experiments" / "results"


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    file = tmp_path / "compare.yaml"
    file.write_text(
        f"{{run_dir: {tmp_path / 'runs'}, seeds: [0, 1, 2], rates: [0.4], units: [tokens], strategies: [random, longest],"
        " recipe: {model: {name: m}, data: {source: d.jsonl}}}",
        encoding="utf-8",
    )
    return load_comparison(file)


def measured(values: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"records": 10, "response_tokens": 100, "training": {"seconds": 1.0, "steps": 4}, "values": values}


def test_the_cheap_measures_stand_in_the_order_of_the_published_table() -> None:
    first, second = (
        {metric: one["correlation"]["pass@1"]["value"] for metric, one in result_files.read(RESULTS / file)["proxies"].items() if "band" not in metric}
        for file in ("measure.json.xz", "measure_second.json.xz")
    )
    more = sum(second[metric] - first[metric] for metric in first) / len(first)  # in the second study
    near = {metric: (first[metric] + second[metric]) / 2 if metric in first else second[metric] - more / 2 for metric in second}
    assert sorted(near, key=lambda metric: -near[metric]) == list(MEASURED)


def test_the_best_measure_leads_whatever_task_set_is_named_first(comparison: Comparison, tmp_path: Path) -> None:
    names = ("cruxeval-o bits_per_byte", "mbpp bits_per_byte", "mbpp pass@1", "mbpp pass@10", "humaneval bits_per_byte", "humaneval pass@1", "held-out loss")
    counts = dict.fromkeys(names, 12) | {"humaneval pass@1": 9}
    rng = np.random.default_rng(0)
    done = [(cell, measured({name: {f"{n}": rng.random() for n in range(counts[name])} for name in names})) for cell in cells(comparison)]
    summary = summarise(comparison, done, cells(comparison), {"values": done[0][1]["values"]})
    expected = [
        "mbpp pass@1", "mbpp pass@10", "held-out loss", "humaneval bits_per_byte", "cruxeval-o bits_per_byte", "mbpp bits_per_byte", "humaneval pass@1",
    ]  # fmt: skip
    assert list(summary["lower_is_better"]) == list(summary["smallest_seen"]) == expected
    assert list(summary["lower_is_better"].values()) == [False, False, True, True, True, True, False]
    assert [title.partition(" (")[0] for title, _, _ in tables(summary)] == expected
    assert re.findall("<h2>(.*?)</h2>", write_comparison(summary, tmp_path).read_text(encoding="utf-8")) == expected


def test_unknown_measures_keep_their_order_behind_the_known_ones() -> None:
    assert in_order({"b loss": 3, "a loss": 3, "humanevalpack-python margin": 3, "held-out loss": 3}) == [
        "held-out loss", "humanevalpack-python margin", "b loss", "a loss",
    ]  # fmt: skip


def test_ten_samples_a_task_give_pass_at_10_too(comparison: Comparison, tmp_path: Path) -> None:
    passed = {"HumanEval/0": 1, "HumanEval/1": 0, "HumanEval/2": 12}
    rows = [
        {"task_set": "humaneval", "task_id": task, "sample": n, "status": "passed" if n < count else "failed"} for task, count in passed.items() for n in range(20)
    ]
    write_lines(tmp_path / "samples.jsonl", rows)
    write_lines(tmp_path / "bits.jsonl", [{"task_set": "humaneval", "task_id": task, "bits_per_byte": 0.5} for task in passed])
    figures = {"version": "v1", "bits_per_byte": 0.5, "pass@1": 13 / 60, "interval": [0.0, 1.0], "pass@10": 0.5, "pass@10_interval": [0.0, 1.0]}
    (tmp_path / "results.json").write_text(json.dumps({"humaneval": figures, "humaneval+": {**figures, "pass@1": None, "pass@10": None}}), encoding="utf-8")
    found = task_values(tmp_path)
    assert list(found) == ["humaneval bits_per_byte", "humaneval pass@1", "humaneval pass@10"]
    assert found["humaneval pass@10"] == {task: pass_at_k(20, count, 10) for task, count in passed.items()}
    assert found["humaneval pass@10"]["HumanEval/0"] == pytest.approx(0.5)

    older = {name: values for name, values in found.items() if not name.endswith("@10")}  # a cell that an earlier version measured
    done = [(cell, measured(found if cell.entrant == "longest" else older)) for cell in cells(comparison) if cell.seed == 0]
    summary = summarise(comparison, done, cells(comparison), {"values": older})
    assert summary["lower_is_better"]["humaneval pass@10"] is False
    rows_of = {row["entrant"]: row["metrics"] for row in summary["rows"]}
    assert rows_of["random"]["humaneval pass@10"] is None
    assert rows_of["random"]["humaneval pass@1"]["value"] == pytest.approx(13 / 60)
    longest = rows_of["longest"]["humaneval pass@10"]
    assert (longest["minus_base"], longest["minus_against"]) == (None, None)
    assert longest["value"] == pytest.approx(0.5, abs=1e-3)
    assert longest["interval"] == list(rate_estimate(list(found["humaneval pass@10"].values())).interval)  # of one seed: over tasks, as `evaluate` gives it


def test_losses_are_told_by_length_with_the_paired_differences_of_each_third(comparison: Comparison, tmp_path: Path) -> None:
    """A selection that helps the short answers alone: its mean over all says that it helps a little."""
    lengths = {f"t{n}": 10 * (n * 7 % 31) for n in range(31)}
    rng, done = np.random.default_rng(0), []
    for cell in cells(comparison):
        gain = -0.3 if cell.entrant == "longest" else 0.0
        values = {item: float(1 + length / 500 + gain * (length <= 100) + rng.normal(0, 0.02)) for item, length in lengths.items()}
        done.append((cell, measured({"held-out loss": values, "few bits_per_byte": {"a": 1.0, "b": 2.0}, "set pass@1": values})))
    base = {"values": {**done[0][1]["values"]}}
    characters = {"held-out loss": lengths, "few bits_per_byte": {"a": 1, "b": 2}}
    summary = summarise(comparison, done, cells(comparison), base, characters)
    bands = summary["by_length"].pop("held-out loss")
    assert summary["by_length"] == {}  # two items make no thirds
    assert [(band["items"], band["characters"]) for band in bands] == [(11, [0, 100]), (10, [110, 200]), (10, [210, 300])]
    own, control = ([result["values"]["held-out loss"] for cell, result in done if cell.entrant == name] for name in ("longest", "random"))
    for band in bands:
        some = [item for item, length in lengths.items() if band["characters"][0] <= length <= band["characters"][1]]
        change = np.array([[one[item] - other[item] for item in sorted(some)] for one, other in zip(own, control, strict=True)])
        row = next(row for row in band["rows"] if row["entrant"] == "longest")
        assert (row["rate"], row["unit"]) == (0.4, "tokens")
        found = row["figures"]["minus_against"]
        assert (found["items"], found["seeds"]) == (len(some), 3)
        assert found["difference"] == pytest.approx(change.mean())
        assert found["interval"] == pytest.approx(crossed_interval(change))
        assert band["base"] == pytest.approx(np.mean([base["values"]["held-out loss"][item] for item in some]))
    clear = [next(row for row in band["rows"] if row["entrant"] == "longest")["figures"]["minus_against"]["interval"][1] < 0 for band in bands]
    assert clear == [True, False, False]

    summary["by_length"]["held-out loss"] = bands
    page = write_comparison(summary, tmp_path).read_text(encoding="utf-8")
    assert page.count("<summary>held-out loss by length") == page.count(" by length: the items") == 1
    assert "110 to 200 characters, 10 items: value; minus random" in page
    assert tables(summary) == tables({**summary, "by_length": {}})
    del summary["by_length"]  # compare.json of an earlier version
    assert "by length:" not in write_comparison(summary, tmp_path).read_text(encoding="utf-8")


def test_items_of_equal_length_go_by_name_and_bands_are_as_equal_as_can_be() -> None:
    assert by_length(["d", "c", "b", "a", "e"], {"a": 2, "b": 1, "c": 1, "d": 1, "e": 9}) == [["b", "c"], ["d", "a"], ["e"]]


def test_the_length_of_a_task_is_that_of_its_solution_and_of_a_held_out_record_that_of_its_answer(tmp_path: Path) -> None:
    write_lines(tmp_path / "kept.jsonl", [{"instruction": "Add.", "output": "x = 1"}, {"instruction": "Take.", "output": "one"}])
    found = solution_characters(EvaluateConfig(tasks=("humaneval",), held_out=str(tmp_path / "kept.jsonl")))
    assert (len(found), found["held-out/1"], found["held-out/2"]) == (166, 5, 3)
    assert found["HumanEval/23"] == len("    return len(string)\n")
