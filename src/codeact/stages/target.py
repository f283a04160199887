"""Stage `target`: how near each record of the pool is to examples of what the model is for (strategy `targeted`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import CurateConfig, Recipe, SampleConfig
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.records import Reading, Record, read_data
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import orders
from codeact.sample.coverage import largest_cosine
from codeact.stages.columns import vectors
from codeact.stages.pool import refines
from codeact.types import Floats

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 2
MOST_TARGETS = 512  # examples that take turns; of a longer file a seeded sample


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `target`: id, target_rank, target_similarity."""
    refined = ("refine",) if refines(recipe.curate) else ()

    def config() -> Mapping[str, Any]:
        benchmarks = {"benchmarks": inputs.benchmark_digests(), "ngram": recipe.curate.ngram}
        return {**inputs.target(), **benchmarks, "text": recipe.embed.text, "seed": recipe.seed}

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


def benchmark_free(records: Sequence[Record], curate: CurateConfig) -> tuple[list[Record], int]:
    """The examples that hold no task of a benchmark that the recipe has looked for, and how many do: what is like a benchmark's tasks would
    make its figure a measure of the choice.

    Raises:
        InputError: all of them do.
    """
    from codeact.curate.decontaminate import build_index, find_overlap
    from codeact.evaluation.benchmarks import benchmark_items

    items = [item for some in benchmark_items(curate).values() for item in some]
    index = build_index(items, curate.ngram)
    hits = [find_overlap(record, index) if items else None for record in records]
    free = [record for record, hit in zip(records, hits, strict=True) if hit is None]
    if not free:
        told = Counter(hit.item.benchmark for hit in hits if hit is not None)
        raise InputError(
            f"sample.target: all {len(records)} examples hold tasks of benchmarks ({', '.join(f'{name} {n}' for name, n in told.most_common())});"
            " give examples that nothing is measured on"
        )
    return free, len(records) - len(free)


def turns_table(name: str, ids: Sequence[str], ranks: Sequence[int | None], similarity: Floats) -> pa.Table:
    """`id, <name>_rank, <name>_similarity`; NaN becomes null."""
    import pyarrow as pa

    columns = {"id": pa.array(ids, pa.string()), f"{name}_rank": pa.array(ranks, pa.int64())}
    return pa.table({**columns, f"{name}_similarity": pa.array(similarity, pa.float64(), mask=np.isnan(similarity))})


def rank(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Write `target`: `id, target_rank` (1: taken first, see `orders.nearest_in_turn`) and `target_similarity` (largest cosine).

    Raises:
        InputError: the file of examples cannot be read, or holds none.
    """
    from codeact.embed import embed_texts, open_embedder

    config, reading = recipe.embed, examples(recipe.sample)
    free, dropped = benchmark_free(reading.usable(), recipe.curate)
    texts = {r.instruction if config.text == "instruction" else f"{r.instruction}\n\n{r.response}" for r in free}
    asked = sorted(seeded_subset(sorted(texts), MOST_TARGETS, recipe.seed))
    embedder = open_embedder(config.model, recipe.model.device, config.revision)
    points = embed_texts(asked, model=embedder, batch_size=config.batch_size)
    embedded = store.table("embed")
    if refines(recipe.curate):
        embedded = tables.keep(embedded, tables.ids_where(store.table("refine"), "kept"))
    embedded = embedded.sort_by("id")
    pool = vectors(embedded)
    rank_of = np.empty(len(pool), np.int64)
    rank_of[np.fromiter(orders.nearest_in_turn(points, pool), np.int64, len(pool))] = np.arange(1, len(pool) + 1)
    nearest = largest_cosine(pool, points)
    store.write_table("target", turns_table("target", embedded["id"].to_pylist(), rank_of.tolist(), nearest))
    refused = {"refused": len(reading.rejected)} if reading.rejected else {}
    if dropped:
        refused["examples of a benchmark"] = dropped
    return {"examples": len(asked), **refused, "nearest": float(nearest.max()), "mean": float(nearest.mean())}
