"""Stage `dsir`: how much likelier each record's words are among examples of what the model is for than in the pool (strategy `dsir`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeact.config import Recipe
from codeact.records import Record
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample.importance import log_weights
from codeact.stages.pool import PoolTexts, pool_stages, read_pool
from codeact.stages.target import benchmark_free, examples

VERSION = 1


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `dsir`: id, importance (log weight)."""

    def config() -> Mapping[str, Any]:
        return {**inputs.target(), "benchmarks": inputs.benchmark_digests(), "ngram": recipe.curate.ngram}

    return Stage("dsir", pool_stages(recipe.curate), config, VERSION, lambda store: weigh(store, recipe), on_demand=True, shared=True)


def text(record: Record) -> str:
    """Instruction and answer."""
    return f"{record.instruction}\n\n{record.response}"


def weigh(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Write `dsir`; examples that hold a benchmark's task do not count.

    Raises:
        InputError: the file of examples cannot be read, or no example is left.
        MissingExtraError: the package data-selection is not installed.
    """
    import pyarrow as pa

    asked, dropped = benchmark_free(examples(recipe.sample).usable(), recipe.curate)
    stages = pool_stages(recipe.curate)
    found = log_weights(PoolTexts(store, stages, text), [text(record) for record in asked])
    ids = read_pool(store, stages, ("id",))["id"].combine_chunks()
    store.write_table("dsir", pa.table({"id": ids, "importance": pa.array(found, pa.float64())}))
    return {"examples": len(asked), "examples of a benchmark": dropped or None}
