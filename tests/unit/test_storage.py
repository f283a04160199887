"""Files are read with the line of a fault named, and written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import files, row_output, storage
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.records import read_data

ROWS = [
    {"id": 1, "instruction": "é", "output": "x", "score": 0.1 + 0.2},
    {"id": 2, "instruction": "b", "output": "y", "score": None},
]


def save(path: Path) -> None:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS) + "\n\n", encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("source", ["a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize("target", ["b.jsonl", "b.json", "b.parquet"])
def test_rows_survive_untouched(tmp_path: Path, source: str, target: str) -> None:
    save(tmp_path / source)
    read = storage.read_rows(tmp_path / source)
    assert list(read.rows) == ROWS
    row_output.write_rows(read, [1, 0], tmp_path / target)
    assert list(storage.read_rows(tmp_path / target).rows) == ROWS


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "csv", "parquet", "arrow"])
def test_a_name_that_is_not_utf8_is_a_name(tmp_path: Path, kind: str) -> None:
    """`caf\\xe9.jsonl`, as a disk from Latin-1 times has it, and every Chinese name under a GBK locale."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}]
    (folder / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    delimited = folder / os.fsdecode(b"\xca\xfd.csv")
    delimited.write_text("instruction,output\na,b\nc,d\n", encoding="utf-8")
    target = folder / os.fsdecode(b"\xca\xfd\xbe\xdd." + kind.encode())
    row_output.write_rows(storage.read_rows(delimited if kind == "csv" else folder / "a.json"), [1, 0], target)
    assert list(storage.read_rows(target).rows) == rows
    storage.write_parquet(pa.Table.from_pylist(rows), folder / "table.parquet")
    assert storage.read_parquet(folder / "table.parquet").to_pylist() == rows


def test_parquet_types_survive(tmp_path: Path) -> None:
    table = pa.table({"instruction": ["a"], "output": ["b"], "n": pa.array([3], pa.int8())})
    pq.write_table(table, tmp_path / "a.parquet")
    row_output.write_rows(storage.read_rows(tmp_path / "a.parquet"), [0], tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "b.parquet").schema.field("n").type == pa.int8()


def test_a_byte_order_mark_and_a_wrapped_list_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"data": ROWS}).encode())
    assert list(storage.read_rows(tmp_path / "a.json").rows) == ROWS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"a,b\r1,x\r2,y\r"),  # lines that end as on the first Macintosh
        ("a.csv", b'sep=;\r\na;b\r\n1;"x"\r\n2;y'),
        ("a.csv", b"\xef\xbb\xbf\"sep=\t\"\na\tb\n1\tx\n2\ty"),
        ("a.jsonl", b'\xef\xbb\xbf{"a": "1", "b": "x"}\n\xef\xbb\xbf{"a": "2", "b": "y"}\n'),  # two files, one behind the other
    ],
)
def test_what_spreadsheets_and_cat_write_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert list(storage.read_rows(tmp_path / name).rows) == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n \n", "is empty"),
        ("a.json", b"[]", "no rows"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: broken JSON"),
        ("a.json", b'[{"a": 1},\n{"a": }]', "line 2: broken JSON"),
        ("a.jsonl", b'{"a": 1}\n{"a": 1, "b": 2, "a": 2}\n', "line 2: the key 'a' stands twice in one object, with two values"),
        ("a.json", b'[{"a": 1},\n {"a": 1},  {"b": [{"c": 1, "c": 2}]}]', "row 3: the key 'c' stands twice in one object"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "name it .jsonl"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "line 2: invalid UTF-8"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2: a list"),
        ("a.json", b'[{"a": 1}, 3]', "row 2: a int"),
        ("a.json", b'{"a": 1, "b": 2}', "a dict at the top"),
        ("a.jsonl", b"[" * 100_000, "nested too deeply"),
        ("a.xlsx", b"a,b\n", "unknown file type '.xlsx'"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"sep=;\na;b\n1\n", "line 3: 1 values for 2 columns"),
        ("a.jsonl", b'{\n"a": 1\n}\n{\n"a": 2\n}\n', "line 1: an object over several lines; write one object per line"),
        ("a.parquet", b"not parquet at all", "not a readable Parquet file"),
    ],
)
def test_bad_files_say_what_and_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        storage.read_rows(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "./some/where", "/no/such/folder/x"])
def test_missing_files(name: str) -> None:
    with pytest.raises(InputError, match="does not exist"):
        storage.read_rows(name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    storage.write_jsonl(target, [{"a": 1}])

    def rows():  # type: ignore[no-untyped-def]
        yield {"a": 2}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        storage.write_jsonl(target, rows())
    assert storage.read_jsonl(target) == [{"a": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_cache_in_the_way_is_told_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file is a file; set CODEACT_CACHE to another folder"):
        files.make_folder(files.cache_dir() / "runs")


def test_a_full_disk_is_one_clear_line_and_leaves_nothing() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space left"), full.open("wb") as handle:
        handle.write(b"x" * 10_000_000)
    folder = Path("/proc/codeact-cannot-be-made")
    with pytest.raises(InputError, match="cannot be written"):
        files.write_text(folder / "a.txt", "x")


@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_unknown_outputs_are_refused_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="unknown file type"):
        row_output.check_writable(tmp_path / name)


def test_nan_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        storage.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_hugging_face_data_set_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets extra is not installed")
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(str(tmp_path / "splits"))
    assert list(storage.read_rows(tmp_path / "one").rows) == ROWS
    assert list(storage.read_rows(tmp_path / "splits", "test").rows) == ROWS[1:]
    with pytest.raises(InputError, match="no split 'validation'; its splits are train, test"):
        storage.read_rows(tmp_path / "splits", "validation")
    with pytest.raises(InputError, match="cannot be loaded"):
        storage.read_rows("nobody-has/this-data-set")


def half(folder: Path) -> None:
    (folder / "b.txt").write_text("half")
    raise ValueError("half")


def test_a_folder_is_replaced_whole_or_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (tmp_path / ".model.tmp").mkdir()
    (tmp_path / ".model.tmp" / "left.bin").write_text("of a killed process")
    with files.atomic_folder(folder) as fresh:
        (fresh / "a.txt").write_text("first")
        assert not folder.exists()
    assert [p.name for p in folder.iterdir()] == ["a.txt"]
    with pytest.raises(ValueError, match="half"), files.atomic_folder(folder) as fresh:
        half(fresh)
    assert [p.name for p in folder.iterdir()] == ["a.txt"]
    link = tmp_path / "link"
    link.symlink_to(folder)
    with files.atomic_folder(link) as fresh:
        (fresh / "c.txt").write_text("second")
    assert link.is_symlink()
    assert [p.name for p in folder.iterdir()] == ["c.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model"]


def test_a_full_disk_is_one_line_and_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model cannot be written: .*: finished work is kept"), files.atomic_folder(tmp_path / "model"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"no file named config\.json"), files.atomic_folder(tmp_path / "model"):
        raise OSError("no file named config.json")
    assert list(tmp_path.iterdir()) == []


def test_only_one_module_writes_beside_and_renames() -> None:
    """No other module renames a temporary file or folder into its place, or adds to a file."""
    source = Path(files.__file__).parent
    renames = re.compile(r"\.open\(\"a|os\.replace\(|os\.rename\(|\.rename\(|\.replace\([a-z_]+\)|mkstemp|NamedTemporaryFile|with_suffix\(\"\.tmp\"\)")
    found = [str(p.relative_to(source)) for p in sorted(source.rglob("*.py")) if renames.search(p.read_text(encoding="utf-8"))]
    assert found == ["files.py"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_two_columns_of_one_name_are_refused(suffix: str, tmp_path: Path) -> None:

    file = tmp_path / f"a.{suffix}"
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["instruction", "output", "output"])
    if suffix == "parquet":
        pq.write_table(table, file)
    elif suffix == "arrow":
        with pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table)
    else:
        file.write_text("instruction,output,output\na,b,c\n", encoding="utf-8")
    with pytest.raises(InputError, match="two columns are called 'output'; rename one"):
        storage.read_rows(file)


def test_a_key_that_stands_twice_in_turns_as_text_or_in_a_recipe_is_refused(tmp_path: Path) -> None:
    turns = '[{"role": "user", "content": "a", "content": "q"}, {"role": "assistant", "content": "b"}]'
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    assert "'content' stands twice" in read_data(tmp_path / "a.jsonl").rejected[0].detail
    said = "[{'role': 'user', 'content': 'a', 'content': 'q'}, {'role': 'assistant', 'content': \"it's b\"}]"
    for text in (said, said.replace("'content': 'a', 'content': 'q'", "'content': 'q', 'meta': {'k': 1, 'k': None}")):
        (tmp_path / "b.jsonl").write_text(json.dumps({"messages": text}) + "\n", encoding="utf-8")
        assert "stands twice" in read_data(tmp_path / "b.jsonl").rejected[0].detail
    (tmp_path / "c.jsonl").write_text(json.dumps({"messages": said.replace("'content': 'a', ", "")}) + "\n", encoding="utf-8")
    assert len(read_data(tmp_path / "c.jsonl").records) == 1
    (tmp_path / "r.yaml").write_text("sample:\n  strategy: random\n  strategy: cdas\n", encoding="utf-8")
    with pytest.raises(InputError, match="the key 'strategy' stands twice"):
        load_recipe(tmp_path / "r.yaml")


def test_a_hub_that_cannot_be_reached_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datasets", reason="needs the extra `datasets`")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match=r"somebody/rows-9.*127\.0\.0\.1:9 cannot be reached"):
        storage.read_rows("somebody/rows-9")
    assert capfd.readouterr() == ("", "")
