"""The stages that ask a language model about records: judge (ratings) and tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codeact import storage
from codeact.config import JudgeConfig, Recipe
from codeact.errors import CodeactError
from codeact.pipeline import tables
from codeact.pipeline.inputs import Inputs
from codeact.pipeline.store import Store
from codeact.progress import track
from codeact.records import Record
from codeact.redact import split_userinfo
from codeact.score import endpoint, judge, tags

Summary = Mapping[str, Any]
RUBRICS_OF: Mapping[str, tuple[str, ...]] = {"deita": ("complexity", "quality")}
DEFAULT_RUBRICS = ("accuracy",)
NO_EFFECT = {"api_key_env", "concurrency", "timeout", "attempts", "backoff", "budget", "price_in", "price_out"}


def rubrics(recipe: Recipe) -> tuple[str, ...]:
    """What the judge is asked: the recipe's rubrics, else those of its strategy."""
    return recipe.judge.rubrics or RUBRICS_OF.get(recipe.sample.strategy, DEFAULT_RUBRICS)


def identity(recipe: Recipe, inputs: Inputs) -> Summary:
    """What decides the answers."""
    config = recipe.judge
    local = {"local": inputs.facts(config.model)} if not config.endpoint else {}
    return {**config.model_dump(mode="json", exclude=NO_EFFECT), **local}


def rate(store: Store, recipe: Recipe, inputs: Inputs, pool: Any) -> Summary:
    """Ratings of every record of the pool by every rubric: columns `<name>` and `<name>_status`."""
    import pyarrow as pa

    records = tables.records_from(pool)
    columns: dict[str, Any] = {"id": pool["id"]}
    summary: dict[str, Any] = {}
    for name in rubrics(recipe):
        rubric = judge.rubric(name)
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


def tag(store: Store, recipe: Recipe, inputs: Inputs, pool: Any) -> Summary:
    """Normalised tags of every record's instruction: `id, tags, status, detail`."""
    import pyarrow as pa

    config = recipe.judge
    prompts = judge.render("judge_tags", tables.records_from(pool))
    answers, spent = _ask(prompts, config, inputs, "tags", config.tag_tokens)
    found = [tags.parse_tags(a.text) if a.text is not None else tags.Tagged((), "no_answer", a.status) for a in answers]
    names = tags.frequent([f.tags for f in found], config.min_tag_count)
    if config.merge_tags:
        names = _merged(names, recipe)
    if config.associate_tags:
        names = tags.merge_associated(names, config.associate_tags)
    store.write_table(
        "tags",
        pa.table(
            {
                "id": pool["id"],
                "tags": pa.array([[storage.utf8(tag) for tag in some] for some in names], pa.list_(pa.string())),
                "status": pa.array([f.status for f in found], pa.string()),
                "detail": tables.texts([f.detail for f in found]),
            }
        ),
    )
    distinct = len({name for some in names for name in some})
    return {"status": dict(Counter(f.status for f in found)), "distinct": distinct, "usd": spent}


def settings(config: JudgeConfig, max_tokens: int) -> endpoint.Settings:
    """The recipe's section as the endpoint's settings."""
    return endpoint.Settings(
        config.endpoint, config.model, endpoint.api_key(config.api_key_env), concurrency=config.concurrency,
        timeout=config.timeout, attempts=config.attempts, backoff=config.backoff, max_tokens=max_tokens, budget=config.budget,
        price_in=config.price_in, price_out=config.price_out, extra=config.extra,
    )  # fmt: skip


def cache_file() -> Path:
    """Where answers are kept, for all runs of this user."""
    from codeact.downloads import cache_dir

    return cache_dir() / "judge" / "answers.sqlite"


def _ratings(
    records: Sequence[Record], rubric: judge.Rubric, recipe: Recipe, inputs: Inputs
) -> tuple[list[judge.Rating], float]:
    config = recipe.judge
    prompts = judge.render(rubric.template, records)
    if config.endpoint:
        answers, spent = _ask(prompts, config, inputs, f"judge: {rubric.name}", config.max_tokens)
        parse = partial(judge.parse_rating, low=rubric.low, high=rubric.high)
        return [
            parse(a.text) if a.text is not None else judge.Rating(None, "no_answer", a.status) for a in answers
        ], spent
    from codeact import models
    from codeact.prompts import load_template

    tokenizer = models.load_tokenizer(config.model)
    model = models.load_model(config.model, dtype=recipe.model.dtype, device=recipe.model.device, attention="any")
    with track(f"judge: {rubric.name}", len(prompts), "records", quiet=inputs.quiet) as progress:
        found = judge.local_ratings(
            prompts, model, tokenizer, load_template("auto", tokenizer), low=rubric.low, high=rubric.high,
            min_mass=config.min_mass, advance=progress.advance,
        )  # fmt: skip
    return found, 0.0


def _ask(
    prompts: list[str], config: JudgeConfig, inputs: Inputs, label: str, max_tokens: int
) -> tuple[list[endpoint.Answer], float]:
    with track(label, len(prompts), "records", quiet=inputs.quiet) as progress:
        answers = endpoint.ask(prompts, settings(config, max_tokens), cache_file(), progress)
    failed = Counter(a.status for a in answers if a.text is None)
    if sum(failed.values()) > config.max_failures * len(answers):
        raise CodeactError(
            f"{sum(failed.values())} of {len(answers)} requests to {split_userinfo(config.endpoint)[0]} failed ({dict(failed)}); the other answers are"
            " kept: run again to ask only for these, or allow them with judge.max_failures"
        )
    return answers, round(sum(a.usd for a in answers), 6)


def _merged(names: Sequence[Sequence[str]], recipe: Recipe) -> list[tuple[str, ...]]:
    from codeact.embed import embed_texts, load_embedder

    counts = Counter(name for some in names for name in set(some))
    if not counts:
        return [tuple(some) for some in names]
    embedder = load_embedder(recipe.embed.model, recipe.model.device)
    vectors = embed_texts(sorted(counts), model=embedder, batch_size=recipe.embed.batch_size)
    leader = tags.merge_like(counts, vectors)
    return [tuple(dict.fromkeys(leader[name] for name in some)) for some in names]
