"""Several processes of one launch share scoring and embedding: the tables are those of one process, bit for bit, whoever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.pipeline import ready
from codeact.records import Message, Record
from codeact.rundir import ranks
from codeact.rundir.score_cache import open_cache, run_cached
from codeact.rundir.tables import records_table
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started, launched

TABLES = ("records", "embed", "cluster", "score", "sample", "ledger")


@pytest.fixture
def command(tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_lines(Path("pool.jsonl"), pool_rows(48))
    settings = {"score.shard_size": 4, "score.cache": "false", "cluster.k": 3, "curate.decontaminate": "[]", "model.dtype": "float32",
                "sample.strategy": "cdas", "sample.unit": "records"}  # fmt: skip
    return ["select", "pool.jsonl", "--model", str(tiny_model_dir), "--max-length", "256", "--embedder", str(tiny_embedder_dir), "--ratio", "0.4",
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]  # fmt: skip


def _start(arguments: list[str], world: int = 2) -> list[Started]:
    return launched(world, "-m", "codeact", *arguments)


def _equal(one: str, other: str, tables: Sequence[str] = TABLES) -> None:
    for name in tables:
        assert pq.read_table(f"{one}.codeact/{name}.parquet") == pq.read_table(f"{other}.codeact/{name}.parquet"), name


@pytest.mark.slow
def test_two_processes_give_the_tables_of_one_and_one_that_dies_is_said(command: list[str]) -> None:
    assert codeact_command(*command, "-o", "one.jsonl").returncode == 0

    # both work, one writes and speaks
    both = _start([*command, "-o", "two.jsonl"])
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(told[-1500:] for _, told in said)
    _equal("one", "two")
    assert Path("two.jsonl").read_bytes() == Path("one.jsonl").read_bytes()
    assert [out.count("records -> two.jsonl") for out, _ in said] == [1, 0]

    # the second is killed over a shard: the first ends with a line, and the same command goes on
    first, second = _start([*command, "-o", "three.jsonl"])
    claims = Path("three.codeact/.ranks")
    until = time.monotonic() + 120
    while first.poll() is None and time.monotonic() < until and not any(file.read_text() == "1" for file in claims.glob("*/score/*")):
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL)
    second.wait()
    told = first.communicate()[1].strip().splitlines()
    if first.returncode:  # else the second had no shard in hand
        assert first.returncode == 1
        assert "process 1 of 2 has ended before its shard" in told[-1]
        assert "start the same command again" in told[-1]
        assert [process.wait() for process in _start([*command, "-o", "three.jsonl"])] == [0, 0]
    _equal("one", "three")


@pytest.mark.slow
def test_so_they_do_by_the_default_which_scores_nothing(command: list[str]) -> None:
    plain = [*command, "--set", "sample.strategy=trim-diversity", "--set", "sample.unit=tokens"]
    assert codeact_command(*plain, "-o", "one.jsonl").returncode == 0
    both = _start([*plain, "-o", "two.jsonl"])
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(told[-1500:] for _, told in said)
    _equal("one", "two", ("records", "embed", "cluster", "lengths", "sample", "ledger"))
    assert Path("two.jsonl").read_bytes() == Path("one.jsonl").read_bytes()


@pytest.mark.slow
def test_the_others_end_with_a_line_where_the_first_is_killed(command: list[str]) -> None:
    for number in range(5):  # a run that ends before it can be killed, on a busy machine, says nothing
        first, second = _start([*command, "-o", f"x{number}.jsonl"])
        until = time.monotonic() + 120
        while first.poll() is None and time.monotonic() < until and not list(Path(f"x{number}.codeact/.ranks").glob("*/1")):
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        if first.wait() == -signal.SIGKILL:
            break
        second.communicate()
    assert "the first process has ended" in second.communicate()[1].strip().splitlines()[-1]
    assert second.returncode == 1


def test_what_several_processes_cannot_do_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for settings, names, message in (
        ({"backend": "ray"}, {"embed"}, "starts its processes itself"),
        ({}, {"sample", "train"}, "select first"),
        ({"score.adaptive": True, "sample.strategy": "cdas", "sample.unit": "records"}, {"score"}, "in one process"),
    ):
        with pytest.raises(InputError, match=message):
            ready.check(load_recipe(extra={"model.name": "demo", **settings}), names)


def test_one_that_comes_late_writes_nothing_into_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first removes the folder of a finished stage: what another put there meanwhile ended it with "Directory not empty"."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    job = tmp_path / ranks.FOLDER / "job0"
    job.mkdir(parents=True)
    (job.parent / "job").write_text(job.name)
    (job / "score.open").write_text('{"shards": [], "found": []}')  # another launch had scored everything
    table = records_table([Record(f"r{n}", (Message("user", f"{n}?"), Message("assistant", "yes")), {"row": n}) for n in range(9)])

    def no_model() -> NoReturn:
        pytest.fail("there is nothing to compute")

    cache = open_cache(tmp_path / "shards/score", {"model": "tiny"})
    with pytest.raises(ranks.HelpedError):
        run_cached(cache, table, no_model, backend=ranks.Shared(tmp_path, "score"), shard_size=2, label="score")
    assert not (tmp_path / "shards").exists()


SCRIPT = """
import os, sys, time
from pathlib import Path
import pyarrow as pa
from codeact.rundir import nodes, ranks, store

folder, fault = Path(sys.argv[1]), sys.argv[2]

def make():
    def work(table, progress):
        if ranks.mine() == 1 and fault == "dies" and not (folder / "died").exists():
            (folder / "died").touch()
            os._exit(9)
        if ranks.mine() == 1 and fault == "raises":
            raise ValueError("no memory")
        if fault == "poisoned" and table["value"][0].as_py() in (7, 21):
            raise ValueError("a bad value")
        time.sleep(0.1)
        with (folder / "log").open("a") as log:
            log.write(f"{ranks.mine()} {table['id'][0].as_py()}\\n")
        return table.append_column("square", pa.array([v * v for v in table["value"].to_pylist()]))
    return work

shards = {n: pa.table({"id": [f"r{n}"], "value": [n]}) for n in range(40)}
facts = [nodes.Fact("model.name=m", lambda: store.file_digest(folder / (f"m{ranks.mine()}" if fault == "other" else "m")), nodes.COPY)]
def work():
    return dict(ranks.Shared(folder, "score", facts if fault == "other" else ())(make, shards))
if ranks.mine():
    ranks.follow(folder, {"score": work})
else:
    with ranks.first(folder):
        found = work()
    assert [found[n]["square"][0].as_py() for n in range(40)] == [n * n for n in range(40)]
    assert not list((folder / "shards/score/handed").glob("*"))
"""


def _pair(folder: Path, fault: str) -> list[Started]:
    return launched(2, "-c", SCRIPT, str(folder), fault)


def _done(folder: Path) -> list[str]:
    return [line.split()[1] for line in (folder / "log").read_text(encoding="utf-8").splitlines()]


def test_every_shard_is_done_once_and_all_processes_help(tmp_path: Path) -> None:
    """Under torchrun itself."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", str(script), str(tmp_path), ""]
    subprocess.run(launch, check=True)
    assert sorted(_done(tmp_path)) == sorted(f"r{n}" for n in range(40))
    assert {line.split()[0] for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()} == {"0", "1", "2"}


def test_what_fails_in_another_process_is_done_by_the_first(tmp_path: Path) -> None:
    first, second = _pair(tmp_path, "raises")
    assert first.wait() == 0, first.communicate()[1]
    assert second.wait() != 0  # after so many failures one after the other
    assert "partitions failed: partition" in second.communicate()[1]
    assert sorted(_done(tmp_path)) == sorted(f"r{n}" for n in range(40))


def test_a_process_that_has_another_model_under_the_name_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "m0").write_text("these weights")
    (tmp_path / "m1").write_text("others")
    first, second = _pair(tmp_path, "other")
    assert first.wait() == 0, first.communicate()[1]
    assert second.wait() != 0
    assert "InputError: model.name=m: node" in second.communicate()[1]
    assert {line.split()[0] for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()} == {"0"}


def test_what_fails_in_every_process_is_named_after_the_others_are_done(tmp_path: Path) -> None:
    first, second = _pair(tmp_path, "poisoned")
    told = first.communicate()[1]
    for number in (7, 21):
        assert f"partition {number} ('r{number}'): ValueError: a bad value" in told
    second.wait()
    assert sorted(_done(tmp_path)) == sorted(f"r{n}" for n in range(40) if n not in (7, 21))


def test_a_process_that_ends_over_a_shard_is_named_and_the_same_command_goes_on(tmp_path: Path) -> None:
    first, second = _pair(tmp_path, "dies")
    told = first.communicate()[1]
    assert "CodeactError: process 1 of 2 has ended before its shard 0000" in told
    assert second.wait() != 0
    before = len(_done(tmp_path))
    for process in _pair(tmp_path, ""):
        assert process.wait() == 0, process.communicate()[1]
    assert 30 <= before < 40
