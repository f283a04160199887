"""Stage `target`: how near each record of the pool is to examples of what the model is for (strategy `targeted`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codeact.config import Recipe, SampleConfig
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.records import Reading, read_data
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import orders
from codeact.stages.columns import vectors
from codeact.stages.pool import refines

VERSION = 1
MOST_TARGETS = 512  # examples that take turns; of a longer file a seeded sample


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `target`: id, target_rank, target_similarity."""
    refined = ("refine",) if refines(recipe.curate) else ()

    def config() -> Mapping[str, Any]:
        return {**inputs.target(), "text": recipe.embed.text, "seed": recipe.seed}

    return Stage(
        "target", ("embed", *refined), config, VERSION, lambda store: rank(store, recipe), on_demand=True, shared=True
    )


def examples(sample: SampleConfig) -> Reading:
    """The records of `sample.target`, of which there is at least one.

    Raises:
        InputError: the file cannot be read, or holds none.
    """
    try:
        reading = read_data(sample.target, sample.target_map)
        reading.usable()
        return reading
    except InputError as error:
        raise InputError(f"sample.target: {error} (for this file: sample.target_map)") from error


def rank(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Write `target`: `id, target_rank` (1: taken first, see `orders.nearest_in_turn`) and `target_similarity` (largest cosine).

    Raises:
        InputError: the file of examples cannot be read, or holds none.
    """
    import pyarrow as pa

    from codeact.embed import embed_texts, load_embedder

    config, reading = recipe.embed, examples(recipe.sample)
    texts = {r.instruction if config.text == "instruction" else f"{r.instruction}\n\n{r.response}" for r in reading.usable()}
    asked = sorted(seeded_subset(sorted(texts), MOST_TARGETS, recipe.seed))
    embedder = load_embedder(config.model, recipe.model.device)
    points = embed_texts(asked, model=embedder, batch_size=config.batch_size)
    embedded = store.table("embed")
    if refines(recipe.curate):
        embedded = tables.keep(embedded, tables.ids_where(store.table("refine"), "kept"))
    embedded = embedded.sort_by("id")
    pool = vectors(embedded)
    rank_of = np.empty(len(pool), np.int64)
    rank_of[np.fromiter(orders.nearest_in_turn(points, pool), np.int64, len(pool))] = np.arange(1, len(pool) + 1)
    nearest = (pool @ points.T).max(axis=1)
    store.write_table(
        "target",
        pa.table(
            {
                "id": embedded["id"],
                "target_rank": pa.array(rank_of, pa.int64()),
                "target_similarity": pa.array(nearest.astype(np.float64), pa.float64()),
            }
        ),
    )
    refused = {"refused": len(reading.rejected)} if reading.rejected else {}
    return {"examples": len(asked), **refused, "nearest": float(nearest.max()), "mean": float(nearest.mean())}
