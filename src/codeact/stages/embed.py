"""Stage `embed`: one L2-normalised vector for the instruction of every record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from codeact.config import Recipe
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import regrouped, table_parts
from codeact.rundir.ranks import choose_backend
from codeact.rundir.shards import Worker, make_shards, read_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import read_pool

VERSION = 1
SHARD_RECORDS = 1024


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `embed`: id, embedding."""

    def config() -> Mapping[str, Any]:
        return {**recipe.embed.model_dump(exclude={"batch_size"}), **inputs.embedder_files()}

    return Stage(
        "embed", ("curate",), config, VERSION, lambda store: embed(store, recipe, inputs),
        shared=True, loads_model=True, in_shards=True,
    )  # fmt: skip


def embed(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """One L2-normalised vector per record of the pool."""
    config = recipe.embed
    make = partial(_embed_worker, config.model, config.batch_size, config.text, recipe.model.device)
    shards = table_parts(read_pool(store), SHARD_RECORDS)
    make_shards(store, "embed", shards, make, backend=choose_backend(recipe, "embed"), label="embed")
    store.write_parts("embed", regrouped(read_shards(store, "embed", shards)))
    dimensions = store.parts("embed", ["embedding"])[0]["embedding"].type.list_size
    return {"vectors": shards.num_rows, "dimensions": dimensions}


def _embed_worker(model: str, batch_size: int, text: str, device: str) -> Worker:
    import pyarrow as pa

    from codeact.embed import embed_texts, open_embedder

    embedder = open_embedder(model, device)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        records = tables.records_from(shard)
        texts = [r.instruction if text == "instruction" else f"{r.instruction}\n\n{r.response}" for r in records]
        vectors = embed_texts(texts, model=embedder, batch_size=batch_size, progress=progress)
        flat = pa.array(vectors.reshape(-1), pa.float32())
        return pa.table({"id": shard["id"], "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})

    return work
