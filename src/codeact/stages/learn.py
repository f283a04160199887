"""Stage `learn`: how far a short training on a few records lowers the loss of each of the others (strategy `learnable`)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from codeact.config import Recipe, TrainConfig
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import pool_stages, read_pool
from codeact.types import Floats

VERSION = 2
SHARE = 0.08  # of the pool that is trained on: 5 to 10 %
FEWEST = 8
LORA_RATE = 2e-4  # where the recipe's learning rate is that of full fine-tuning


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `learn`: id, nll_after, learnable, in_probe, response_tokens."""
    settings = probe_settings(recipe.train).deciding()
    packing = recipe.pack.model_dump(exclude=recipe.pack.WITHOUT_EFFECT)

    def config() -> Mapping[str, Any]:
        return {"model": inputs.model(), **settings, "pack": packing, "seed": recipe.seed}

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
    """Train on a random part of the pool, and measure every record's loss again.

    Raises:
        InputError: the pool is too small for a part of it to be trained on.
    """
    import pyarrow as pa

    from codeact.score.response_loss import response_losses
    from codeact.training.sft import fine_tune

    records = tables.records_from(read_pool(store, pool_stages(recipe.curate)))
    ids = [record.id for record in records]
    size = max(FEWEST, round(SHARE * len(ids)))
    if size >= len(ids):
        raise InputError(f"strategy learnable trains on {size} records first, and the pool has {len(ids)}; give more, or choose another strategy")
    scores = tables.in_order(store.table("score"), ids)
    probe = seeded_subset(ids, size, recipe.seed)
    folder = store.path("learn")
    fine_tune(
        [record for record in records if record.id in probe], folder,
        model=recipe.model, train=probe_settings(recipe.train), pack=recipe.pack, seed=recipe.seed,
    )  # fmt: skip
    found = response_losses(str(folder / "model"), records, recipe.model, "loss after the probe")
    shutil.rmtree(folder)
    before = np.array(scores["nll_cond"].to_pylist(), np.float64)
    after = np.array([found.get(i, np.nan) for i in ids], np.float64)
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
    others = np.array([i not in probe for i in ids]) & np.isfinite(value)
    return {"trained on": size, "mean learnability": float(value[others].mean()) if others.any() else None}
