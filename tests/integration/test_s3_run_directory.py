"""A run directory in a real S3: killed on one machine, gone on with on another; one at a time; a line that breaks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.command import codeact_command as cli
from tests.helpers.cut_lines import breakable
from tests.helpers.processes import Started
from tests.helpers.remote_runs import COUNT, There, local_tables, machine, when, words, write_pool
from tests.helpers.s3_server import bucket, connect, s3_server

pytest.importorskip("s3fs", reason="the remote extra is not installed")
pytest.importorskip("boto3", reason="moto[server] is not installed")
RUN = "s3://data/runs/one"


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(autouse=True)
def s3(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    """The run directory in the server's bucket `data`, which is empty."""
    monkeypatch.chdir(tmp_path)
    machine(monkeypatch, "first")
    write_pool()
    with bucket(monkeypatch, server) as client:
        yield There(
            RUN,
            lambda: {one["Key"] for one in client.list_objects_v2(Bucket="data").get("Contents", ())},
            lambda key: bytes(client.get_object(Bucket="data", Key=key)["Body"].read()),
            lambda key: client.delete_object(Bucket="data", Key=key),
        )


@pytest.mark.parametrize("other", ["first", "second"])
def test_a_killed_run_goes_on_with_the_same_tables(other: str, s3: There, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = s3.killed(tiny_model_dir)
    if other == "second":
        machine(monkeypatch, other)  # which has nothing yet, and cannot know that the first is no more
        ended = cli(*words(tiny_model_dir, RUN))
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"if it is no more, remove {RUN}/.in-use and start again" in ended.stderr
        assert s3.shards() == done
        s3.remove(".in-use")
    ended = cli(*words(tiny_model_dir, RUN))
    assert ended.returncode == 0, ended.stderr
    assert f"(every decision: {RUN}/ledger.parquet)" in ended.stdout
    assert s3.cached() in (2 * done, 2 * done + 2)  # one may have been under way there
    assert s3.tables() == local_tables(tiny_model_dir)
    assert not [key for key in s3.names() if key.startswith("shards/") or key in (".in-use", "markers/score.started")]


def test_a_line_that_breaks_is_one_line_and_the_same_command_goes_on(
    s3: There, server: int, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with breakable(server) as (port, cut):
        connect(monkeypatch, port)
        watching = when(lambda: s3.shards() >= 3, cut)
        ended = cli("--quiet", *words(tiny_model_dir, RUN))
        watching.join()
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"run directory {RUN} cannot be " in ended.stderr
    assert "finished work is kept: start the same command again" in ended.stderr
    done = s3.shards()
    connect(monkeypatch, server)
    ended = cli(*words(tiny_model_dir, RUN))
    assert ended.returncode == 0, ended.stderr
    assert s3.cached() >= 2 * done
    assert s3.tables() == local_tables(tiny_model_dir)


def test_of_two_commands_at_once_one_is_refused(s3: There, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Started("-m", "codeact", *words(tiny_model_dir, RUN)) as process:
        while ".in-use" not in s3.names():
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        machine(monkeypatch, "second")
        ended = cli(*[word.replace("out.jsonl", "other.jsonl") for word in words(tiny_model_dir, RUN)])
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"run directory {RUN}: process {process.pid} on " in ended.stderr
        assert process.wait() == 0, process.communicate()
    assert s3.tables() == local_tables(tiny_model_dir)


def test_a_stopped_run_gives_the_lock_back_and_another_machine_goes_on(
    s3: There, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Started("-m", "codeact", *words(tiny_model_dir, RUN)) as process:
        while s3.shards() < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert ".in-use" not in s3.names()
    assert b"interrupted" in s3.file("log.txt")
    machine(monkeypatch, "second")
    assert cli(*words(tiny_model_dir, RUN)).returncode == 0
    assert s3.cached() >= 4
    assert s3.tables() == local_tables(tiny_model_dir)


def test_an_outdated_table_goes_and_a_bucket_that_is_not_there_is_one_line(s3: There, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["curate", "pool.jsonl", "--set", "curate.decontaminate=[]", "--run-dir"]
    assert cli(*words, RUN).returncode == 0
    machine(monkeypatch, "second")
    ended = cli(*words, RUN, "--set", "curate.dedup=false")
    assert ended.returncode == 0, ended.stderr
    assert f"table: {RUN}/curate.parquet" in ended.stdout
    assert cli(*words, "here", "--set", "curate.dedup=false").returncode == 0
    assert s3.tables() == {path.name: path.read_bytes() for path in Path("here").glob("*.parquet")}
    assert pq.read_table("here/curate.parquet").num_rows == COUNT
    ended = cli(*words, "s3://none/run")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "run directory s3://none/run: its bucket, or a file that was just there, does not exist" in ended.stderr


def test_a_training_goes_on_from_the_checkpoint_that_lies_there(
    s3: There, tiny_model_dir: Path, tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        "embed": {"model": str(tiny_embedder_dir)}, "cluster": {"k": 2},
        "model": {"name": str(tiny_model_dir), "template": "question", "dtype": "float32"}, "data": {"source": "pool.jsonl"},
        "curate": {"decontaminate": [], "dedup": False}, "sample": {"strategy": "random", "unit": "records", "ratio": 1.0},
        "train": {"epochs": 2, "batch_size": 2, "learning_rate": 1.0e-3, "warmup_steps": 1, "save_steps": 2}, "evaluate": {"enabled": False},
    }  # fmt: skip
    Path("recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    with Started("-m", "codeact", "run", "recipe.yaml", f"run_dir={RUN}") as process:
        while not any(key.endswith("/complete.json") for key in s3.names()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "markers/train.json" not in s3.names()
    machine(monkeypatch, "second")
    s3.remove(".in-use")
    ended = cli("run", "recipe.yaml", f"run_dir={RUN}")
    assert ended.returncode == 0, ended.stderr
    assert f"report: {RUN}/report.html" in ended.stdout
    assert b"<html" in s3.file("report.html")
    assert cli("run", "recipe.yaml", "run_dir=here").returncode == 0
    assert s3.file("train/model/model.safetensors") == Path("here/train/model/model.safetensors").read_bytes()
    assert not [key for key in s3.names() if "/checkpoints/" in key]
