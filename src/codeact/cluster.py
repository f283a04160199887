"""K-means over embeddings, and a flat view of them: the same result for the same records, whatever their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.errors import InputError
from codeact.types import Floats, Ints, Vectors

RESTARTS = 10
MINIBATCH_ABOVE = 100_000
MINIBATCH_SIZE = 8192
BLOCK_ROWS = 65_536
CANDIDATES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)


@dataclass(frozen=True)
class Clustering:
    """Clusters of N points; cluster 0 is the largest, ties go to the one with the smallest id.

    Attributes:
        labels: int32 [N], in the order of the input.
        centroids: float32 [k, D], the mean of each cluster's points; k is the number of clusters found.
        distance: float32 [N], Euclidean distance of each point to its own centroid.
        note: empty, or one line that says why k is smaller than was asked.
    """

    labels: NDArray[np.int32]
    centroids: Vectors
    distance: NDArray[np.float32]
    note: str


def cluster_embeddings(
    embeddings: Vectors, k: int, seed: int, *, ids: Sequence[str], minibatch_above: int = MINIBATCH_ABOVE
) -> Clustering:
    """K-means (k-means++, 10 restarts) as in CodeACT (arXiv 2408.02193; k = 10).

    Points are sorted by id first and the fit runs on one thread, so the result is a function of the records and the
    seed alone. On rows of unit length the squared distance is 2 - 2 cos, so this groups by cosine similarity.

    Args:
        embeddings: float32 [N, D], finite.
        k: clusters wanted; fewer are made when there are fewer distinct points.
        seed: of the restarts.
        ids: N unique ids.
        minibatch_above: above this many points mini-batch K-means is used instead (Sculley 2010).

    Raises:
        InputError: no points, k < 1, a wrong shape, duplicate ids, or a value that is not finite.
    """
    points, order = _sorted_points(embeddings, ids)
    if k < 1:
        raise InputError(f"cluster.k = {k}: must be at least 1")
    distinct = _count_distinct(points, k)
    wanted = min(k, distinct)
    minibatch = len(points) > minibatch_above
    canonical = _canonical(_fit(points, wanted, seed, minibatch) if wanted > 1 else np.zeros(len(points), np.int64))
    made = int(canonical.max()) + 1
    centroids = _means(points, canonical, made)
    note = ""
    if made < wanted:
        note = (
            f"k reduced from {k} to {made}: K-means left {wanted - made} clusters empty (embeddings too close together)"
        )
    elif made < k:
        note = f"k reduced from {k} to {made}: the {len(points)} records hold only {distinct} distinct embeddings"
    labels = np.empty(len(points), np.int32)
    labels[order] = canonical
    distance = np.empty(len(points), np.float32)
    distance[order] = _distances(points, centroids, canonical)
    return Clustering(labels, centroids.astype(np.float32), distance, note)


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
    embeddings: Vectors,
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

    points, _ = _sorted_points(embeddings, ids)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(points), min(sample, len(points)), replace=False))
    points = points[drawn]
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
            one, two = (_fit(points[part], k, seed + number, False) for part in (left, right))
            _, first, second = np.intersect1d(left, right, return_indices=True)
            agreement.append(float(adjusted_rand_score(one[first], two[second])))
        stability.append(float(np.mean(agreement)))
        labels = _fit(points, k, seed, False)
        silhouette.append(float(silhouette_score(points, labels)) if labels.max() > 0 else -1.0)
    best = max(range(len(usable)), key=lambda n: (round(stability[n] + silhouette[n], 9), -usable[n]))
    return ChosenK(usable[best], tuple(usable), tuple(stability), tuple(silhouette))


def project_2d(embeddings: Vectors, *, ids: Sequence[str]) -> Vectors:
    """The first two principal components, for a picture: float32 [N, 2] in the order of the input.

    Exact (eigenvectors of the float64 covariance), so there is no seed; of each component the loading of largest size
    is made positive. A component that does not exist (one point, or D = 1) is 0.

    Raises:
        InputError: no points, a wrong shape, duplicate ids, or a value that is not finite.
    """
    points, order = _sorted_points(embeddings, ids)
    dimensions = points.shape[1]
    mean = points.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimensions, dimensions))
    for start in range(0, len(points), BLOCK_ROWS):
        block = points[start : start + BLOCK_ROWS] - mean
        covariance += block.T @ block
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    strongest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[strongest, np.arange(axes.shape[1])])
    flat = np.zeros((len(points), 2), np.float32)
    for start in range(0, len(points), BLOCK_ROWS):
        rows = order[start : start + BLOCK_ROWS]
        flat[rows, : axes.shape[1]] = (points[start : start + BLOCK_ROWS] - mean) @ axes
    return flat


def _sorted_points(embeddings: Vectors, ids: Sequence[str]) -> tuple[Vectors, Ints]:
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise InputError(f"embeddings of shape {list(embeddings.shape)} for {len(ids)} ids; one row per id is needed")
    if not len(ids):
        raise InputError("there are no records to cluster; the pool is empty after curation")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for left, right in pairwise(order):
        if ids[left] == ids[right]:
            raise InputError(f"the id {ids[left]!r} occurs twice; make ids unique")
    index = np.asarray(order, dtype=np.int64)
    # Adding 0 turns -0.0 into 0.0, so that equal points have equal bytes.
    points = np.ascontiguousarray(embeddings[index], dtype=np.float32) + np.float32(0)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise InputError(f"the embedding of record {ids[order[bad[0]]]!r} is not finite; embed the records again")
    return points, index


def _count_distinct(points: Vectors, enough: int) -> int:
    seen: set[bytes] = set()
    for row in points:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)


def _fit(points: Vectors, k: int, seed: int, minibatch: bool) -> Ints:
    import warnings

    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model: Any  # sklearn has no type hints
    if minibatch:
        model = MiniBatchKMeans(k, n_init=RESTARTS, batch_size=MINIBATCH_SIZE, random_state=seed)
    else:
        model = KMeans(k, n_init=RESTARTS, random_state=seed)
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
    for start in range(0, len(points), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        found[rows] = np.linalg.norm(points[rows] - centroids[labels[rows]], axis=1)
    return found
