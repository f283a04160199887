"""Data of an HTTP server: read anew when they change, whole or not at all, and as a file where the name says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact import storage
from codeact.errors import InputError
from codeact.mirror import working_copy
from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows
from tests.helpers.web_server import Web, web_server

ROWS = [dict(row) for row in pool_rows(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
RANDOM = ("--strategy", "random", "--unit", "records", "--ratio", "0.5", "--set", "curate.decontaminate=[]")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server with a file `/d.jsonl`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    with web_server() as server:
        server.files["/d.jsonl"] = LINES
        yield server


@pytest.mark.parametrize("tells", [True, False])
def test_a_file_that_changes_on_the_server_is_read_anew(tells: bool, web: Web, tmp_path: Path) -> None:
    web.tells, name = tells, f"{web.address}/d.jsonl"
    assert storage.read_rows(name).rows == ROWS
    web.files["/d.jsonl"] = LINES.replace(b"def ", b"DEF ")  # as long as it was
    assert storage.read_rows(name).rows == [json.loads(line) for line in web.files["/d.jsonl"].splitlines()]
    assert f"{name}: 12 rows" in cli("records", name).stdout
    web.files["/d.jsonl"] = b"".join(LINES.splitlines(keepends=True)[:6])
    assert f"{name}: 6 rows" in cli("records", name).stdout
    assert "3 of 6 records" in cli("select", name, *RANDOM, "-o", "x.jsonl").stdout


def test_a_file_that_did_not_change_is_not_read_again(web: Web) -> None:
    name = f"{web.address}/d.jsonl"
    cli("select", name, *RANDOM, "-o", "x.jsonl")
    assert web.asked.count("GET /d.jsonl") == 1
    cli("select", name, *RANDOM, "-o", "x.jsonl")
    assert web.asked.count("GET /d.jsonl") == 1
    web.tells = False
    cli("select", name, *RANDOM, "-o", "x.jsonl")
    assert web.asked.count("GET /d.jsonl") == 2  # once a command


def test_a_command_sees_one_state(web: Web) -> None:
    name = f"{web.address}/d.jsonl"
    with working_copy("run"):
        assert storage.read_rows(name).rows == ROWS
        web.files["/d.jsonl"] = LINES * 2
        assert storage.read_rows(name).rows == ROWS
    assert storage.read_rows(name).rows == ROWS * 2


def test_links_in_the_data_make_no_folder_of_a_file(web: Web) -> None:
    row = {**ROWS[0], "output": "<a href='x.jsonl'>x</a>"}
    web.files["/d.jsonl"] = json.dumps(row).encode()
    for web.kind in ("", "text/html"):
        assert storage.read_rows(f"{web.address}/d.jsonl").rows == [row]


def test_a_page_of_links_is_a_folder(web: Web, tmp_path: Path) -> None:
    web.files |= {
        "/p/": b"<a href='a.jsonl'>a</a> <a href='deep/'>d</a> <a href='../../../../b.jsonl'>b</a> <a href='/c.jsonl'>c</a>", "/p/a.jsonl": LINES,
        "/p/deep": b"<a href='e.jsonl'>e</a>", "/p/deep/e.jsonl": LINES, "/b.jsonl": b"elsewhere", "/p/../../../../b.jsonl": b"elsewhere",
    }  # fmt: skip
    assert storage.read_rows(f"{web.address}/p/").rows == ROWS * 2
    assert storage.read_rows(f"{web.address}/p/*.jsonl").rows == ROWS
    assert not list(tmp_path.rglob("b.jsonl"))


def test_what_breaks_off_leaves_nothing(web: Web, tmp_path: Path) -> None:
    name = f"{web.address}/d.jsonl"
    for web.tells in (True, False):
        web.cut = 700
        with pytest.raises(InputError, match=r"/d\.jsonl cannot be read: .*payload is not completed"):
            storage.read_rows(name)
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    web.cut = None
    assert storage.read_rows(name).rows == ROWS


def test_a_large_file_comes_whole_where_the_server_takes_no_ranges(web: Web) -> None:
    web.files["/d.jsonl"] = LINES * 2000
    assert len(storage.read_rows(f"{web.address}/d.jsonl").rows) == 24_000


def test_what_the_server_says_is_told(web: Web) -> None:
    name = f"{web.address}/d.jsonl"
    for web.status, told in ((403, "cannot be read: 403"), (404, "does not exist"), (503, "cannot be read: 503")):
        with pytest.raises(InputError, match=rf"d\.jsonl {told}"):
            storage.read_rows(name)
    with pytest.raises(InputError, match=r"d\.jsonl cannot be read: Cannot connect"):
        storage.read_rows("http://127.0.0.1:1/d.jsonl")


def test_a_signed_address_is_refused_without_its_secret(web: Web, tmp_path: Path) -> None:
    """It was taken for a pattern that no file fits, and the message showed it whole."""
    done = cli("select", f"{web.address}/d.jsonl?X-Amz-Credential=me&X-Amz-Signature=0123456789abcdef", *RANDOM, "-o", "x.jsonl")
    assert done.returncode == 2
    assert f"{web.address}/d.jsonl?... is an address with a query" in done.stderr
    assert "Amz" not in done.stderr
    assert not list(tmp_path.glob("x*"))
