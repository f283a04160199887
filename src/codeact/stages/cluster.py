"""Stage `cluster`: K-means labels of the instructions, the distance to the own centroid, and a 2-D view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codeact.config import Recipe
from codeact.curate.tokens import terms, whole_words
from codeact.draws import seeded_hash
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.columns import TablePoints
from codeact.stages.pool import pool_stages, read_pool, records_by_id, refines
from codeact.statistics import distinctive_terms

VERSION = 3
WORDS_FROM = 400  # texts of a cluster that its words are taken from, at most
WORDS_CHARS = 600


def stage(recipe: Recipe) -> Stage:
    """Writes `cluster`: id, cluster, x, y, distance."""
    refined = ("refine",) if refines(recipe.curate) else ()
    config = {**recipe.cluster.model_dump(), "seed": recipe.seed_of("cluster")}
    return Stage("cluster", ("embed", *refined), lambda: config, VERSION, lambda store: group(store, recipe), shared=True)


def group(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Cluster the pool's embeddings."""
    import pyarrow as pa

    from codeact.cluster import choose_k, cluster_embeddings, project_2d

    config, seed = recipe.cluster, recipe.seed_of("cluster")
    kept = read_pool(store, pool_stages(recipe.curate), ["id"])["id"].combine_chunks() if refines(recipe.curate) else None
    points = TablePoints(store, kept)
    ids: list[str] = points.column.to_pylist()
    chosen = choose_k(points, seed, ids=ids) if config.k == "auto" else None
    k = chosen.k if chosen is not None else int(config.k)
    found = cluster_embeddings(points, k, seed, ids=ids)
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
        "fit": dict(found.fit) or None,
    }


def cluster_words(store: Store) -> dict[int, tuple[str, ...]]:
    """Cluster -> up to three terms that set its instructions apart from those of the others, in any script.

    From at most 400 records of each cluster, drawn by their ids, and of each the first 600 characters of its instruction. Clusters that
    nothing sets apart have none. Nothing is chosen by these words.
    """
    placed = store.table("cluster").select(["id", "cluster"])
    ids: list[str] = placed["id"].to_pylist()
    labels = placed["cluster"].to_numpy()
    drawn = np.lexsort((seeded_hash(ids, 0), labels))
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    starts = np.searchsorted(labels[drawn], np.arange(len(sizes)))
    rows = np.concatenate([drawn[at : at + min(size, WORDS_FROM)] for at, size in zip(starts, sizes, strict=True)])
    records = records_by_id(store, {ids[n] for n in rows})
    asked = (records[ids[n]].instruction[:WORDS_CHARS] for n in rows)
    found = [{t for t in terms(whole_words(text)) if any(c.isalpha() for c in t)} for text in asked]
    return distinctive_terms(found, labels[rows].tolist())


def cluster_name(cluster: int, words: Mapping[int, Sequence[str]]) -> str:
    """`4 'date, parse, month'`, or the number alone where the cluster has no words."""
    return f"{cluster} '{', '.join(words[cluster])}'" if words.get(cluster) else str(cluster)
