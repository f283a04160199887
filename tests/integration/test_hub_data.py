"""Data sets of the hub, in the cache that the library keeps: what counts is their rows, which may change under one name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from codeact.config import load_recipe
from codeact.rundir.inputs import Inputs
from tests.helpers.command import codeact_command as cli

datasets = pytest.importorskip("datasets", reason="the datasets extra is not installed")
NO_BENCHMARKS = ("--set", "curate.decontaminate=[]")
SELECT = ("select", "me/data", "--strategy", "random", "--unit", "records", "--ratio", "0.5", *NO_BENCHMARKS)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of data sets, and no hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "datasets"


def _hold(cache: Path, commit: str, rows: int, times: int = 1, second: int = 0) -> None:
    """A commit of me/data as a download leaves it, newer than those before."""
    table = datasets.Dataset.from_list([{"instruction": f"Write number {n}.", "output": f"print({n * times})"} for n in range(rows)])
    table.info.config_name, table.info.builder_name, table.info.dataset_name = "default", "json", "data"
    table.info.splits = datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=rows, dataset_name="data")}, dataset_name="data")
    folder = cache / "me___data" / "default" / "0.0.0" / commit
    folder.mkdir(parents=True)
    table.info.write_to_directory(str(folder))
    with datasets.arrow_writer.ArrowWriter(path=str(folder / "data-train.arrow"), features=table.features) as writer:
        writer.write_table(table.data.table)
        writer.finalize()
    os.utime(folder, (second, second))


def _rows(path: str) -> list[str]:
    return [json.loads(line)["output"] for line in Path(path).read_text().splitlines()]


def test_a_data_set_that_changed_at_the_hub_is_selected_from_anew(cache: Path) -> None:
    _hold(cache, "a" * 40, 8, second=1000)
    run = (*SELECT, "-o", "out.jsonl", "--run-dir", "run")
    assert cli(*run).returncode == 0
    first = _rows("out.jsonl")
    assert "sample: done before, kept" in cli(*run).stderr
    assert _rows("out.jsonl") == first

    _hold(cache, "b" * 40, 6, times=10, second=2000)
    again = cli(*run)
    assert (again.returncode, "done before" in again.stderr) == (0, False)
    assert len(_rows("out.jsonl")) == 3
    assert set(_rows("out.jsonl")) <= {f"print({n * 10})" for n in range(6)}


def test_a_revision_that_the_cache_does_not_hold_is_refused(cache: Path) -> None:
    _hold(cache, "a" * 40, 4, second=1000)
    assert cli("curate", "me/data", *NO_BENCHMARKS, "--set", f"data.revision={'a' * 40}", "--run-dir", "run").returncode == 0
    refused = cli("curate", "me/data", *NO_BENCHMARKS, "--set", "data.revision=v1", "--run-dir", "run")
    assert refused.returncode == 2
    assert f"does not serve revision 'v1' or cannot be reached, and the newest copy in the cache is of commit {'a' * 40}" in refused.stderr


def test_a_revision_of_a_file_is_refused(cache: Path, pool_file: Path) -> None:
    refused = cli("curate", str(pool_file), "--set", "data.revision=v1", "--run-dir", "run")
    assert (refused.returncode, "data.revision=v1 is of a data set at the hub" in refused.stderr) == (2, True)


def test_a_file_beside_a_data_set_counts_too(cache: Path) -> None:
    _hold(cache, "a" * 40, 4, second=1000)
    one = Path("one.jsonl")

    def identity(**data: object) -> object:
        return Inputs(load_recipe(extra={f"data.{key}": value for key, value in data.items()})).identity()

    one.write_text('{"instruction": "a", "output": "b"}\n')
    before = identity(source=("one.jsonl", "me/data")), identity(sources=[{"path": "one.jsonl"}, {"path": "me/data"}])
    assert before == (identity(source=("one.jsonl", "me/data")), identity(sources=[{"path": "one.jsonl"}, {"path": "me/data"}]))
    _hold(cache, "b" * 40, 4, times=2, second=2000)
    after = identity(source=("one.jsonl", "me/data")), identity(sources=[{"path": "one.jsonl"}, {"path": "me/data"}])
    one.write_text('{"instruction": "a", "output": "c"}\n')
    last = identity(source=("one.jsonl", "me/data")), identity(sources=[{"path": "one.jsonl"}, {"path": "me/data"}])
    assert len({json.dumps(one) for one in (before, after, last)}) == 3


def test_the_digest_does_not_depend_on_batches() -> None:
    import pyarrow as pa

    from codeact.sources.hub import table_digest

    rows = [{"a": f"text {n}" if n % 7 else None, "b": [n, None], "c": n % 3 == 0} for n in range(9000)]
    whole = pa.Table.from_pylist(rows)
    parted = pa.concat_tables([whole.slice(0, 13), whole.slice(13, 5000), whole.slice(5013)]).replace_schema_metadata({"x": "y"})
    assert table_digest(parted) == table_digest(whole)
    assert table_digest(whole.slice(1)) != table_digest(whole)
