"""The pool that a selection is made from, and the records chosen from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from codeact.config import CurateConfig, Recipe
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.parts import Parts, by_part, taken
from codeact.rundir.store import Store
from codeact.sample import Mixture
from codeact.sample.mixture import quotas
from codeact.types import Ints

if TYPE_CHECKING:
    import pyarrow as pa


def refines(config: CurateConfig) -> bool:
    """Whether anything is decided by embeddings: the stage `refine` runs."""
    return config.semantic is not None or config.neighbours is not None


def pool_stages(config: CurateConfig) -> tuple[str, ...]:
    """The stages that decide who is in the pool."""
    return ("curate", "refine") if refines(config) else ("curate",)


def read_pool(store: Store, stages: tuple[str, ...] = ("curate",), columns: Sequence[str] | None = None) -> pa.Table:
    """The records that these stages, of `pool_stages`, kept: the rows of the table `records`, or some of its columns, in its order.

    Args:
        store: the run directory.
        stages: that decide who is in the pool.
        columns: names, `id` among them; those that the table lacks are left out (`source` is there for mixtures only). None: all.
    """
    if columns is not None:
        there = store.columns("records")
        columns = [name for name in columns if name in there]
    table = store.table("records", columns)
    for stage in stages:
        table = tables.keep_ids(table, tables.ids_of(store.table(stage, ["id", "kept"]), "kept"))
    return table


def pool_rows(store: Store, stages: tuple[str, ...] = ("curate",)) -> Ints:
    """Which rows of the table `records` are the pool's, in order; see `read_pool`."""
    import pyarrow.compute as pc

    ids = store.table("records", ["id"])["id"]
    kept = np.ones(len(ids), np.bool_)
    for stage in stages:
        kept &= pc.is_in(ids, value_set=tables.ids_of(store.table(stage, ["id", "kept"]), "kept")).to_numpy()
    return np.flatnonzero(kept)


def pool_parts(records: Parts, rows: Ints, size: int) -> Parts:
    """These rows of the table `records` in parts of `size`, each read from the disk when it is wanted.

    Args:
        records: the table's own parts.
        rows: ascending, as of `pool_rows`.
        size: rows of each part; the last may have fewer.
    """
    read = Parts(records.num_rows, records.size, lru_cache(maxsize=1)(records.__getitem__))  # the next part begins in the same one
    return Parts(len(rows), size, lambda number: taken(read, rows[number * size : (number + 1) * size]))


def records_at(records: Parts, rows: Ints) -> Iterator[Record]:
    """The records of these rows of the table `records`, which ascend; a part of it is in memory at a time."""
    import pyarrow as pa

    for number, inside in by_part(records, rows):
        yield from tables.records_from(records[number].take(pa.array(inside)))


class PoolTexts:
    """A text of every record of the pool, made anew whenever they are gone through: a part of the table is in memory at a time.

    Args:
        store: the run directory.
        stages: that decide who is in the pool.
        text: makes it.
    """

    def __init__(self, store: Store, stages: tuple[str, ...], text: Callable[[Record], str]) -> None:
        self.records, self.rows, self.text = store.parts("records"), pool_rows(store, stages), text

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return map(self.text, records_at(self.records, self.rows))


def records_by_id(store: Store, ids: Iterable[str]) -> dict[str, Record]:
    """id -> record, of those of these ids that there are, in the order of the input; a part of the table is in memory at a time."""
    import pyarrow as pa

    return {record.id: record for record in _with_ids(store, pa.array(sorted(ids), pa.string()))}


def read_mixture(pool: pa.Table, weights: Mapping[str, float]) -> Mixture | None:
    """Who gives how much of a selection from this pool, by `data.sources`; None where it has no weights."""
    return Mixture(pool["source"].to_pylist(), weights) if weights else None


def check_quotas(store: Store, recipe: Recipe) -> None:
    """See, as soon as the pool is known, that each source of a mixture has the records that it should give.

    Tokens are counted later (by `score` or `lengths`), so quotas of tokens are looked at by the stage `sample`.

    Raises:
        InputError: one has not.
    """
    if not recipe.data.weights:
        return
    mixture = read_mixture(read_pool(store, pool_stages(recipe.curate), ["id", "source"]), recipe.data.weights)
    if mixture is not None and recipe.sample.unit == "records":
        quotas({name: len(rows) for name, rows in mixture.members().items()}, mixture.weights, recipe.sample.ratio)


def selected_records(store: Store, choice: str = "sample") -> list[Record]:
    """The records that `sample`, or `control`, chose, in the order of the input."""
    return list(_with_ids(store, tables.ids_of(store.table(choice, ["id", "selected"]), "selected")))


def _with_ids(store: Store, ids: pa.Array) -> Iterator[Record]:
    for part in store.parts("records").values():
        yield from tables.records_from(tables.keep_ids(part, ids))
