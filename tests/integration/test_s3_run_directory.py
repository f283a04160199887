"""A run directory in a real S3: killed on one machine, gone on with on another; one at a time; a line that breaks."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started
from tests.helpers.s3_server import breakable, bucket, connect, s3_server

pytest.importorskip("s3fs", reason="the remote extra is not installed")
pytest.importorskip("boto3", reason="moto[server] is not installed")
RUN = "s3://data/runs/one"
COUNT = 24


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(autouse=True)
def s3(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, whose bucket `data` is empty."""
    monkeypatch.chdir(tmp_path)
    _machine(monkeypatch, "first")
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool_rows(COUNT)), encoding="utf-8")
    with bucket(monkeypatch, server) as client:
        yield client


def _machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on with the caches of another machine."""
    monkeypatch.setenv("CODEACT_CACHE", str(Path.cwd() / name))
    monkeypatch.setenv("CODEACT_SCORES", str(Path.cwd() / name / "scores"))


def _words(model: Path, run_dir: str) -> list[str]:
    """Scores in shards of two records: twelve of them."""
    settings = ("curate.decontaminate=[]", "curate.dedup=false", "score.shard_size=2", "model.dtype=float32", "model.template=question")
    return [
        "select", "pool.jsonl", "--model", str(model), "--strategy", "complexity", "--unit", "records", "--ratio", "0.5",
        "-o", "out.jsonl", "--force", "--run-dir", run_dir,
        *(word for one in settings for word in ("--set", one)),
    ]  # fmt: skip


def _keys(s3: Any) -> set[str]:
    listed = s3.list_objects_v2(Bucket="data").get("Contents", ())
    return {one["Key"].removeprefix("runs/one/") for one in listed}


def _shards(s3: Any) -> int:
    return sum(key.startswith("shards/score/") and key.endswith(".parquet") for key in _keys(s3))


def _there(s3: Any, name: str) -> bytes:
    return bytes(s3.get_object(Bucket="data", Key=f"runs/one/{name}")["Body"].read())


def _tables(s3: Any) -> dict[str, bytes]:
    return {key: _there(s3, key) for key in _keys(s3) if key.endswith(".parquet")}


def _local(model: Path) -> dict[str, bytes]:
    """The tables of a run in a local folder."""
    ended = cli(*_words(model, "here"))
    assert ended.returncode == 0, ended.stderr
    return {path.name: path.read_bytes() for path in Path("here").glob("*.parquet")}


def _when(ready: Callable[[], bool], what: Callable[[], None]) -> threading.Thread:
    def watch() -> None:
        deadline = time.monotonic() + 120
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.005)
        what()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _killed(s3: Any, model: Path) -> int:
    """A run of another process that is killed between shards; how many there are then."""
    with Started("-m", "codeact", *_words(model, RUN)) as process:
        deadline = time.monotonic() + 120
        while _shards(s3) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = _shards(s3)
    assert 3 <= done < COUNT // 2
    assert "markers/score.json" not in _keys(s3)
    return done


@pytest.mark.parametrize("machine", ["first", "second"])
def test_a_killed_run_goes_on_with_the_same_tables(machine: str, s3: Any, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = _killed(s3, tiny_model_dir)
    if machine == "second":
        _machine(monkeypatch, machine)  # which has nothing yet, and cannot know that the first is no more
        ended = cli(*_words(tiny_model_dir, RUN))
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"if it is no more, remove {RUN}/.in-use and start again" in ended.stderr
        assert _shards(s3) == done
        s3.delete_object(Bucket="data", Key="runs/one/.in-use")
    ended = cli(*_words(tiny_model_dir, RUN))
    assert ended.returncode == 0, ended.stderr
    assert f"(every decision: {RUN}/ledger.parquet)" in ended.stdout
    assert json.loads(_there(s3, "markers/score.json"))["summary"]["cached"] in (2 * done, 2 * done + 2)  # one may have been under way there
    assert _tables(s3) == _local(tiny_model_dir)
    assert not [key for key in _keys(s3) if key.startswith("shards/") or key in (".in-use", "markers/score.started")]


def test_a_line_that_breaks_is_one_line_and_the_same_command_goes_on(
    s3: Any, server: int, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with breakable(server) as (port, cut):
        connect(monkeypatch, port)
        watching = _when(lambda: _shards(s3) >= 3, cut)
        ended = cli("--quiet", *_words(tiny_model_dir, RUN))
        watching.join()
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"run directory {RUN} cannot be " in ended.stderr
    assert "finished work is kept: start the same command again" in ended.stderr
    done = _shards(s3)
    connect(monkeypatch, server)
    ended = cli(*_words(tiny_model_dir, RUN))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(_there(s3, "markers/score.json"))["summary"]["cached"] >= 2 * done
    assert _tables(s3) == _local(tiny_model_dir)


def test_of_two_commands_at_once_one_is_refused(s3: Any, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Started("-m", "codeact", *_words(tiny_model_dir, RUN)) as process:
        while ".in-use" not in _keys(s3):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        _machine(monkeypatch, "second")
        ended = cli(*[word.replace("out.jsonl", "other.jsonl") for word in _words(tiny_model_dir, RUN)])
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"run directory {RUN}: process {process.pid} on " in ended.stderr
        assert process.wait() == 0, process.communicate()
    assert _tables(s3) == _local(tiny_model_dir)


def test_a_stopped_run_gives_the_lock_back_and_another_machine_goes_on(
    s3: Any, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Started("-m", "codeact", *_words(tiny_model_dir, RUN)) as process:
        while _shards(s3) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert ".in-use" not in _keys(s3)
    assert b"interrupted" in _there(s3, "log.txt")
    _machine(monkeypatch, "second")
    assert cli(*_words(tiny_model_dir, RUN)).returncode == 0
    assert json.loads(_there(s3, "markers/score.json"))["summary"]["cached"] >= 4
    assert _tables(s3) == _local(tiny_model_dir)


def test_an_outdated_table_goes_and_a_bucket_that_is_not_there_is_one_line(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["curate", "pool.jsonl", "--set", "curate.decontaminate=[]", "--run-dir"]
    assert cli(*words, RUN).returncode == 0
    _machine(monkeypatch, "second")
    ended = cli(*words, RUN, "--set", "curate.dedup=false")
    assert ended.returncode == 0, ended.stderr
    assert f"table: {RUN}/curate.parquet" in ended.stdout
    assert cli(*words, "here", "--set", "curate.dedup=false").returncode == 0
    assert _tables(s3) == {path.name: path.read_bytes() for path in Path("here").glob("*.parquet")}
    assert pq.read_table("here/curate.parquet").num_rows == COUNT
    ended = cli(*words, "s3://none/run")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "run directory s3://none/run: its bucket, or a file that was just there, does not exist" in ended.stderr


def test_a_training_goes_on_from_the_checkpoint_that_lies_there(
    s3: Any, tiny_model_dir: Path, tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        "embed": {"model": str(tiny_embedder_dir)}, "cluster": {"k": 2},
        "model": {"name": str(tiny_model_dir), "template": "question", "dtype": "float32"}, "data": {"source": "pool.jsonl"},
        "curate": {"decontaminate": [], "dedup": False}, "sample": {"strategy": "random", "unit": "records", "ratio": 1.0},
        "train": {"epochs": 2, "batch_size": 2, "learning_rate": 1.0e-3, "warmup_steps": 1, "save_steps": 2}, "evaluate": {"enabled": False},
    }  # fmt: skip
    Path("recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    with Started("-m", "codeact", "run", "recipe.yaml", f"run_dir={RUN}") as process:
        while not any(key.endswith("/complete.json") for key in _keys(s3)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "markers/train.json" not in _keys(s3)
    _machine(monkeypatch, "second")
    s3.delete_object(Bucket="data", Key="runs/one/.in-use")
    ended = cli("run", "recipe.yaml", f"run_dir={RUN}")
    assert ended.returncode == 0, ended.stderr
    assert f"report: {RUN}/report.html" in ended.stdout
    assert b"<html" in _there(s3, "report.html")
    assert cli("run", "recipe.yaml", "run_dir=here").returncode == 0
    assert _there(s3, "train/model/model.safetensors") == Path("here/train/model/model.safetensors").read_bytes()
    assert not [key for key in _keys(s3) if "/checkpoints/" in key]
