"""Parquet above `sources.lines.WHOLE` stays on the disk, and is the same in every way that shows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact import row_output, storage
from codeact.errors import InputError
from codeact.records import read_source
from codeact.sources import tables
from codeact.sources.rows import read_arrow


def _table(count: int, first: int = 0) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table({
        "instruction": [f"Add {n} to a number, please." for n in numbers],
        "output": pa.array([f"def f(x):\n    return x + {n}" for n in numbers]).dictionary_encode(),
        "when": pa.array([datetime(2026, 1, 1, n % 24) for n in numbers], pa.timestamp("ms")),
        "tags": pa.array([[n % 99, None] if n % 3 else None for n in numbers], pa.list_(pa.int8())),
    })  # fmt: skip


@pytest.fixture
def small_and_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[storage.Source, storage.Source]:
    """Two files read at once, whole; and read while nothing is small."""
    for name, count, first in (("a", 1_300, 0), ("b", 7, 5_000)):
        pq.write_table(_table(count, first), tmp_path / f"{name}.parquet", row_group_size=500)
    whole = storage.read_rows(tmp_path)
    monkeypatch.setattr(tables, "WHOLE", 0)
    return whole, storage.read_rows(tmp_path)


def test_rows_records_and_places_are_the_same(small_and_large: tuple[storage.Source, storage.Source]) -> None:
    whole, large = small_and_large
    assert not isinstance(large.rows, list)
    assert list(large.rows) == list(whole.rows) == list(large.rows)
    assert (large.rows[1_302], large.rows[-1], large.rows[3:9]) == (whole.rows[1_302], whole.rows[-1], whole.rows[3:9])
    assert (large.name, large.locate(1_301), large.parts) == (whole.name, whole.locate(1_301), whole.parts)
    one, other = read_source(whole), read_source(large)
    assert (one.records, one.rejected, one.summary()) == (other.records, other.rejected, other.summary())


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.jsonl", "x.json"])
@pytest.mark.parametrize("chosen", [[], [0, 511, 512, 1_299, 1_300, 1_306], [1_303]])
def test_what_is_chosen_is_written_with_its_types(
    small_and_large: tuple[storage.Source, storage.Source], tmp_path: Path, name: str, chosen: list[int]
) -> None:
    out = [tmp_path / folder / name for folder in ("whole", "large")]
    for source, path in zip(small_and_large, out, strict=True):
        row_output.write_rows(source, chosen, path)
    if name in ("x.parquet", "x.arrow"):
        read = pq.read_table if name == "x.parquet" else read_arrow
        one, other = map(read, out)
        assert one.schema == other.schema == _table(1).schema
        assert one.to_pylist() == other.to_pylist() == [small_and_large[0].rows[at] for at in chosen]
        return
    assert out[0].read_bytes() == out[1].read_bytes()


def test_a_file_that_changes_or_is_damaged_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "WHOLE", 0)
    path = tmp_path / "x.parquet"
    pq.write_table(_table(2_000), path, write_page_checksum=True, compression="none")
    source = storage.read_rows(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="changed while it was read"):
        list(source.rows)
    with pytest.raises(InputError, match="not a readable Parquet file, or damaged"):
        list(storage.read_rows(path).rows)
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 2, ["a", "a"]), path)
    with pytest.raises(InputError, match="two columns are called 'a'"):
        storage.read_rows(path)
