"""Partitions in several processes: the same tables as in one, also where processes are killed; failures by name."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from codeact import config
from codeact.curate import curate_records
from codeact.errors import CodeactError, InputError
from codeact.pipeline.run import run_pipeline
from codeact.records import read_records
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.processes import ProcessBackend
from codeact.rundir.shards import Worker, run_local, run_shards
from codeact.rundir.store import Store
from codeact.stages import curate
from codeact.storage import Source
from tests.helpers.partitions import doubling

TABLE = pa.table({"id": [f"r{n}" for n in range(40)], "value": list(range(40))})
POOL = ProcessBackend(2, worth_it=0)


def in_shards(folder: Path, **faults: int) -> pa.Table:
    make = partial(doubling, str(folder), **faults)
    return run_shards(Store(folder), "stage", TABLE, make, backend=POOL, shard_size=4, label="stage")


def test_the_same_table_as_in_one_process(tmp_path: Path) -> None:
    assert in_shards(tmp_path)["double"].to_pylist() == [2 * n for n in range(40)]


def test_a_killed_process_loses_only_its_partition(tmp_path: Path) -> None:
    found = in_shards(tmp_path, dies=13, often=2)
    assert found["double"].to_pylist() == [2 * n for n in range(40)]
    assert (tmp_path / "died").read_text() == "xx"


@pytest.mark.parametrize(
    ("faults", "cause"), [({"fails": 13}, "value 13 is bad"), ({"dies": 13, "often": 99}, "signal 9")]
)
def test_a_partition_that_always_fails_is_named_after_the_others_are_done(
    tmp_path: Path, faults: dict[str, int], cause: str
) -> None:
    with pytest.raises(CodeactError, match=r"partition 3 \(records 'r12' to 'r15'\)") as raised:
        in_shards(tmp_path, **faults)
    assert cause in str(raised.value)
    kept = {path.name.partition("-")[0] for path in tmp_path.glob("shards/stage/*.parquet")}
    assert kept == {f"{n:06d}" for n in range(10)} - {"000003"}
    (tmp_path / "died").unlink(missing_ok=True)
    assert in_shards(tmp_path)["double"].to_pylist() == [2 * n for n in range(40)]


def test_refused_input_ends_the_run_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="value 13 is refused"):
        in_shards(tmp_path, refuses=13)


def test_few_records_stay_in_this_process() -> None:
    seen: list[int] = []

    def make() -> Worker:
        seen.append(os.getpid())
        return lambda shard, progress: shard

    shards = {0: TABLE.slice(0, 20), 1: TABLE.slice(20)}
    assert dict(ProcessBackend(2)(make, shards)) == dict(run_local(make, shards)) == shards
    assert seen == [os.getpid()] * 2


def test_curation_by_processes_by_one_and_of_records_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "```python\ndef f{n}(x):\n    return x + {n}\n```"
    rows = [{"instruction": f"Add {n % 50} to x.", "output": code.replace("{n}", str(n % 50))} for n in range(60)]
    rows[7]["output"] = "```python\ndef f(x)\n    return x\n```"
    found = []
    monkeypatch.setattr(curate, "PARTITION", 16)
    for name, backend in (("one", ProcessBackend(1)), ("two", POOL)):
        monkeypatch.setattr(curate, "ProcessBackend", lambda _, backend=backend: backend)
        recipe = config.load_recipe(
            extra={"run_dir": str(tmp_path / name), "curate.decontaminate": [], "evaluate.enabled": False}
        )
        store = run_pipeline(recipe, ("curate",), Inputs(recipe, Source("rows", rows)))
        found.append(store.table("curate"))
    assert found[0].equals(found[1])
    decisions = curate_records(read_records(rows).records, recipe.curate)
    assert [d.reason for d in decisions] == found[0]["reason"].to_pylist()
    assert [d.duplicate_of for d in decisions] == found[0]["duplicate_of"].to_pylist()
    assert found[0].num_rows - len(tables.ids_where(found[0], "kept")) == 10


def test_records_that_do_not_fit_into_memory_are_refused_with_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate, "main_memory", lambda: 3_999.0)
    rows = [{"instruction": f"Add {n}.", "output": f"{n} more"} for n in range(2)]
    for setting, fits in (("dedup=true", True), ("renamed=true", True), ("near=0.8", True), ("mismatch=0.02", False)):
        recipe = config.load_recipe(
            None, [f"curate.{setting}"], extra={"run_dir": str(tmp_path / setting), "curate.decontaminate": [], "evaluate.enabled": False}
        )
        inputs = Inputs(recipe, Source("rows", rows))
        if fits:
            run_pipeline(recipe, ("curate",), inputs)
        else:
            with pytest.raises(InputError, match=r"curate\.mismatch holds about 2 kB of each record in memory: 2 records need"):
                run_pipeline(recipe, ("curate",), inputs)
