"""Stage `judge`: what a language model says of every record by a rubric, where the strategy asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import JudgeConfig, Recipe
from codeact.judge import ratings
from codeact.judge.answers import Rating, parse_rating
from codeact.judge.asking import ask_endpoint, check_costs, loaded
from codeact.judge.endpoint import Answer
from codeact.judge.responses import CUT
from codeact.progress import Progress
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.nodes import for_workers, model_facts
from codeact.rundir.ranks import choose_backend
from codeact.rundir.shards import Worker, run_shards
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample.strategies import reads
from codeact.stages.pool import PoolTexts, pool_parts, pool_rows, pool_stages, read_pool

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 5
SHARD_RECORDS = 256
DEFAULT_RUBRICS = ("accuracy",)
NO_EFFECT = {"api_key_env", "concurrency", "timeout", "attempts", "backoff", "budget", "price_in", "price_out"}


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `judge`: id and, for each rubric, its rating, status and detail. A local model rates in shards."""

    def config() -> Mapping[str, Any]:
        return {**identity(recipe, inputs), "rubrics": rubrics(recipe)}

    return Stage(
        "judge", pool_stages(recipe.curate), config, VERSION, lambda store: rate(store, recipe, inputs),
        on_demand=True, shared=True, loads_model=True, in_shards=not recipe.judge.endpoint, loaded=served(recipe),
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


def served(recipe: Recipe) -> Callable[[], str] | None:
    """As `Stage.loaded`, of the judge."""
    return partial(loaded, recipe.judge) if recipe.judge.endpoint else None


def rate(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Ratings of every record of the pool by every rubric: columns `<name>`, `<name>_status` and `<name>_detail`."""
    asked = [ratings.rubric(name) for name in rubrics(recipe)]
    if recipe.judge.endpoint:
        table, told = _by_endpoint(store, asked, recipe)
    else:
        there = for_workers(recipe)
        model = there.model.model_copy(update={"name": there.judge.model, "revision": None, "template": "auto"})
        shards = pool_parts(store.parts("records"), pool_rows(store, pool_stages(recipe.curate)), SHARD_RECORDS)
        table, told = run_shards(
            store, "judge", shards, partial(_worker, there.judge, recipe.model.dtype, recipe.model.device, asked),
            backend=choose_backend(recipe, "judge", model_facts(model, "judge.model")), label="judge",
        ), {rubric.name: {"usd": 0.0} for rubric in asked}  # fmt: skip
    store.write_table("judge", table)
    return {rubric.name: {**_figures(table, rubric.name), **told[rubric.name]} for rubric in asked}


def _figures(table: pa.Table, name: str) -> dict[str, Any]:
    values = [value for value in table[name].to_pylist() if value is not None]
    status = dict(Counter(table[f"{name}_status"].to_pylist()))
    return {"status": status, "mean": float(np.mean(values)) if values else None}


def _by_endpoint(store: Store, asked: Sequence[ratings.Rubric], recipe: Recipe) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    """The table, and what is recorded of each rubric's answers."""
    config, stages = recipe.judge, pool_stages(recipe.curate)
    column = read_pool(store, stages, ("id",))["id"]
    ids = column.to_pylist()
    found, told = dict[str, list[Rating]](), dict[str, dict[str, Any]]()
    prompts = {rubric.name: PoolTexts(store, stages, ratings.prompt_writer(rubric.template)) for rubric in asked}
    check_costs(list(prompts.values()), config, config.max_tokens, store.root)
    for rubric in asked:
        answers, told[rubric.name] = ask_endpoint(
            prompts[rubric.name], ids, config, f"judge: {rubric.name}", config.max_tokens, folder=store.root
        )
        found[rubric.name] = [_rating(answer, rubric) for answer in answers]
    return _table(column, found), told


def _rating(answer: Answer, rubric: ratings.Rubric) -> Rating:
    if answer.text is None:
        return Rating(None, "no_answer", ": ".join(filter(None, (answer.status, answer.finish))))
    return parse_rating(answer.text, rubric.low, rubric.high, cut=answer.finish in CUT)


def _worker(config: JudgeConfig, dtype: str, device: str, asked: Sequence[ratings.Rubric]) -> Worker:
    """Rates by the local model `config.model`."""
    from codeact.lm import models
    from codeact.lm.prompts import load_template

    tokenizer = models.load_tokenizer(config.model)
    model = models.load_model(config.model, dtype=dtype, device=device, attention="any")
    template = load_template("auto", tokenizer)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        records = tables.records_from(shard)
        found = {
            rubric.name: ratings.local_ratings(
                ratings.render(rubric.template, records), model, tokenizer, template, low=rubric.low, high=rubric.high,
                min_mass=config.min_mass, advance=lambda done: progress.advance(done / len(asked)),
            )
            for rubric in asked
        }  # fmt: skip
        return _table(shard["id"], found)

    return work


def _table(ids: pa.ChunkedArray, found: Mapping[str, Sequence[Rating]]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {"id": ids}
    for name, rated in found.items():
        columns[name] = pa.array([r.value for r in rated], pa.float64())
        columns[f"{name}_status"] = pa.array([r.status for r in rated], pa.string())
        columns[f"{name}_detail"] = tables.texts([r.detail for r in rated])
    return pa.table(columns)
