"""How much of a selection is chance: its overlap with the selections of other seeds, other numbers of clusters, other scoring models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from codeact import storage
from codeact.amounts import amount
from codeact.cluster import cluster_embeddings
from codeact.config import kept_recipe, validate
from codeact.errors import InputError
from codeact.mirror import name_of_run
from codeact.pipeline.ledger import check_selection
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample import Mixture
from codeact.stages.columns import SCORES, lacking, read_columns
from codeact.stages.pool import pool_stages, read_mixture, read_pool
from codeact.stages.sample import choose_from_run, tables_for
from codeact.statistics import chance_overlap, jaccard
from codeact.types import Bools

if TYPE_CHECKING:
    import pyarrow as pa


log = logging.getLogger(__name__)
KS = (5, 10, 20, 40)


class Choices(TypedDict, total=False):
    """What `measure_stability` may be told."""

    seeds: Sequence[int]
    ks: Sequence[int]
    scores: Mapping[str, str | Path] | None
    strategy: str | None
    ratio: float | None


def measure_stability(
    run_dir: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    ks: Sequence[int] = KS,
    scores: Mapping[str, str | Path] | None = None,
    strategy: str | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    """Repeat the selection of a run under other seeds, numbers of clusters and scoring models, and compare.

    Nothing is scored or embedded again: the run's tables are read and only K-means and the selection are repeated, with all
    settings of the run's `sample` section.

    Args:
        run_dir: the folder of a run with embed, cluster and score tables (`codeact select` leaves one).
        seeds: of K-means and of the draw, at the run's number of clusters.
        ks: numbers of clusters, at the run's seeds; for strategies that read clusters.
        scores: name -> score table (.parquet) of the same records by another model; for strategies that read scores.
        strategy, ratio: instead of the run's own.

    Returns:
        "selected", "ratio", "strategy", "chance" (Jaccard of random selections, of as many records of each source where there are
        weights), "repeats" (overlap of the run's own selection with its repetition under its own seeds: 1, unless `strategy` or `ratio` is
        another), and under "seeds", "ks" and "models" the labels compared, the `matrix` of Jaccard indices, their `mean` over pairs and the
        `least`; None where there are fewer than two, or the strategy reads no such thing.

    Raises:
        InputError: the folder lacks a table that the strategy reads, or a score table lacks a record.
    """
    store = Store(Path(run_dir))
    name = name_of_run(store.root)
    if not store.path("sample.parquet").exists() or not store.path("recipe.yaml").exists():
        raise InputError(f"{name} holds no selection; give the run directory of `codeact select` or `run`")
    recipe = kept_recipe(store.root)
    done = check_selection(store, recipe)
    own = {"strategy": strategy or recipe.sample.strategy, "ratio": recipe.sample.ratio if ratio is None else ratio}
    config = validate({"sample": {**recipe.sample.model_dump(), **own}}).sample
    read = tables_for(config)
    clustered = "cluster" in read
    asked = (*read, *(("embed",) if clustered else ()))
    for table in lacking(asked, [stage for stage in (*asked, SCORES) if stage in done]):
        raise InputError(f"{name} has no table {table}.parquet, which strategy {config.strategy!r} needs")
    pool = read_pool(store, pool_stages(recipe.curate))
    ids: list[str] = pool["id"].to_pylist()
    mixture = read_mixture(pool, recipe.data.weights)
    points = read_columns(store, ("embedding",), ids)["embedding"] if clustered else None
    cluster_seed, draw_seed = recipe.seed_of("cluster"), recipe.seed_of("sample")
    k = recipe.cluster.k
    count = len(store.table("cluster")["cluster"].unique()) if clustered and k == "auto" else k

    def pick(number: int | str, grouped_by: int, drawn_by: int, scores: pa.Table | None = None) -> Bools:
        labels = cluster_embeddings(points, int(number), grouped_by, ids=ids).labels if points is not None else None
        found, _ = choose_from_run(store, ids, config, drawn_by, labels=labels, scores=scores, mixture=mixture)
        return found.selected

    if scores and SCORES not in read:
        log.warning("strategy %s reads no scores, so another scoring model changes nothing: %s left out", config.strategy, ", ".join(scores))
    if not clustered and tuple(ks) != KS:
        log.warning("strategy %s reads no clusters, so another number of them changes nothing: left out", config.strategy)
    others = {name: _scores(Path(path), ids) for name, path in (scores or {}).items() if SCORES in read}
    by_seed = {str(seed): pick(count, seed, seed) for seed in seeds}
    by_k = {str(one): pick(one, cluster_seed, draw_seed) for one in ks if clustered}
    by_model = {name: pick(count, cluster_seed, draw_seed, one) for name, one in {"run": None, **others}.items()}
    return {
        "strategy": config.strategy,
        "ratio": config.ratio,
        "pool": len(ids),
        "selected": int(by_model["run"].sum()),
        "repeats": jaccard(by_model["run"], np.array(_selected(store, ids), np.bool_)),
        "chance": _by_chance(by_model["run"], mixture),
        "seeds": _overlaps(by_seed),
        "ks": _overlaps(by_k),
        "models": _overlaps(by_model),
    }


def stability_lines(found: Mapping[str, Any]) -> list[str]:
    """What `stability` found, for people."""
    told = [
        f"strategy {found['strategy']}: {found['selected']:,} of {amount(found['pool'], 'record')}; overlap (Jaccard) of its selections,"
        f" by chance {found['chance']:.2f}",
        f"{'what changes':<40} {'mean':>5} {'least':>6}",
    ]
    for key, title in (("seeds", "seed"), ("ks", "number of clusters"), ("models", "scoring model")):
        one = found[key]
        if one is not None:
            told.append(f"{title + ': ' + ', '.join(one['labels']):<40} {one['mean']:5.2f} {one['least']:6.2f}")
    return told


def _overlaps(found: Mapping[str, Bools]) -> dict[str, Any] | None:
    if len(found) < 2:
        return None
    names = list(found)
    matrix = [[jaccard(found[a], found[b]) for b in names] for a in names]
    pairs = [matrix[a][b] for a, b in combinations(range(len(names)), 2)]
    return {"labels": names, "matrix": matrix, "mean": float(np.mean(pairs)), "least": min(pairs)}


def _by_chance(selected: Bools, mixture: Mixture | None) -> float:
    """Jaccard index of two random selections with as many records of each source, in expectation; 0 where nothing is selected."""
    members = [np.arange(len(selected))] if mixture is None else mixture.members().values()
    in_both = sum(int(selected[rows].sum()) ** 2 / len(rows) for rows in members if len(rows))
    return chance_overlap(in_both / max(int(selected.sum()), 1))


def _selected(store: Store, ids: Sequence[str]) -> list[bool]:
    return [bool(taken) for taken in tables.in_order(store.table("sample"), ids, lenient=True)["selected"].to_pylist()]


def _scores(path: Path, ids: Sequence[str]) -> pa.Table:
    table = storage.read_parquet(path)
    known = set(table["id"].to_pylist())
    missing = next((identity for identity in ids if identity not in known), None)
    if missing is not None:
        raise InputError(f"{path} has no score of record {missing!r}; score the same records with the other model")
    return table
