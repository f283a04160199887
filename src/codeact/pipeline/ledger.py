"""The ledger: one row per input row, saying whether it was kept, and if not, where and why it left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codeact.confidential import is_confidential
from codeact.config import Recipe
from codeact.files import write_text
from codeact.pipeline.plan import plan
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import states
from codeact.rundir.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

BEFORE_SAMPLING = ("records", "curate", "refine")
FIGURES = ("cluster", "rank", "ifd", "cutoff")
EVIDENCE = ("duplicate_of", "benchmark_item")


def finished(store: Store, recipe: Recipe) -> set[str]:
    """The stages of this recipe whose results in the run directory count."""
    found = states(store, plan(recipe, Inputs(recipe)))
    return {name for name, (status, _) in found.items() if status == "done"}


def ledger_table(store: Store, done: set[str]) -> pa.Table | None:
    """The ledger as an Arrow table, from the tables of the stages that are done; None before there are records."""
    import pyarrow as pa

    if "records" not in done:
        return None
    fates: dict[str, tuple[str, dict[str, Any]]] = {}
    for stage in ("curate", "refine"):
        if stage in done:
            table = tables.by_id(store.table(stage), ["kept", "reason", "detail", *EVIDENCE])
            # what `refine` keeps ends with what curate said of it
            fates |= {i: (stage, row) for i, row in table.items() if stage == "curate" or not row["kept"]}
    sampled = (
        tables.by_id(store.table("sample"), ["selected", "reason", "detail", *FIGURES]) if "sample" in done else {}
    )
    scores = store.table("score") if "score" in done and sampled else None
    if scores is not None and "detail" in scores.column_names:
        for identity, row in tables.by_id(scores, ["detail"]).items():
            if sampled.get(identity, {}).get("reason") == "status:refused":
                sampled[identity]["detail"] = row["detail"]
    rejected = store.table("rejected").to_pylist() if store.path("rejected.parquet").exists() else []
    records = store.table("records")
    source = ["source"] if "source" in records.column_names else []
    rows: list[dict[str, Any]] = [{**row, "status": "dropped", "stage": "records"} for row in rejected]
    for record in records.select(["id", "row", *source]).to_pylist():
        rows.append({**record, **_fate(fates.get(record["id"]), sampled.get(record["id"]))})
    schema = pa.schema(
        [("id", pa.string()), ("row", pa.int64()), *((name, pa.string()) for name in source), ("status", pa.string()), ("stage", pa.string()), ("reason", pa.string()),
         ("detail", pa.string()), ("cluster", pa.int32()), ("rank", pa.int32()), ("ifd", pa.float64()), ("cutoff", pa.float64()),
         ("duplicate_of", pa.string()), ("benchmark_item", pa.string())]
    )  # fmt: skip
    rows.sort(key=lambda row: int(row["row"]))
    return pa.Table.from_pylist(rows, schema=schema)


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

    ledger = store.table("ledger")
    early = pc.is_in(ledger["stage"], value_set=pa.array(BEFORE_SAMPLING))
    left = ledger.filter(pc.and_(early, pc.equal(ledger["status"], "dropped"))).to_pylist()
    lines = [
        json.dumps(
            {key: row[key] for key in ("id", "row", "stage", "reason", "detail", *EVIDENCE)}
            | {"record": None if is_confidential(row["reason"]) else dict(rows[row["row"]])},
            ensure_ascii=False,
            default=str,
        )
        for row in left
        if row["reason"] != "limit"
    ]
    write_text(store.path("dropped.jsonl"), "".join(line + "\n" for line in lines))


def _fate(curated: tuple[str, dict[str, Any]] | None, sampled: dict[str, Any] | None) -> dict[str, Any]:
    stage, row = curated or ("curate", {"kept": True, "detail": ""})
    if not row["kept"]:
        return {"status": "dropped", "stage": stage, **{k: row[k] for k in ("reason", "detail", *EVIDENCE)}}
    if sampled is None:
        return {"status": "kept", "stage": stage, "reason": "", "detail": row["detail"]}
    return {
        "status": "kept" if sampled["selected"] else "dropped",
        "stage": "sample",
        "reason": sampled["reason"],
        "detail": row["detail"] or sampled["detail"],
        **{k: sampled[k] for k in FIGURES},
    }
