"""The stages that choose: records, curate, embed, cluster, score, sample. Each reads tables and writes one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from codeact import storage
from codeact.backends.local import Worker
from codeact.confidential import find_confidential
from codeact.config import ClusterConfig, CurateConfig, Recipe, SampleConfig
from codeact.errors import InputError
from codeact.pipeline import tables
from codeact.pipeline.benchmarks import NOT_CHECKED, benchmark_items
from codeact.pipeline.choose import choose
from codeact.pipeline.columns import vectors
from codeact.pipeline.inputs import Inputs
from codeact.pipeline.shards import choose_backend, run_shards
from codeact.pipeline.store import Store
from codeact.progress import Progress
from codeact.ranks import length_figures
from codeact.records import Record, Rejected

Summary = Mapping[str, Any]


def load_records(store: Store, inputs: Inputs, recipe: Recipe, seed: int) -> Summary:
    """Rows to records; unreadable rows, rows beyond `data.limit` and those that `curate.secrets` bars go to rejected.parquet.

    A secret is barred here, at the door, and not by `curate`: so no table of the run ever holds it.
    """
    reading = inputs.read()
    usable, rejected = reading.usable(), list(reading.rejected)
    records = tables.limited(usable, recipe.data.limit, seed)
    kept = {record.id for record in records}
    found = {record.id: find_confidential(record, recipe.curate.secrets) for record in records}
    rejected += [Rejected(r.id, int(r.meta["row"]), f.reason, f.detail) for r in records if (f := found[r.id]) is not None]
    records = [record for record in records if found[record.id] is None]
    if not records:
        raise InputError(f"curate.secrets: all {len(found)} records hold one; the first: {rejected[-len(found)].reason}")
    rejected += [
        Rejected(r.id, int(r.meta["row"]), "limit", f"not in the sample of {recipe.data.limit}")
        for r in usable
        if r.id not in kept
    ]
    storage.write_parquet(tables.rejected_table(rejected), store.path("rejected.parquet"))
    store.write_table("records", tables.records_table(records))
    counts = {"records": len(records), "rejected": dict(Counter(r.reason for r in rejected))}
    return {**reading.summary(), **counts}


def curate(store: Store, config: CurateConfig, quiet: bool) -> Summary:
    """Decide which records stay in the pool."""
    import pyarrow as pa

    from codeact.curate import curate as decide

    records = tables.records_from(store.table("records"))
    items = benchmark_items(config)
    config = config.model_copy(update={"secrets": ()})  # barred before
    decisions = decide(records, config, items, quiet=quiet)
    if not any(d.kept for d in decisions):
        reasons = Counter(d.reason for d in decisions)
        raise InputError(
            f"curate dropped all {len(decisions)} records ({dict(reasons)}); look at curate.parquet's reasons or switch stages off with curate.verify=false"
        )
    names = ("id", "kept", "reason", "detail", "duplicate_of", "benchmark_item", "verdict", "penalised", "language")
    types = {"kept": pa.bool_(), "penalised": pa.bool_()}

    def column(name: str) -> list[Any]:
        return [getattr(decision, name) for decision in decisions]

    store.write_table(
        "curate",
        pa.table({n: pa.array(column(n), types[n]) if n in types else tables.texts(column(n)) for n in names}),
    )
    return {
        "kept": sum(d.kept for d in decisions),
        "dropped": dict(Counter(d.reason for d in decisions if not d.kept)),
        "verdicts": dict(Counter(d.verdict for d in decisions if d.verdict)),
        "penalised": sum(d.penalised for d in decisions) or None,
        "benchmarks": {name: len(tasks) for name, tasks in items.items()},
        "contamination not checked": None if items or config.decontaminate != "auto" else NOT_CHECKED,
    }


def pool(store: Store, refined: bool = False) -> Any:
    """The table of the records that curate kept, and after it `refine` where that stage runs."""
    table = store.table("records")
    for stage in ("curate", "refine") if refined else ("curate",):
        kept = store.table(stage)
        table = tables.keep(table, kept.filter(kept["kept"])["id"].to_pylist())
    return table


def refines(config: CurateConfig) -> bool:
    """Whether anything is decided by embeddings."""
    return config.semantic is not None or config.neighbours is not None


def refine(store: Store, recipe: Recipe) -> Summary:
    """What only embeddings can tell: instructions that mean the same, and neighbours of benchmark tasks.

    The neighbours are flagged and not dropped: review.jsonl shows both texts of each, the nearest first.
    """
    import pyarrow as pa

    from codeact.curate.near import find_same_meaning, neighbours
    from codeact.embed import embed_texts

    config = recipe.curate
    table = store.table("embed")
    ids, points = table["id"].to_pylist(), vectors(table)
    records = {r.id: r for r in tables.records_from(pool(store))}
    lengths = {i: (-len(r.response), int(r.meta["row"])) for i, r in records.items()}
    copies = {}
    if config.semantic is not None:
        copies = find_same_meaning(ids, points, sorted(range(len(ids)), key=lambda i: lengths[ids[i]]), config.semantic)
    flagged: dict[str, str] = {}
    review: list[dict[str, Any]] = []
    items = [item for some in benchmark_items(config).values() for item in some]
    if config.neighbours is not None and items:
        targets = embed_texts(
            [item.text_prompt for item in items], model=recipe.embed.model, device=recipe.model.device
        )
        for row, (at, cosine) in neighbours(points, targets, config.neighbours).items():
            record, item = records[ids[row]], items[at]
            flagged[record.id] = f"{item.benchmark}:{item.id} (cosine {cosine:.3f})"
            review.append(
                {
                    "id": record.id, "row": record.meta["row"], "cosine": round(cosine, 4), "item": f"{item.benchmark}:{item.id}",
                    "instruction": record.instruction, "prompt": item.text_prompt, "response": record.response,
                    "solution": item.solution,
                }
            )  # fmt: skip
    storage.write_jsonl(store.path("review.jsonl"), sorted(review, key=lambda hit: (-hit["cosine"], hit["row"])))
    store.write_table(
        "refine",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "kept": pa.array([i not in copies for i in ids], pa.bool_()),
                "reason": pa.array(["semantic duplicate" if i in copies else "" for i in ids], pa.string()),
                "detail": pa.array([copies[i].evidence if i in copies else "" for i in ids], pa.string()),
                "duplicate_of": pa.array([copies[i].original if i in copies else None for i in ids], pa.string()),
                "benchmark_item": pa.array([None] * len(ids), pa.string()),
                "near_benchmark": pa.array([flagged.get(i, "") for i in ids], pa.string()),
            }
        ),
    )
    return {
        "kept": len(ids) - len(copies),
        "dropped": {"semantic duplicate": len(copies)} if copies else {},
        "near a benchmark": len(flagged),
    }


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


def cluster(store: Store, config: ClusterConfig, seed: int, refined: bool = False) -> Summary:
    """K-means labels, the distance to the own centroid, and a 2-D view."""
    import pyarrow as pa

    from codeact.cluster import choose_k, project_2d
    from codeact.cluster import cluster as group

    table = store.table("embed")
    if refined:
        table = tables.keep(table, pool(store, refined)["id"].to_pylist())
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


def sample(store: Store, config: SampleConfig, seed: int, needs: tuple[str, ...]) -> Summary:
    """Choose the budget; every record of the pool gets a row with its rank and the reason. `needs` names the tables read."""
    import pyarrow as pa

    ids: list[str] = pool(store, "refine" in needs)["id"].to_pylist()
    choice = choose(store, ids, config, seed, needs)
    found, counts = choice.found, choice.response_tokens
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
                "detail": pa.array(
                    [
                        f"the model does not expect {place} (spike {choice.spikes[n]:.1f} nats)"
                        if found.suspected[n]
                        else ""
                        for n, place in enumerate(choice.places)
                    ],
                    pa.string(),
                ),
            }
        ),
    )
    known = None if counts is None else length_figures(found.ifd, counts, found.selected)
    length = known or dict.fromkeys(("spearman", "interval", "token_share"))
    cover = _cover(store, ids, found, choice.languages, counts, seed, config)
    storage.write_json(store.path("coverage.json"), cover)
    return {
        "pool": len(ids), "selected": chosen, "ratio": config.ratio, "strategy": config.strategy,
        "budget": config.budget,
        "ifd_length_spearman": length["spearman"],
        "ifd_length_interval": length["interval"],
        "token_share": length["token_share"],
        "suspects": int(found.suspected.sum()) or None,
        "coverage_warnings": cover["selection"]["warnings"] or None,
    }  # fmt: skip


def _cover(
    store: Store,
    ids: list[str],
    found: Any,
    languages: list[str],
    tokens: list[int] | None,
    seed: int,
    config: SampleConfig,
) -> dict[str, Any]:
    """Coverage of the selection, and beside it of a random and of a complexity-only one of the same size."""
    from codeact.coverage import WARN_BELOW, coverage, length_bands
    from codeact.sample import select

    groups: dict[str, Any] = {"language": languages}
    if (found.cluster >= 0).all():
        groups["cluster"] = found.cluster.tolist()
    if tokens is not None:
        groups["length"] = length_bands(tokens)
    points = None
    if store.marker("embed") is not None and "cluster" in groups:
        rows = {identity: row for row, identity in enumerate(store.table("embed")["id"].to_pylist())}
        points = vectors(store.table("embed"))[[rows[i] for i in ids]]
    cover = {"selection": coverage(found.selected, groups, points, max(WARN_BELOW, config.floor))}
    peers = {"random": {}, "complexity": {"ifd": found.ifd}} if np.isfinite(found.ifd).any() else {"random": {}}
    for name, columns in peers.items():
        peer = select(ids, strategy=name, ratio=config.ratio, seed=seed, **columns)  # type: ignore[arg-type]
        cover[name] = coverage(peer.selected, groups, points)
    return cover


def selected_records(store: Store) -> list[Record]:
    """The chosen records, in the order of the input."""
    table = store.table("sample")
    return tables.records_from(tables.keep(store.table("records"), table.filter(table["selected"])["id"].to_pylist()))
