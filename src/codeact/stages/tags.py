"""Stage `tags`: what every instruction is about, in a language model's words, where the strategy asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.judge import ratings, tags
from codeact.judge.asking import ask_endpoint
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.judge import identity, served
from codeact.stages.pool import PoolTexts, pool_stages, read_pool

VERSION = 3


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `tags`: id, tags, status, detail."""

    def config() -> Mapping[str, Any]:
        merging = {"embedder": recipe.embed.model, **inputs.embedder_files()} if recipe.judge.merge_tags else {}
        return {**identity(recipe, inputs), **merging}

    return Stage(
        "tags", pool_stages(recipe.curate), config, VERSION, lambda store: tag(store, recipe, inputs),
        on_demand=True, shared=True, loaded=served(recipe),
    )  # fmt: skip


def tag(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Normalised tags of every record's instruction: `id, tags, status, detail`."""
    import pyarrow as pa

    config, stages = recipe.judge, pool_stages(recipe.curate)
    ids = read_pool(store, stages, ("id",))["id"]
    prompts = PoolTexts(store, stages, ratings.prompt_writer("judge_tags"))
    answers, told = ask_endpoint(prompts, ids.to_pylist(), config, "tags", config.tag_tokens, folder=store.root)
    found = [
        tags.parse_tags(a.text) if a.text is not None else tags.Tagged((), "no_answer", ": ".join(filter(None, (a.status, a.finish)))) for a in answers
    ]
    names = tags.frequent([f.tags for f in found], config.min_tag_count)
    if config.merge_tags:
        names = _merged(names, recipe)
    if config.associate_tags:
        names = tags.merge_associated(names, config.associate_tags)
    store.write_table(
        "tags",
        pa.table(
            {
                "id": ids,
                "tags": pa.array([[storage.utf8(tag) for tag in some] for some in names], pa.list_(pa.string())),
                "status": pa.array([f.status for f in found], pa.string()),
                "detail": tables.texts([f.detail for f in found]),
            }
        ),
    )
    distinct = len({name for some in names for name in some})
    return {"status": dict(Counter(f.status for f in found)), "distinct": distinct, **told}


def _merged(names: Sequence[Sequence[str]], recipe: Recipe) -> list[tuple[str, ...]]:
    from codeact.embed import embed_texts, open_embedder

    counts = Counter(name for some in names for name in set(some))
    if not counts:
        return [tuple(some) for some in names]
    embedder = open_embedder(recipe.embed.model, recipe.model.device, recipe.embed.revision)
    vectors = embed_texts(sorted(counts), model=embedder, batch_size=recipe.embed.batch_size)
    leader = tags.merge_like(counts, vectors)
    return [tuple(dict.fromkeys(leader[name] for name in some)) for some in names]
