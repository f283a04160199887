"""One of a thing is told in the singular, by the functions that tell it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from codeact.amounts import amount
from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.stages.cluster import cluster_words


def test_one_of_a_thing_is_singular() -> None:
    assert [amount(n, "record") for n in (0, 1, 2, 1234)] == ["0 records", "1 record", "2 records", "1,234 records"]


def test_words_of_a_cluster_hold_no_scraps_of_words(tmp_path: Path) -> None:
    asked = {"dates": "Don't parse the user's date, it isn't l'année\u2019s", "sorts": "I can\u2019t sort; we're sorting qu'une liste"}
    records = [
        Record(f"{kind}{n}", (Message("user", text), Message("assistant", "x")), {"row": n}) for kind, text in asked.items() for n in range(9)
    ]
    store = Store(tmp_path)
    store.write_table("records", tables.records_table(records))
    labels = [0] * 9 + [1] * 9
    store.write_table("cluster", pa.table({"id": [r.id for r in records], "cluster": pa.array(labels, pa.int32())}))
    said = cluster_words(store)
    assert set(said[0]) <= {"parse", "user", "date", "année"}
    assert len(said[0]) == 3
    assert set(said[1]) <= {"sort", "sorting", "une", "liste"}
    assert said[1]
