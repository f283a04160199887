"""Every file that people's data comes in is read as it is, or named with the command that mends it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import api, row_output, storage
from codeact.errors import InputError
from codeact.sources import lines
from codeact.sources.rows import json_lines
from codeact.storage import Source
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines

ROWS = [
    {"instruction": "写一个函数", "output": "def f():\n\treturn ','"},
    {"instruction": 'say "hi"; twice', "output": "007"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CSV = 'instruction,output\n写一个函数,"def f():\n\treturn \',\'"\n"say ""hi""; twice",007\n'


def zst(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def arrow(stream: bool) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(ROWS)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


FILES = {
    "a.jsonl": LINES.encode(),
    "a.JSONL": b"\xef\xbb\xbf" + LINES.encode(),
    "a.ndjson": LINES.replace("\n", "\r\n").encode(),
    "a.jsonl.gz": gzip.compress(LINES.encode()),
    "a.jsonl.zst": zst(LINES.encode()),
    "a.jsonl.bz2": bz2.compress(LINES.encode()),
    "a.json": json.dumps(ROWS).encode(),
    "a.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "train.json": json.dumps({"train": ROWS, "test": ROWS[:1]}).encode(),
    "data.json": json.dumps({"version": "1.0", "data": ROWS}).encode(),
    "a.csv": CSV.encode(),
    "semicolons.CSV": b"\xef\xbb\xbf"
    + CSV.replace("instruction,output", "instruction;output")
    .replace('数,"', '数;"')
    .replace('",007', '";007')
    .encode(),
    "a.tsv": CSV.replace("instruction,output", "instruction\toutput")
    .replace('数,"', '数\t"')
    .replace('",007', '"\t007')
    .encode(),
    "a.csv.gz": gzip.compress(CSV.encode()),
    "a.arrow": arrow(stream=False),
    "stream.arrow": arrow(stream=True),
    "a.Parquet": parquet(),
}


@pytest.mark.parametrize("name", FILES)
def test_the_rows_are_as_they_were_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    read = storage.read_rows(tmp_path / name)
    assert list(read.rows) == ROWS
    target = tmp_path / f"out{''.join(Path(name).suffixes)}"
    row_output.write_rows(read, [1], target)
    assert list(storage.read_rows(target).rows) == ROWS[1:]


def test_packed_output_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        row_output.write_rows(storage.Source("rows", ROWS), [0, 1], tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_one_conversation_is_one_row(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    (tmp_path / "a.json").write_text(json.dumps({"conversations": turns}), encoding="utf-8")
    assert api.preview(str(tmp_path / "a.json"))["records"] == 1


@pytest.mark.parametrize(
    ("encoding", "text", "command"),
    [
        ("gbk", "请写一个函数，返回列表中最大的数字。", "GBK: convert it: iconv -f GB18030 -t UTF-8"),
        ("gb18030", "用Python实现快速排序，并解释时间复杂度。", "GBK: convert it: iconv -f GB18030 -t UTF-8"),
        (
            "euc_jp",
            "この関数の使い方を教えてください。例も示してください。",
            "EUC-JP: convert it: iconv -f EUC-JP -t UTF-8",
        ),
        ("gbk", "算法", "GBK: convert it: iconv -f GB18030 -t UTF-8"),
        ("utf-16", "abc", "UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
        ("utf-16-le", "Write a function.", "UTF-16LE; convert it: iconv -f UTF-16LE -t UTF-8"),
        ("shift_jis", "リストを並べ替える関数を書いてください。", "Shift-JIS: convert it: iconv -f CP932 -t UTF-8"),
        ("euc_kr", "리스트를 정렬하는 함수를 작성하세요.", "EUC-KR: convert it: iconv -f CP949 -t UTF-8"),
        ("big5", "請寫一個函式，將清單中的數字排序並輸出。", "Big5: convert it: iconv -f BIG5 -t UTF-8"),
        ("big5", "請解釋遞迴", "Big5: convert it: iconv -f BIG5 -t UTF-8"),
        ("gbk", "解释递归", "GBK: convert it: iconv -f GB18030 -t UTF-8"),
        ("iso2022_jp", "再帰を説明", "ISO-2022-JP; convert it: iconv -f ISO-2022-JP -t UTF-8"),
        ("cp1251", "Напишите функцию, которая сортирует список.", "CP1251: convert it: iconv -f CP1251 -t UTF-8"),
    ],
)
def test_other_encodings_are_named_with_the_command_that_converts(
    encoding: str, text: str, command: str, tmp_path: Path
) -> None:
    rows = [{"instruction": text, "output": f"{text} {n}"} for n in range(5)]
    body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_bytes(body.encode(encoding))
    with pytest.raises(InputError) as caught:
        storage.read_rows(tmp_path / "a.jsonl")
    assert command in str(caught.value)
    name = str(caught.value).partition("iconv -f ")[2].split()[0]
    # the named command does convert: Python knows these encodings by the same names
    assert body in (tmp_path / "a.jsonl").read_bytes().decode(name).removeprefix("\ufeff")


def test_a_broken_byte_in_utf8_is_no_other_encoding(tmp_path: Path) -> None:
    data = LINES.encode() * 20 + b'{"instruction": "\xff", "output": "x"}\n'
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(InputError, match=r"line 41: invalid UTF-8.*the rest of the file is UTF-8"):
        storage.read_rows(tmp_path / "a.jsonl")


BAD = {
    "list.jsonl": (json.dumps(ROWS), "name it .json"),
    "pretty.jsonl": (json.dumps(ROWS, indent=1), "name it .json"),
    "turns.jsonl": ((json.dumps([{"role": "user", "content": "a"}]) + "\n") * 2, 'wrap each list of turns: {"messages": [...]}'),
    "lines.json": (LINES, "name it .jsonl"),
    "several.json": ('{\n"a": 1}\n{\n"a": 2}\n', "put them into one list"),
    "comma.jsonl": ('{"a": 1,}\n', "line 1: broken JSON: a comma before the closing bracket"),
    "comma.json": ('[{"a": 1},\n]', "a comma before the closing bracket"),
    "quotes.jsonl": ("{'a': 1}\n", "single quotes"),
    "columns.json": (json.dumps({"instruction": ["a"], "output": ["b"]}), "orient='records'"),
    "splits.json": (json.dumps({"dev": ROWS, "test": ROWS}), "several lists (dev, test)"),
    "ragged.csv": ("instruction,output\na,b\nc\n", "line 3: 1 values for 2 columns"),
    "twice.csv": ("a,a\n1,2\n", "two columns are called 'a'"),
    "inner.csv": ('instruction,output\n"a" b,c\n', "line 2"),
    "text.jsonl": ('{"text": "alone"}\n', "nothing says which part is asked"),
    "head.csv": (f"{'Wie viele Eier legen die Enten von Janet im Monat wenn eine Ente sechzehn Eier legt?'},18\nx,9\n", "first line looks like data"),
    "pointer.jsonl": ("version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 5\n", "git lfs pull"),
    "pointer.parquet": ("version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 5\n", "git lfs pull"),
    "page.json": ("<!DOCTYPE html>\n<html></html>", "a web page and not data"),
    "common.json": (json.dumps({"system": "Kurz.", "data": ROWS}), "'system' stands beside the list 'data'"),
    "blanks.csv": ('instruction,output\na, "b"\n', "line 2: a blank stands before the quote of '\"b\"'"),
    "torn.jsonl.gz": ("not packed", "not a whole .gz file"),
    "torn.jsonl.zst": ("not packed", "not a whole .zst file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_line_with_the_mend(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        api.preview(str(tmp_path / name))
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


HIDDEN = {
    "a.jsonl": (gzip.compress(LINES.encode()), "packed with gzip: name it so that its name ends in .gz"),
    "b.jsonl": (parquet(), "a Parquet file: name it .parquet"),
    "c.json": (b"PK\x03\x04" + b"\0" * 40, "a zip archive or an Office file"),
    "d.csv": (b"SQLite format 3\0" + b"\0" * 40, "a database of SQLite"),
    "e.jsonl": (LINES.encode() + b"\0" * 500, "line 3: broken JSON"),
    "f.jsonl.bz2": (bz2.compress(LINES.encode())[:-9], "not a whole .bz2 file"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_no_text_is_named(name: str, tmp_path: Path) -> None:
    data, message = HIDDEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=re.escape(message)):
        api.preview(str(tmp_path / name))


def test_a_quoted_value_that_begins_with_a_blank_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\na," ""b"""\n', encoding="utf-8")
    assert list(storage.read_rows(tmp_path / "a.csv").rows) == [{"prompt": "a", "completion": ' "b"'}]


def test_folders_patterns_and_several_files(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    for name in (
        "train-00000-of-00002.jsonl",
        "train-00001-of-00002.jsonl",
        "test-00000-of-00001.jsonl",
        ".hidden.jsonl",
        "README.md",
    ):
        (shards / name).parent.mkdir(exist_ok=True)
        (shards / name).write_text(LINES, encoding="utf-8")
    assert len(storage.read_rows(shards).rows) == 4
    assert "2 files of split 'train'" in storage.read_rows(shards).name
    assert len(storage.read_rows(shards, "test").rows) == 2
    with pytest.raises(InputError, match="no split 'dev'; its splits are test, train"):
        storage.read_rows(shards, "dev")
    assert len(storage.read_rows(str(shards / "*.jsonl")).rows) == 6
    assert len(storage.read_rows([shards / "test-00000-of-00001.jsonl", str(shards)]).rows) == 6
    with pytest.raises(InputError, match="no file has such a name"):
        storage.read_rows(str(tmp_path / "*.csv"))
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no data files"):
        storage.read_rows(tmp_path / "bare")


@pytest.mark.parametrize(
    ("train", "other"), [("my_train.jsonl", "my_test.jsonl"), ("de-train-00000-of-00001.jsonl", "de-valid-00000-of-00001.jsonl")]
)
def test_splits_at_the_end_of_names_and_what_is_left_out(train: str, other: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, rows in ((train, ROWS), (other, ROWS[:1]), ("unit_test_generation.jsonl", ROWS)):
        write_lines(tmp_path / name, rows)
    read = storage.read_rows(tmp_path)
    assert list(read.rows) == ROWS
    assert read.name.endswith(f"{train} (1 file of split 'train')")
    storage.read_rows(tmp_path)
    assert caplog.messages == [f"{tmp_path}: 'train' is read; left out: {other}, unit_test_generation.jsonl (data.split)"]


def test_lists_of_a_document_that_are_left_out_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, lists, told in (
        ("two", {"train": ROWS, "dev": ROWS[:1], "none": []}, "'train' is read; left out: dev (data.split)"),
        ("one", {"data": ROWS, "none": [], "version": 1}, None),
        ("empty", {"train": ROWS, "test": []}, None),
    ):
        caplog.clear()
        (tmp_path / f"{name}.json").write_text(json.dumps(lists))
        read = storage.read_rows(tmp_path / f"{name}.json", "data" if "data" in lists else "train")
        assert list(read.rows) == ROWS
        assert caplog.messages == ([f"{tmp_path}/{name}.json: {told}"] if told else [])


def test_a_guess_among_alphabets_shows_how_it_reads(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"instruction": "Wyjaśnij żółtą łódź", "output": "x"}\n'.encode("iso8859-2"))
    with pytest.raises(InputError, match=r"looks like ISO-8859-2: .*; right if 'Wyjaśnij' is how the first such word reads"):
        storage.read_rows(tmp_path / "a.jsonl")


def test_of_several_files_the_one_with_the_row_is_named(tmp_path: Path) -> None:
    row = {"id": 1, "instruction": "a", "output": "b"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(
        json.dumps({**row, "id": 2}) + "\n" + json.dumps({**row, "id": 3, "output": ""}) + "\n", encoding="utf-8"
    )
    found = api.preview([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])
    assert found["first_rejected"] == f"{tmp_path / 'b.jsonl'}, row 2: empty: the response is empty (column 'output')"
    with pytest.raises(InputError, match=r"a\.jsonl, row 1 and .*a\.jsonl, row 1 share the id '1'.*--map id=-"):
        api.preview([str(tmp_path / "a.jsonl"), str(tmp_path / "a.jsonl")])


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_stdin_and_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(LINES.encode()))
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    chosen = api.select("-", strategy="full", ratio=1.0, output="-", run_dir=tmp_path / "run")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    assert chosen.indices == [0, 1]
    monkeypatch.setattr(sys, "stdin", Stdin(json.dumps(ROWS).encode()))
    assert api.preview("-")["records"] == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_is_named_is_refused_as_data_are_read_more_than_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl is a pipe or a device, which can be read only once; name - "):
        storage.read_rows(str(tmp_path / "a.jsonl"))


def test_select_of_csv_writes_the_rows_as_they_came(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV, encoding="utf-8")
    api.select([tmp_path / "a.csv"], strategy="full", ratio=1.0, output=tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == CSV
    with pytest.raises(InputError, match=r"unknown file type '\.csv' \(for rows that came as CSV\)"):
        api.select([*ROWS], strategy="full", ratio=1.0, output=tmp_path / "c.csv")


@pytest.mark.parametrize("name", ["clean.parquet", "clean.arrow", "clean.jsonl.zst"])
def test_curate_writes_rows_in_every_form(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet())
    done = codeact_command("curate", str(tmp_path / "a.parquet"), "-o", str(tmp_path / name))
    assert done.returncode == 0, done.stderr
    assert f"rows: {tmp_path / name}" in done.stdout
    assert list(storage.read_rows(tmp_path / name).rows) == ROWS


def refusing(tmp_path: Path) -> str:
    rows: list[dict[str, Any]] = [
        *ROWS * 3,
        {"instruction": "no answer", "output": ""},
        {"instruction": "x", "output": ["a", "b"]},
    ]
    rows += [
        {"instruction": f"i{n}", "output": f"print({n})", "remark": "said by nobody, and long enough to matter"}
        for n in range(3)
    ]
    write_lines(tmp_path / "r.jsonl", rows)
    return str(tmp_path / "r.jsonl")


def test_refused_rows_are_counted_with_the_first_cause(tmp_path: Path) -> None:
    summary = api.select(refusing(tmp_path), strategy="random", unit="records", output=tmp_path / "o.jsonl").summary
    assert summary["reading"]["rows"] == 11
    assert summary["reading"]["rejected"] == {"empty": 1, "answers": 1}
    assert summary["reading"]["first_rejected"].startswith("row 7: empty: the response is empty")
    assert summary["reading"]["not_read"] == {"column 'remark'": 3}


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_lines_read_one_by_one_are_those_of_the_whole_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    monkeypatch.setattr(lines, "WHOLE", whole)
    good = [b'{"a": 1}\n', b"\r\n", '{"a": "\u2028 \U0001f600"}\r\n'.encode(), b'{"a": "\\ud83d"}', b"\n \xe3\x80\x80\n", b'{"b": NaN}\n']
    file = tmp_path / "a.jsonl"
    for begin in (b"", b"\xef\xbb\xbf"):
        for count in range(1, len(good) + 1):
            data = b"".join(good[:count])
            file.write_bytes(begin + data)
            found = lines.read_lines(file)
            assert found is not None
            assert isinstance(found[1], list) == bool(whole)
            assert repr([*found[1]]) == repr(json_lines(data.decode(), "data"))
            assert [json.loads(line) for line in found[0]][:1] == [{"a": 1}]
    for bad in (b"", b"\n", b"[{}]", b'{"a": 1}\n[1]', b'{"a": 1}{', b'{"a": "\xff"}', b"[" * 100_000, b"{\0}"):
        file.write_bytes(bad)
        assert lines.read_lines(file) is None


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson.xz", ".jsonl.bz2"])
def test_large_files_stay_on_the_disk_and_give_the_same_selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    rows = [{"instruction": f"Add {n}.", "output": f"print({n})", **({"note": "ü"} if n % 3 else {})} for n in range(40)]
    files = [tmp_path / f"{name}{suffix}" for name in ("a", "b")]
    for file, part in zip(files, (rows[:15], rows[15:]), strict=True):
        row_output.write_rows(Source("rows", part), range(len(part)), file)
    names = list(map(str, files))
    kept = api.select(names, strategy="random", unit="records", output=tmp_path / "kept.jsonl", run_dir=tmp_path / "kept")
    monkeypatch.setattr(lines, "WHOLE", 0)
    source = storage.read_rows(names)
    assert isinstance(source.rows, lines.JoinedRows)
    assert [*source.rows] == source.rows[:] == rows
    assert source.rows[20] == source.rows[-20] == rows[20]
    assert source.rows[30:10:-7] == rows[30:10:-7]
    assert lines.columns_of(source.rows) == ["instruction", "output", "note"]
    found = api.select(names, strategy="random", unit="records", output=tmp_path / "found.jsonl", run_dir=tmp_path / "found")
    assert found.rows == kept.rows == [rows[at] for at in found.indices]
    assert (tmp_path / "found.jsonl").read_bytes() == (tmp_path / "kept.jsonl").read_bytes()
    for table in ("records", "curate", "sample", "ledger"):
        assert storage.read_parquet(tmp_path / "found" / f"{table}.parquet").equals(storage.read_parquet(tmp_path / "kept" / f"{table}.parquet"))


def test_chosen_lines_are_the_bytes_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [f'{{"instruction":"caf\\u00e9 {n}",  "output": "print(1.50e3)", "n": 1.50, "n": 1.5}}' for n in range(9)]
    (tmp_path / "a.jsonl").write_text("\n\n".join(said), encoding="utf-8")
    (tmp_path / "b.json").write_text('[{"instruction": "caf\\u00e9", "output": "x = 1"}]', encoding="utf-8")
    source = storage.read_rows([str(tmp_path / name) for name in ("a.jsonl", "b.json", "a.jsonl")])
    row_output.write_rows(source, [17, 2, 8, 9], tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert written == [said[2], said[8], '{"instruction": "café", "output": "x = 1"}', said[7]]
    row_output.write_rows(source, [1], "-")
    assert capsys.readouterr().out == said[1] + "\n"


def test_a_large_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "WHOLE", 0)
    file = tmp_path / "a.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n', encoding="utf-8")
    source = storage.read_rows(file)
    file.write_text('{"instruction": "a", "output": "other"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl changed while it was read"):
        list(source.rows)
    file.unlink()
    with pytest.raises(InputError, match=r"a\.jsonl changed while it was read"):
        row_output.write_rows(source, [0], tmp_path / "out.jsonl")
