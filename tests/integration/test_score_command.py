"""`codeact score`: the table, its summary, adaptive scoring, examples and the estimate."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

CDAS = ("--set", "sample.strategy=cdas", "--set", "sample.unit=records")


@pytest.fixture
def big_pool(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"{row['instruction']} {n}", "output": row["output"].replace("step_", f"s{n}_")}
        for n, row in enumerate(pool_rows(240))
    ]
    file = tmp_path / "pool.jsonl"
    write_lines(file, rows)
    return file


def test_score_shows_examples_and_says_how_far_it_follows_length(
    pool_file: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    done = codeact_command(
        "score", str(pool_file), "--model", str(tiny_model_dir), "-o", str(out), "--show", "--template", "question"
    )
    assert done.returncode == 0, done.stderr
    for word in ("[highest]", "[median]", "[lowest]", "Spearman", "hold", str(out)):
        assert word in done.stdout
    rows = pq.read_table(out).to_pylist()
    best = max(row["ifd"] for row in rows)
    assert f"IFD {best:.3f}" in done.stdout.splitlines()[0]


@pytest.mark.slow
def test_adaptive_scores_choose_nearly_what_full_scores_choose(
    big_pool: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path
) -> None:
    common = [
        str(big_pool), "--model", str(tiny_model_dir), "--embedder", str(tiny_embedder_dir), "--template", "question", "--dtype", "float32",
        "--set", "cluster.k=3", "--set", "score.cache=false", *CDAS,
    ]  # fmt: skip
    done = codeact_command(
        "score", *common, "--adaptive", "--agreement", "0.9", "-o", str(tmp_path / "adaptive.parquet"), "--json"
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["expected_agreement"] >= 0.9
    assert summary["status"]["estimated"] > 0
    rows = pq.read_table(tmp_path / "adaptive.parquet").to_pylist()
    assert {row["status"] for row in rows} <= {"ok", "estimated"}
    assert all((row["ifd"] is None) == (row["status"] == "estimated") for row in rows)
    assert all(row["ifd_estimate"] is not None for row in rows)
    chosen = {}
    for name, extra in (("full", []), ("adaptive", ["--set", "score.adaptive=true", "--set", "score.agreement=0.9"])):
        out = tmp_path / f"{name}.jsonl"
        done = codeact_command("select", *common, *extra, "-o", str(out))
        assert done.returncode == 0, done.stderr
        chosen[name] = set(out.read_text().splitlines())
    assert len(chosen["full"]) == len(chosen["adaptive"])
    both = chosen["full"] & chosen["adaptive"]
    assert len(both) / len(chosen["full"] | chosen["adaptive"]) >= 0.75


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--adaptive", "--variant", "paper"], "variant=default"),
        (["--adaptive", "--set", "sample.strategy=longest"], "not for that of 'longest' with sample.unit=records: set sample.strategy=cdas"),
        (["--adaptive", "--set", "sample.unit=tokens"], "not for that of 'cdas' with sample.unit=tokens: set sample.strategy=cdas and sample.unit=records"),
        (["--adaptive", "--set", "backend=ray"], "backend=local"),
        (["--adaptive", "--set", "sample.floor=0.5"], "sample.floor"),
        (["--agreement", "2"], "score.agreement"),
        (["--variant", "papr"], "score.variant"),
    ],
)
def test_what_adaptive_scoring_does_not_serve_is_one_line(
    options: list[str], words: str, pool_file: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path
) -> None:
    done = codeact_command(
        "score", str(pool_file), "--model", str(tiny_model_dir), "--embedder", str(tiny_embedder_dir), "-o", str(tmp_path / "s.parquet"), *CDAS, *options
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "s.parquet").exists()


def test_the_estimate_counts_the_tokens_that_scoring_then_takes(
    pool_file: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    common = ["score", str(pool_file), "--model", str(tiny_model_dir), "--template", "question", "--json"]
    done = codeact_command(*common, "--estimate", "--set", "curate.dedup=false")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["records"] == 48
    scored = codeact_command(*common, "-o", str(tmp_path / "s.parquet"))
    assert scored.returncode == 0, scored.stderr
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    # of each pass the last token predicts nothing; one token of context stands before the unconditional one
    assert found["tokens"] == sum(row["prompt_tokens"] + 2 * row["response_tokens"] - 1 for row in rows)
    assert found["flops"] > 0
    assert "A100" in done.stdout


def test_score_needs_a_model(pool_file: Path) -> None:
    done = codeact_command("score", str(pool_file))
    assert done.returncode == 2
    assert "--model" in done.stderr
