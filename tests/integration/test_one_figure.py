"""One run with everything that used to be told twice (refine, adaptive scoring, base against tuned): each figure is the same wherever it is shown."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from codeact.reporting.wording import percent
from codeact.score.length import length_line
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    rows = pool_rows(150)
    rows += [{**rows[n], "output": rows[n + 20]["output"]} for n in range(12)]  # the same instruction, another answer
    rows += [{"instruction": "broken", "output": "def f(:\n    return 1\n"}, {"instruction": "empty", "output": ""}]
    write_lines(folder / "pool.jsonl", rows)
    (folder / "recipe.yaml").write_text(
        f"""
run_dir: {json.dumps(str(folder / "run"))}
model: {{name: {json.dumps(str(tiny_model_dir))}, max_length: 512, template: question, dtype: float32}}
data: {{source: {json.dumps(str(folder / "pool.jsonl"))}}}
curate: {{semantic: 0.9999}}
embed: {{model: {json.dumps(str(tiny_embedder_dir))}}}
cluster: {{k: 3}}
score: {{adaptive: true, agreement: 0.8, cache: false}}
sample: {{ratio: 0.3, strategy: cdas, unit: records}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1.0e-3}}
evaluate: {{tasks: [humaneval], generate_limit: 2, bits_limit: 12, max_new_tokens: 4, batch_size: 2}}
""",
        encoding="utf-8",
    )
    done = cli("run", str(folder / "recipe.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return folder / "run"


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return found


def summary(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "markers" / f"{stage}.json").read_text(encoding="utf-8"))["summary"]
    return found


def test_drops_are_those_of_the_stages_the_ledger_and_the_evidence(run: Path, report: dict[str, Any]) -> None:
    told = {(drop["stage"], drop["reason"]): drop["records"] for drop in report["drops"]}
    assert {r: n for (s, r), n in told.items() if s == "refine"} == summary(run, "refine")["dropped"] != {}
    assert {r: n for (s, r), n in told.items() if s == "curate"} == summary(run, "curate")["dropped"] != {}
    assert {r: n for (s, r), n in told.items() if s == "records"} == summary(run, "records")["rejected"] != {}
    ledger = pq.read_table(run / "ledger.parquet").to_pylist()
    assert told == Counter((row["stage"], row["reason"]) for row in ledger if row["status"] == "dropped")
    lines = (run / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    evidence = Counter((row["stage"], row["reason"]) for row in map(json.loads, lines))
    assert evidence == {key: count for key, count in told.items() if key[0] != "sample"}


def test_counts_of_the_funnel_are_those_of_the_stages(run: Path, report: dict[str, Any]) -> None:
    steps = {step["name"]: step["records"] for step in report["funnel"]}
    sample = summary(run, "sample")
    assert steps["records"] == summary(run, "records")["records"]
    assert steps["curated"] == summary(run, "refine")["kept"] == sample["pool"]
    assert steps["scored"] == sum(summary(run, "score")["status"].get(s, 0) for s in ("ok", "truncated", "estimated"))
    assert steps["selected"] == sample["selected"] == report["length"]["selected"]
    assert report["ifd"]["estimated"] == summary(run, "score")["status"]["estimated"] > 0
    share = percent(sample["selected"] / sample["pool"])
    assert report["headline"]["selection"] == f"Selected {sample['selected']} of {sample['pool']} records ({share})."
    listed = [stage["stage"] for stage in report["stages"]]
    assert listed[:4] == ["records", "curate", "embed", "refine"]
    assert {stage["status"] for stage in report["stages"]} == {"done"}


def test_length_and_tokens_are_told_alike(run: Path, report: dict[str, Any]) -> None:
    sample, length = summary(run, "sample"), report["length"]
    score = {row["id"]: row for row in pq.read_table(run / "score.parquet").to_pylist()}
    chosen = {row["id"] for row in pq.read_table(run / "sample.parquet").to_pylist() if row["selected"]}
    ranked = {i: row["response_tokens"] for i, row in score.items() if row["ifd_estimate"] is not None}
    held = sum(ranked[i] for i in chosen) / sum(ranked.values())
    assert length["token_share"] == sample["token_share"] == pytest.approx(held)
    assert length["spearman"] == sample["ifd_length_spearman"] == summary(run, "score")["ifd_length_spearman"]
    assert length["interval"] == sample["ifd_length_interval"]
    again = cli("report", str(run))
    flat = " ".join(again.stdout.replace("│", " ").split())
    line = length_line(length["spearman"], length["interval"])
    assert line.partition("; ")[2].split(":")[0] in flat
    assert percent(held) in flat
    settings = [f"{key}={value}" for key, value in _settings(run)]
    options = [part for pair in settings for part in ("--set", pair)]
    out = run.parent / "selected.jsonl"
    selected = cli("select", str(run.parent / "pool.jsonl"), "--run-dir", str(run), "-o", str(out), *options)
    assert selected.returncode == 0, selected.stderr
    assert "sample: done before, kept" in selected.stderr
    assert line in selected.stdout
    assert f"{len(chosen)} of {sample['pool']} records" in selected.stdout


def _settings(run: Path) -> list[tuple[str, Any]]:
    import yaml

    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    keys = ("curate.semantic", "cluster.k", "score.adaptive", "score.agreement", "score.cache", "sample.ratio", "sample.strategy", "sample.unit")
    keys += ("model.name", "model.max_length", "model.template", "model.dtype", "embed.model")
    found = []
    for key in keys:
        section, _, name = key.partition(".")
        found.append((key, json.dumps(recipe[section][name])))
    return found


def test_explain_says_what_the_ledger_says(run: Path) -> None:
    rows = pq.read_table(run / "ledger.parquet").to_pylist()
    picked = {(row["status"], row["stage"], row["reason"]): row for row in rows}
    assert len(picked) >= 4
    for row in picked.values():
        told = json.loads(cli("explain", str(run), row["id"], "--json").stdout)
        assert {key: told[key] for key in row} == row
    estimated = next(r for r in pq.read_table(run / "score.parquet").to_pylist() if r["status"] == "estimated")
    told = json.loads(cli("explain", str(run), estimated["id"], "--json").stdout)
    assert told["ifd"] == pytest.approx(estimated["ifd_estimate"])


def test_where_a_later_run_was_stopped_explain_follows_the_tables_and_not_an_older_ledger(run: Path) -> None:
    ledger = pq.read_table(run / "ledger.parquet")
    last = ledger["id"].to_pylist()[-1]
    try:
        pq.write_table(ledger.slice(0, 1), run / "ledger.parquet")
        assert json.loads(cli("explain", str(run), last, "--json").stdout)["id"] == last
    finally:
        pq.write_table(ledger, run / "ledger.parquet")


def test_the_difference_of_two_evaluations_is_told_alike(run: Path, report: dict[str, Any]) -> None:
    import codeact.api as api

    found = api.differences(run / "evaluate" / "base", run / "evaluate" / "tuned")
    told = {(metric["set"], metric["metric"]): metric for metric in report["evaluation"]["metrics"]}
    assert {(name, metric) for name, some in found.items() for metric in some} == set(told)
    for (name, metric), entry in told.items():
        pair = found[name][metric]
        assert pair["verdict"] == entry["verdict"]
        assert {k: entry["difference"][k] for k in ("interval", "tasks")} == {k: pair[k] for k in ("interval", "tasks")}
        assert entry["difference"]["value"] == pair["difference"]
        assert entry["base"]["value"] == pytest.approx(pair["base"])
        assert entry["tuned"]["value"] == pytest.approx(pair["tuned"])
    assert np.isfinite(told["humaneval", "bits_per_byte"]["difference"]["value"])


def test_padding_is_told_alike(run: Path, report: dict[str, Any]) -> None:
    kept = {name: method["padding_rate"] for name, method in report["packing"]["methods"].items()}
    assert summary(run, "pack")["padding_rate"] == kept
    assert report["packing"]["records"] == report["length"]["selected"]
