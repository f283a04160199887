"""`file://`: the path itself, whichever way it is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import codeact
from codeact import storage
from codeact.errors import InputError
from codeact.files import by_path, name_of
from codeact.mirror import working_copy
from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows

LINES = "".join(json.dumps(dict(row)) + "\n" for row in pool_rows(12))
RANDOM = ("--strategy", "random", "--unit", "records", "--ratio", "0.5", "--set", "curate.decontaminate=[]")


@pytest.fixture(autouse=True)
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of records in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pool.jsonl"
    file.write_text(LINES, encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["file://", "file:", "local://"])
def test_what_is_written_lies_at_the_path(scheme: str, pool: Path, tmp_path: Path) -> None:
    ended = cli("select", "pool.jsonl", *RANDOM, "-o", f"{scheme}{tmp_path}/out/x.jsonl")
    assert ended.returncode == 0, ended.stderr
    assert f"records -> {tmp_path}/out/x.jsonl " in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"pool.jsonl", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"x.jsonl", "x.codeact"}
    assert cli("select", f"{scheme}{pool}", *RANDOM, "--seed", "1", "-o", "out/x.jsonl").returncode == 0  # the same run by other names


def test_rows_tables_and_folders_are_read_and_written_from_python_too(pool: Path, tmp_path: Path) -> None:
    settings = {"curate.decontaminate": ()}
    chosen = codeact.select(pool.as_uri(), output=Path(f"file://{tmp_path}/x.jsonl"), strategy="random", unit="records", ratio=0.5, settings=settings)
    assert storage.read_rows(tmp_path / "x.jsonl").rows == chosen.rows
    assert storage.read_rows(f"file://{tmp_path}/*.jsonl").rows == storage.read_rows(["pool.jsonl", "x.jsonl"]).rows
    assert cli("curate", f"file://{pool}", "-o", f"file://{tmp_path}/kept.jsonl", "--set", "curate.decontaminate=[]").returncode == 0
    assert Path("kept.jsonl").read_text(encoding="utf-8") == LINES
    assert Path("kept.codeact").is_dir()


@pytest.mark.parametrize(("data", "output"), [("file://{}", "{}"), ("{}", "file://{}"), ("local://{}", "file://{}"), ("{}", "file:{}")])
def test_an_input_is_never_written_over(data: str, output: str, pool: Path) -> None:
    ended = cli("select", data.format(pool), *RANDOM, "-o", output.format(pool), "--force")
    assert (ended.returncode, "an input is never written over" in ended.stderr) == (2, True), ended.stderr
    assert pool.read_text(encoding="utf-8") == LINES


def test_a_host_is_refused(tmp_path: Path) -> None:
    for arguments in (("file://pool.jsonl", "-o", "x.jsonl"), ("pool.jsonl", "-o", "file://out/x.jsonl")):
        ended = cli("select", *arguments, *RANDOM)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
        assert "stands where a host does; an absolute path has three slashes" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_folders_are_named_by_their_path(tmp_path: Path) -> None:
    told = f"file://{tmp_path}/one: name a folder or a file of this machine by its path, {tmp_path}/one"
    assert told in cli("train", "pool.jsonl", "--model", "demo", "-o", f"file://{tmp_path}/one").stderr
    told = f"run directory file://{tmp_path}/one: name a folder of this machine by its path, {tmp_path}/one"
    with pytest.raises(InputError, match=told), working_copy(f"file:{tmp_path}/one"):
        pass
    assert not (tmp_path / "file:").exists()


def test_other_names_are_left_as_they_are() -> None:
    for name in ("pool.jsonl", "/data/x.jsonl", "s3://bucket/x.jsonl", "me/data", "file.jsonl", "file:x", "profile://x/y", "-"):
        assert by_path(name) == name
    for name in ("file:////data/x", "FILE:///data/x", "file://localhost/data/x"):
        assert by_path(name) == "/data/x"
    assert name_of(Path("file:///data/x.jsonl")) == "file:///data/x.jsonl"
