"""Data and run directories in Google Cloud Storage, as an emulator has it: read, written once, refused in one line, gone on with."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact import storage
from codeact.errors import InputError
from codeact.sources import remote
from tests.helpers.command import codeact_command as cli
from tests.helpers.cut_lines import breakable, cut_after
from tests.helpers.gs_server import Client, Server, bucket, connect, gs_server
from tests.helpers.pool import pool_rows
from tests.helpers.remote_runs import There, local_tables, machine, words, write_pool

pytest.importorskip("gcsfs", reason="the remote extra is not installed")
pytest.importorskip("gcp_storage_emulator", reason="gcp-storage-emulator is not installed")
ROWS = [dict(row) for row in pool_rows(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
RANDOM = ("--strategy", "random", "--unit", "records", "--ratio", "0.5", "--set", "curate.decontaminate=[]")
RUN = "gs://data/runs/one"
CURATE = ("curate", "pool.jsonl", "--set", "curate.decontaminate=[]", "--run-dir")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with gs_server() as server:
        yield server


@pytest.fixture(autouse=True)
def gs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of the server, whose bucket `data` is empty."""
    monkeypatch.chdir(tmp_path)
    machine(monkeypatch, "first")
    with bucket(monkeypatch, server, tmp_path) as client:
        yield client


def _put(gs: Client, key: str, data: bytes = LINES) -> str:
    gs.put(key, data)
    return f"gs://data/{key}"


def _refused(*arguments: str) -> str:
    """The one line that the command ends with."""
    ended = cli(*arguments)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    return ended.stderr


def test_files_folders_and_patterns_are_read_as_local_ones(gs: Client) -> None:
    _put(gs, "pool/a.jsonl")
    _put(gs, "pool/deep/b.jsonl.gz", gzip.compress(LINES))
    _put(gs, "pool/README.md", b"no data")
    for name, rows in {
        "gs://data/pool/a.jsonl": ROWS, "gcs://data/pool/a.jsonl": ROWS, "gs://data/pool/": ROWS * 2, "gs://data": ROWS * 2,
        "gs://data/pool/*.jsonl": ROWS, "gs://data/**/*.gz": ROWS,
    }.items():  # fmt: skip
        assert storage.read_rows(name).rows == rows, name
    _put(gs, "pool/a.jsonl", LINES * 2)
    assert storage.read_rows("gs://data/pool").rows == ROWS * 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gs://data/none.jsonl", "does not exist, or these credentials may not see it"), ("gs://none/a.jsonl", "does not exist, or these"),
        ("gs://none/", "does not exist"), ("gs://data/none/", "does not exist"), ("gs://data/*.csv", "no file has such a name"),
        ("gs://", "names no bucket"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(name: str, message: str) -> None:
    told = _refused("select", name, *RANDOM, "-o", "x.jsonl")
    assert told.startswith(f"codeact: {name}")
    assert message in told


def test_without_credentials_it_is_one_line(gs: Client, server: Server) -> None:
    name = _put(gs, "a.jsonl")
    Path("pool.jsonl").write_bytes(LINES)
    server.anyone = False
    for line in (("select", name, *RANDOM, "-o", "x.jsonl"), ("select", "pool.jsonl", *RANDOM, "-o", "gs://data/x.jsonl"), (*CURATE, RUN)):
        assert "Anonymous caller does not have" in _refused("--quiet", *line)
    server.anyone = True
    assert gs.names() == {"a.jsonl"}


def test_a_connection_that_breaks_leaves_nothing_and_is_one_line(gs: Client, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = _put(gs, "large.jsonl", LINES * 40)
    with cut_after(server.port, 50_000) as port:
        connect(monkeypatch, port)
        assert f"{name} cannot be read: " in _refused("select", name, *RANDOM, "-o", "x.jsonl")
    connect(monkeypatch, port)  # which nobody answers any more
    assert f"{name} cannot be read: Cannot connect" in _refused("select", name, *RANDOM, "-o", "x.jsonl")
    assert "cannot be written: Cannot connect" in _refused("select", "none.jsonl", *RANDOM, "-o", "gs://data/x.jsonl")
    connect(monkeypatch, server.port)
    assert len(storage.read_rows(name).rows) == 40 * len(ROWS)


def test_the_chosen_rows_are_those_of_the_local_file_and_only_their_run_replaces_them(gs: Client) -> None:
    address, output = _put(gs, "pool.jsonl"), "gs://data/out/chosen.jsonl.gz"
    Path("pool.jsonl").write_bytes(LINES)
    assert f"records -> {output} " in cli("select", address, *RANDOM, "-o", output).stdout
    assert cli("select", address, *RANDOM, "--seed", "1", "-o", output).returncode == 0
    assert cli("select", "pool.jsonl", *RANDOM, "--seed", "1", "-o", "chosen.jsonl.gz").returncode == 0
    mine = gs.read("out/chosen.jsonl.gz")
    assert mine == Path("chosen.jsonl.gz").read_bytes()
    gs.put("out/chosen.jsonl.gz", b"edited\n")
    assert f"output {output} exists" in _refused("--quiet", "select", address, *RANDOM, "-o", output)
    assert gs.read("out/chosen.jsonl.gz") == b"edited\n"
    assert cli("select", address, *RANDOM, "--seed", "1", "-o", output, "--force").returncode == 0
    assert gs.read("out/chosen.jsonl.gz") == mine
    assert "its bucket or folder does not exist" in _refused("select", address, *RANDOM, "-o", "gs://none/x.jsonl")


def test_of_two_writers_one_wins_and_the_other_is_told(gs: Client, server: Server, tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(4)]
    for n, file in enumerate(files):
        file.write_bytes(LINES * (n + 1))
    ended: list[str] = []

    def write(file: Path) -> None:
        try:
            remote.send(file, "gs://data/one.jsonl", replace=False)
            ended.append("")
        except InputError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=write, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended)[0] == ""
    assert all("has come meanwhile" in line for line in sorted(ended)[1:]), ended
    assert server.refused == 3
    assert gs.read("one.jsonl") in [file.read_bytes() for file in files]


def test_a_large_file_goes_up_in_parts_and_is_there_whole_or_not_at_all(
    gs: Client, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcsfs import core

    (tmp_path / "large").write_bytes(content := random.Random(0).randbytes(6 << 20))
    for replace in (False, True):
        remote.send(tmp_path / "large", "gs://data/large.jsonl", replace=replace)
        assert gs.read("large.jsonl") == content
    send_part = core.upload_chunk

    async def another_comes_first(*arguments: object) -> object:
        gs.put("new.jsonl", LINES)
        return await send_part(*arguments)

    monkeypatch.setattr(core, "upload_chunk", another_comes_first)
    with pytest.raises(InputError, match="has come meanwhile"):
        remote.send(tmp_path / "large", "gs://data/new.jsonl", replace=False)
    assert (gs.read("new.jsonl"), server.refused) == (LINES, 1)


def test_an_answer_that_is_lost_is_no_other_writer(gs: Client, server: Server) -> None:
    Path("pool.jsonl").write_bytes(LINES)
    server.lost = 1
    assert cli("select", "pool.jsonl", *RANDOM, "-o", "gs://data/x.jsonl").returncode == 0
    server.lost = 1
    ended = cli(*CURATE, RUN)
    assert (ended.returncode, server.lost, server.refused) == (0, 0, 2), ended.stderr
    assert "runs/one/.in-use" not in gs.names()


def test_a_killed_run_keeps_others_out_and_another_machine_goes_on(gs: Client, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pool()
    there = There(RUN, gs.names, gs.read, gs.delete)

    def another(pid: int) -> None:
        machine(monkeypatch, "second")
        told = _refused(*[word.replace("out.jsonl", "other.jsonl") for word in words(tiny_model_dir, RUN)])
        assert f"run directory {RUN}: process {pid} on " in told

    done = there.killed(tiny_model_dir, another)
    assert f"if it is no more, remove {RUN}/.in-use and start again" in _refused(*words(tiny_model_dir, RUN))
    assert there.shards() == done
    there.remove(".in-use")
    ended = cli(*words(tiny_model_dir, RUN))
    assert ended.returncode == 0, ended.stderr
    assert there.cached() in (2 * done, 2 * done + 2)  # one may have been under way there
    assert there.tables() == local_tables(tiny_model_dir)
    assert not [key for key in there.names() if key.startswith("shards/") or key in (".in-use", "markers/score.started")]


def test_a_server_and_a_bucket_that_are_not_there_are_one_line_and_an_outdated_table_goes(gs: Client, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pool()
    there = There(RUN, gs.names, gs.read, gs.delete)
    with breakable(server.port) as (port, cut):
        connect(monkeypatch, port)
        cut()
        told = _refused("--quiet", *CURATE, RUN)
    assert f"run directory {RUN} cannot be read: " in told
    assert "finished work is kept: start the same command again" in told
    connect(monkeypatch, server.port)
    assert cli(*CURATE, RUN).returncode == 0
    machine(monkeypatch, "second")
    assert f"table: {RUN}/curate.parquet" in cli(*CURATE, RUN, "--set", "curate.dedup=false").stdout
    assert cli(*CURATE, "here", "--set", "curate.dedup=false").returncode == 0
    assert there.tables() == {path.name: path.read_bytes() for path in Path("here").glob("*.parquet")}
    assert "its bucket, or a file that was just there, does not exist" in _refused(*CURATE, "gs://none/run")
