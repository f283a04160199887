"""A record over which a model raises: the other partitions are done and kept, and the run ends with the names; so in every stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.errors import CodeactError
from codeact.pipeline.run import run_pipeline
from codeact.records import Record
from codeact.rundir import tables
from codeact.score.adaptive import resume
from codeact.stages import adaptive_parts, embed, hidden, judge, learn
from tests.helpers.command import codeact_command
from tests.helpers.judge_server import judge_server
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

POISON = "zqpoison"
ROWS, BAD, SHARD = 40, 21, 8


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> dict[str, Path]:
    """The embedder's tokenizer knows one word more than its network has rows for: over it, it raises."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("poisoned")
    shutil.copytree(tiny_embedder_dir, folder / "embedder")
    tokenizer = AutoTokenizer.from_pretrained(folder / "embedder")
    tokenizer.add_tokens([POISON])
    tokenizer.save_pretrained(folder / "embedder")
    write_lines(folder / "pool.jsonl", _rows(POISON))
    write_lines(folder / "clean.jsonl", _rows("harmless"))
    return {"data": folder / "pool.jsonl", "clean": folder / "clean.jsonl", "model": tiny_model_dir,
            "embedder": folder / "embedder", "clean_embedder": tiny_embedder_dir}  # fmt: skip


def _rows(word: str) -> list[dict[str, Any]]:
    rows = [{"id": f"r{n}", **row} for n, row in enumerate(pool_rows(ROWS))]
    rows[BAD]["instruction"] += f" {word}"
    return rows


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (embed, hidden, judge):
        monkeypatch.setattr(module, "SHARD_RECORDS", SHARD)


@pytest.fixture
def poisoned_records(monkeypatch: pytest.MonkeyPatch) -> None:
    poison_records(monkeypatch)


def poison_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker can make records of a partition that holds the word; those that a stage reads before, 1,024 at a time, it can."""
    plain = tables.records_from

    def records_from(table: pa.Table) -> list[Record]:
        records = plain(table)
        if table.num_rows <= SHARD and any(POISON in record.instruction for record in records):
            raise IndexError("index out of range in self")
        return records

    monkeypatch.setattr(tables, "records_from", records_from)


def settings(folder: Path, models: dict[str, Path], data: str = "data") -> dict[str, Any]:
    return {
        "run_dir": str(folder / "run"), "data.source": str(models[data]), "model.name": str(models["model"]), "model.dtype": "float32",
        "model.max_length": 256, "model.template": "question", "embed.model": str(models["embedder"]), "score.cache": False,
        "score.shard_size": SHARD, "score.proxy": str(models["model"]), "judge.model": str(models["model"]), "judge.min_mass": 0.0,
        "curate.decontaminate": [], "curate.dedup": False, "evaluate.enabled": False, "sample.strategy": "cdas", "sample.unit": "records",
    }  # fmt: skip


@pytest.mark.parametrize("stage", ["embed", "score", "proxy", "hidden", "judge"])
def test_the_record_is_named_and_all_other_partitions_are_kept(
    models: dict[str, Path], tmp_path: Path, stage: str, request: pytest.FixtureRequest
) -> None:
    if stage != "embed":
        request.getfixturevalue("poisoned_records")
    with pytest.raises(CodeactError) as told:
        run_pipeline(load_recipe(extra=settings(tmp_path, models)), (stage,))
    line = str(told.value)
    assert line.startswith(f"{stage}: 1 of 5 partitions failed: partition 2 (records 'r16' to 'r23'): record 'r{BAD}': IndexError: ")
    assert line.endswith("The others are done and kept: mend or remove what fails and start the same command again")
    assert sum(pq.read_table(file).num_rows for file in (tmp_path / "run/shards" / stage).rglob("*.parquet")) == ROWS - SHARD
    assert not (tmp_path / "run" / f"{stage}.parquet").exists()


def test_a_probe_that_is_trained_is_not_trained_again_for_a_record_that_fails_after_it(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "SHARD_RECORDS", SHARD)
    asked = {"sample.strategy": "learnable", "train.learning_rate": 0.01, "train.method": "lora"}
    run_pipeline(load_recipe(extra=settings(tmp_path / "whole", models) | asked), ("learn",))
    run_pipeline(load_recipe(extra=settings(tmp_path, models) | asked), ("score",))
    with monkeypatch.context() as poisoned:
        poison_records(poisoned)
        with pytest.raises(CodeactError, match=rf"^learn: 1 of 5 partitions failed: partition 2 \(records 'r16' to 'r23'\): record 'r{BAD}': IndexError: "):
            run_pipeline(load_recipe(extra=settings(tmp_path, models) | asked), ("learn",))
    assert sum(pq.read_table(file).num_rows for file in (tmp_path / "run/shards/learn").rglob("*.parquet")) == ROWS - SHARD
    monkeypatch.setattr("codeact.training.sft.fine_tune", lambda *_, **__: pytest.fail("trained again"))
    run_pipeline(load_recipe(extra=settings(tmp_path, models) | asked), ("learn",))
    assert pq.read_table(tmp_path / "run/learn.parquet") == pq.read_table(tmp_path / "whole/run/learn.parquet")


def test_adaptive_scoring_names_the_record_and_goes_on_from_the_others(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptive_parts, "PART", SHARD)
    asked = {"score.adaptive": True, "embed.model": str(models["clean_embedder"])}
    run_pipeline(load_recipe(extra=settings(tmp_path / "whole", models) | asked), ("score",))
    begun: list[int] = []
    plain = resume.Continued._advance

    def advance(self: resume.Continued, records: Any, upto: Any) -> Any:
        begun.append(len(records))
        if BAD in records.tolist() and poisoned:
            raise IndexError("index out of range in self")
        return plain(self, records, upto)

    monkeypatch.setattr(resume.Continued, "_advance", advance)
    poisoned = True
    with pytest.raises(CodeactError, match=rf"^score: 1 of 5 partitions failed: partition \d .*: record 'r{BAD}': IndexError: .*The others are done and kept"):
        run_pipeline(load_recipe(extra=settings(tmp_path, models) | asked), ("score",))
    assert sum(pq.read_table(file).num_rows for file in (tmp_path / "run/shards/score").rglob("*.parquet")) == ROWS - SHARD
    begun, poisoned = [], False
    run_pipeline(load_recipe(extra=settings(tmp_path, models) | asked), ("score",))
    assert begun == [SHARD]
    assert pq.read_table(tmp_path / "run/score.parquet") == pq.read_table(tmp_path / "whole/run/score.parquet")


def test_scores_of_the_others_are_not_made_again_once_the_record_is_mended(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poisoned_records: None
) -> None:
    monkeypatch.setenv("CODEACT_SCORES", str(tmp_path / "scores"))
    with pytest.raises(CodeactError, match="1 of 5 partitions failed"):
        run_pipeline(load_recipe(extra=settings(tmp_path, models) | {"score.cache": True}), ("score",))
    store = run_pipeline(load_recipe(extra=settings(tmp_path, models, "clean") | {"score.cache": True}), ("score",))
    marker = store.marker("score")
    assert marker is not None
    assert marker["summary"]["cached"] == ROWS - SHARD


def test_a_fault_of_all_partitions_ends_the_run_soon(models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SHARD_RECORDS", 2)
    write_lines(tmp_path / "bad.jsonl", [{**row, "instruction": f"{row['instruction']} {POISON}"} for row in pool_rows(ROWS)])
    with pytest.raises(CodeactError, match=r"^embed: 8 of 20 partitions failed: partition 0 .*; and 5 more. The rest was not tried, after 8 failures"):
        run_pipeline(load_recipe(extra=settings(tmp_path, models) | {"data.source": str(tmp_path / "bad.jsonl")}), ("embed",))


@pytest.mark.parametrize("command", ["judge", "tags"])
def test_records_whose_requests_failed_are_named_and_the_others_are_not_asked_again(
    command: str, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    with judge_server(lambda prompt: "Score: 4" if command == "judge" else '["sorting"]') as server:
        call = [command, str(models["data"]), "-o", str(tmp_path / "out.jsonl"), "--set", f"judge.endpoint={server.url}", "--set", "judge.model=m",
                "--set", "judge.attempts=2", "--set", "judge.backoff=0.01", "--set", "curate.decontaminate=[]"]  # fmt: skip
        well = server.act

        def act(handler: Any, step: Any, body: dict[str, Any]) -> None:
            well(handler, (500, {}) if POISON in str(body) else step, body)

        server.act = act  # type: ignore[method-assign]
        done = codeact_command(*call)
        assert done.returncode == 1
        assert f"1 of {ROWS} requests to {server.url} failed ({{'HTTP 500': 1}}): record 'r{BAD}' (HTTP 500: " in done.stderr
        server.act = well  # type: ignore[method-assign]
        before = len(server.payloads)
        assert codeact_command(*call).returncode == 0
        assert len(server.payloads) == before + 1
