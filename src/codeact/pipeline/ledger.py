"""The ledger: one row per input row, saying whether it was kept, and if not, where and why it left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact import storage
from codeact.confidential import is_confidential
from codeact.config import Recipe
from codeact.errors import InputError
from codeact.files import atomic
from codeact.mirror import name_of_run
from codeact.pipeline.plan import plan
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import states
from codeact.rundir.store import Store
from codeact.sources.lines import picked

if TYPE_CHECKING:
    import pyarrow as pa

BEFORE_SAMPLING = ("records", "curate", "refine")
FIGURES = ("cluster", "rank", "ifd", "cutoff")
EVIDENCE = ("duplicate_of", "benchmark_item")


def finished(store: Store, recipe: Recipe) -> set[str]:
    """The stages of this recipe whose results in the run directory count."""
    return {name for name, status in _statuses(store, recipe).items() if status == "done"}


def outdated(store: Store, recipe: Recipe) -> list[str]:
    """The stages whose results do not count, in order: made with other settings than the directory has now, or of other tables."""
    return [name for name, status in _statuses(store, recipe).items() if status == "outdated"]


def _statuses(store: Store, recipe: Recipe) -> dict[str, str]:
    return {name: status for name, (status, _) in states(store, plan(recipe, Inputs(recipe))).items()}


def check_selection(store: Store, recipe: Recipe) -> set[str]:
    """The stages that count, `sample` among them.

    Raises:
        InputError: there is no finished selection, or it was made with other settings than the run directory has now.
    """
    status = _statuses(store, recipe)
    if status["sample"] == "outdated":
        raise InputError(
            f"{name_of_run(store.root)}: its selection was made with other settings, or of other tables, than the directory has now; run the last command"
            " there to its end, or `codeact select` again"
        )
    if status["sample"] != "done":
        raise InputError(f"{name_of_run(store.root)} holds no finished selection; give the folder that `codeact select` or `run` printed")
    return {name for name, state in status.items() if state == "done"}


def ledger_table(store: Store, done: set[str]) -> pa.Table | None:
    """The ledger as an Arrow table, from the tables of the stages that are done; None before there are records."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "records" not in done:
        return None
    source = ["source"] if "source" in store.columns("records") else []
    records = store.table("records", ["id", "row", *source])
    table = _outcomes(store, done, records)
    schema = pa.schema(
        [("id", pa.string()), ("row", pa.int64()), *((name, pa.string()) for name in source), ("status", pa.string()), ("stage", pa.string()), ("reason", pa.string()),
         ("detail", pa.string()), ("cluster", pa.int32()), ("rank", pa.int32()), ("ifd", pa.float64()), ("cutoff", pa.float64()),
         ("duplicate_of", pa.string()), ("benchmark_item", pa.string())]
    )  # fmt: skip
    parts = [_shaped(table, schema)]
    if store.path("rejected.parquet").exists():
        rejected = storage.read_parquet(store.path("rejected.parquet"))
        told = {"status": "dropped", "stage": "records"}
        parts.insert(0, _shaped({**_columns(rejected), **{name: pa.repeat(text, len(rejected)) for name, text in told.items()}}, schema))
    whole = pa.concat_tables(parts)
    del table, parts
    order = pc.sort_indices(whole["row"])
    if pc.all(pc.equal(order, pa.array(np.arange(len(whole)), pa.uint64()))).as_py():
        return whole
    return whole.take(order).combine_chunks()


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def _shaped(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """These columns, and nulls for those of the schema that are missing."""
    import pyarrow as pa

    count = len(columns["id"])
    return pa.table([columns[f.name].cast(f.type) if f.name in columns else pa.nulls(count, f.type) for f in schema], schema=schema)


def _outcomes(store: Store, done: set[str], records: pa.Table) -> dict[str, Any]:
    """Status, stage, reason, evidence and figures of each record; what the last stage says that decided about it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = records["id"].combine_chunks()

    def read(stage: str, columns: Sequence[str]) -> pa.Table:
        return tables.in_order(store.table(stage, ["id", *columns]), ids, lenient=True)

    empty = pa.nulls(len(ids), pa.string())
    found: dict[str, Any] = {**_columns(records), **dict.fromkeys(EVIDENCE, empty)}
    kept, stage, reason, detail = pa.repeat(True, len(ids)), pa.repeat("curate", len(ids)), pa.repeat("", len(ids)), pa.repeat("", len(ids))
    for name in ("curate", "refine"):
        if name not in done:
            continue
        table = read(name, ["kept", "reason", "detail", *EVIDENCE])
        # what `refine` keeps ends with what curate said of it
        told = pc.is_valid(table["kept"]) if name == "curate" else pc.fill_null(pc.invert(table["kept"]), False)
        kept, stage = pc.if_else(told, table["kept"], kept), pc.if_else(told, name, stage)
        reason, detail = pc.if_else(told, table["reason"], reason), pc.if_else(told, table["detail"], detail)
        found |= {key: pc.if_else(told, table[key], found[key]) for key in EVIDENCE}
    found |= {key: pc.if_else(kept, None, found[key]) for key in EVIDENCE}
    reason, status = pc.if_else(kept, "", reason), pc.if_else(kept, "kept", "dropped")
    if "sample" in done:
        table = read("sample", ["selected", "reason", "detail", *FIGURES])
        told = pc.and_(kept, pc.is_valid(table["selected"]))
        status = pc.if_else(told, pc.if_else(table["selected"], "kept", "dropped"), status)
        stage, reason = pc.if_else(told, "sample", stage), pc.if_else(told, table["reason"], reason)
        said = table["detail"]
        if "score" in done and "detail" in store.columns("score"):
            refused = pc.fill_null(pc.equal(table["reason"], "status:refused"), False)
            scored = read("score", ["detail"])["detail"]
            said = pc.if_else(pc.and_(refused, _in(store, "score", ids)), scored, said)
        detail = pc.if_else(pc.and_(told, pc.fill_null(pc.equal(detail, ""), True)), said, detail)
        found |= {key: pc.if_else(told, table[key], None) for key in FIGURES}
    return {**found, "status": status, "stage": stage, "reason": reason, "detail": detail}


def _in(store: Store, stage: str, ids: pa.Array) -> pa.Array:
    """Which of the ids the table of a stage has."""
    import pyarrow.compute as pc

    return pc.is_in(ids, value_set=store.table(stage, ["id"])["id"].combine_chunks())


def write_ledger(store: Store, recipe: Recipe) -> None:
    """Write ledger.parquet from the tables of the stages that are done."""
    table = ledger_table(store, finished(store, recipe))
    if table is not None:
        store.write_table("ledger", table)


def write_dropped(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write dropped.jsonl: every row that left before the sampling, with the stage, the reason, the evidence, and the row as it came.

    A row that holds a secret is not written again: its number says where it is.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ledger = store.table("ledger", ["id", "row", "stage", "status", "reason", "detail", *EVIDENCE])
    early = pc.is_in(ledger["stage"], value_set=pa.array(BEFORE_SAMPLING))
    told = pc.and_(pc.and_(early, pc.equal(ledger["status"], "dropped")), pc.not_equal(ledger["reason"], "limit"))
    left = ledger.filter(told).drop_columns("status").to_pylist()
    told_rows = picked(rows, [row["row"] for row in left if not is_confidential(row["reason"])])
    with atomic(store.path("dropped.jsonl"), "w") as handle:
        for row in left:
            record = None if is_confidential(row["reason"]) else dict(next(told_rows))
            told = {key: row[key] for key in ("id", "row", "stage", "reason", "detail", *EVIDENCE)} | {"record": record}
            handle.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
