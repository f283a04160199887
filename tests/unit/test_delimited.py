"""CSV and TSV whose quotes do not mean what the file's form says: no row vanishes without a word."""

from __future__ import annotations

import csv
import io
import logging
import subprocess
from pathlib import Path

import pytest

from codeact import api, storage
from codeact.errors import InputError
from codeact.sources import large

HEAD = "instruction\toutput\n"
STRAY = 'Say hi\tHello\nQuote\t"To be, or not\nNext\tfine\nLast\tthe end"\nMore\tx\n'


def rows(folder: Path, name: str, text: str) -> list[dict[str, str]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return [dict(row) for row in storage.read_rows(folder / name).rows]


@pytest.mark.parametrize(
    "body",
    [
        STRAY,  # opens in one row and closes in a later one
        'a\t"word" and more\nb\tc\n',  # closes within a value
        'a\t"never closed\nb\tc\n',
        'a\t"opens\nb"\tc\n',  # closes in another column
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_quotes_that_do_not_fit_are_text_in_tsv_and_it_is_said(
    body: str, ends: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = rows(tmp_path, "a.tsv", (HEAD + body).replace("\n", ends))
    assert found == [dict(zip(("instruction", "output"), line.split("\t"), strict=True)) for line in body.splitlines()]
    assert [f"every line has {2} values" in record.getMessage() for record in caplog.records] == [True]


def test_a_large_tsv_is_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    small = rows(tmp_path, "a.tsv", HEAD + STRAY)
    monkeypatch.setattr(large, "WHOLE", 8)
    source = storage.read_rows(tmp_path / "a.tsv")
    assert isinstance(source.rows, large.TextRows)
    assert list(source.rows) == small == list(source.rows)
    assert len(caplog.records) == 2  # once for each reading of the file


QUOTED = [["instruction", "output"], ["a\tb", 'He said "so"'], ["two\nlines", "x"], ["", " y"], ["c", "first\tline\nsecond"]]


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ","), ("a.csv", ";"), ("a.csv", "|")])
def test_what_is_quoted_by_the_rules_is_read_by_them(name: str, mark: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark).writerows(QUOTED)
    assert [list(row.values()) for row in rows(tmp_path, name, text.getvalue())] == QUOTED[1:]
    assert caplog.records == []


def test_a_stray_quote_beside_quoted_values_is_named_in_tsv(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = rows(tmp_path, "a.tsv", f'{HEAD}"He said ""so"""\tx\n{STRAY}')
    assert [row["instruction"] for row in found] == ['He said "so"', "Say hi", "Quote", "More"]
    assert ["lines 4 to 6 are one row" in record.getMessage() for record in caplog.records] == [True]
    numbered = "".join(f"text {n}\t{n}\n" for n in range(5))
    with pytest.raises(InputError, match=r"b\.tsv, lines 8 to 10: one row, .*each of these lines has 2 values.*the quote is stray"):
        rows(tmp_path, "b.tsv", f'instruction\toutput\n"He said ""so"""\t7\n{numbered}"So it began\t7\nthen\t8\nthe end"\t9\n')


def test_code_that_tabs_indent_is_one_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = "def f():\n\treturn 1\n\tpass"
    assert rows(tmp_path, "a.tsv", f'{HEAD}Write f\t"{code}"\n') == [{"instruction": "Write f", "output": code}]
    assert caplog.records == []


def test_csv_lines_that_fit_the_columns_are_no_value(tmp_path: Path) -> None:
    table = "".join(f"{n},text {n},real\n" for n in range(30))
    stray = '30,"So it began,real\n31,then,real\n32,the end",real\n'
    with pytest.raises(InputError, match="lines 32 to 34: one row, for a quote opens in the first line and closes in the last"):
        rows(tmp_path, "a.csv", "id,instruction,output\n" + table + stray)


def test_csv_lines_that_may_be_rows_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = rows(tmp_path, "a.csv", 'instruction,output\na,"So it began\nthen, the end"\nb,c\n')
    assert [row["output"] for row in found] == ["So it began\nthen, the end", "c"]
    assert ["lines 2 to 3 are one row" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    rows(tmp_path, "b.csv", 'instruction,output\na,"So it began\nand, then, the end"\nb,c\n')
    assert caplog.records == []


def test_single_quotes_around_all_names_quote_the_values(tmp_path: Path) -> None:
    found = rows(tmp_path, "a.csv", "'instruction','output'\n'Say, hi','it''s \"so\"'\nb,c\n")
    assert found == [{"instruction": "Say, hi", "output": 'it\'s "so"'}, {"instruction": "b", "output": "c"}]


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ("instruction;output\n'Say; hi';'it''s'\n'b';'c'\n", "line 2: 3 values", [["Say; hi", "it's"], ["b", "c"]]),
        ("instruction,output\n'Say hi','it is'\n'b','c'\n", "stand in single quotes", [["Say hi", "it is"], ["b", "c"]]),
        ('instruction,output\n"say \\"hi\\" to",Hello\n', "line 2", [['say "hi" to', "Hello"]]),
        ("instruction,output\nSay hi,Hel\0lo\n", "line 2: a NUL character", [["Say hi", "Hello"]]),
    ],
)
def test_the_mend_that_is_named_mends(text: str, line: str, wanted: list[list[str]], tmp_path: Path) -> None:
    file = tmp_path / "my (data)'s a.csv"  # a shell takes it apart
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        api.preview(str(file))
    assert line in str(caught.value)
    command = str(caught.value).rpartition(": ")[2]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    mended = next(path for path in tmp_path.iterdir() if path.name.endswith(f"-{file.name}"))
    assert [list(row.values()) for row in storage.read_rows(mended).rows] == wanted


def test_words_in_single_quotes_are_text(tmp_path: Path) -> None:
    found = rows(tmp_path, "a.csv", "instruction,output\nName it,'a'\nand this,'b'\n")
    assert [row["output"] for row in found] == ["'a'", "'b'"]


def test_a_tsv_by_name_that_holds_commas_is_read(tmp_path: Path) -> None:
    assert rows(tmp_path, "a.tsv", "instruction,output\na,b\n") == [{"instruction": "a", "output": "b"}]
    assert rows(tmp_path, "b.tsv", 'messages\n"[1, 2]"\n') == [{"messages": "[1, 2]"}]
