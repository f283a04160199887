"""Stage `curate`: broken, duplicate and benchmark-contaminated records leave the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from codeact.config import CurateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation.benchmarks import NOT_CHECKED, benchmark_items
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.local import Worker
from codeact.rundir.processes import ProcessBackend
from codeact.rundir.shards import run_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.curate import BenchmarkItem
    from codeact.curate.look import Facts

VERSION = 3
PARTITION = 4096
ELSEWHERE = {"semantic", "neighbours", "secrets"}  # settings of the stages refine and records


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `curate`: a decision for every record."""
    settings = recipe.curate.model_dump(exclude=ELSEWHERE)
    return Stage(
        "curate", ("records",), lambda: {**settings, "files": inputs.benchmark_digests()}, VERSION,
        lambda store: curate(store, recipe), shared=True,
    )  # fmt: skip


def curate(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Decide which records stay in the pool."""
    import pyarrow as pa

    from codeact.curate.look import benchmarks_of
    from codeact.curate.run import check_ids, decide

    config = recipe.curate.model_copy(update={"secrets": ()})  # barred before
    items = benchmark_items(config)
    table = store.table("records")
    check_ids(table["id"].to_pylist())
    seen = run_shards(
        store, "curate", table, partial(_worker, config.model_dump(), benchmarks_of(config, items)),
        backend=ProcessBackend(recipe.workers), shard_size=PARTITION, label="verify",
    )  # fmt: skip
    decisions = decide(_facts_from(seen), config, lambda at: tables.records_from(table.take(pa.array(at, pa.int64()))))
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


def _worker(config: Mapping[str, Any], items: Sequence[BenchmarkItem]) -> Worker:
    from codeact.curate.look import Looker

    look = Looker(CurateConfig.model_validate(config), items)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        found = []
        for record in tables.records_from(shard):
            found.append(look(record))
            progress.advance()
        return _facts_table(found)

    return work


def _facts_table(facts: Sequence[Facts]) -> pa.Table:
    import pyarrow as pa

    verdicts = [(v.status, v.reason, v.detail) if (v := one.verdict) is not None else (None,) * 3 for one in facts]
    overlaps = [one.overlap or (None, None) for one in facts]
    return pa.table(
        {
            "id": tables.texts([one.id for one in facts]),
            "language": tables.texts([one.language for one in facts]),
            "sketch": pa.array([one.sketch for one in facts], pa.binary()),
            **{name: tables.texts([v[at] for v in verdicts]) for at, name in enumerate(("status", "reason", "detail"))},
            **{name: tables.texts([o[at] for o in overlaps]) for at, name in enumerate(("item", "passage"))},
        }
    )


def _facts_from(table: pa.Table) -> list[Facts]:
    from codeact.curate.look import Facts
    from codeact.curate.verify import Verdict

    columns = (table[name].to_pylist() for name in table.column_names)
    return [
        Facts(
            identity, language, sketch, None,
            None if status is None else Verdict(status, reason, detail), None if item is None else (item, passage),
        )
        for identity, language, sketch, status, reason, detail, item, passage in zip(*columns, strict=True)
    ]  # fmt: skip
