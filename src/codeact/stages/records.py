"""Stage `records`: rows of any known format become records; rows that cannot are kept in rejected.parquet with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from codeact import storage
from codeact.confidential import find_confidential
from codeact.config import Recipe
from codeact.errors import InputError
from codeact.records import Rejected
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store

VERSION = 3


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `records` and rejected.parquet."""
    data = recipe.data

    def config() -> Mapping[str, Any]:
        return {"data": inputs.identity(), "limit": data.limit, "map": data.map, "seed": recipe.seed, "secrets": recipe.curate.secrets}

    return Stage("records", (), config, VERSION, lambda store: load_records(store, recipe, inputs), ("rejected.parquet",), shared=True)


def load_records(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Rows to records; unreadable rows, rows beyond `data.limit` and those that `curate.secrets` bars go to rejected.parquet.

    A secret is barred here, at the door, and not by `curate`: so no table of the run ever holds it.
    """
    records, reading = inputs.records()
    rejected = list(reading.rejected)
    kept = {record.id for record in records}
    kinds = recipe.curate.secrets
    found = {record.id: find_confidential(record, kinds) if kinds else None for record in records}
    rejected += [Rejected(r.id, int(r.meta["row"]), f.reason, f.detail) for r in records if (f := found[r.id]) is not None]
    records = [record for record in records if found[record.id] is None]
    if not records:
        raise InputError(f"curate.secrets: all {len(found)} records hold one; the first: {rejected[-len(found)].reason}")
    rejected += [
        Rejected(r.id, int(r.meta["row"]), "limit", f"not in the sample of {recipe.data.limit}")
        for r in reading.records
        if r.id not in kept
    ]
    sources = inputs.source.sources
    storage.write_parquet(tables.with_source(tables.rejected_table(rejected), sources), store.path("rejected.parquet"))
    counts: dict[str, Any] = {"records": len(records), "rejected": dict(Counter(r.reason for r in rejected))}
    if sources is not None:
        read = Counter(sources[int(r.meta["row"])] for r in records)
        counts["sources"] = {name: {"rows": rows, "records": read[name]} for name, rows in inputs.source.mixture}
    summary = {**reading.summary(), **counts}
    table = tables.with_source(tables.records_table(records), sources)
    del records, reading, found  # they are as large as the table, which takes their place
    store.write_table("records", table)
    return summary
