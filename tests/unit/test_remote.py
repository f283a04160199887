"""Addresses: data is read from them, and nothing is ever written to a local folder that is called like one."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

import codeact
from codeact import api, storage
from codeact.cli import main
from codeact.errors import InputError, MissingExtraError
from tests.helpers.pool import pool_rows

ROWS = [dict(row) for row in pool_rows(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    yield
    fsspec.filesystem("memory").store.clear()


def _put(name: str, data: bytes) -> str:
    fsspec.filesystem("memory").pipe_file(f"/{name}", data)
    return f"memory://{name}"


def test_a_file_a_folder_and_a_pattern_are_read_as_local_ones() -> None:
    _put("pool/a.jsonl", LINES)
    _put("pool/deep/b.jsonl.gz", gzip.compress(LINES))
    _put("pool/README.md", b"no data")
    assert storage.read_rows("memory://pool/a.jsonl").rows == ROWS
    assert storage.read_rows("memory://pool").rows == ROWS * 2
    assert storage.read_rows("memory://pool/*.jsonl").rows == ROWS
    assert storage.read_rows(["memory://pool/a.jsonl", "memory://pool/deep/b.jsonl.gz"]).rows == ROWS * 2


def test_splits_of_a_folder_are_told_apart() -> None:
    _put("set/train-00000.jsonl", LINES)
    _put("set/test.jsonl", LINES.splitlines(keepends=True)[0])
    assert storage.read_rows("memory://set").rows == ROWS
    assert storage.read_rows("memory://set", "test").rows == ROWS[:1]


def test_a_file_that_was_changed_is_read_anew() -> None:
    name = _put("pool/a.jsonl", LINES)
    storage.read_rows(name)
    _put("pool/a.jsonl", LINES * 2)
    assert storage.read_rows(name).rows == ROWS * 2


def test_faults_name_the_address() -> None:
    name = _put("pool/a.jsonl", LINES + b"{broken\n")
    with pytest.raises(InputError, match=r"^memory://pool/a\.jsonl, line 13: broken JSON"):
        storage.read_rows(name)
    with pytest.raises(InputError, match=r"^memory://pool/none\.jsonl does not exist"):
        storage.read_rows("memory://pool/none.jsonl")
    with pytest.raises(InputError, match=r"^memory://pool/\*\.csv: no file has such a name"):
        storage.read_rows("memory://pool/*.csv")
    with pytest.raises(InputError, match=r"nowhere://x\.jsonl cannot be read: Protocol not known"):
        storage.read_rows("nowhere://x.jsonl")


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import fsspec  # noqa: F401

    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)  # another test may have loaded it
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"reading s3://bucket/x.jsonl: .*codeact\[remote\]"):
        storage.read_rows("s3://bucket/x.jsonl")


def test_select_from_an_address_chooses_as_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    name = _put("pool/a.jsonl", LINES)
    settings = {"strategy": "random", "unit": "records", "ratio": 0.5, "settings": {"curate.decontaminate": ()}}
    here = codeact.select(file, output=tmp_path / "here.jsonl", **settings)
    there = codeact.select(name, output=tmp_path / "there.jsonl", **settings)
    assert there.rows == here.rows
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    for table in ("records", "curate", "sample", "ledger"):
        assert pq.read_table(there.run_dir / f"{table}.parquet") == pq.read_table(here.run_dir / f"{table}.parquet")


REFUSED = "is remote: folders of results and the directory of a comparison are local only"


@pytest.mark.parametrize(
    "command",
    [
        "train DATA --model demo -o ADDRESS", "evaluate demo -o ADDRESS", "merge . -o ADDRESS", "export . --to axolotl -o ADDRESS",
        "records DATA --log-file ADDRESS",
    ],
)  # fmt: skip
def test_no_command_makes_a_folder_behind_an_address(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "s3://bucket/x.jsonl"
    (tmp_path / "data.jsonl").write_bytes(LINES)
    before = sorted(tmp_path.iterdir())
    words = [word.replace("ADDRESS", address).replace("DATA", "data.jsonl") for word in command.split()]
    monkeypatch.setattr("sys.argv", ["codeact", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert REFUSED in told
    assert address in told
    assert "\n" not in told
    assert [path for path in tmp_path.iterdir() if path not in before and path.name != "cache"] == []


@pytest.mark.parametrize(
    "call",
    [
        lambda to: codeact.train(ROWS, model="demo", output=to),
        lambda to: codeact.evaluate(model="demo", output=to),
        lambda to: api.export(".", "axolotl", to),
    ],
)
def test_no_function_makes_a_folder_behind_an_address(call: Callable[[Any], Any], tmp_path: Path) -> None:
    for address in ("s3://bucket/x.jsonl", Path("s3://bucket/x.jsonl"), "hf://datasets/a/b", "memory://x.jsonl"):
        with pytest.raises(InputError, match=REFUSED):
            call(address)
    assert not (tmp_path / "s3:").exists()


def test_rows_are_written_to_memory_whole_and_once(tmp_path: Path) -> None:
    settings = {"strategy": "random", "unit": "records", "ratio": 0.5, "settings": {"curate.decontaminate": ()}}
    chosen = codeact.select(ROWS, output="memory://out/x.jsonl", **settings)
    assert [json.loads(line) for line in fsspec.filesystem("memory").cat_file("/out/x.jsonl").splitlines()] == chosen.rows
    package = Path(json.__file__).parent
    assert api.harvest(package, "memory://out/h.jsonl", limit=3)["records"] == 3
    assert len(storage.read_rows("memory://out/h.jsonl").rows) == 3
    with pytest.raises(InputError, match=r"output memory://out/h\.jsonl exists"):
        api.harvest(package, "memory://out/h.jsonl", limit=3)
    with pytest.raises(InputError, match=r"output memory://out is a folder|unknown file type"):
        codeact.select(ROWS, output="memory://out", **settings)
    assert not (tmp_path / "memory:").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_was_killed_after_it_sent_an_object_goes_on(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = "memory://killed/x.jsonl"

    def chosen(seed: int) -> codeact.Selection:
        return codeact.select(
            ROWS, output=output, run_dir=tmp_path / "run", strategy="random", unit="records", ratio=0.5, seed=seed, settings={"curate.decontaminate": ()}
        )

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if there:
        chosen(1)
    with monkeypatch.context() as patch:
        patch.setattr("codeact.api.selection.note_file", killed)
        with pytest.raises(KeyboardInterrupt):
            chosen(2)
    sent = fsspec.filesystem("memory").cat_file("/killed/x.jsonl")
    _put("killed/x.jsonl", b"edited\n")
    with pytest.raises(InputError, match=r"output memory://killed/x\.jsonl exists"):
        chosen(2)
    _put("killed/x.jsonl", sent)
    rows = chosen(3).rows
    assert [json.loads(line) for line in fsspec.filesystem("memory").cat_file("/killed/x.jsonl").splitlines()] == rows
    with monkeypatch.context() as patch:  # killed before it was sent: what was there is still the run's own
        patch.setattr("codeact.sources.remote.send", killed)
        with pytest.raises(KeyboardInterrupt):
            chosen(4)
    assert chosen(5).rows


def test_a_folder_and_a_folder_in_it_are_not_mixed_up() -> None:
    _put("pool/deep/a.jsonl", LINES)
    assert storage.read_rows("memory://pool/deep").rows == ROWS
    assert storage.read_rows("memory://pool").rows == ROWS


def test_a_repository_of_the_hub_that_is_not_there_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(BaseHTTPRequestHandler):
        """A hub without repositories."""

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match=r"^output hf://datasets/me/none/x\.jsonl: its repository does not exist"):
            codeact.select(ROWS, output="hf://datasets/me/none/x.jsonl", strategy="random", unit="records", ratio=0.5)
        server.shutdown()
    assert not list((tmp_path / "cache").rglob("*.parquet"))
