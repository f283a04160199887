"""Stage `cluster`: K-means labels of the instructions, the distance to the own centroid, and a 2-D view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codeact.config import Recipe
from codeact.rundir import tables
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.columns import vectors
from codeact.stages.pool import pool_stages, read_pool, refines

VERSION = 1


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
    table = store.table("embed")
    if refines(recipe.curate):
        table = tables.keep(table, read_pool(store, pool_stages(recipe.curate))["id"].to_pylist())
    ids, points = table["id"].to_pylist(), vectors(table)
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
    }
