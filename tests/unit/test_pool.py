"""The pool's rows, read from the disk a part at a time, are those of the whole table."""

from __future__ import annotations

import pyarrow as pa
import pytest

from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.parts import PART_ROWS, table_parts
from codeact.rundir.store import Store
from codeact.stages.pool import pool_parts, pool_rows, read_pool, records_at, records_by_id, selected_records

ROWS = 2 * PART_ROWS + 100
RECORDS = [Record(f"r{n}", (Message("user", f"Add {n}."), Message("assistant", f"{n} + 1")), {"row": n}) for n in range(ROWS)]
OUT = {"curate": {0, 1, *range(50, 90), *range(PART_ROWS - 10, PART_ROWS + 10)}, "refine": {3, ROWS - 1, *range(5000, ROWS - 200)}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("run"))
    made.write_parts("records", table_parts(tables.records_table(RECORDS), PART_ROWS).values())
    for stage, out in OUT.items():
        made.write_table(stage, pa.table({"id": [r.id for r in RECORDS], "kept": [n not in out for n in range(ROWS)]}))
    made.write_table("sample", pa.table({"id": ["r7", "r4200", "r4"], "selected": [True, True, False]}))
    return made


@pytest.mark.parametrize("stages", [("curate",), ("curate", "refine")])
@pytest.mark.parametrize("size", [1000, 1024, PART_ROWS, 3 * PART_ROWS])
def test_the_parts_of_a_pool_are_those_of_the_whole_table(store: Store, stages: tuple[str, ...], size: int) -> None:
    whole = table_parts(read_pool(store, stages), size)
    parts = pool_parts(store.parts("records"), pool_rows(store, stages), size)
    assert list(parts) == list(whole)
    assert parts.num_rows == whole.num_rows
    assert all(parts[number].equals(whole[number]) for number in reversed(list(whole)))


def test_the_records_of_rows_and_of_ids_come_in_the_order_of_the_input(store: Store) -> None:
    rows = pool_rows(store, ("curate", "refine"))
    assert [r.id for r in records_at(store.parts("records"), rows[::700])] == [f"r{n}" for n in rows[::700]]
    assert list(records_by_id(store, ["r8291", "r2", "nobody", "r4096"])) == ["r2", "r4096", "r8291"]
    assert records_by_id(store, []) == {}
    assert [r.id for r in selected_records(store)] == ["r7", "r4200"]
