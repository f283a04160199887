"""Stage `rds`: how near each record is to examples of what the model is for, by the model's own hidden states (strategy `rds`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codeact.config import Recipe
from codeact.curate.repeats import repeats
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample.coverage import largest_cosine
from codeact.sample.orders import nearest_in_turn
from codeact.sample.whitening import whiten
from codeact.stages import hidden
from codeact.stages.columns import vectors
from codeact.stages.pool import pool_rows, pool_stages, read_pool, records_at
from codeact.stages.target import MOST_TARGETS, benchmark_free, examples, turns_table

VERSION = 1
FEWEST = 16  # below, single examples decide


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `rds`: id, rds_rank (null: a copy of an example, or nothing to read), rds_similarity."""

    def config() -> Mapping[str, Any]:
        return {**inputs.target(), "model": inputs.model(), "benchmarks": inputs.benchmark_digests(), "ngram": recipe.curate.ngram, "seed": recipe.seed}

    return Stage(
        "rds", ("hidden", *pool_stages(recipe.curate)), config, VERSION, lambda store: rank(store, recipe), on_demand=True, shared=True,
        loads_model=True,
    )  # fmt: skip


def rank(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Write `rds`: the examples take turns, each taking the record nearest to it in whitened hidden states.

    Examples that hold a benchmark's task, or nearly repeat another example, take no turn. Records that nearly repeat an example have no rank.

    Raises:
        InputError: the file of examples cannot be read, or no example is left.
    """
    reading = examples(recipe.sample)
    asked, dropped = benchmark_free(reading.usable(), recipe.curate)
    first = repeats(asked)
    asked = [record for n, record in enumerate(asked) if n not in first]
    chosen = seeded_subset([record.id for record in asked], MOST_TARGETS, recipe.seed)
    asked = sorted((record for record in asked if record.id in chosen), key=lambda record: (record.instruction, record.response))
    read, points = hidden.embed(asked, recipe.model)
    if not read:
        raise InputError("sample.target: none of the examples can be read by the model; look at the template")
    table = tables.in_order(store.table("hidden"), sorted(store.table("hidden")["id"].to_pylist()))
    ids: list[str] = table["id"].to_pylist()
    stages = pool_stages(recipe.curate)
    in_pool = read_pool(store, stages, ("id",))["id"].to_pylist()
    copies = {in_pool[n] for n in repeats(records_at(store.parts("records"), pool_rows(store, stages)), [asked[n] for n in read])}
    usable = [n for n, valid in enumerate(table["hidden"].is_valid().to_pylist()) if valid]
    whole = vectors(table.take(usable), "hidden")
    pool, targets = whiten(whole, points)
    open_ = [position for position, n in enumerate(usable) if ids[n] not in copies]
    order = np.fromiter(nearest_in_turn(targets, pool[open_]), np.int64, len(open_))
    ranks: list[int | None] = [None] * len(ids)
    for turn, number in enumerate(order.tolist(), 1):
        ranks[usable[open_[number]]] = turn
    similar = np.full(len(ids), np.nan)
    similar[usable] = largest_cosine(pool, targets)
    store.write_table("rds", turns_table("rds", ids, ranks, similar))
    return {
        "examples": len(read), "dimensions": pool.shape[1], "few examples": len(read) < FEWEST or None,
        "examples of a benchmark": dropped or None, "examples repeated": len(first) or None, "records like an example": len(copies) or None,
    }  # fmt: skip
