"""Stage `score`: the model itself says how much the instruction helps with the response (IFD), of every record of the pool.

From the score cache, in full, or as far as the selection needs it. Stage `proxy` is the same by a small model (Superfiltering).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact import mirror
from codeact.config import JudgeConfig, ModelConfig, Recipe, ScoreConfig
from codeact.errors import InputError
from codeact.files import scores_dir
from codeact.progress import Progress, track
from codeact.records import Record
from codeact.redact import split_userinfo
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.nodes import for_workers, model_facts
from codeact.rundir.parts import PART_ROWS, table_parts
from codeact.rundir.ranks import choose_backend
from codeact.rundir.score_cache import (
    CHUNK_ROWS,
    KEY,
    SHARD,
    ScoreCache,
    open_cache,
    record_key,
    run_cached,
)
from codeact.rundir.shards import Worker
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import id_ranks
from codeact.sample.quotas import Placed, exactly, place_in
from codeact.sample.strategies import IFD_LIMIT, reads
from codeact.score.sequences import template_name
from codeact.stages.adaptive_parts import PART, MeasuredInParts, in_parts
from codeact.stages.columns import SCORES, read_columns
from codeact.stages.pool import pool_parts, pool_rows, pool_stages, read_pool
from codeact.stages.sample import counted_by
from codeact.stages.unlearnable import check_any
from codeact.statistics import spearman
from codeact.statuses import ESTIMATED, MEASURED, ranked_ifd
from codeact.types import Bools, Floats

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.judge.settings import Settings
    from codeact.score import Score, Scorer
    from codeact.score.engines import PromptScorer

VERSION = 5
READ = ("response_tokens", "status", "detail", "ifd", "ifd_estimate")  # what the stage tells of its table
BY_TOKEN = {
    "selective_ifd": "both losses of the same tokens",
    "position_matched": "both losses of the same tokens",
    "learnable": "losses of the same tokens before and after its training",
}
"""What is compared in columns that a strategy reads and only the default variant can give."""
ADAPTIVE_STRATEGIES = ("cdas", "complexity")


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `score`."""
    needed = (*pool_stages(recipe.curate), *needs(recipe))
    return Stage(
        "score", needed, lambda: {"model": inputs.model(), **settings(recipe)}, VERSION, lambda store: score(store, recipe, inputs),
        on_demand=counted_by(recipe.sample) != SCORES, shared=True, loads_model=True, in_shards=True, loaded=served(recipe),
    )  # fmt: skip


def stage_proxy(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `proxy`, a score table by the model `score.proxy`."""
    proxy = with_proxy(recipe)
    return Stage(
        "proxy", pool_stages(recipe.curate), lambda: {"model": inputs.proxy(), **settings(proxy)}, VERSION,
        lambda store: score(store, proxy, inputs, "proxy"), on_demand=True, shared=True, loads_model=True, in_shards=True,
    )  # fmt: skip


def needs(recipe: Recipe) -> tuple[str, ...]:
    """What scoring reads beside the pool: the clusters, where it looks for their cuts."""
    return ("cluster",) if recipe.score.adaptive and recipe.sample.strategy == "cdas" else ()


def settings(recipe: Recipe) -> Mapping[str, Any]:
    """What decides the scores, beside the model."""
    plain = {"shard_size": recipe.score.shard_size or SHARD, **wording(recipe), **_engine(recipe)}
    if not recipe.score.adaptive:
        return plain
    chosen = {"strategy": recipe.sample.strategy, "ratio": recipe.sample.ratio, "seed": recipe.seed}
    return {**plain, "adaptive": recipe.score.agreement, "asked together": PART, "last": "penalised", **chosen}


def _engine(recipe: Recipe) -> dict[str, str]:
    """What runs the model, where that is not transformers: its scores are kept apart from those of the others."""
    s = recipe.score
    if s.endpoint:
        return {"engine": f"{s.endpoint_model or recipe.model.name} at {split_userinfo(s.endpoint)[0].rstrip('/')}"}
    return {} if s.backend == "transformers" else {"engine": s.backend}


def served(recipe: Recipe) -> Callable[[], str] | None:
    """As `Stage.loaded`, of `score.endpoint`: other weights give other scores."""
    return partial(_loaded, recipe) if recipe.score.endpoint else None


def _loaded(recipe: Recipe) -> str:
    from codeact.judge.logprobs import loaded

    return loaded(_asked(recipe.model, recipe.score, recipe.judge))


def _asked(m: ModelConfig, s: ScoreConfig, judge: JudgeConfig) -> Settings:
    """How the endpoint is asked."""
    from codeact.judge.settings import Settings, api_key

    return Settings(
        s.endpoint, s.endpoint_model or m.name, api_key(judge.api_key_env), judge.concurrency, judge.timeout, judge.attempts, judge.backoff
    )


def wording(recipe: Recipe) -> dict[str, str]:
    """What decides which tokens a record has, beside the model: the variant, and the template where that is not the one that the recipe names
    (what the paper's variant makes of `auto`)."""
    name = template_name(recipe.score.variant, recipe.model.template)
    return {"variant": recipe.score.variant, **({} if name == recipe.model.template else {"template": name})}


def with_proxy(recipe: Recipe) -> Recipe:
    """The recipe with the proxy model in place of the model: what scores for Superfiltering (arXiv 2402.00530)."""
    proxy = recipe.model.model_copy(update={"name": recipe.score.proxy, "revision": None})
    full = recipe.score.model_copy(update={"adaptive": False, "backend": "transformers", "endpoint": ""})  # it is small: it runs here
    return recipe.model_copy(update={"model": proxy, "score": full})


def score(store: Store, recipe: Recipe, inputs: Inputs, stage: str = "score") -> Mapping[str, Any]:
    """IFD of every record of the pool, by the model that is going to be trained; what the score cache holds is not computed."""
    import pyarrow as pa

    model = inputs.proxy() if stage == "proxy" else inputs.model()
    cache = _cache(store, recipe, model, stage)
    if recipe.score.adaptive:
        table, extra = _adaptive(store, recipe, cache)
        parts = table_parts(table, PART_ROWS)
    else:
        pool = pool_parts(store.parts("records"), pool_rows(store, pool_stages(recipe.curate)), CHUNK_ROWS)
        there = for_workers(recipe)
        facts = model_facts(there.model, "model.name" if stage == "score" else "score.proxy", weights=not recipe.score.endpoint)
        parts, cached = run_cached(
            cache, pool, partial(_worker, there.model, there.score, there.judge),
            backend=choose_backend(recipe, stage, facts), shard_size=recipe.score.shard_size, label=stage,
        )  # fmt: skip
        extra = {"cached": cached}
    table = pa.concat_tables([part.select([name for name in READ if name in part.column_names]) for part in parts.values()])
    check_any(table)
    store.write_parts(stage, parts.values())
    counts = table["response_tokens"].to_numpy()
    return {
        "status": dict(Counter(table["status"].to_pylist())),
        "tokens": int(np.sum(counts)),
        "ifd_length_spearman": spearman(ranked_ifd(table), counts),
        **extra,
    }


def _cache(store: Store, recipe: Recipe, model: Mapping[str, Any], stage: str) -> ScoreCache:
    """The scores of this model and these settings: the user's, or some that end with the stage: with `score.cache` off, and of a run at an address."""
    ask = served(recipe)
    root = ask() if ask is not None else ""
    context = {
        **{key: value for key, value in model.items() if key != "device"},
        **wording(recipe),
        **_engine(recipe),
        **({"loaded": root} if root else {}),
        "version": VERSION,
    }
    shared = recipe.score.cache and not mirror.is_mirrored(store.root)  # a machine that goes on has another cache
    return open_cache(scores_dir() if shared else store.path(f"shards/{stage}"), context)


def _worker(model: ModelConfig, config: ScoreConfig, judge: JudgeConfig) -> Worker:
    from codeact.score import to_table

    plain = config.backend == "transformers" and not config.endpoint
    scorer = _scorer(model, config) if plain else _prompt_scorer(model, config, judge)

    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        return to_table(scorer.score(tables.records_from(shard), progress))

    return work


def _scorer(m: ModelConfig, s: ScoreConfig) -> Scorer:
    from codeact.lm import models
    from codeact.score import Scorer, default_template

    tokenizer = models.load_tokenizer(m.name, m.revision)
    lm = models.load_model(m.name, revision=m.revision, dtype=m.dtype, device=m.device, attention="any")
    template = default_template(s.variant, tokenizer, m.template)
    return Scorer(
        lm, tokenizer, template=template, variant=s.variant, max_length=m.max_length, batch_tokens=s.batch_tokens
    )


def _prompt_scorer(m: ModelConfig, s: ScoreConfig, judge: JudgeConfig) -> PromptScorer:
    """The scorer over vLLM, or over an endpoint, which is asked as `judge` says (key, timeout, tries, requests at a time)."""
    from codeact.judge.logprobs import prompt_logprobs
    from codeact.lm import models
    from codeact.lm.devices import choose_device, choose_dtype
    from codeact.score import default_template
    from codeact.score.engines import PromptScorer, vllm_log_probs

    tokenizer = models.load_tokenizer(m.name, m.revision)
    template = default_template(s.variant, tokenizer, m.template)
    limit = longest(m, 1)  # such engines write a token behind the prompt
    if s.endpoint:
        asked = partial(prompt_logprobs, settings=_asked(m, s, judge))
        return PromptScorer(asked, tokenizer, template=template, variant=s.variant, max_length=limit)
    dtype = str(choose_dtype(m.dtype, choose_device(m.device))).removeprefix("torch.")
    engine = vllm_log_probs(m.name, m.revision, dtype, limit)
    return PromptScorer(engine, tokenizer, template=template, variant=s.variant, max_length=limit)


def longest(m: ModelConfig, kept_free: int = 0) -> int:
    """Most tokens of a sequence: `model.max_length`, or where that is less the model's context without the places that are kept free."""
    from codeact.lm.models import context_length, text_config

    context = context_length(text_config(m.name, m.revision))
    return m.max_length if context is None else min(m.max_length, context - kept_free)


def _adaptive(store: Store, recipe: Recipe, cache: ScoreCache) -> tuple[pa.Table, dict[str, Any]]:
    """The score table with two more columns: `ifd_estimate` (also of records that were not scored in full) and `doubt`."""
    import pyarrow as pa

    from codeact.score import to_table
    from codeact.score.adaptive.run import score_adaptive
    from codeact.score.ifd import from_table

    table = read_pool(store, pool_stages(recipe.curate))
    ids, records = table["id"].to_pylist(), tables.records_from(table)
    group = np.zeros(len(ids), np.int64)
    if recipe.sample.strategy == "cdas":
        labels = tables.in_order(store.table("cluster"), ids)["cluster"].to_numpy()
        group = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    tie, behind = id_ranks(ids), np.array(read_columns(store, ("penalised",), ids)["penalised"], np.bool_)

    def selected(log_ifd: Floats) -> Bools:
        ifd = np.exp(log_ifd)
        eligible = np.isfinite(ifd) & (ifd < IFD_LIMIT)
        return exactly(Placed(eligible, place_in(group, ~eligible, behind, -ifd, tie), group), recipe.sample.ratio)

    keys = [record_key(record) for record in records]
    known = cache.find(keys)
    rows = {row[KEY]: row for row in known.to_pylist()} if known is not None else {}
    ranked = {key: row["ifd"] for key, row in rows.items() if row["status"] in MEASURED and row["ifd"]}
    given = np.log(np.array([ranked.get(key, np.nan) for key in keys], np.float64))
    work, kept = _scorer(recipe.model, recipe.score), store.path("shards/score/measured")

    def in_full(some: Sequence[Record]) -> list[Score]:
        shards = table_parts(tables.in_order(table, [record.id for record in some]), PART)
        made = in_parts(kept, "turns", shards, lambda shard, _: to_table(work.score(tables.records_from(shard))))
        return [score for part, _ in made for score in from_table(part)]

    cuts = group + behind * (group.max() + 1)  # those that come last have a cut of their own
    with track("score", len(ids), "records") as progress:
        found = score_adaptive(
            records, work, selected, cuts, agreement=recipe.score.agreement, seed=recipe.seed, given=given,
            through=lambda measure, own: MeasuredInParts(measure, own, kept / "answers"), in_full=in_full, progress=progress,
        )  # fmt: skip
    fresh = [n for n, item in enumerate(found.scores) if item.status != ESTIMATED and keys[n] not in ranked]
    if fresh:
        cache.add([keys[n] for n in fresh], to_table([found.scores[n] for n in fresh]))
    scores = to_table(found.scores).to_pylist()
    scores = [{**rows[key], "id": row["id"]} if key in ranked else row for key, row in zip(keys, scores, strict=True)]
    schema = to_table([]).schema
    result = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in scores], schema=schema)
    estimate = np.exp(found.log_ifd)
    result = result.append_column("ifd_estimate", pa.array(estimate, pa.float64(), mask=np.isnan(estimate)))
    result = result.append_column("doubt", pa.array(found.doubt, pa.float64()))
    return result, {
        "cached": len(ranked),
        "model_tokens": found.tokens,
        "share_of_full_scoring": found.tokens / found.tokens_in_full if found.tokens_in_full else 0.0,
        "expected_agreement": found.expected_agreement,
    }


def check(recipe: Recipe) -> None:
    """Refuse adaptive scoring, `sample.suspects`, `sample.min_gain` and strategies where their scores cannot serve them, before anything runs.

    Raises:
        InputError: these two, or a strategy that compares losses token by token, with the paper's variant; `learnable` with that or another engine;
            adaptive scoring with another strategy or unit, the paper's variant, or the Ray backend.
    """
    asked = [name for name in ("suspects", "min_gain") if getattr(recipe.sample, name)]
    if asked and recipe.score.variant != "default":
        raise InputError(
            f"sample.{asked[0]} needs both losses of the same tokens, as score.variant=default has them; use that variant, or"
            f" sample.{asked[0]}=0"
        )
    strategy = recipe.sample.strategy
    columns = reads(strategy, recipe.sample.like)
    named = f"strategy {strategy!r}" + (f" (sample.like={recipe.sample.like})" if columns != reads(strategy, strategy) else "")
    if recipe.score.variant != "default" and (wanted := next((why for name, why in BY_TOKEN.items() if name in columns), None)):
        raise InputError(f"{named} compares {wanted}, as score.variant=default has them; use that variant")
    if "learnable" in columns and _engine(recipe):
        raise InputError(f"{named} subtracts losses, and those after its training are of transformers; leave score.endpoint and score.backend out")
    if not recipe.score.adaptive:
        return
    if strategy not in ADAPTIVE_STRATEGIES or recipe.sample.unit != "records":
        raise InputError(
            f"adaptive scoring looks for the cut of {' or '.join(ADAPTIVE_STRATEGIES)} by records, not for that of {strategy!r} with"
            f" sample.unit={recipe.sample.unit}: set sample.strategy={ADAPTIVE_STRATEGIES[0]} and sample.unit=records, or leave score.adaptive off"
        )
    if recipe.sample.floor or asked:
        raise InputError(
            "adaptive scoring looks for the cuts of IFD alone; sample.floor, suspects and min_gain move records across them: leave"
            " score.adaptive off, or these"
        )
    if recipe.data.weights:
        raise InputError(
            "adaptive scoring looks for the cuts of one pool; data.sources with weights has one for each source: leave score.adaptive"
            " off, or the weights out"
        )
    if recipe.score.variant != "default":
        raise InputError(
            "adaptive scoring needs score.variant=default: the paper's two passes do not score the same tokens"
        )
    if _engine(recipe):
        raise InputError("adaptive scoring needs the model's own passes; leave score.endpoint and score.backend=vllm out, or score.adaptive")
    if recipe.backend != "local":
        raise InputError("adaptive scoring decides from what it has just measured, in one process: use backend=local")
