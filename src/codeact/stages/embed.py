"""Stage `embed`: one L2-normalised vector for the instruction of every record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from codeact.config import Recipe
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.nodes import embedder_facts, for_workers
from codeact.rundir.parts import Parts, regrouped
from codeact.rundir.ranks import choose_backend
from codeact.rundir.shards import Worker, make_shards, read_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import pool_parts, pool_rows, records_at
from codeact.types import Ints

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
SHARD_RECORDS = 1024
LOOKED_AT = 256  # records by which it is judged whether the embedder reads them
UNREAD = 0.2
MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"

log = logging.getLogger(__name__)


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `embed`: id, embedding."""

    def config() -> Mapping[str, Any]:
        return {**recipe.embed.model_dump(exclude={"batch_size", "revision"}), **inputs.embedder_files()}

    return Stage(
        "embed", ("curate",), config, VERSION, lambda store: embed(store, recipe, inputs),
        shared=True, loads_model=True, in_shards=True,
    )  # fmt: skip


def embed(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """One L2-normalised vector per record of the pool."""
    config = recipe.embed
    there = for_workers(recipe)
    facts = embedder_facts(there.embed.model, inputs.embedder_commit)
    make = partial(_embed_worker, there.embed.model, inputs.embedder_commit, config.batch_size, config.text, recipe.model.device)
    records, rows = store.parts("records"), pool_rows(store)
    unread = _unread(records, rows, recipe, inputs.embedder_commit)
    shards = pool_parts(records, rows, SHARD_RECORDS)
    make_shards(store, "embed", shards, make, backend=choose_backend(recipe, "embed", facts), label="embed")
    store.write_parts("embed", regrouped(read_shards(store, "embed", shards)))
    dimensions = store.parts("embed", ["embedding"])[0]["embedding"].type.list_size
    return {"vectors": shards.num_rows, "dimensions": dimensions} | ({"unread": unread} if unread else {})


def _unread(records: Parts, rows: Ints, recipe: Recipe, revision: str | None) -> float | None:
    """The share of the instructions that the embedder does not read; a warning where it is large. None: nothing to judge by."""
    from codeact.embed import unread_share
    from codeact.lm.identity import model_title

    some = records_at(records, rows[:: max(1, len(rows) // LOOKED_AT)])
    share = unread_share([record.instruction for record in some], recipe.embed.model, revision)
    if share is not None and share >= UNREAD:
        log.warning(
            "the embedder %s does not read %.0f %% of the instructions (unknown or single letters): clusters and neighbours mean little; "
            "name one of their language, or a multilingual one: --embedder %s", model_title(recipe.embed.model, embedder=True), 100 * share, MULTILINGUAL,
        )  # fmt: skip
    return share


def _embed_worker(model: str, revision: str | None, batch_size: int, text: str, device: str) -> Worker:
    import pyarrow as pa

    from codeact.embed import embed_texts, open_embedder

    embedder = open_embedder(model, device, revision)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        records = tables.records_from(shard)
        texts = [r.instruction if text == "instruction" else f"{r.instruction}\n\n{r.response}" for r in records]
        vectors = embed_texts(texts, model=embedder, batch_size=batch_size, progress=progress)
        flat = pa.array(vectors.reshape(-1), pa.float32())
        return pa.table({"id": shard["id"], "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})

    return work
