"""File systems that keep no locks or cannot be written: one line that says what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import codeact
from codeact.downloads import made_once
from codeact.errors import InputError
from codeact.progress import Progress
from codeact.records import Message, Record
from codeact.rundir.score_cache import open_cache, record_key, run_cached
from codeact.rundir.shards import Worker, run_local
from codeact.rundir.tables import records_table
from codeact.sources import remote
from tests.helpers.pool import pool_rows
from tests.helpers.refused_calls import refusing

RANDOM = {"strategy": "random", "unit": "records", "ratio": 0.5, "settings": {"curate.decontaminate": ()}}
ROWS = [dict(row) for row in pool_rows(12)]
RECORDS = [Record(f"r{n}", (Message("user", f"{n}?"), Message("assistant", "yes")), {"row": n}) for n in range(4)]


def as_it_is() -> Worker:
    def work(shard: object, progress: Progress) -> object:
        return shard

    return work  # type: ignore[return-value]


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_an_output_is_refused_and_nothing_stays(error: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/\.x\.jsonl\.lock cannot be locked: .*; mount its file system with locks, or choose an output"):
        refusing("flock", error, lambda: codeact.select(ROWS, output=tmp_path / "out" / "x.jsonl", **RANDOM))
    assert not (tmp_path / "out").exists()


def test_without_locks_a_run_directory_and_a_cache_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"run/\.lock cannot be locked: .*, or a run directory, on a local disk"):
        refusing("flock", errno.ENOLCK, lambda: codeact.select(ROWS, run_dir=tmp_path / "run", **RANDOM))
    with pytest.raises(InputError, match=r"\.model\.lock cannot be locked: .*set CODEACT_CACHE to another folder"):
        refusing("flock", errno.ENOLCK, lambda: made_once(tmp_path / "cache" / "model", lambda folder: None))


def test_a_cache_that_cannot_be_written_is_named_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CODEACT_SCORES", str(tmp_path / "file" / "scores"))
    cache = open_cache(tmp_path / "file" / "scores", {"model": "tiny"})
    with pytest.raises(InputError, match=r"cannot be written: .*; set CODEACT_SCORES to another folder, or score\.cache=false$"):
        run_cached(cache, records_table(RECORDS), as_it_is, backend=run_local, shard_size=2, label="score")
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "there").write_text("all")
    with (tmp_path / "there").open("rb") as there, pytest.raises(InputError, match=r"; set CODEACT_CACHE to another folder$"):
        remote.copy(there, tmp_path / "file" / "cache" / "remote" / "x.jsonl", 3)


def test_a_damaged_shard_that_may_not_be_removed_is_made_again(tmp_path: Path) -> None:
    cache, table = open_cache(tmp_path, {"model": "tiny"}), records_table(RECORDS)

    def again() -> int:
        return run_cached(cache, table, as_it_is, backend=run_local, shard_size=2, label="score")[1]

    assert (again(), again()) == (0, 4)
    with next(cache.folder.glob("*.parquet")).open("ab") as shard:
        shard.write(b"damage")
    assert refusing("unlink", errno.EROFS, again) == 2
    assert cache.find([record_key(record) for record in RECORDS]).num_rows == 4  # type: ignore[union-attr]
