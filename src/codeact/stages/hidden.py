"""Stage `hidden`: what the model itself makes of every record, prompt and answer, as one vector (strategy `rds`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from codeact.config import ModelConfig, Recipe
from codeact.errors import InputError
from codeact.progress import SILENT, Progress, Steady
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.nodes import for_workers, model_facts
from codeact.rundir.ranks import choose_backend
from codeact.rundir.shards import Worker, run_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import pool_parts, pool_rows, pool_stages
from codeact.types import Vectors

VERSION = 2
SHARD_RECORDS = 256


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `hidden`: id, hidden (null for a record that has nothing to score)."""
    return Stage(
        "hidden", pool_stages(recipe.curate), lambda: {"model": inputs.model()}, VERSION, lambda store: hidden(store, recipe),
        on_demand=True, shared=True, loads_model=True, in_shards=True,
    )  # fmt: skip


def hidden(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """One pass over the conditional sequence of every record of the pool: the one that IFD scores, without the output head."""
    shards = pool_parts(store.parts("records"), pool_rows(store, pool_stages(recipe.curate)), SHARD_RECORDS)
    model = for_workers(recipe).model
    make = partial(_worker, model.model_dump())
    table = run_shards(store, "hidden", shards, make, backend=choose_backend(recipe, "hidden", model_facts(model)), label="hidden states")
    if table.num_rows == table["hidden"].null_count:
        raise InputError("no record of the pool has a response that the model can read; look at the template")
    store.write_table("hidden", table)
    return {"vectors": table.num_rows - table["hidden"].null_count, "dimensions": table["hidden"].type.list_size}


def embed(records: Sequence[Record], model: ModelConfig, progress: Progress = SILENT) -> tuple[list[int], Vectors]:
    """The numbers of the records that can be read, and their vectors: float32 [those, hidden]."""
    return _embedder(model)(records, progress)


def _embedder(config: ModelConfig) -> Callable[[Sequence[Record], Progress], tuple[list[int], Vectors]]:
    from codeact.lm import models, prompts
    from codeact.lm.models import context_length
    from codeact.lm.pooling import pooled_states
    from codeact.lm.streams import check_model, choose_batch_tokens
    from codeact.score.sequences import build_sequences

    tokenizer = models.load_tokenizer(config.name, config.revision)
    network = models.load_model(config.name, revision=config.revision, dtype=config.dtype, device=config.device, attention="any")
    template = prompts.load_template(config.template, tokenizer)
    limit = min(config.max_length, context_length(network.config.get_text_config()) or config.max_length)
    check_model(network)
    network.eval()

    def run(records: Sequence[Record], progress: Progress) -> tuple[list[int], Vectors]:
        made = [build_sequences(record, template, tokenizer, "default", limit).conditional for record in records]
        usable = [n for n, streams in enumerate(made) if streams]
        progress.advance(len(records) - len(usable))
        sequences = [made[n][0].ids for n in usable]
        steady = Steady(progress, len(usable), sum(map(len, sequences)))
        return usable, pooled_states(network, sequences, choose_batch_tokens(network), lambda _, tokens: steady.add(tokens))

    return run


def _worker(model: dict[str, Any]) -> Worker:
    import pyarrow as pa

    run = _embedder(ModelConfig(**model))

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        usable, vectors = run(tables.records_from(shard), progress)
        rows: list[list[float] | None] = [None] * shard.num_rows
        for number, vector in zip(usable, vectors.tolist(), strict=True):
            rows[number] = vector
        return pa.table({"id": shard["id"], "hidden": pa.array(rows, pa.list_(pa.float32(), vectors.shape[1]))})

    return work
