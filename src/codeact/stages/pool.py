"""The pool that a selection is made from, and the records chosen from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from codeact.config import CurateConfig, Recipe
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample import Mixture
from codeact.sample.mixture import quotas

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
    chosen = tables.ids_of(store.table(choice, ["id", "selected"]), "selected")
    return [record for part in store.parts("records").values() for record in tables.records_from(tables.keep_ids(part, chosen))]
