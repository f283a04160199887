"""How the records that are scored are cut into files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact.progress import Progress
from codeact.records import Message, Record
from codeact.rundir import score_cache
from codeact.rundir.score_cache import open_cache, run_cached, shard_records
from codeact.rundir.shards import Worker, run_local
from codeact.rundir.tables import records_table


def count_letters() -> Worker:
    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        return pa.table({"id": shard["id"], "letters": [len(i) for i in shard["id"].to_pylist()]})

    return work


def files(folder: Path, records: int, shard_size: int) -> list[int]:
    """Rows of each file that scoring so many records leaves."""
    table = records_table([Record(f"r{n}", (Message("user", f"{n}?"), Message("assistant", "yes")), {"row": n}) for n in range(records)])
    cache = open_cache(folder, {"model": "tiny"})
    parts, before = run_cached(cache, table, count_letters, backend=run_local, shard_size=shard_size, label="score")
    assert before == 0
    assert pa.concat_tables(list(parts.values()))["id"].to_pylist() == table["id"].to_pylist()
    return [pq.read_metadata(path).num_rows for path in sorted(folder.glob("*/*.parquet"))]


def test_the_files_of_a_pool_stay_below_ten_thousand_up_to_ten_million_records() -> None:
    """One of 128 records each were 78,000 at ten million, in one folder that is listed again and again."""
    for records in (1, 20_000, 999_999, 1_000_000, 10_000_000):
        assert -(-records // shard_records(records)) < 10_000
    assert shard_records(999_999) == 128  # small enough that 64 processes end together, and a kill costs little


def test_shards_by_the_size_of_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files(tmp_path / "asked", 300, 100) == [100, 100, 100]
    assert files(tmp_path / "small", 300, 0) == [128, 128, 44]
    monkeypatch.setattr(score_cache, "LARGE", 300)
    assert files(tmp_path / "large", 300, 0) == [300]
