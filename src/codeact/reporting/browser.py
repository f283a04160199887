"""The records that the page can be searched for: all of a small run, of a large one a sample with those around each cut."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from codeact.confidential import is_confidential
from codeact.config import kept_recipe
from codeact.pipeline.ledger import finished
from codeact.pipeline.outcomes import Group, Outcomes, read_outcomes, sentence
from codeact.reporting.selection import excerpt
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.stages.pool import records_by_id
from codeact.storage import plain

MOST = 2_000
AROUND = 10  # of each side of a cut
DROPPED = 500  # findings of curation
TEXT = 600
SEED = 0
COLUMNS = (
    "id", "row", "status", "stage", "reason", "detail", "said", "cluster", "rank", "ifd", "language", "instruction", "response", "other",
)  # fmt: skip


def browser(run_dir: Path) -> dict[str, Any] | None:
    """Records with their outcomes, texts and evidence; None where the run has no records that count.

    A run of more than 2,000 rows gives up to 10 on each side of every cut, 500 of those that left before the sampling, and a random
    sample of the others (seed 0). A record that holds a secret has no text.
    """
    if "records" not in finished(Store(run_dir), kept_recipe(run_dir)):
        return None
    outcomes = read_outcomes(run_dir)
    rows = [row for row in outcomes.rows.values() if row["reason"] != "limit"]
    chosen = _chosen(outcomes, rows)
    wanted = list(dict.fromkeys([r["id"] for r in chosen] + [r["duplicate_of"] for r in chosen if r["duplicate_of"]]))
    texts = records_by_id(outcomes.store, wanted)
    languages = tables.by_id(outcomes.store.table("curate"), ["language"]) if "curate" in outcomes.done else {}
    listed = []
    for row in chosen:
        record, other = texts.get(row["id"]), texts.get(row["duplicate_of"] or "")
        silent = record is None or is_confidential(row["reason"] or "")
        more = {
            "said": sentence(outcomes, row).partition(": ")[2],
            "language": (languages.get(row["id"]) or {}).get("language") or "",
            "instruction": "" if silent or record is None else excerpt(record.instruction, TEXT),
            "response": "" if silent or record is None else excerpt(record.response, TEXT),
            "other": "" if other is None else excerpt(other.instruction, TEXT // 2),
        }
        listed.append([{**row, **more}.get(name) for name in COLUMNS])
    found: dict[str, Any] = plain({
        "total": len(rows), "shown": len(listed), "columns": COLUMNS, "rows": listed,
        "clusters": sorted({r["cluster"] for r in chosen if r["cluster"] is not None}),
        "languages": sorted({str(row[COLUMNS.index("language")]) for row in listed} - {""}),
        "reasons": sorted({r["reason"] for r in chosen if r["status"] == "dropped" and r["reason"]}),
    })  # fmt: skip
    return found


def _chosen(outcomes: Outcomes, rows: list[Any]) -> list[Any]:
    if len(rows) <= MOST:
        return rows
    groups: dict[Group, list[Any]] = defaultdict(list)
    for row in rows:
        if row["rank"] is not None:
            groups[outcomes.group(row)].append(row)
    taken: dict[str, Any] = {}
    each = max(1, min(AROUND, MOST // (4 * max(len(groups), 1))))
    for group in groups.values():
        kept = sorted((r for r in group if r["status"] == "kept"), key=lambda r: -int(r["rank"]))[:each]
        left = sorted((r for r in group if r["status"] == "dropped"), key=lambda r: int(r["rank"]))[:each]
        taken |= {r["id"]: r for r in (*kept, *left)}
    drawn = [rows[n] for n in np.random.default_rng(SEED).permutation(len(rows))]
    early = [r for r in drawn if r["status"] == "dropped" and r["stage"] != "sample"][:DROPPED]
    for row in (*early, *drawn):
        if len(taken) >= MOST:
            break
        taken.setdefault(row["id"], row)
    return [row for row in rows if row["id"] in taken]
