"""The way of the data, from records to the results that the report shows. Read it from top to bottom.

records -> curate -> embed -> cluster -> score -> sample -> (pack) train -> evaluate -> report
"""

from __future__ import annotations

from collections.abc import Iterable

from codeact.config import Recipe, SampleConfig
from codeact.pipeline import judging, proof, scoring, selection, targets
from codeact.pipeline.inputs import Inputs
from codeact.pipeline.stage import Stage, needed_for
from codeact.sample import NEEDS

LOADING = ("codeact.models", "codeact.prompts", "codeact.packing")
TABLE_OF = {
    "ifd": "score", "nll_cond": "score", "loss_ratio": "score", "response_tokens": "score", "length_residual": "score",
    "length_band": "score", "position_matched": "score", "spike": "score", "cluster": "cluster", "embedding": "embed", "proxy_ifd": "proxy",
    "rating": "judge", "target_rank": "target", "complexity": "judge", "quality": "judge", "tags": "tags",
}  # fmt: skip
SHARED = ("records", "curate", "embed", "cluster", "score", "proxy", "judge", "tags", "target", "evaluate_base")
ON_DEMAND = ("proxy", "judge", "tags", "target")  # run only where the strategy reads their table


def tables_for(config: SampleConfig) -> tuple[str, ...]:
    """The stages whose tables the strategy, its budget and its suspects read."""
    columns = (*NEEDS[config.strategy], *(("response_tokens",) if config.budget == "tokens" else ()))
    columns += ("spike",) if config.suspects else ()
    return tuple(dict.fromkeys(TABLE_OF[column] for column in columns))


def chosen(recipe: Recipe, inputs: Inputs, targets: Iterable[str] | None = None) -> list[Stage]:
    """The stages that run, in order: those that `targets` need; by default all but those that nothing of the recipe asks for.

    Raises:
        InputError: settings that do not go together.
    """
    stages = plan(recipe, inputs)
    skipped = {*ON_DEMAND, *(() if recipe.evaluate.enabled else ("evaluate_base", "evaluate_tuned"))}
    return needed_for(stages, set(targets) if targets is not None else {s.name for s in stages} - skipped)


def plan(recipe: Recipe, inputs: Inputs) -> list[Stage]:
    """Every stage of a run, in order: its name, what it needs, what decides its result, and the function that does it.

    Raises:
        InputError: settings that do not go together.
    """
    r, seed = recipe, recipe.seed
    scoring.check(r)
    chosen_by = tables_for(r.sample)
    sample_seed, cluster_seed, train_seed = (proof.own_seed(s.seed, r) for s in (r.sample, r.cluster, r.train))
    refined = ("refine",) if selection.refines(r.curate) else ()
    trained_by = r.train.model_dump(exclude=r.train.WITHOUT_EFFECT)
    curated_by = r.curate.model_dump(exclude={"semantic", "neighbours", "secrets"})
    return [
        # Rows of any known format become records; rows that cannot are kept in rejected.parquet with the reason.
        Stage("records", (), lambda: {"data": inputs.identity(), "limit": r.data.limit, "map": r.data.map, "seed": seed, "secrets": r.curate.secrets},
              ("codeact.confidential", "codeact.records", "codeact.sources", "codeact.harvest"),
              lambda s: selection.load_records(s, inputs, r, seed), ("rejected.parquet",)),
        # Broken, duplicate and benchmark-contaminated records leave the pool.
        Stage("curate", ("records",), lambda: {**curated_by, "files": inputs.benchmark_digests()},
              ("codeact.curate",), lambda s: selection.curate(s, r.curate, inputs.quiet)),
        # Diversity: embed the instructions, group them with K-means.
        Stage("embed", ("curate",), lambda: {**r.embed.model_dump(exclude={"batch_size"})},
              ("codeact.embed",), lambda s: selection.embed(s, r, inputs)),
        # Records whose instruction means the same as another's leave too, where the recipe asks for it.
        *([Stage("refine", ("curate", "embed"), lambda: {"semantic": r.curate.semantic, "neighbours": r.curate.neighbours},
                 ("codeact.curate.near",), lambda s: selection.refine(s, r), ("review.jsonl",))] if refined else []),
        Stage("cluster", ("embed", *refined), lambda: {**r.cluster.model_dump(), "seed": cluster_seed},
              ("codeact.cluster",), lambda s: selection.cluster(s, r.cluster, cluster_seed, bool(refined))),
        # Complexity: the model itself says how much the instruction helps with the response (IFD).
        Stage("score", ("curate", *refined, *scoring.needs(r)), lambda: {"model": inputs.model(), **scoring.settings(r)},
              scoring.CODE, lambda s: scoring.score(s, r, inputs)),
        # The same by a small proxy model (Superfiltering), where the strategy asks for it.
        Stage("proxy", ("curate", *refined), lambda: {"model": inputs.proxy(), **scoring.settings(scoring.with_proxy(r))},
              scoring.CODE, lambda s: scoring.score(s, scoring.with_proxy(r), inputs, "proxy")),
        # What a language model says of the records, where the strategy asks for it.
        Stage("judge", ("curate", *refined), lambda: {**judging.identity(r, inputs), "rubrics": judging.rubrics(r)},
              ("codeact.score.judge", "codeact.pipeline.judging"), lambda s: judging.rate(s, r, inputs, selection.pool(s, bool(refined)))),
        Stage("tags", ("curate", *refined), lambda: {**judging.identity(r, inputs), "embedder": r.embed.model},
              ("codeact.score.tags", "codeact.pipeline.judging"), lambda s: judging.tag(s, r, inputs, selection.pool(s, bool(refined)))),
        # How near each record is to examples of what the model is for, where the strategy asks for it.
        Stage("target", ("embed", *refined), lambda: {**inputs.target(), "text": r.embed.text, "seed": seed},
              ("codeact.sample.orders", "codeact.pipeline.targets"), lambda s: targets.rank(s, r, bool(refined), seed)),
        # CDAS: the hardest part of every cluster, the budget met exactly.
        Stage("sample", ("curate", *refined, *chosen_by), lambda: {**r.sample.model_dump(), "seed": sample_seed},
              ("codeact.sample", "codeact.score.stats", "codeact.coverage"),
              lambda s: selection.sample(s, r.sample, sample_seed, (*refined, *chosen_by)), ("coverage.json",)),
        # What padding would cost on the chosen records, and what Dynamic Pack leaves of it.
        Stage("pack", ("sample",), lambda: {"model": inputs.model(), "batch_size": r.train.batch_size, "seed": seed},
              (*LOADING, "codeact.train.metrics"), lambda s: proof.pack(s, r, inputs), ("pack.json",), "pack.json"),
        # Fine-tune on the chosen records.
        Stage("train", ("sample",), lambda: {"model": inputs.model(), **trained_by, "pack": r.pack.model_dump(exclude=r.pack.WITHOUT_EFFECT), "seed": train_seed},
              ("codeact.train", *LOADING), lambda s: proof.train(s, r, inputs), ("train",), "train/summary.json"),
        # The proof: the model before and after, on the same tasks.
        Stage("evaluate_base", (), lambda: {"model": inputs.model(), **r.evaluate.model_dump(), "seed": seed},
              ("codeact.evaluate", "codeact.sandbox", *LOADING), lambda s: proof.evaluate(s, r, inputs, tuned=False), ("evaluate/base",), "evaluate/base/results.json"),
        Stage("evaluate_tuned", ("train",), lambda: {**r.evaluate.model_dump(), "seed": seed},
              ("codeact.evaluate", "codeact.sandbox", *LOADING), lambda s: proof.evaluate(s, r, inputs, tuned=True), ("evaluate/tuned",), "evaluate/tuned/results.json"),
    ]  # fmt: skip
