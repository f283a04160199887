"""Finished outputs are looked at before they are believed: lost, cut and flipped files are made anew or named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from codeact import storage
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.evaluation import journal
from codeact.pipeline.run import run_pipeline
from codeact.rundir.shards import read_sealed
from codeact.rundir.store import Store
from codeact.training.checkpoints import complete, last_checkpoint
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows


def settings(folder: Path, model: Path, embedder: Path) -> dict[str, Any]:
    return {
        "run_dir": str(folder / "run"), "data.source": str(folder / "pool.jsonl"), "model.name": str(model), "model.max_length": 256,
        "model.dtype": "float32", "model.template": "question", "embed.model": str(embedder), "cluster.k": 2, "score.cache": False,
        "score.shard_size": 8, "train.epochs": 1, "train.batch_size": 8, "curate.dedup": False, "sample.ratio": 0.5,
        "sample.strategy": "cdas", "sample.unit": "records",
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_lines(folder / "pool.jsonl", pool_rows(16))
    run_pipeline(load_recipe(extra=settings(folder, tiny_model_dir, tiny_embedder_dir)), ("train",))
    return folder


def again(folder: Path, model: Path, embedder: Path) -> list[str]:
    """What a second run says."""
    with logged() as said:
        run_pipeline(load_recipe(extra=settings(folder, model, embedder)), ("train",))
    return said


def flip(path: Path, place: float = 0.5) -> None:
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


DAMAGES: dict[str, tuple[str, Callable[[Path], None], set[str]]] = {
    "no weights": ("train/model/model.safetensors", Path.unlink, {"train"}),
    "flipped weights": ("train/model/model.safetensors", flip, {"train"}),
    "flipped table": ("score.parquet", flip, {"score"}),
    "flipped footer": ("cluster.parquet", lambda path: flip(path, 0.97), {"cluster"}),
    "cut table": ("sample.parquet", cut, {"sample"}),
    "no side table": ("rejected.parquet", Path.unlink, {"records"}),
    "cut marker": ("markers/embed.json", cut, {"embed"}),
    "marker of nothing": ("markers/curate.json", lambda path: path.write_text("{}"), {"curate"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_output_is_made_anew(
    made: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, damage: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    name, spoil, stages = DAMAGES[damage]
    spoil(folder / "run" / name)
    said = again(folder, tiny_model_dir, tiny_embedder_dir)
    redone = {line.partition(":")[0] for line in said if "done before, kept" not in line}
    assert redone == stages, said  # the same bits again, so that what was made from them stays
    assert any(name.rpartition("/")[2] in line and "done again" in line for line in said), said
    store, first = Store(folder / "run"), Store(made / "run")
    for stage in ("records", "curate", "embed", "cluster", "score", "sample"):
        assert store.table(stage).equals(first.table(stage))
    assert (folder / "run/train/model/model.safetensors").read_bytes() == (
        made / "run/train/model/model.safetensors"
    ).read_bytes()
    assert all("done before, kept" in line for line in again(folder, tiny_model_dir, tiny_embedder_dir))


def test_what_was_made_from_other_files_is_made_anew(
    made: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    table = pq.read_table(folder / "run/sample.parquet")
    pq.write_table(table.slice(0, 1), folder / "run/sample.parquet")  # by hand: whole, but not what the stage wrote
    with pytest.raises(InputError, match=r"sample\.parquet is damaged or was changed.*same command again"):
        Store(folder / "run").table("sample")
    shutil.copy(folder / "run/markers/train.json", tmp_path / "train.json")
    marker = json.loads((folder / "run/markers/sample.json").read_text())
    marker["outputs"] = {}
    (folder / "run/markers/sample.json").write_text(json.dumps(marker))
    said = again(folder, tiny_model_dir, tiny_embedder_dir)
    assert {line.partition(":")[0] for line in said if "done before, kept" not in line} == {"train"}, said


def test_readers_name_a_damaged_table(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    flip(folder / "run/score.parquet")
    done = codeact("explain", str(folder / "run"), str(Store(made / "run").table("records")["id"][0]))
    assert done.returncode == 2
    assert "score.parquet is damaged" in done.stderr
    assert "start the same command again" in done.stderr
    assert done.stderr.count("\n") == 1


def test_pages_carry_checksums(made: Path, tmp_path: Path) -> None:
    """Of a table that no marker speaks of, no flipped bit changes a value unseen."""
    file = tmp_path / "table.parquet"
    table = pq.read_table(made / "run/ledger.parquet")
    storage.write_parquet(table, file)
    content = file.read_bytes()
    pages = range(4, pq.ParquetFile(file).metadata.row_group(0).column(0).total_compressed_size)
    named = 0
    for place in pages:
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert storage.read_parquet(file).equals(table)
        except InputError as error:
            named += "damaged" in str(error) and str(file) in str(error)
    assert named > len(pages) / 2


def test_shared_runs_with_damaged_files_share_nothing(
    made: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    for name in ("lender", "whole", "own"):
        shutil.copytree(made, tmp_path / name)
    shutil.rmtree(tmp_path / "own" / "run")
    flip(tmp_path / "lender" / "run" / "score.parquet")
    recipe = load_recipe(extra=settings(tmp_path / "own", tiny_model_dir, tiny_embedder_dir))
    (tmp_path / "whole/run").rename(tmp_path / "whole/other")
    shared_runs = (Store(tmp_path / "lender/run"), Store(tmp_path / "whole/other"))
    with logged() as said:
        run_pipeline(recipe, ("score",), shared_runs=shared_runs)
    assert "curate: shared from run" in said
    assert "score: shared from other" in said
    flip(tmp_path / "own/run/score.parquet")  # a hard link: the lender's is flipped too
    assert Store(tmp_path / "whole/other").fault("score") is not None
    with logged() as said:
        run_pipeline(recipe, ("score",))
    assert any("score.parquet is damaged" in line for line in said)
    assert Store(tmp_path / "own/run").table("score").equals(Store(made / "run").table("score"))


@pytest.mark.parametrize("spoil", [flip, cut])
def test_damaged_shards_are_computed_again(
    made: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, spoil: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("run"))
    recipe = load_recipe(extra=settings(folder, tiny_model_dir, tiny_embedder_dir))
    finish = Store.finish
    monkeypatch.setattr(Store, "finish", lambda *args: finish(*args) if args[1] != "score" else stop())

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(recipe, ("score",))
    shards = sorted((folder / "run/shards/score").rglob("*.parquet"))
    assert len(shards) == 2
    spoil(shards[0])
    monkeypatch.undo()
    store = run_pipeline(recipe, ("score",))
    assert store.table("score").equals(Store(made / "run").table("score"))


@pytest.mark.parametrize("spoil", [flip, cut])
def test_damaged_cached_scores_are_scored_again(
    made: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, spoil: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CODEACT_SCORES", str(tmp_path / "scores"))
    folder = tmp_path / "copy"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("run"))
    cached = {**settings(folder, tiny_model_dir, tiny_embedder_dir), "score.cache": True}
    first = run_pipeline(load_recipe(extra=cached), ("score",))
    spoil(sorted((tmp_path / "scores").rglob("*.parquet"))[0])
    second = run_pipeline(load_recipe(extra={**cached, "run_dir": str(folder / "second")}), ("score",))
    assert second.marker("score")["summary"]["cached"] == 8  # type: ignore[index]
    assert second.table("score").equals(first.table("score"))


def test_a_flipped_answer_is_generated_again(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    rows = [{"key": key, "task_id": key, "completion": f"answer {key}", "tokens": 3} for key in "abc"]
    journal.append(file, rows)
    graded = [{**row, "task_set": "humaneval", "solution": "s", "status": "passed", "detail": "\ud800"} for row in rows]
    storage.write_jsonl(file, graded)  # as a finished evaluation leaves it
    assert set(journal.resume(file, "abc")) == {"a", "b", "c"}
    file.write_text(file.read_text(encoding="utf-8").replace("answer b", "answer c"), encoding="utf-8")
    assert set(journal.resume(file, "abc")) == {"a", "c"}


def test_a_damaged_result_counts_as_none(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    assert storage.read_checked(file) is None
    storage.write_checked(file, {"key": "k", "values": {"loss": {"a": 0.1}}, "seeds": (0, 1)})
    assert storage.read_checked(file)["values"] == {"loss": {"a": 0.1}}  # type: ignore[index]
    text = file.read_text(encoding="utf-8")
    for damaged in (text.replace("0.1", "0.2"), text[:-10], "[]", ""):
        file.write_text(damaged, encoding="utf-8")
        assert storage.read_checked(file) is None


def test_a_damaged_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/checkpoint-4"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(bytes(1000))
    here = {"processes": 1, "dtype": "float32", "device": "cpu"}
    complete(folder, "f", 4, here)
    assert last_checkpoint(tmp_path, "f", here) == folder
    assert last_checkpoint(tmp_path, "other", here) is None
    for name, value in (("processes", 2), ("dtype", "bfloat16"), ("device", "cuda")):
        with pytest.raises(InputError, match=rf"checkpoint-4 cannot be gone on from here \({name} .* start it as it was"):
            last_checkpoint(tmp_path, "f", {**here, name: value})
    flip(folder / "optimizer.pt")
    assert last_checkpoint(tmp_path, "f", here) is None
    flip(folder / "optimizer.pt")
    cut(folder / "complete.json")
    assert last_checkpoint(tmp_path, "f", here) is None


def test_a_sealed_file_of_another_content_is_removed(tmp_path: Path, made: Path) -> None:
    shutil.copy(made / "run/sample.parquet", tmp_path / "000000-0123456789abcdef.parquet")
    assert read_sealed(tmp_path, "000000") is None
    assert not list(tmp_path.iterdir())
