"""CSV, JSON lists, Arrow files and saved data sets above `sources.lines.WHOLE` stay on the disk, and are the same in every way that shows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

from codeact import row_output, storage
from codeact.errors import InputError
from codeact.records import read_source
from codeact.sources import large

ROWS = [
    {"instruction": f"Füge {n} hinzu, \"bitte\"", "output": f"def f(x):\n    return x + {n}\r\n" + "用" * (n % 5)} for n in range(1_100)
]  # fmt: skip


def _csv(delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


FILES = {
    "x.csv": "\ufeff" + _csv(","), "semicolons.csv": _csv(";"), "x.tsv": _csv("\t"), "x.csv.gz": _csv(","), "told.csv": "sep=;\r\n" + _csv(";"),
    "x.json": json.dumps(ROWS, indent=1), "plain.json": "\ufeff " + json.dumps(ROWS, ensure_ascii=False), "x.json.gz": json.dumps(ROWS),
}  # fmt: skip


def _write(path: Path, text: str) -> Path:
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _both(path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int = 997) -> tuple[storage.Source, storage.Source]:
    whole = storage.read_rows(path)
    monkeypatch.setattr(large, "WHOLE", 0)
    monkeypatch.setattr(large, "CHUNK", chunk)
    return whole, storage.read_rows(path)


@pytest.mark.parametrize("name", FILES)
def test_rows_records_and_what_is_written_are_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stays = _both(_write(tmp_path / name, FILES[name]), monkeypatch)
    assert isinstance(whole.rows, list)
    assert not isinstance(stays.rows, list)
    assert list(stays.rows) == whole.rows == list(stays.rows) == ROWS
    assert (len(stays.rows), stays.rows[-1], stays.rows[3:9]) == (len(ROWS), ROWS[-1], ROWS[3:9])
    assert (stays.name, stays.delimited, stays.locate(7)) == (whole.name, whole.delimited, whole.locate(7))
    one, other = read_source(whole), read_source(stays)
    assert (one.records, one.rejected, one.summary()) == (other.records, other.rejected, other.summary())
    for out in ("out.jsonl", "out.json", "out.parquet", *(["out.csv"] if whole.delimited else [])):
        for folder, source in (("whole", whole), ("stays", stays)):
            row_output.write_rows(source, [0, 511, 1_099], tmp_path / folder / out)
        assert (tmp_path / "whole" / out).read_bytes() == (tmp_path / "stays" / out).read_bytes()


@pytest.mark.parametrize("kind", ["arrow", "dataset"])
def test_arrow_files_and_saved_data_sets(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.arrow"
    if kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, (table := pa.Table.from_pylist(ROWS)).schema) as out:
            out.write_table(table, max_chunksize=100)
    else:
        datasets = pytest.importorskip("datasets")
        path = tmp_path / "saved"
        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    whole, stays = _both(path, monkeypatch)
    assert isinstance(stays.rows, large.ArrowRows)
    assert list(stays.rows) == list(whole.rows) == ROWS
    assert (stays.rows[-1], stays.rows[510:514]) == (ROWS[-1], ROWS[510:514])
    assert read_source(whole).records == read_source(stays).records
    row_output.write_rows(stays, [0, 511, 1_099], tmp_path / "out.parquet")
    assert list(storage.read_rows(tmp_path / "out.parquet").rows) == [ROWS[0], ROWS[511], ROWS[1_099]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "a,b\n1,2\n1,2,3\n"), ("x.csv", 'a,b\n1,"2" x\n'), ("x.csv", "a,a\n1,2\n"), ("x.csv", "\n"), ("x.csv", "a,b\n"),
        ("x.json", '[{"a": 1},]'), ("x.json", '[{"a": 1} {"a": 2}]'), ("x.json", '[{"a": 1}'), ("x.json", '[{"a": 1}] []'),
        ("x.json", '[{"a": 1}, 2]'), ("x.json", '[{"a": 1, "a": 2}]'), ("x.json", "[]"), ("x.json", '{"a": 1}\n{"a": 2}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [3, 1000])
def test_what_is_wrong_is_said_in_the_same_words(name: str, text: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told = _write(tmp_path / name, text), []
    for _ in range(2):
        with pytest.raises(InputError) as error:
            storage.read_rows(path)
        told.append(str(error.value))
        monkeypatch.setattr(large, "WHOLE", 0)
        monkeypatch.setattr(large, "CHUNK", chunk)
    assert told[0] == told[1]


def test_objects_that_hold_a_list_are_read_as_ever_and_a_file_that_changes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "x.json", json.dumps({"train": ROWS, "test": ROWS[:1]}))
    whole, same = _both(path, monkeypatch)
    assert whole.rows == same.rows == ROWS
    stays = storage.read_rows(_write(path, json.dumps(ROWS)))
    _write(path, json.dumps(ROWS[1:]))
    with pytest.raises(InputError, match="changed while it was read"):
        list(stays.rows)
