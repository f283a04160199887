"""Refused rows and unread columns are told by every command that reads data: in its table and in --json, with the first cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

TOLD = "refused: 2 of 14 rows (empty 1, media 1); the first: row 13: empty: the response is empty (column 'output')"
UNREAD = "may matter and was not read: column 'remark' (12)"


@pytest.fixture
def data(tmp_path: Path) -> str:
    rows = [{**row, "remark": "long enough to be more than a label"} for row in pool_rows(12)]
    rows += [{"instruction": "nothing", "output": ""}, {"instruction": "look", "output": "there", "images": ["a.png"]}]
    write_lines(tmp_path / "data.jsonl", rows)
    return str(tmp_path / "data.jsonl")


COMMANDS = {
    "select": ["--strategy", "random", "--unit", "records"], "curate": [], "embed": [], "cluster": ["--set", "cluster.k=2"], "score": ["--dtype", "float32"],
    "sample": ["--dtype", "float32", "--set", "cluster.k=2"], "pack": [], "train": ["--dtype", "float32", "--epochs", "1", "--max-length", "256"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_counts_them(
    command: str, data: str, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    output = [] if command == "pack" else ["-o", str(tmp_path / ("tuned" if command == "train" else "out.jsonl"))]
    model = ["--model", str(tiny_model_dir)] if command in ("score", "sample", "pack", "train") else []
    embedder = ["--embedder", str(tiny_embedder_dir)] if command in ("embed", "cluster", "sample") else []
    call = [command, data, *output, *model, *embedder, *COMMANDS[command]]
    for as_json in ((), ("--json",)):
        done = cli(*call, *as_json)
        assert done.returncode == 0, done.stderr
        if not as_json:
            assert TOLD in done.stdout
            assert UNREAD in done.stdout
        else:
            reading = json.loads(done.stdout)["reading"]
            assert (reading["rows"], reading["rejected"], reading["not_read"]) == (
                14,
                {"empty": 1, "media": 1},
                {"column 'remark'": 12},
            )
            assert reading["first_rejected"].startswith("row 13: empty")


def test_records_shows_turns_and_fails_where_nothing_is_usable(data: str, tmp_path: Path) -> None:
    done = cli("records", data, "--show", "1")
    assert done.returncode == 0
    assert "14 rows, 12 records" in done.stdout
    assert "refused: media 1; the first: row 14: column 'images' holds images, video or audio" in done.stdout
    assert f"  user: {pool_rows(1)[0]['instruction'][:40]}" in done.stdout
    (tmp_path / "none.jsonl").write_text('{"instruction": "x", "output": ""}\n', encoding="utf-8")
    done = cli("records", str(tmp_path / "none.jsonl"), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["records"] == 0
    assert "none of its rows is usable (empty 1)" in done.stderr
