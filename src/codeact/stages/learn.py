"""Stage `learn`: how far a short training on a few records lowers the loss of each of the others (strategy `learnable`)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import ModelConfig, Recipe, TrainConfig
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.progress import Progress
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.shards import Worker, run_local, run_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import pool_parts, pool_rows, pool_stages, read_pool, records_by_id
from codeact.types import Floats

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 4
SHARD_RECORDS = 256
SHARE = 0.08  # of the pool that is trained on: 5 to 10 %
FEWEST = 8
LORA_RATE = 2e-4  # where the recipe's learning rate is that of full fine-tuning


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `learn`: id, nll_after, learnable, in_probe, response_tokens."""
    settings = probe_settings(recipe.train).deciding()
    packing = recipe.pack.model_dump(exclude=recipe.pack.WITHOUT_EFFECT)

    def config() -> Mapping[str, Any]:
        own = {} if recipe.train.seed is None else {"train_seed": recipe.train.seed}
        return {"model": inputs.model(), **settings, "pack": packing, "seed": recipe.seed, **own}

    return Stage(
        "learn", ("score", *pool_stages(recipe.curate)), config, VERSION, lambda store: learn(store, recipe), ("learn",),
        on_demand=True, shared=True, loads_model=True,
    )  # fmt: skip


def probe_settings(train: TrainConfig) -> TrainConfig:
    """Those of the recipe, but LoRA and one epoch."""
    rate = LORA_RATE if train.method == "full" else train.learning_rate
    method = "qlora" if train.method == "qlora" else "lora"
    short: dict[str, Any] = {"epochs": 1.0, "validation": 0.0, "report_to": (), "warmup_steps": min(train.warmup_steps, 2), "merge": True, "token_share": 1.0}
    return train.model_copy(update={"method": method, "learning_rate": rate, **short})


def learnability(before: Floats, after: Floats) -> Floats:
    """(before - after) / before, of losses in nats per token: float64 [N]; NaN where a loss is missing or not above 0."""
    found: Floats = np.divide(before - after, before, out=np.full(len(before), np.nan), where=before > 0)
    return found


def learn(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Train on a random part of the pool, and measure every record's loss again, in partitions.

    A killed training goes on from its checkpoint; one that had ended is not done again.

    Raises:
        InputError: the pool is too small for a part of it to be trained on.
        PartitionError: the trained model fails over some partitions; all others are done and kept.
    """
    import pyarrow as pa

    parts = pool_parts(store.parts("records"), pool_rows(store, pool_stages(recipe.curate)), SHARD_RECORDS)
    ids = read_pool(store, pool_stages(recipe.curate), ("id",))["id"].to_pylist()
    scores = tables.in_order(store.table("score"), ids)
    before = np.array(scores["nll_cond"].to_pylist(), np.float64)
    scored = [i for i, loss in zip(ids, before.tolist(), strict=True) if math.isfinite(loss)]
    size = max(FEWEST, round(SHARE * len(scored)))
    if size >= len(scored):
        raise InputError(
            f"strategy learnable trains on {size} records first, and the pool has {len(scored)} with a score; give more, or choose another strategy"
        )
    probe = seeded_subset(scored, size, recipe.seed)
    found = run_shards(
        store, "learn", parts, lambda: _trained(store.path("learn"), list(records_by_id(store, probe).values()), recipe),
        backend=run_local, label="loss after the probe",
    )  # fmt: skip
    after = np.array(found["nll_after"].to_pylist(), np.float64)
    value = learnability(before, after)
    store.write_table(
        "learn",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "nll_after": pa.array(after, pa.float64(), mask=np.isnan(after)),
                "learnable": pa.array(value, pa.float64(), mask=np.isnan(value)),
                "in_probe": pa.array([i in probe for i in ids], pa.bool_()),
                "response_tokens": scores["response_tokens"].combine_chunks(),
            }
        ),
    )
    shutil.rmtree(store.path("learn"), ignore_errors=True)
    others = np.array([i not in probe for i in ids]) & np.isfinite(value)
    return {"trained on": size, "mean learnability": float(value[others].mean()) if others.any() else None}


def _trained(folder: Path, probe: Sequence[Record], recipe: Recipe) -> Worker:
    """The worker of the model that is trained on the probe, in this folder."""
    from codeact.training.sft import fine_tune

    if not (folder / "summary.json").is_file():  # the last file that a training writes
        fine_tune(probe, folder, model=recipe.model, train=probe_settings(recipe.train), pack=recipe.pack, seed=recipe.seed_of("train"))
    return _worker(str(folder / "model"), recipe.model)


def _worker(model: str, config: ModelConfig) -> Worker:
    import pyarrow as pa

    from codeact.score.response_loss import open_response_losses

    measure = open_response_losses(model, config)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        found = measure(tables.records_from(shard), progress)
        return pa.table({"id": shard["id"], "nll_after": pa.array([found.get(i) for i in shard["id"].to_pylist()], pa.float64())})

    return work
