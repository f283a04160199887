"""Stage `lengths`: how many tokens each record has, by the model's tokenizer alone, where the choice reads nothing else of scoring.

Its counts are those of the table `score`: the same function prepares a record for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from codeact.config import ModelConfig, Recipe, ScoreConfig
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.nodes import for_workers, model_facts
from codeact.rundir.ranks import choose_backend
from codeact.rundir.shards import Worker, run_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.columns import LENGTHS
from codeact.stages.pool import pool_parts, pool_rows, pool_stages
from codeact.stages.sample import counted_by
from codeact.stages.score import longest, wording
from codeact.stages.unlearnable import check_any

VERSION = 3
SHARD_RECORDS = 1024


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `lengths`: id, response_tokens, prompt_tokens, status (as of `score.Score`, never nonfinite or estimated), detail."""

    def config() -> Mapping[str, Any]:
        facts = {key: value for key, value in inputs.model().items() if key not in ("dtype", "device")}
        return {"model": facts, **wording(recipe)}

    return Stage(
        LENGTHS, pool_stages(recipe.curate), config, VERSION, lambda store: count(store, recipe),
        on_demand=counted_by(recipe.sample) != LENGTHS, shared=True, in_shards=True,
    )  # fmt: skip


def count(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Count the tokens of every record of the pool; no weights are loaded.

    Raises:
        InputError: the template refuses all records.
    """
    shards = pool_parts(store.parts("records"), pool_rows(store, pool_stages(recipe.curate)), SHARD_RECORDS)
    model = for_workers(recipe).model
    facts = model_facts(model, weights=False)
    make = partial(_worker, model, recipe.score)
    table = run_shards(store, LENGTHS, shards, make, backend=choose_backend(recipe, LENGTHS, facts, model=False), label=LENGTHS)
    check_any(table)
    store.write_table(LENGTHS, table)
    return {"status": dict(Counter(table["status"].to_pylist())), "tokens": int(np.sum(table["response_tokens"].to_numpy()))}


def _worker(m: ModelConfig, s: ScoreConfig) -> Worker:
    import pyarrow as pa

    from codeact.lm.models import load_tokenizer
    from codeact.score.sequences import build_sequences, default_template

    tokenizer = load_tokenizer(m.name, m.revision)
    template, limit = default_template(s.variant, tokenizer, m.template), longest(m)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        found = []
        for record in tables.records_from(shard):
            found.append(build_sequences(record, template, tokenizer, s.variant, limit))
            progress.advance(1)
        return pa.table(
            {
                "id": pa.array([one.id for one in found], pa.string()),
                "response_tokens": pa.array([one.response_tokens for one in found], pa.int32()),
                "prompt_tokens": pa.array([one.prompt_tokens for one in found], pa.int32()),
                "status": pa.array([one.status for one in found], pa.string()),
                "detail": pa.array([one.detail for one in found], pa.string()),
            }
        )

    return work
