"""The pool that a selection is made from, and the records chosen from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codeact.config import CurateConfig
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


def refines(config: CurateConfig) -> bool:
    """Whether anything is decided by embeddings: the stage `refine` runs."""
    return config.semantic is not None or config.neighbours is not None


def pool_stages(config: CurateConfig) -> tuple[str, ...]:
    """The stages that decide who is in the pool."""
    return ("curate", "refine") if refines(config) else ("curate",)


def read_pool(store: Store, stages: tuple[str, ...] = ("curate",)) -> pa.Table:
    """The records that these stages, of `pool_stages`, kept: the rows of the table `records`, in its order."""
    table = store.table("records")
    for stage in stages:
        table = tables.keep(table, tables.ids_where(store.table(stage), "kept"))
    return table


def selected_records(store: Store, choice: str = "sample") -> list[Record]:
    """The records that `sample`, or `control`, chose, in the order of the input."""
    return tables.records_from(tables.keep(store.table("records"), tables.ids_where(store.table(choice), "selected")))
