"""Stage `curate`: broken, duplicate and benchmark-contaminated records leave the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from codeact.amounts import amount
from codeact.config import CurateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation.benchmarks import NOT_CHECKED, benchmark_items, not_at_hand
from codeact.lm.hardware import main_memory
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import PART_ROWS, Parts, Tapered
from codeact.rundir.processes import WORTH_IT
from codeact.rundir.ranks import choose_processes
from codeact.rundir.shards import Worker, make_shards, read_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.rundir.tables import rare_collections
from codeact.stages.pool import records_at

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.curate import BenchmarkItem
    from codeact.curate.decontaminate import Index
    from codeact.curate.run import Decision
    from codeact.curate.single_record import Facts

VERSION = 14
PARTITION = PART_ROWS
HELD = {"mismatch": 2_000}
"""Bytes of a record of a kilobyte that a step holds of all records (docs/scale.md)."""
ELSEWHERE = {"semantic", "neighbours", "secrets"}  # settings of the stages refine and records


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `curate`: a decision for every record."""
    settings = recipe.curate.model_dump(exclude=ELSEWHERE)
    return Stage(
        "curate", ("records",), lambda: {**settings, "files": inputs.benchmark_digests()}, VERSION,
        lambda store: curate(store, recipe), shared=True,
    )  # fmt: skip


@rare_collections()
def curate(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Decide which records stay in the pool."""
    import pyarrow as pa

    from codeact.curate.run import decide
    from codeact.curate.single_record import benchmarks_of

    config = recipe.curate.model_copy(update={"secrets": ()})  # barred before
    items = benchmark_items(config)
    parts = store.parts("records", size=PARTITION)
    shards = Tapered(parts) if parts.num_rows >= WORTH_IT else parts
    _check_ids(store)
    _check_memory(config, parts.num_rows)
    make_shards(
        store, "curate", shards, partial(_worker, config.model_dump(), _index(config, benchmarks_of(config, items))),
        backend=choose_processes(recipe, parts.num_rows), label="verify",
    )  # fmt: skip
    counts = _Counts()
    decisions = decide(_Seen(store, shards), config, partial(records_at, parts), store.root)
    made = []
    while part := list(islice(decisions, PART_ROWS)):
        made.append(_decisions_table(counts.count(part)))
    if not counts.kept:
        raise InputError(
            f"curate dropped everything: {amount(parts.num_rows, 'record')} ({dict(counts.dropped)}); look at curate.parquet's reasons or switch"
            " stages off with curate.verify=false"
        )
    store.write_table("curate", pa.concat_tables(made))
    return {
        "kept": counts.kept,
        "dropped": dict(counts.dropped),
        "verdicts": dict(counts.verdicts),
        "penalised": counts.penalised or None,
        "benchmarks": {name: len(tasks) for name, tasks in items.items()},
        "benchmarks not at hand": (items and not_at_hand(config)) or None,
        "contamination not checked": None if items or config.decontaminate != "auto" else NOT_CHECKED,
    }


class _Counts:
    """Figures of the decisions that have passed."""

    def __init__(self) -> None:
        self.kept = self.penalised = 0
        self.dropped: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()

    def count(self, decisions: Sequence[Decision]) -> Sequence[Decision]:
        self.kept += sum(d.kept for d in decisions)
        self.penalised += sum(d.penalised for d in decisions)
        self.dropped.update(d.reason for d in decisions if not d.kept)
        self.verdicts.update(d.verdict for d in decisions if d.verdict)
        return decisions


@dataclass(frozen=True)
class _Seen:
    """What was seen of each record, read from the disk each time."""

    store: Store
    parts: Parts

    def __len__(self) -> int:
        return self.parts.num_rows

    def __iter__(self) -> Iterator[Facts]:
        for part in read_shards(self.store, "curate", self.parts):
            yield from _facts_from(part)

    def __contains__(self, one: object) -> bool:
        return any(one == other for other in self)


def _check_memory(config: CurateConfig, rows: int) -> None:
    """Refuse what holds every record in memory, where this machine has no room for them.

    Raises:
        InputError: it has none.
    """
    room = main_memory()
    for key, size in HELD.items():
        if getattr(config, key) not in (None, False) and rows * size > room:
            raise InputError(
                f"curate.{key} holds about {size / 1000:.0f} kB of each record in memory: {rows:,} records need {rows * size / 1e9:,.0f} GB,"
                f" this machine has {room / 1e9:,.0f}; leave it out, or take fewer records (data.limit)"
            )


def _check_ids(store: Store) -> None:
    """Refuse ids that are not unique.

    Raises:
        InputError: two records share one.
    """
    import pyarrow.compute as pc

    from codeact.curate.run import SHARED_ID

    ids = store.table("records", ["id"])["id"]
    if pc.count_distinct(ids).as_py() != len(ids):
        raise InputError(SHARED_ID)


def _decisions_table(decisions: Sequence[Decision]) -> pa.Table:
    import pyarrow as pa

    names = ("id", "kept", "reason", "detail", "duplicate_of", "benchmark_item", "verdict", "penalised", "language")
    types = {"kept": pa.bool_(), "penalised": pa.bool_()}

    columns = zip(names, zip(*map(attrgetter(*names), decisions), strict=True), strict=True)
    return pa.table({name: pa.array(values, types[name]) if name in types else tables.texts(values) for name, values in columns})


def _index(config: CurateConfig, items: Sequence[BenchmarkItem]) -> Index | None:
    """Made once, and not in each process."""
    from codeact.curate.kept_index import kept_index

    return kept_index(items, config.ngram) if items else None


def _worker(config: Mapping[str, Any], index: Index | None) -> Worker:
    from codeact.curate.single_record import Looker

    look = Looker(CurateConfig.model_validate(config), index or ())

    @rare_collections()
    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        found = []
        for one in look(tables.records_from(shard)):
            found.append(one)
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
    from codeact.curate.single_record import Facts
    from codeact.curate.verify import Verdict

    columns = (table[name].to_pylist() for name in table.column_names)
    verdict = lru_cache(Verdict)  # most are one of few
    return [
        Facts(
            identity, language, sketch, None,
            None if status is None else verdict(status, reason, detail), None if item is None else (item, passage),
        )
        for identity, language, sketch, status, reason, detail, item, passage in zip(*columns, strict=True)
    ]  # fmt: skip
