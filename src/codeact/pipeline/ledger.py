"""The ledger: one row per input row, saying whether it was kept, and if not, where and why it left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from codeact import storage
from codeact.pipeline import tables
from codeact.pipeline.store import Store

FIGURES = ("cluster", "rank", "ifd", "cutoff")
EVIDENCE = ("duplicate_of", "benchmark_item")


def write_ledger(store: Store, done: set[str]) -> None:
    """Write ledger.parquet from the tables of the stages that are complete."""
    import pyarrow as pa

    if "records" not in done:
        return
    records = store.table("records").select(["id", "row"]).to_pylist()
    curated = tables.by_id(store.table("curate"), ["kept", "reason", "detail", *EVIDENCE]) if "curate" in done else {}
    if "refine" in done:
        curated |= {
            identity: row
            for identity, row in tables.by_id(store.table("refine"), ["kept", "reason", "detail", *EVIDENCE]).items()
            if not row["kept"]
        }
    sampled = (
        tables.by_id(store.table("sample"), ["selected", "reason", "detail", *FIGURES]) if "sample" in done else {}
    )
    rows: list[dict[str, Any]] = [
        {**row, "status": "dropped", "stage": "records"} for row in store.table("rejected").to_pylist()
    ]
    for record in records:
        rows.append({**record, **_fate(curated.get(record["id"]), sampled.get(record["id"]))})
    schema = pa.schema(
        [("id", pa.string()), ("row", pa.int64()), ("status", pa.string()), ("stage", pa.string()), ("reason", pa.string()),
         ("detail", pa.string()), ("cluster", pa.int32()), ("rank", pa.int32()), ("ifd", pa.float64()), ("cutoff", pa.float64()),
         ("duplicate_of", pa.string()), ("benchmark_item", pa.string())]
    )  # fmt: skip
    rows.sort(key=lambda row: int(row["row"]))
    store.write_table("ledger", pa.Table.from_pylist(rows, schema=schema))


def write_dropped(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write dropped.jsonl: every row that left before the sampling, with the stage, the reason, the evidence, and the row as it came."""
    ledger = store.table("ledger").to_pylist()
    lines = [
        json.dumps(
            {key: row[key] for key in ("id", "row", "stage", "reason", "detail", *EVIDENCE)}
            | {"record": dict(rows[row["row"]])},
            ensure_ascii=False,
            default=str,
        )
        for row in ledger
        if row["status"] == "dropped" and row["stage"] in ("records", "curate") and row["reason"] != "limit"
    ]
    storage.write_text(store.path("dropped.jsonl"), "".join(line + "\n" for line in lines))


def _fate(curated: dict[str, Any] | None, sampled: dict[str, Any] | None) -> dict[str, Any]:
    if curated is not None and not curated["kept"]:
        return {"status": "dropped", "stage": "curate", **{k: curated[k] for k in ("reason", "detail", *EVIDENCE)}}
    if sampled is None:
        return {"status": "kept", "stage": "curate", "reason": "", "detail": curated["detail"] if curated else ""}
    status = "kept" if sampled["selected"] else "dropped"
    return {
        "status": status,
        "stage": "sample",
        "reason": sampled["reason"],
        "detail": (curated["detail"] if curated is not None else "") or sampled["detail"],
        **{k: sampled[k] for k in FIGURES},
    }
