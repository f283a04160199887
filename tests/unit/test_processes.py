"""Partitions in several processes: the same tables as in one, also where processes are killed; failures by name."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from codeact import config
from codeact.curate import curate_records
from codeact.errors import CodeactError, InputError
from codeact.parquet import write_parquet_parts
from codeact.pipeline.run import run_pipeline
from codeact.records import read_records
from codeact.rundir import ranks, tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import FIRST_PIECE, PIECES, TAPERED, Tapered, file_parts
from codeact.rundir.processes import ProcessBackend, kept_processes, start_ahead
from codeact.rundir.shards import Worker, run_local, run_shards
from codeact.rundir.store import Store
from codeact.stages import curate
from codeact.storage import Source
from tests.helpers.partitions import doubling, telling_process

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
    ("faults", "cause"), [({"fails": 13}, "record 'r13': ValueError: value 13 is bad (3 times)"), ({"dies": 13, "often": 99}, "signal 9")]
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


@pytest.mark.parametrize("faults", [{}, {"dies": 13, "often": 2}])
def test_parts_of_a_file_are_read_by_the_processes(tmp_path: Path, faults: dict[str, int]) -> None:
    write_parquet_parts((TABLE.slice(at, 4) for at in range(0, 40, 4)), tmp_path / "in.parquet")
    parts = file_parts(tmp_path / "in.parquet", size=4)
    found = dict(POOL(partial(doubling, str(tmp_path), **faults), parts.only(range(9))))
    assert {number: table["double"].to_pylist() for number, table in found.items()} == {
        number: [2 * n for n in range(4 * number, 4 * number + 4)] for number in range(9)
    }


@pytest.mark.parametrize("rows", [40, 33, 9, 1])
def test_the_last_parts_are_cut_in_pieces_and_the_rows_stay(tmp_path: Path, rows: int) -> None:
    table = TABLE.slice(0, rows)
    write_parquet_parts((table.slice(at, 8) for at in range(0, rows, 8)), tmp_path / "in.parquet")
    parts = Tapered(file_parts(tmp_path / "in.parquet", size=8))
    kept = max(0, -(-rows // 8) - TAPERED)
    sizes = [parts[number].num_rows for number in parts]
    assert sizes == [8] * kept + [min(8 // PIECES, rows - at) for at in range(8 * kept, rows, 8 // PIECES)]
    assert sizes == [parts.rows(number) for number in parts]
    assert pa.concat_tables(parts.values()).equals(table)
    assert all(number < kept or number >= FIRST_PIECE for number in parts)
    some = list(parts)[1::2]
    assert {number: made["double"].to_pylist() for number, made in POOL(partial(doubling, str(tmp_path)), parts.only(some))} == {
        number: [2 * value for value in parts[number]["value"].to_pylist()] for number in some
    }


def test_what_fails_was_tried_three_times_and_what_came_next_only_where_it_was_begun(tmp_path: Path) -> None:
    write_parquet_parts((TABLE.slice(at, 2) for at in range(0, 40, 2)), tmp_path / "in.parquet")
    parts = file_parts(tmp_path / "in.parquet", size=2)
    done = []
    with pytest.raises(CodeactError, match=r"1 of 20 partitions failed: partition 2 \(records 'r4' to 'r5'\): its process .* \(3 times\)\."):
        done += POOL(partial(doubling, str(tmp_path), dies=5, often=99), parts)
    assert len((tmp_path / "died").read_text()) == 3


def test_processes_serve_the_next_stage_and_end_with_the_run() -> None:
    shards = {n: TABLE.slice(10 * n, 10) for n in range(4)}

    def used(*, keep: bool) -> set[int]:
        backend = ProcessBackend(2, worth_it=0, keep=keep)
        return {pid for _, table in backend(telling_process, shards) for pid in table["process"].to_pylist()}

    with kept_processes():
        start_ahead(2, ["codeact.rundir.tables"])
        first = used(keep=True)
        assert used(keep=False) == first
        assert not any(Path(f"/proc/{pid}").exists() for pid in first)
        last = used(keep=True)
        assert not last & first
        assert all(Path(f"/proc/{pid}").exists() for pid in last)
    assert not any(Path(f"/proc/{pid}").exists() for pid in last)
    assert not any(Path(f"/proc/{pid}").exists() for pid in used(keep=True))


def test_a_process_that_died_while_it_waited_is_replaced() -> None:
    shards = {n: TABLE.slice(10 * n, 10) for n in range(4)}
    backend = ProcessBackend(2, worth_it=0, keep=True)
    with kept_processes():
        first = {table["process"][0].as_py() for _, table in backend(telling_process, shards)}
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        assert not first & {table["process"][0].as_py() for _, table in backend(telling_process, shards)}


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


@pytest.mark.parametrize("worth_it", [60, 61])
def test_curation_by_processes_by_one_and_of_records_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth_it: int
) -> None:
    code = "```python\ndef f{n}(x):\n    return x + {n}\n```"
    rows = [{"instruction": f"Add {n % 50} to x.", "output": code.replace("{n}", str(n % 50))} for n in range(60)]
    rows[7]["output"] = "```python\ndef f(x)\n    return x\n```"
    found = []
    monkeypatch.setattr(curate, "PARTITION", 16)
    monkeypatch.setattr(curate, "WORTH_IT", worth_it)
    for name, backend in (("one", ProcessBackend(1)), ("two", POOL)):
        monkeypatch.setattr(ranks, "ProcessBackend", lambda _, backend=backend, **settings: backend)
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
