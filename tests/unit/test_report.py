"""The figures of the report against independent references, and claims that the data support."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from codeact.errors import InputError
from codeact.reporting import gather, main_figures
from codeact.reporting.selection import histogram_edges
from codeact.statistics import spearman
from tests.helpers.report_run import metrics, plain_run, rows, write_evaluation


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_run(tmp_path_factory.mktemp("report") / "whole run")


@pytest.fixture(scope="module")
def figures(run: Path) -> dict[str, Any]:
    return gather(run)


def test_funnel_and_drops_agree_with_the_ledger(run: Path, figures: dict[str, Any]) -> None:
    ledger = list(rows(run, "ledger").values())
    score = rows(run, "score")
    usable = [row["ifd"] for row in score.values() if row["status"] == "ok" and row["ifd"] is not None]
    steps = {step["name"]: step["records"] for step in figures["funnel"]}
    assert steps == {
        "records": 240,
        "curated": 239,
        "scored": len(usable),
        "IFD < 1": sum(ifd < 1 for ifd in usable),
        "selected": sum(row["status"] == "kept" for row in ledger),
    }
    assert steps["scored"] == 237
    reasons = Counter((row["stage"], row["reason"]) for row in ledger if row["status"] == "dropped")
    assert {(drop["stage"], drop["reason"]): drop["records"] for drop in figures["drops"]} == reasons


def test_histogram_counts_every_scored_record_once(run: Path, figures: dict[str, Any]) -> None:
    score, sample, ifd = rows(run, "score"), rows(run, "sample"), figures["ifd"]
    edges = ifd["edges"]
    assert 1.0 in edges
    for key, wanted in (("selected", True), ("not_selected", False)):
        values = [
            score[id]["ifd"] for id, row in sample.items() if row["selected"] is wanted and score[id]["status"] == "ok"
        ]
        counted = [0] * (len(edges) - 1)
        for value in values:
            bin = max((i for i, edge in enumerate(edges[:-1]) if value >= edge), default=0)
            counted[bin] += 1
        assert ifd[key] == counted
    assert sum(ifd["selected"]) + sum(ifd["not_selected"]) == ifd["records"]
    below = sum(a + b for a, b, low in zip(ifd["selected"], ifd["not_selected"], edges, strict=False) if low < 1)
    assert below == ifd["below_one"]


@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.05, 0.4, 30.0])
def test_histogram_edges_stay_few_and_cover_the_values(spread: float) -> None:
    values = np.abs(np.random.default_rng(1).normal(0.8, spread, 5000))
    edges = histogram_edges(values)
    assert 2 <= len(edges) <= 61
    assert np.all(np.diff(edges) > 0)
    assert edges[0] <= values.min()
    assert edges[-1] > min(np.quantile(values, 0.995), 2.99)
    assert 1.0 in edges


def test_cluster_table_agrees_with_the_tables(run: Path, figures: dict[str, Any]) -> None:
    cluster, sample, score, records = (rows(run, name) for name in ("cluster", "sample", "score", "records"))
    assert [row["cluster"] for row in figures["clusters"]["rows"]] == sorted(
        {row["cluster"] for row in cluster.values()}
    )
    for row in figures["clusters"]["rows"]:
        members = [id for id, place in cluster.items() if place["cluster"] == row["cluster"]]
        usable = {id: score[id]["ifd"] for id in members if score[id]["status"] == "ok"}
        kept = [usable[id] for id in members if sample[id]["selected"]]
        assert (row["records"], row["selected"], row["ranked"]) == (len(members), len(kept), len(usable))
        assert row["cutoff"] == pytest.approx(min(kept))
        assert row["median_ifd"] == pytest.approx(np.median(list(usable.values())))
        for side, chosen in (("kept", True), ("dropped", False)):
            example = row[side]
            assert sample[example["id"]]["selected"] is chosen
            assert example["ifd"] == score[example["id"]]["ifd"]
            assert example["instruction"] == records[example["id"]]["messages"][0]["content"]
            others = sorted(value for id, value in usable.items() if sample[id]["selected"] is chosen)
            assert others.index(example["ifd"]) == (len(others) - 1) // 2


def test_figures_do_not_depend_on_the_order_of_rows(run: Path, figures: dict[str, Any], tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    for seed, name in enumerate(("records", "curate", "cluster", "score")):
        table = pq.read_table(copy / f"{name}.parquet")
        pq.write_table(table.take(np.random.default_rng(seed).permutation(table.num_rows)), copy / f"{name}.parquet")
    assert gather(copy) == figures


def test_length_figures(run: Path, figures: dict[str, Any]) -> None:
    stats = pytest.importorskip("scipy.stats")
    score, sample = rows(run, "score"), rows(run, "sample")
    usable = [id for id in score if score[id]["status"] == "ok"]
    tokens = {id: score[id]["response_tokens"] for id in usable}
    length = figures["length"]
    expected = stats.spearmanr([score[id]["ifd"] for id in usable], [tokens[id] for id in usable]).statistic
    assert length["spearman"] == pytest.approx(expected, abs=1e-12)
    held = sum(tokens[id] for id in usable if sample[id]["selected"])
    assert length["token_share"] == pytest.approx(held / sum(tokens.values()))
    assert length["token_share"] > length["record_share"]  # longer responses have a higher IFD in this run


def test_spearman_with_ties_and_without_an_answer() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    for levels in (2, 5, 1000):
        first, second = rng.integers(0, levels, (2, 200)).astype(float)
        assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert spearman(np.ones(9), np.arange(9.0)) is None


def test_bits_per_byte_difference_agrees_with_scipy(run: Path, figures: dict[str, Any]) -> None:
    stats = pytest.importorskip("scipy.stats")
    bits = []
    for side in ("base", "tuned"):
        lines = (run / "evaluate" / side / "bits.jsonl").read_text().splitlines()
        bits.append({row["task_id"]: row["bits_per_byte"] for row in map(json.loads, lines)})
    change = np.array([bits[1][task] - bits[0][task] for task in bits[0]])
    difference = figures["evaluation"]["metrics"][0]["difference"]
    assert difference["value"] == pytest.approx(change.mean())
    expected = stats.bootstrap((change,), np.mean, n_resamples=10_000, method="percentile", random_state=5)
    assert difference["interval"] == pytest.approx(list(expected.confidence_interval), abs=3e-4)


def test_few_tasks_support_no_claim(tmp_path: Path) -> None:
    metric = metrics(plain_run(tmp_path / "run", 30, gain=0.5, tasks=9))["bits_per_byte"]
    assert metric["difference"]["interval"] is None
    assert metric["verdict"] == "no clear difference"


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, "better"), (-0.05, "worse"), (0.0, "no clear difference")])
def test_bits_per_byte_verdict(tmp_path: Path, gain: float, verdict: str) -> None:
    metric = metrics(plain_run(tmp_path / "run", 30, gain=gain, tasks=60, seed=2))["bits_per_byte"]
    assert metric["verdict"] == verdict
    low, high = metric["difference"]["interval"]
    assert (low <= 0 <= high) is (verdict == "no clear difference")


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"),
    [
        (0, 0, "no clear difference"),
        (5, 0, "no clear difference"),
        (6, 0, "better"),
        (0, 9, "worse"),
        (7, 5, "no clear difference"),
    ],
)
def test_pass_rate_verdict(run: Path, tmp_path: Path, gained: int, lost: int, verdict: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    base = np.arange(20) >= 10
    tuned = base.copy()
    tuned[:gained] = True
    tuned[10 : 10 + lost] = False
    for side, passed in (("base", base), ("tuned", tuned)):
        write_evaluation(copy / "evaluate" / side, [f"HumanEval/{i}" for i in range(20)], np.full(20, 0.9), passed)
    metric = metrics(copy)["pass@1"]
    assert (metric["difference"]["gained"], metric["difference"]["lost"]) == (gained, lost)
    assert metric["verdict"] == verdict


def test_without_per_task_files_only_intervals_that_do_not_overlap_count(tmp_path: Path) -> None:
    for gain, verdict in ((0.05, "no clear difference"), (0.5, "better")):
        run = plain_run(tmp_path / f"run {gain}", 30, gain=gain)
        for side in ("base", "tuned"):
            (run / "evaluate" / side / "bits.jsonl").unlink()
        metric = metrics(run)["bits_per_byte"]
        assert metric["difference"] is None
        assert metric["verdict"] == verdict


def test_per_task_files_of_other_results_are_not_used(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 30)
    samples = run / "evaluate" / "base" / "samples.jsonl"
    samples.write_text(samples.read_text().replace("passed", "failed"))
    assert metrics(run)["pass@1"]["difference"] is None


def test_bad_run_directories(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        gather(tmp_path / "absent")
    for name, problem in (
        ("recipe.yaml", "not valid YAML"),
        ("score.parquet", "not a readable Parquet file"),
        ("pack.json", "broken JSON"),
    ):
        copy = tmp_path / name
        shutil.copytree(run, copy)
        (copy / name).write_text("a: [b\n")
        with pytest.raises(InputError, match=problem):
            gather(copy)


def test_summary_rows(figures: dict[str, Any]) -> None:
    summary = dict(main_figures(figures))
    assert summary["records"] == "240"
    assert summary["padding, Dynamic Pack"] == "1.4 %"
    assert summary["training"] == "60 steps in 184 s, 912 tokens/s"
    assert re.fullmatch(
        r"0\.\d{4} \[.*\] → 0\.\d{4} \[.*\]: better, −0\.\d{4} \[−.*\]", summary["HumanEval bits per byte"]
    )
    assert summary["HumanEval pass@1"].endswith("no clear difference")
