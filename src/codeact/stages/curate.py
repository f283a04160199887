"""Stage `curate`: broken, duplicate and benchmark-contaminated records leave the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from codeact.config import CurateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation.benchmarks import NOT_CHECKED, benchmark_items
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store

VERSION = 2
ELSEWHERE = {"semantic", "neighbours", "secrets"}  # settings of the stages refine and records


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `curate`: a decision for every record."""
    settings = recipe.curate.model_dump(exclude=ELSEWHERE)
    return Stage(
        "curate", ("records",), lambda: {**settings, "files": inputs.benchmark_digests()}, VERSION,
        lambda store: decide(store, recipe.curate), shared=True,
    )  # fmt: skip


def decide(store: Store, config: CurateConfig) -> Mapping[str, Any]:
    """Decide which records stay in the pool."""
    import pyarrow as pa

    from codeact.curate import curate_records

    records = tables.records_from(store.table("records"))
    items = benchmark_items(config)
    config = config.model_copy(update={"secrets": ()})  # barred before
    decisions = curate_records(records, config, items)
    if not any(d.kept for d in decisions):
        reasons = Counter(d.reason for d in decisions)
        raise InputError(
            f"curate dropped all {len(decisions)} records ({dict(reasons)}); look at curate.parquet's reasons or switch stages off with curate.verify=false"
        )
    names = ("id", "kept", "reason", "detail", "duplicate_of", "benchmark_item", "verdict", "penalised", "language")
    types = {"kept": pa.bool_(), "penalised": pa.bool_()}

    def column(name: str) -> list[Any]:
        return [getattr(decision, name) for decision in decisions]

    store.write_table(
        "curate",
        pa.table({n: pa.array(column(n), types[n]) if n in types else tables.texts(column(n)) for n in names}),
    )
    return {
        "kept": sum(d.kept for d in decisions),
        "dropped": dict(Counter(d.reason for d in decisions if not d.kept)),
        "verdicts": dict(Counter(d.verdict for d in decisions if d.verdict)),
        "penalised": sum(d.penalised for d in decisions) or None,
        "benchmarks": {name: len(tasks) for name, tasks in items.items()},
        "contamination not checked": None if items or config.decontaminate != "auto" else NOT_CHECKED,
    }
