"""The stages that choose: records, curate, embed, cluster, score, sample. Each reads tables and writes one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from codeact import storage
from codeact.backends.local import Worker
from codeact.config import ClusterConfig, CurateConfig, ModelConfig, Recipe, SampleConfig, ScoreConfig
from codeact.errors import InputError
from codeact.pipeline import tables
from codeact.pipeline.columns import read_columns, vectors
from codeact.pipeline.inputs import Inputs
from codeact.pipeline.shards import choose_backend, run_shards
from codeact.pipeline.store import Store
from codeact.progress import Progress
from codeact.ranks import spearman, token_share
from codeact.records import Record, Rejected, to_records

Summary = Mapping[str, Any]


def load_records(store: Store, inputs: Inputs, recipe: Recipe, seed: int) -> Summary:
    """Rows to records; unreadable rows and rows beyond `data.limit` go to rejected.parquet."""
    source = inputs.source
    records, rejected = to_records(source.rows, recipe.data.map, source.name)
    if not records:
        raise InputError(
            f"{source.name}: none of its {len(rejected)} rows is usable; the first: {rejected[0].reason}: {rejected[0].detail}"
        )
    limit = recipe.data.limit
    if limit is not None and limit < len(records):
        chosen = tables.seeded_subset([r.id for r in records], limit, seed)
        outside = [
            Rejected(r.id, int(r.meta["row"]), "limit", f"not in the sample of {limit}")
            for r in records
            if r.id not in chosen
        ]
        rejected, records = rejected + outside, [r for r in records if r.id in chosen]
    storage.write_parquet(tables.rejected_table(rejected), store.path("rejected.parquet"))
    store.write_table("records", tables.records_table(records))
    return {"rows": len(source.rows), "records": len(records), "rejected": dict(Counter(r.reason for r in rejected))}


def curate(store: Store, config: CurateConfig, quiet: bool) -> Summary:
    """Decide which records stay in the pool."""
    import pyarrow as pa

    from codeact.curate import curate as decide

    records = tables.records_from(store.table("records"))
    decisions = decide(records, config, _benchmark_items(config), quiet=quiet)
    if not any(d.kept for d in decisions):
        reasons = Counter(d.reason for d in decisions)
        raise InputError(
            f"curate dropped all {len(decisions)} records ({dict(reasons)}); look at curate.parquet's reasons or switch stages off with curate.verify=false"
        )
    names = ("id", "kept", "reason", "detail", "duplicate_of", "benchmark_item")
    types = {"kept": pa.bool_()}
    store.write_table(
        "curate", pa.table({n: pa.array([getattr(d, n) for d in decisions], types.get(n, pa.string())) for n in names})
    )
    return {"kept": sum(d.kept for d in decisions), "dropped": dict(Counter(d.reason for d in decisions if not d.kept))}


def _benchmark_items(config: CurateConfig) -> dict[str, list[Any]]:
    from codeact.curate import BenchmarkItem
    from codeact.evaluate.tasks import load_tasks

    return {
        name: [BenchmarkItem(name, t.id, t.prompt, t.canonical_solution) for t in load_tasks(name).tasks]
        for name in config.decontaminate
    }


def pool(store: Store) -> Any:
    """The table of the records that curate kept."""
    kept = store.table("curate")
    return tables.keep(store.table("records"), kept.filter(kept["kept"])["id"].to_pylist())


def embed(store: Store, recipe: Recipe, inputs: Inputs) -> Summary:
    """One L2-normalised vector per record of the pool."""
    config = recipe.embed
    make = partial(_embed_worker, config.model, config.batch_size, config.text, recipe.model.device)
    table = run_shards(
        store, "embed", pool(store), make,
        backend=choose_backend(recipe), shard_size=1024, label="embed", quiet=inputs.quiet,
    )  # fmt: skip
    store.write_table("embed", table)
    return {"vectors": table.num_rows, "dimensions": table["embedding"].type.list_size}


def _embed_worker(model: str, batch_size: int, text: str, device: str) -> Worker:
    import pyarrow as pa

    from codeact.embed import embed_texts, load_embedder

    embedder = load_embedder(model, device)

    def work(shard: Any, progress: Progress) -> Any:
        records = tables.records_from(shard)
        texts = [r.instruction if text == "instruction" else f"{r.instruction}\n\n{r.response}" for r in records]
        vectors = embed_texts(texts, model=embedder, batch_size=batch_size, progress=progress)
        flat = pa.array(vectors.reshape(-1), pa.float32())
        return pa.table({"id": shard["id"], "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})

    return work


def cluster(store: Store, config: ClusterConfig, seed: int) -> Summary:
    """K-means labels, the distance to the own centroid, and a 2-D view."""
    import pyarrow as pa

    from codeact.cluster import choose_k, project_2d
    from codeact.cluster import cluster as group

    table = store.table("embed")
    ids, points = table["id"].to_pylist(), vectors(table)
    chosen = choose_k(points, seed, ids=ids) if config.k == "auto" else None
    k = chosen.k if chosen is not None else int(config.k)
    found = group(points, k, seed, ids=ids)
    view = project_2d(points, ids=ids)
    store.write_table(
        "cluster",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "cluster": pa.array(found.labels, pa.int32()),
                "x": pa.array(view[:, 0], pa.float32()),
                "y": pa.array(view[:, 1], pa.float32()),
                "distance": pa.array(found.distance, pa.float32()),
            }
        ),
    )
    return {
        "clusters": len(found.centroids),
        "sizes": np.bincount(found.labels).tolist(),
        "note": found.note or None,
        "auto": chosen.table() if chosen else None,
    }


def with_proxy(recipe: Recipe) -> Recipe:
    """The recipe with the proxy model in place of the model: what scores for Superfiltering (arXiv 2402.00530)."""
    proxy = recipe.model.model_copy(update={"name": recipe.score.proxy, "revision": None})
    return recipe.model_copy(update={"model": proxy})


def score(store: Store, recipe: Recipe, inputs: Inputs, stage: str = "score") -> Summary:
    """IFD of every record of the pool, by the model that is going to be trained."""
    make = partial(_score_worker, recipe.model.model_dump(), recipe.score.model_dump())
    whole, known = pool(store), known_rows(store, stage)
    fresh = whole if known is None else tables.without(whole, known["id"])
    parts = [] if known is None else [known]
    if fresh.num_rows:
        parts.append(run_shards(
            store, stage, fresh, make,
            backend=choose_backend(recipe), shard_size=recipe.score.shard_size, label=stage, quiet=inputs.quiet,
        ))  # fmt: skip
    table = tables.in_order(parts, whole["id"].to_pylist())
    store.write_table(stage, table)
    return {
        "status": dict(Counter(table["status"].to_pylist())),
        "tokens": int(np.sum(table["response_tokens"].to_numpy())),
        "known_before": None if known is None else whole.num_rows - fresh.num_rows,
    }


def known_rows(store: Store, stage: str) -> Any:
    """Rows that another run directory has made of the same records (`pipeline.run.Lenders`), or None."""
    path = store.path(f"known/{stage}.parquet")
    return storage.read_parquet(path) if path.exists() else None


def _score_worker(model: dict[str, Any], score_config: dict[str, Any]) -> Worker:
    from codeact import models, prompts
    from codeact.score import score_ifd, to_table

    m, s = ModelConfig(**model), ScoreConfig(**score_config)
    tokenizer = models.load_tokenizer(m.name, m.revision)
    lm = models.load_model(m.name, revision=m.revision, dtype=m.dtype, device=m.device)
    template = prompts.load_template(m.template, tokenizer)

    def work(shard: Any, progress: Progress) -> Any:
        return to_table(
            score_ifd(
                tables.records_from(shard), lm, tokenizer, template=template, variant=s.variant,
                max_length=m.max_length, batch_tokens=s.batch_tokens, progress=progress,
            )
        )  # fmt: skip

    return work


def sample(store: Store, config: SampleConfig, seed: int, needs: tuple[str, ...]) -> Summary:
    """Choose the budget; every record of the pool gets a row with its rank and the reason. `needs` names the tables read."""
    import pyarrow as pa

    from codeact.sample import NEEDS, select

    ids: list[str] = pool(store)["id"].to_pylist()
    columns = read_columns(store, needs, ids, NEEDS[config.strategy])
    counts = columns.get("response_tokens")
    found = select(
        ids, strategy=config.strategy, ratio=config.ratio, seed=seed, unit=config.budget,
        ifd=columns.pop("ifd", None), status=columns.pop("status", None), cluster=columns.pop("cluster", None),
        response_tokens=columns.pop("response_tokens", None), columns=columns,
    )  # fmt: skip
    chosen = int(found.selected.sum())
    if chosen == 0:
        raise InputError(
            f"no record was selected from the pool of {len(ids)}: strategy {config.strategy!r} found none eligible"
            f" ({dict(Counter(found.reason).most_common(3))}), or ratio {config.ratio} is less than one record;"
            " raise sample.ratio or look at the tables that the strategy reads"
        )
    store.write_table(
        "sample",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "cluster": pa.array(found.cluster, pa.int32()),
                "rank": pa.array(found.rank, pa.int32(), mask=found.rank == 0),
                "ifd": pa.array(found.ifd, pa.float64(), mask=np.isnan(found.ifd)),
                "cutoff": pa.array(found.cutoff, pa.float64(), mask=np.isnan(found.cutoff)),
                "selected": pa.array(found.selected, pa.bool_()),
                "reason": pa.array(found.reason, pa.string()),
                "score": pa.array(found.score, pa.float64(), mask=np.isnan(found.score)),
            }
        ),
    )
    return {
        "pool": len(ids), "selected": chosen, "ratio": config.ratio, "strategy": config.strategy,
        "budget": config.budget,
        "ifd_length_spearman": None if counts is None else spearman(found.ifd, counts),
        "token_share": None if counts is None else token_share(found.selected, counts),
    }  # fmt: skip


def selected_records(store: Store) -> list[Record]:
    """The chosen records, in the order of the input."""
    table = store.table("sample")
    return tables.records_from(tables.keep(store.table("records"), table.filter(table["selected"])["id"].to_pylist()))
