"""How much of a selection is chance: its overlap with the selections of other seeds, other numbers of clusters, other scoring models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact import storage
from codeact.cluster import cluster
from codeact.config import Recipe, validate
from codeact.errors import InputError
from codeact.pipeline import tables
from codeact.pipeline.columns import vectors
from codeact.pipeline.store import Store
from codeact.sample import select

Bools = NDArray[np.bool_]


def jaccard(one: Bools, two: Bools) -> float:
    """Size of the intersection over size of the union; 1 for two empty selections."""
    union = int((one | two).sum())
    return int((one & two).sum()) / union if union else 1.0


def chance_overlap(ratio: float) -> float:
    """Jaccard index of two independent random selections of this share, for a large pool: ratio / (2 - ratio)."""
    return ratio / (2.0 - ratio)


def stability(
    run_dir: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    ks: Sequence[int] = (5, 10, 20, 40),
    scores: Mapping[str, str | Path] | None = None,
    strategy: str | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    """Repeat the selection of a run under other seeds, numbers of clusters and scoring models, and compare.

    Nothing is scored or embedded again: the run's tables are read and only K-means and the selection are repeated.

    Args:
        run_dir: a run directory with embed, cluster and score tables (`codeact select` leaves one).
        seeds: of K-means and of the draw, at the run's number of clusters.
        ks: numbers of clusters, at the run's seed.
        scores: name -> score table (.parquet) of the same records by another model.
        strategy, ratio: instead of the run's own.

    Returns:
        "selected", "ratio", "strategy", "chance" (Jaccard of random selections), and under "seeds", "ks" and "models" the labels
        compared, the `matrix` of Jaccard indices, their `mean` over pairs and the `least`; None where there are fewer than two.

    Raises:
        InputError: the folder lacks a table, or a score table lacks a record.
    """
    store = Store(Path(run_dir))
    if not store.path("sample.parquet").exists() or not store.path("recipe.yaml").exists():
        raise InputError(f"{run_dir} holds no selection; give the run directory of `codeact select` or `run`")
    recipe = _recipe(store)
    config = recipe.sample
    chosen, share = strategy or config.strategy, ratio or config.ratio
    ids: list[str] = store.table("sample")["id"].to_pylist()
    embedded = store.table("embed")
    place = {identity: row for row, identity in enumerate(embedded["id"].to_pylist())}
    points = vectors(embedded)[[place[i] for i in ids]]
    own = _score(store.path("score.parquet"), ids)
    home = recipe.seed if recipe.cluster.seed is None else recipe.cluster.seed
    count = len(store.table("cluster")["cluster"].unique()) if recipe.cluster.k == "auto" else int(recipe.cluster.k)

    def pick(k: int, seed: int, figures: Mapping[str, Any]) -> Bools:
        labels = cluster(points, k, seed, ids=ids).labels
        found = select(
            ids, strategy=chosen, ratio=share, seed=seed, unit=config.budget, cluster=labels, ifd=figures["ifd"],  # type: ignore[arg-type]
            status=figures["status"], response_tokens=figures["response_tokens"],
            columns={"embedding": points, "nll_cond": figures["nll_cond"]},
        )  # fmt: skip
        return found.selected

    others = {name: _score(Path(path), ids) for name, path in (scores or {}).items()}
    by_seed = {str(seed): pick(count, seed, own) for seed in seeds}
    by_k = {str(k): pick(k, home, own) for k in ks}
    by_model = {name: pick(count, home, figures) for name, figures in {"run": own, **others}.items()}
    return {
        "strategy": chosen,
        "ratio": share,
        "pool": len(ids),
        "selected": int(by_model["run"].sum()),
        "chance": chance_overlap(share),
        "seeds": _overlaps(by_seed),
        "ks": _overlaps(by_k),
        "models": _overlaps(by_model),
    }


def _overlaps(found: Mapping[str, Bools]) -> dict[str, Any] | None:
    if len(found) < 2:
        return None
    names = list(found)
    matrix = [[jaccard(found[a], found[b]) for b in names] for a in names]
    pairs = [matrix[a][b] for a, b in combinations(range(len(names)), 2)]
    return {"labels": names, "matrix": matrix, "mean": float(np.mean(pairs)), "least": min(pairs)}


def _score(path: Path, ids: Sequence[str]) -> dict[str, Any]:
    names = ("ifd", "nll_cond", "status", "response_tokens")
    rows = tables.by_id(storage.read_parquet(path), names)
    missing = next((identity for identity in ids if identity not in rows), None)
    if missing is not None:
        raise InputError(f"{path} has no score of record {missing!r}; score the same records with the other model")
    return {name: [rows[i][name] for i in ids] for name in names}


def _recipe(store: Store) -> Recipe:
    import yaml

    return validate(
        yaml.safe_load(store.path("recipe.yaml").read_text(encoding="utf-8")), str(store.path("recipe.yaml"))
    )
