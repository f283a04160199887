"""Data in a real S3: read as the local file is, written whole or not at all, refused in one line."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import codeact
from codeact import storage
from codeact.errors import InputError
from codeact.sources import remote
from tests.helpers.command import codeact_command as cli
from tests.helpers.cut_lines import cut_after
from tests.helpers.pool import pool_rows
from tests.helpers.s3_server import bucket, connect, let_in, s3_server

pytest.importorskip("s3fs", reason="the remote extra is not installed")
pytest.importorskip("boto3", reason="moto[server] is not installed")
ROWS = [dict(row) for row in pool_rows(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
RANDOM = ("--strategy", "random", "--unit", "records", "--ratio", "0.5", "--set", "curate.decontaminate=[]")


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(autouse=True)
def s3(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, whose bucket `data` is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    with bucket(monkeypatch, server) as client:
        yield client


def _put(s3: Any, key: str, data: bytes = LINES) -> str:
    s3.put_object(Bucket="data", Key=key, Body=data)
    return f"s3://data/{key}"


def _there(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="data", Key=key)["Body"].read())


def test_files_folders_and_patterns_are_read_as_local_ones(s3: Any) -> None:
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), table)
    _put(s3, "pool/a.jsonl")
    _put(s3, "pool/deep/b.jsonl.gz", gzip.compress(LINES))
    _put(s3, "pool/README.md", b"no data")
    _put(s3, "tables/train-0.parquet", table.getvalue())
    _put(s3, "tables/test-0.jsonl", LINES[:1])
    for name, rows in {
        "s3://data/pool/a.jsonl": ROWS, "s3://data/pool/deep/b.jsonl.gz": ROWS, "s3://data/tables/train-0.parquet": ROWS, "s3://data/tables": ROWS,
        "s3://data/pool": ROWS * 2, "s3://data/pool/": ROWS * 2, "s3://data/pool/*.jsonl": ROWS, "s3://data/**/*.gz": ROWS,
    }.items():  # fmt: skip
        assert storage.read_rows(name).rows == rows, name
    assert storage.read_rows(["s3://data/pool/a.jsonl", "s3://data/tables/train-0.parquet"]).rows == ROWS * 2


def test_the_bucket_of_a_folder_that_was_read_holds_each_file_once(s3: Any) -> None:
    _put(s3, "pool/a.jsonl")
    assert storage.read_rows("s3://data/pool").rows == ROWS
    assert storage.read_rows("s3://data").rows == ROWS


def test_a_file_that_was_changed_by_another_is_read_anew(s3: Any) -> None:
    name = _put(s3, "pool/a.jsonl")
    assert storage.read_rows("s3://data/pool").rows == ROWS
    _put(s3, "pool/a.jsonl", LINES * 2)
    assert storage.read_rows("s3://data/pool").rows == ROWS * 2
    assert storage.read_rows(name).rows == ROWS * 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3://data/none.jsonl", "does not exist, or these credentials may not see it"), ("s3://none/a.jsonl", "does not exist, or these"),
        ("s3://none/", "does not exist"), ("s3://data/none/", "does not exist"), ("s3://data/*.csv", "no file has such a name"),
        ("s3://none/*.csv", "no file has such a name"), ("s3://", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(name: str, message: str) -> None:
    ended = cli("select", name, *RANDOM, "-o", "x.jsonl")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert ended.stderr.startswith(f"codeact: {name}")
    assert message in ended.stderr


def test_without_permission_it_is_one_line(s3: Any, server: int) -> None:
    name = _put(s3, "a.jsonl")
    Path("local.jsonl").write_bytes(LINES)
    let_in(server, False)
    for arguments in ((name, *RANDOM, "-o", "x.jsonl"), ("local.jsonl", *RANDOM, "-o", "s3://data/x.jsonl")):
        ended = cli("select", *arguments)
        assert ended.returncode == 2
        assert "Access Key" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr
    let_in(server, True)
    assert "x.jsonl" not in str(s3.list_objects_v2(Bucket="data").get("Contents"))


def test_a_connection_that_breaks_leaves_nothing_and_is_one_line(
    s3: Any, server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = _put(s3, "large.jsonl", LINES * 40)
    with cut_after(server, 50_000) as port:
        connect(monkeypatch, port)
        with pytest.raises(InputError, match=r"^s3://data/large\.jsonl cannot be read: ") as told:
            storage.read_rows(name)
        assert "\n" not in str(told.value)
    connect(monkeypatch, port)  # which nobody answers any more
    with pytest.raises(InputError, match=r"^s3://data/large\.jsonl cannot be read: Could not connect"):
        storage.read_rows(name)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    connect(monkeypatch, server)
    assert len(storage.read_rows(name).rows) == 40 * len(ROWS)


@pytest.mark.parametrize("there", [True, False])
def test_an_upload_that_breaks_leaves_what_was_there(there: bool, s3: Any, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    Path("large").write_bytes(LINES * 40)
    if there:
        _put(s3, "x.jsonl")
    with cut_after(server, 50_000, sent=True) as port:
        connect(monkeypatch, port)
        with pytest.raises(InputError, match=r"^output s3://data/x\.jsonl cannot be written: .*start the same command again"):
            remote.send(Path("large"), "s3://data/x.jsonl", replace=there)
    assert [(one["Key"], one["Size"]) for one in s3.list_objects_v2(Bucket="data").get("Contents", ())] == [("x.jsonl", len(LINES))] * there
    connect(monkeypatch, server)
    remote.send(Path("large"), "s3://data/x.jsonl", replace=there)
    assert _there(s3, "x.jsonl") == LINES * 40


@pytest.mark.parametrize("name", ["chosen.jsonl", "deep/chosen.jsonl.gz", "chosen.parquet"])
def test_the_chosen_rows_are_those_of_the_local_file(name: str, s3: Any, tmp_path: Path) -> None:
    address = _put(s3, "pool.jsonl")
    Path("pool.jsonl").write_bytes(LINES)
    Path("deep").mkdir()
    told = json.loads(cli("select", address, *RANDOM, "-o", f"s3://data/out/{name}", "--json").stdout)
    assert told["output"] == f"s3://data/out/{name}"  # both slashes, also below
    assert cli("select", "pool.jsonl", *RANDOM, "-o", name).returncode == 0
    assert _there(s3, f"out/{name}") == Path(name).read_bytes()
    assert Path(told["run_dir"]).is_relative_to(tmp_path / "cache")
    assert not Path("s3:").exists()
    ended = cli("curate", address, "-o", f"s3://data/curated/{name}", "--set", "curate.decontaminate=[]")
    assert ended.returncode == 0
    assert f"rows: s3://data/curated/{name}" in ended.stdout
    assert storage.read_rows(f"s3://data/curated/{name}").rows == ROWS
    assert not Path("s3:").exists()


def test_an_object_is_replaced_only_by_the_run_that_wrote_it(s3: Any) -> None:
    address, output = _put(s3, "pool.jsonl"), "s3://data/chosen.jsonl"
    assert f"records -> {output} " in cli("select", address, *RANDOM, "-o", output).stdout
    assert cli("select", address, *RANDOM, "--seed", "1", "-o", output).returncode == 0
    mine = _there(s3, "chosen.jsonl")
    _put(s3, "chosen.jsonl", b"edited\n")
    ended = cli("select", address, *RANDOM, "-o", output)
    assert (ended.returncode, f"output {output} exists" in ended.stderr) == (2, True)
    assert _there(s3, "chosen.jsonl") == b"edited\n"
    assert cli("select", address, *RANDOM, "--seed", "1", "-o", output, "--force").returncode == 0
    assert _there(s3, "chosen.jsonl") == mine


def test_an_input_is_never_written_over(s3: Any) -> None:
    _put(s3, "pool/a.jsonl")
    for name, output in (
        ("s3://data/pool/a.jsonl", "s3://data/pool/a.jsonl"), ("s3://data/pool", "s3://data/pool/b.jsonl"),
        ("s3://data/pool/", "s3://data/pool/a.jsonl"), ("s3://data/pool/*.jsonl", "s3://data/pool/a.jsonl"),
        ("s3://data/pool/a.jsonl", "s3a://data/pool/a.jsonl"),
    ):  # fmt: skip
        ended = cli("select", name, *RANDOM, "-o", output, "--force")
        assert (ended.returncode, "is never written over" in ended.stderr) == (2, True)
    assert _there(s3, "pool/a.jsonl") == LINES


def test_of_two_writers_one_wins_and_the_other_is_told(s3: Any, tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(4)]
    for n, file in enumerate(files):
        file.write_bytes(LINES * (n + 1))
    ended: list[str] = []

    def write(file: Path) -> None:
        try:
            remote.send(file, "s3://data/one.jsonl", replace=False)
            ended.append("")
        except InputError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=write, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended)[0] == ""
    assert all("has come meanwhile" in line for line in sorted(ended)[1:])
    assert _there(s3, "one.jsonl") in [file.read_bytes() for file in files]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("s3://none/x.jsonl", "its bucket or folder does not exist"), ("s3://data/x", "unknown file type"), ("s3://data", "unknown file type"),
        ("https://host/x.jsonl", "https:// can only be read"), ("nowhere://host/x.jsonl", "Protocol not known"),
        ("s3://data/pool.jsonl", "is a folder"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_written_is_said_before_any_work(output: str, message: str, s3: Any) -> None:
    _put(s3, "pool.jsonl/a.jsonl")
    Path("local.jsonl").write_bytes(LINES)
    started = time.monotonic()
    ended = cli("select", "local.jsonl", *RANDOM, "-o", output)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert message in ended.stderr
    assert time.monotonic() - started < 30
    assert not (Path("cache") / "runs").exists()


def test_sources_of_a_mixture_may_be_addresses(s3: Any) -> None:
    _put(s3, "a.jsonl", b"".join(LINES.splitlines(keepends=True)[:8]))
    Path("b.jsonl").write_bytes(b"".join(LINES.splitlines(keepends=True)[8:]))
    chosen = codeact.select(
        ["s3://data/a.jsonl", "b.jsonl"], weights=[1, 1], strategy="random", unit="records", ratio=0.5, settings={"curate.decontaminate": ()}
    )
    assert {name: one["selected"] for name, one in chosen.summary["sources"].items()} == {"s3://data/a.jsonl": 3, "b.jsonl": 3}
