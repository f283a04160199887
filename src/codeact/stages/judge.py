"""Stage `judge`: what a language model says of every record by a rubric, where the strategy asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from codeact.config import Recipe
from codeact.judge import ratings
from codeact.judge.asking import ask_endpoint
from codeact.progress import track
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample.strategies import reads
from codeact.stages.pool import pool_stages, read_pool

VERSION = 1
DEFAULT_RUBRICS = ("accuracy",)
NO_EFFECT = {"api_key_env", "concurrency", "timeout", "attempts", "backoff", "budget", "price_in", "price_out"}


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `judge`: id and, for each rubric, its rating, status and detail."""

    def config() -> Mapping[str, Any]:
        return {**identity(recipe, inputs), "rubrics": rubrics(recipe)}

    return Stage(
        "judge", pool_stages(recipe.curate), config, VERSION, lambda store: rate(store, recipe, inputs),
        on_demand=True, shared=True, loads_model=True,
    )  # fmt: skip


def rubrics(recipe: Recipe) -> tuple[str, ...]:
    """What the judge is asked: the recipe's rubrics, else those of its strategy."""
    read = reads(recipe.sample.strategy, recipe.sample.like)
    needed = tuple(name for name, one in ratings.RUBRICS.items() if one.name in read)
    return recipe.judge.rubrics or needed or DEFAULT_RUBRICS


def identity(recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """What decides the answers."""
    config = recipe.judge
    local = {"local": inputs.facts(config.model)} if not config.endpoint else {}
    return {**config.model_dump(mode="json", exclude=NO_EFFECT), **local}


def rate(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Ratings of every record of the pool by every rubric: columns `<name>` and `<name>_status`."""
    import pyarrow as pa

    pool = read_pool(store, pool_stages(recipe.curate))
    records = tables.records_from(pool)
    columns: dict[str, Any] = {"id": pool["id"]}
    summary: dict[str, Any] = {}
    for name in rubrics(recipe):
        rubric = ratings.rubric(name)
        found, spent = _ratings(records, rubric, recipe, inputs)
        columns[rubric.name] = pa.array([r.value for r in found], pa.float64())
        columns[f"{rubric.name}_status"] = pa.array([r.status for r in found], pa.string())
        columns[f"{rubric.name}_detail"] = tables.texts([r.detail for r in found])
        values = [r.value for r in found if r.value is not None]
        summary[rubric.name] = {
            "status": dict(Counter(r.status for r in found)),
            "mean": float(np.mean(values)) if values else None,
            "usd": spent,
        }
    store.write_table("judge", pa.table(columns))
    return summary


def _ratings(
    records: Sequence[Record], rubric: ratings.Rubric, recipe: Recipe, inputs: Inputs
) -> tuple[list[ratings.Rating], float]:
    config = recipe.judge
    prompts = ratings.render(rubric.template, records)
    if config.endpoint:
        answers, spent = ask_endpoint(prompts, config, f"judge: {rubric.name}", config.max_tokens)
        parse = partial(ratings.parse_rating, low=rubric.low, high=rubric.high)
        return [
            parse(a.text) if a.text is not None else ratings.Rating(None, "no_answer", a.status) for a in answers
        ], spent
    from codeact.lm import models
    from codeact.lm.prompts import load_template

    tokenizer = models.load_tokenizer(config.model)
    model = models.load_model(config.model, dtype=recipe.model.dtype, device=recipe.model.device, attention="any")
    with track(f"judge: {rubric.name}", len(prompts), "records") as progress:
        found = ratings.local_ratings(
            prompts, model, tokenizer, load_template("auto", tokenizer), low=rubric.low, high=rubric.high,
            min_mass=config.min_mass, advance=progress.advance,
        )  # fmt: skip
    return found, 0.0
