"""What a terminal would obey in other people's text reaches none: it is written out, whichever command prints it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codeact.terminal import fitting, visible, visible_lines
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.report_run import plain_run

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("sort a list", 11, "sort a list"), ("sort a list", 10, "sort a ..."), ("排序列表", 8, "排序列表"), ("排序列表", 7, "排序..."), ("排序", 2, "")],
)
def test_a_line_is_cut_by_the_columns_that_its_letters_take(text: str, width: int, shown: str) -> None:
    assert fitting(text, width) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\rb\nc", "a\\rb\\nc"),
        ("\x9b31m\x00", "\\x9b31m\\x00"),
        ("排序\u3000两个\t表 👩\u200d👧 שלום", "排序\u3000两个\t表 👩\u200d👧 שלום"),
    ],
)
def test_what_a_terminal_obeys_is_written_out_and_all_else_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_lines() -> None:
    assert visible_lines("a\r\nb\x08\n\nc") == "a\nb\\x08\n\nc"


def test_records_are_shown_without_their_commands(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "rows.jsonl", [{"instruction": "Sort.\x1b[2J\x07 \u202etxet", "output": "sorted(x)\r\nprint(1)"}])
    said = codeact_command("records", str(file), "--show", "1").stdout
    assert "Sort.\\x1b[2J\\x07 \\u202etxet" in said
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(said)


def test_brackets_in_a_name_are_no_markup_of_the_table(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "[bold]run[/red]", 30, until="sample")
    seen = {"selection": {"distance": {"mean": 0.3, "p95": 0.6}, "warnings": ["source [/b]x\x1b[31m"]}, "random": {"distance": {"mean": 0.25, "p95": 0.5}}}
    (run / "coverage.json").write_text(json.dumps(seen), encoding="utf-8")
    found = codeact_command("report", str(run))
    assert found.returncode == 0, found.stderr
    assert "source [/b]x\\x1b[31m" in found.stdout
    assert "[bold]run[/red]" in found.stdout.replace("\n", "")


def test_an_error_shows_a_name_as_text(tmp_path: Path) -> None:
    found = codeact_command("records", str(tmp_path / "a\x1b[31m\x07.jsonl"))
    assert found.returncode == 2
    assert "a\\x1b[31m\\x07.jsonl" in found.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["keys", "sample"], ["keys", "sample", "--json"], ["--help"]])
def test_a_full_stdout_is_named(words: list[str], unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with FULL.open("wb") as full:
        found = subprocess.run([sys.executable, "-m", "codeact", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr == "codeact: stdout: No space left on device\n"
