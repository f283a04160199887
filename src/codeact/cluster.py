"""K-means over embeddings, and a flat view of them: the same result for the same records, whatever their order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codeact.amounts import amount, check_whole
from codeact.draws import seeded_hash
from codeact.errors import InputError
from codeact.types import Bools, Floats, Ints, Vectors

RESTARTS = 10
MOST_SEED = 2**32 - 1
"""Of scikit-learn's K-means."""
FULL = 20_000
"""Points up to which every restart goes over all of them."""
STARTS = 4_000
"""Points of a larger pool that every restart goes over; the best of them goes on over `FULL` points."""
PASSES = 5
SETTLED = 0.001
"""Share of the points that may still change their cluster in the last pass over a large pool."""
BLOCK_ROWS = 4096
ASSIGN_ROWS = 256
AXES_ROWS = 65_536
CANDIDATES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)


@dataclass(frozen=True)
class Clustering:
    """Clusters of N points; cluster 0 is the largest, ties go to the one with the smallest id.

    Attributes:
        labels: int32 [N], in the order of the input.
        centroids: float32 [k, D], the mean of each cluster's points; k is the number of clusters found.
        distance: float32 [N], Euclidean distance of each point to its own centroid.
        note: empty, or one line that says why k is smaller than was asked.
        fit: of a large pool, how it was fitted: `sample` (points of the restarts), `passes` over all points, `moved` (share of the points that
            changed their cluster in the last of them); empty where all restarts went over all points.
    """

    labels: NDArray[np.int32]
    centroids: Vectors
    distance: NDArray[np.float32]
    note: str
    fit: Mapping[str, float] = field(default_factory=dict)


class Points(Protocol):
    """N points of D dimensions that need not be in memory."""

    def __len__(self) -> int:
        """N."""

    def blocks(self) -> Iterator[Vectors]:
        """All points in their order, some thousand at a time: float32 [n, D], of which each may be gone when the next is asked for."""

    def take(self, rows: Ints) -> Vectors:
        """The points of these numbers, which ascend: float32 [len(rows), D]."""


@dataclass(frozen=True)
class ArrayPoints:
    """Points in memory: float32 [N, D]."""

    array: Vectors

    def __len__(self) -> int:
        return len(self.array)

    def blocks(self) -> Iterator[Vectors]:
        """See `Points`."""
        return (self.array[start : start + BLOCK_ROWS] for start in range(0, len(self.array), BLOCK_ROWS))

    def take(self, rows: Ints) -> Vectors:
        """See `Points`."""
        return self.array[rows]


def cluster_embeddings(embeddings: Vectors | Points, k: int, seed: int, *, ids: Sequence[str], full: int = FULL) -> Clustering:
    """K-means (k-means++, 10 restarts) as in CodeACT (arXiv 2408.02193; k = 10).

    Points are sorted by id first and the fit runs on one thread, so the result is a function of the records and the
    seed alone. On rows of unit length the squared distance is 2 - 2 cos, so this groups by cosine similarity.

    Above `full` points the restarts go over a seeded sample of 4,000 (of `full`, if that is less), drawn and sorted by id. From the best
    of them Lloyd's algorithm goes on over a sample of `full` until it settles, and then over all points, block by block: five passes,
    or fewer where a pass moves less than one in a thousand.

    Args:
        embeddings: float32 [N, D], finite; or points that need not be in memory.
        k: clusters wanted; fewer are made when there are fewer distinct points.
        seed: of the restarts, and of the sample.
        ids: N unique ids.
        full: points up to which every restart goes over all of them.

    Raises:
        InputError: no points, k below 1, a seed outside of 0 to 4,294,967,295, a wrong shape, duplicate ids, a value that is not finite, or
            `full` below 1.
    """
    check_whole("cluster.k", k)
    check_whole("seed", seed, 0, MOST_SEED)
    check_whole("full", full)
    _check_points(embeddings)
    held = ArrayPoints(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
    if len(held) > full and len(held) == len(ids):
        return _cluster_large(held, k, seed, ids, full)
    points, order = _sorted_points(embeddings if isinstance(embeddings, np.ndarray) else held.take(np.arange(len(held))), ids)
    distinct = _count_distinct(points, k)
    wanted = min(k, distinct)
    canonical = _canonical(_fit(points, wanted, seed) if wanted > 1 else np.zeros(len(points), np.int64))
    made = int(canonical.max()) + 1
    centroids = _means(points, canonical, made)
    note = _note(k, wanted, made, len(points), distinct)
    labels = np.empty(len(points), np.int32)
    labels[order] = canonical
    distance = np.empty(len(points), np.float32)
    distance[order] = _distances(points, centroids, canonical)
    return Clustering(labels, centroids.astype(np.float32), distance, note)


def _check_points(embeddings: object) -> None:
    if not isinstance(embeddings, np.ndarray) and not hasattr(embeddings, "blocks"):
        raise InputError(f"the embeddings are {type(embeddings).__name__}; give an array of float32 [N, D], as embed_texts makes it")


def _note(k: int, wanted: int, made: int, count: int, distinct: int) -> str:
    if made < wanted:
        return f"k reduced from {k} to {made}: K-means left {amount(wanted - made, 'cluster')} empty (embeddings too close together)"
    return f"k reduced from {k} to {made}: of {amount(count, 'record')} only {amount(distinct, 'embedding is distinct', 'embeddings are distinct')}" if made < k else ""


def _cluster_large(points: Points, k: int, seed: int, ids: Sequence[str], full: int) -> Clustering:
    """See `cluster_embeddings`. Sums over all points are of whole numbers, so no order of the records changes them."""
    order = _order(ids)
    drawn = sampled_rows(ids, seed, full)
    sample, by_id = _sorted_points(points.take(drawn), [ids[n] for n in drawn.tolist()])
    scale = 2.0 ** (36 - math.ceil(math.log2(max(float(np.abs(sample).max()), 1e-30))) - 2)
    distinct = _count_distinct(sample, k)
    wanted = min(k, distinct)
    few = np.isin(drawn, sampled_rows(ids, seed, min(STARTS, full)))[by_id]  # what is drawn for fewer is among what is drawn for more
    first = _canonical(_fit_from_few(sample, few, wanted, seed) if wanted > 1 else np.zeros(len(sample), np.int64))
    centroids = _means(sample, first, int(first.max()) + 1)
    labels, moved, passes = np.full(len(points), -1, np.int64), 1.0, 0
    sums = np.zeros(centroids.shape, np.int64)
    while passes < PASSES and moved > SETTLED:
        before = labels
        labels = _assign(points, centroids, scale, ids, before, sums)
        sizes = np.bincount(labels, minlength=len(centroids))
        there = sizes > 0
        centroids[there] = sums[there] / scale / sizes[there, None]
        moved, passes = float((labels != before).mean()), passes + 1
    distance = np.empty(len(points), np.float32)
    labels = _assign(points, centroids, scale, ids, labels, sums, distance)
    canonical = np.empty(len(labels), np.int64)
    canonical[order] = _canonical(labels[order])
    made = int(canonical.max()) + 1
    label_of = np.zeros(made, np.int64)
    label_of[canonical] = labels
    means = sums[label_of] / scale / np.bincount(canonical)[:, None]
    fit = {"sample": len(drawn), "passes": passes, "moved": round(moved, 4)}
    return Clustering(
        canonical.astype(np.int32), means.astype(np.float32), distance, _note(k, wanted, made, len(drawn), distinct), fit
    )


def sampled_rows(ids: Sequence[str], seed: int, count: int) -> Ints:
    """The numbers of `count` records drawn by a hash of their ids, ascending: the same records whatever their order."""
    if count >= len(ids):
        return np.arange(len(ids), dtype=np.int64)
    return np.sort(np.argsort(seeded_hash(ids, seed), kind="stable")[:count]).astype(np.int64)


def _assign(
    points: Points, centroids: Floats, scale: float, ids: Sequence[str], before: Ints, sums: Ints,
    distance: NDArray[np.float32] | None = None,
) -> Ints:
    """Of each point the nearest centroid (of equals the first), and its distance in `distance`.

    `sums`, of each centroid the sum of its points times `scale`, is brought from the labels before (-1: none) to the new ones: whole
    numbers, so that adding and taking away what moved leaves what a new sum would be.
    """
    labels = np.empty(len(points), np.int64)
    half = np.einsum("kd,kd->k", centroids, centroids) / 2
    start = 0
    for block in points.blocks():
        for low in range(0, len(block), ASSIGN_ROWS):
            wide = block[low : low + ASSIGN_ROWS].astype(np.float64)
            rows = slice(start, start + len(wide))
            near = (wide @ centroids.T - half).argmax(axis=1)
            labels[rows] = near
            if distance is not None:
                distance[rows] = np.linalg.norm(wide - centroids[near], axis=1)
            moved = np.flatnonzero(near != before[rows])
            if len(moved):
                whole = np.rint(wide[moved] * scale)
                change = np.zeros((len(centroids), len(moved)))
                change[near[moved], np.arange(len(moved))] = 1.0
                was = before[rows][moved]
                there = np.flatnonzero(was >= 0)
                change[was[there], there] = -1.0
                added = change @ whole  # whole numbers below 2^53: exact
                if not np.isfinite(added).all():
                    bad = int(moved[np.flatnonzero(~np.isfinite(whole).all(axis=1))[0]])
                    raise InputError(f"the embedding of record {ids[start + bad]!r} is not finite; embed the records again")
                sums += added.astype(np.int64)
            start += len(wide)
    return labels


@dataclass(frozen=True)
class ChosenK:
    """What `choose_k` found; one entry per candidate.

    Attributes:
        k: the candidate of highest stability + silhouette; of equals the smallest.
        candidates: numbers of clusters tried.
        stability: adjusted Rand index of two clusterings on the points that both halves share, mean over the pairs; 1: the same
            partition, 0: agreement by chance.
        silhouette: mean silhouette coefficient, -1 to 1.
    """

    k: int
    candidates: tuple[int, ...]
    stability: tuple[float, ...]
    silhouette: tuple[float, ...]

    def table(self) -> dict[str, list[float]]:
        """k -> [stability, silhouette], for a summary."""
        figures = zip(self.candidates, self.stability, self.silhouette, strict=True)
        return {str(k): [round(s, 4), round(w, 4)] for k, s, w in figures}


def choose_k(
    embeddings: Vectors | Points,
    seed: int,
    *,
    ids: Sequence[str],
    candidates: Sequence[int] = CANDIDATES,
    sample: int = 4000,
    pairs: int = 3,
) -> ChosenK:
    """Choose the number of clusters by stability and silhouette, on a seeded sample.

    Stability: K-means on two random parts of 80 % of the sample, compared on the points that both hold by the adjusted Rand
    index (Ben-Hur, Elisseeff and Guyon, PSB 2002; Hubert and Arabie 1985). Silhouette: Rousseeuw 1987. The two have the same
    scale (1: perfect, 0: none) and are added.

    Args:
        embeddings: float32 [N, D], finite.
        seed: of the sample, the parts and K-means.
        ids: N unique ids.
        candidates: numbers of clusters to try; those from half the sample on are left out.
        sample: points used at most.
        pairs: pairs of parts for each candidate.

    Raises:
        InputError: as `cluster`, or fewer than 6 distinct points.
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(ids), min(sample, len(ids)), replace=False))
    if isinstance(embeddings, np.ndarray):
        points = _sorted_points(embeddings, ids)[0][drawn]
    else:
        rows = _order(ids)[drawn]
        points, _ = _sorted_points(embeddings.take(np.sort(rows)), [ids[n] for n in np.sort(rows).tolist()])
    distinct = _count_distinct(points, 2 * max(candidates))
    usable = sorted({k for k in candidates if 2 <= k <= min(distinct, len(points)) // 2})
    if distinct < 6 or not usable:
        raise InputError(f"cluster.k = auto: {distinct} distinct embeddings are too few to choose from; give a number")
    size = max(2, round(0.8 * len(points)))
    parts = [[np.sort(rng.choice(len(points), size, replace=False)) for _ in range(2)] for _ in range(pairs)]
    stability, silhouette = [], []
    for k in usable:
        agreement = []
        for number, (left, right) in enumerate(parts):
            one, two = (_fit(points[part], k, seed + number) for part in (left, right))
            _, first, second = np.intersect1d(left, right, return_indices=True)
            agreement.append(float(adjusted_rand_score(one[first], two[second])))
        stability.append(float(np.mean(agreement)))
        labels = _fit(points, k, seed)
        silhouette.append(float(silhouette_score(points, labels)) if labels.max() > 0 else -1.0)
    best = max(range(len(usable)), key=lambda n: (round(stability[n] + silhouette[n], 9), -usable[n]))
    return ChosenK(usable[best], tuple(usable), tuple(stability), tuple(silhouette))


def project_2d(embeddings: Vectors | Points, *, ids: Sequence[str], full: int = FULL) -> Vectors:
    """The first two principal components, for a picture: float32 [N, 2] in the order of the input.

    Exact (eigenvectors of the float64 covariance) up to `full` points, above of a sample of so many, drawn by their ids; of each component the
    loading of largest size is made positive. A component that does not exist (one point, or D = 1) is 0.

    Raises:
        InputError: no points, a wrong shape, duplicate ids, a value that is not finite, or `full` below 1.
    """
    check_whole("full", full)
    _check_points(embeddings)
    held = ArrayPoints(embeddings) if isinstance(embeddings, np.ndarray) else embeddings
    large = len(held) > full and len(held) == len(ids)
    drawn = sampled_rows(ids, 0, full) if large else np.arange(len(held))
    some = held.take(drawn) if large or not isinstance(embeddings, np.ndarray) else embeddings
    points, order = _sorted_points(some, [ids[n] for n in drawn.tolist()] if large else ids)
    dimensions = points.shape[1]
    mean = points.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimensions, dimensions))
    for start in range(0, len(points), AXES_ROWS):
        block = points[start : start + AXES_ROWS] - mean
        covariance += block.T @ block
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    strongest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[strongest, np.arange(axes.shape[1])])
    flat = np.zeros((len(held), 2), np.float32)
    if large:
        flat[:, : axes.shape[1]] = np.concatenate([
            ((block[low : low + ASSIGN_ROWS] - mean) @ axes).astype(np.float32)
            for block in held.blocks() for low in range(0, len(block), ASSIGN_ROWS)
        ])
        return flat
    for start in range(0, len(points), AXES_ROWS):
        rows = order[start : start + AXES_ROWS]
        flat[rows, : axes.shape[1]] = (points[start : start + AXES_ROWS] - mean) @ axes
    return flat


def _order(ids: Sequence[str]) -> Ints:
    """The numbers of the ids in their order.

    Raises:
        InputError: two are equal.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for left, right in pairwise(order):
        if ids[left] == ids[right]:
            raise InputError(f"the id {ids[left]!r} occurs twice; make ids unique")
    return np.asarray(order, dtype=np.int64)


def _sorted_points(embeddings: Vectors, ids: Sequence[str]) -> tuple[Vectors, Ints]:
    if embeddings.dtype.kind not in "iuf":
        raise InputError(f"the embeddings are {embeddings.dtype}; give numbers, float32 [N, D]")
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise InputError(f"embeddings of shape {list(embeddings.shape)} for {len(ids)} ids; one row per id is needed")
    if not len(ids):
        raise InputError("there are no records to cluster; the pool is empty after curation")
    index = _order(ids)
    # Adding 0 turns -0.0 into 0.0, so that equal points have equal bytes.
    points = np.ascontiguousarray(embeddings[index], dtype=np.float32) + np.float32(0)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise InputError(f"the embedding of record {ids[index[bad[0]]]!r} is not finite; embed the records again")
    return points, index


def _count_distinct(points: Vectors, enough: int) -> int:
    seen: set[bytes] = set()
    for row in points:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)


def _fit_from_few(points: Vectors, few: Bools, k: int, seed: int) -> Ints:
    """Labels of all points by Lloyd's algorithm, from the centroids of the best restart over the few."""
    some = points[few]
    if len(some) == len(points) or _count_distinct(some, k) < k:
        return _fit(points, k, seed)
    found = _fit(some, k, seed)
    if len(np.unique(found)) < k:
        return _fit(points, k, seed)
    return _fit(points, k, seed, _means(some, found, k).astype(np.float32))


def _fit(points: Vectors, k: int, seed: int, start: Vectors | None = None) -> Ints:
    """The best of the restarts; with `start`, Lloyd's algorithm from these centroids alone."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # sklearn has no type hints
    model: Any = KMeans(k, n_init=RESTARTS, random_state=seed) if start is None else KMeans(k, init=start, n_init=1, random_state=seed)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit_predict(points), dtype=np.int64)


def _canonical(labels: Ints) -> Ints:
    """Renumber 0.. by size descending, then by the first point; empty clusters vanish. Points are in id order."""
    names, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(names))
    return rank[inverse]


def _means(points: Vectors, labels: Ints, k: int) -> Floats:
    return np.stack([points[labels == c].mean(axis=0, dtype=np.float64) for c in range(k)])


def _distances(points: Vectors, centroids: Floats, labels: Ints) -> Floats:
    found = np.empty(len(points))
    for start in range(0, len(points), AXES_ROWS):
        rows = slice(start, start + AXES_ROWS)
        found[rows] = np.linalg.norm(points[rows] - centroids[labels[rows]], axis=1)
    return found
