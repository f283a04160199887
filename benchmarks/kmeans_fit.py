"""How near the K-means of large pools, fitted on samples, comes to K-means over everything.

    python -m benchmarks.kmeans_fit [--points 50000]

Points are real texts: instructions and lines of answers, by TF-IDF and its 64 main directions, of unit length. Beside `cluster_embeddings`
scikit-learn's KMeans, best of ten restarts over all of them. Told are the sum of squared distances as a ratio to the exact one's,
the adjusted Rand index between both, and between two exact runs of different seeds: what K-means agrees with itself.

Result: benchmarks/results/kmeans_fit.json.xz
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score

from benchmarks import result_files
from benchmarks.data_folder import CODE_ALPACA, EVOL_INSTRUCT
from benchmarks.machine import provenance
from codeact.cluster import cluster_embeddings
from codeact.records import read_data
from codeact.types import Vectors

RESULT = Path(__file__).parent / "results" / "kmeans_fit.json.xz"
DIRECTIONS, SHORTEST = 64, 20  # characters of a line


def points(count: int) -> Vectors:
    """Unit vectors of so many real texts, float32 [count, DIRECTIONS]."""
    texts: dict[str, None] = {}
    for file in (EVOL_INSTRUCT, CODE_ALPACA):
        for record in read_data(file).records:
            lines = [record.instruction, *(line.strip() for line in record.response.splitlines())]
            texts |= dict.fromkeys(line for line in lines if len(line) >= SHORTEST)
    chosen = np.random.default_rng(0).permutation(np.array(list(texts), object))[:count]
    found = TruncatedSVD(DIRECTIONS, random_state=0).fit_transform(TfidfVectorizer(sublinear_tf=True).fit_transform(chosen)).astype(np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    kept: Vectors = (found / np.where(length > 0, length, 1))[length[:, 0] > 0]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50_000)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    told, vectors = provenance(), points(options.points)
    ids = [f"{n:06d}" for n in range(len(vectors))]
    rows = []
    for k in options.k:
        before: np.ndarray | None = None
        for seed in options.seeds:
            started = time.perf_counter()
            ours = cluster_embeddings(vectors, k=k, seed=seed, ids=ids)
            middle = time.perf_counter()
            exact = KMeans(k, n_init=10, random_state=seed).fit(vectors)
            seconds = middle - started, time.perf_counter() - middle
            rows.append({
                "k": k, "seed": seed, "ratio": round(float(np.square(ours.distance, dtype=np.float64).sum() / exact.inertia_), 5),
                "rand_index": round(adjusted_rand_score(ours.labels, exact.labels_), 3),
                "rand_index_of_exact_to_the_seed_before": None if before is None else round(adjusted_rand_score(before, exact.labels_), 3),
                "seconds": round(seconds[0], 2), "seconds_exact": round(seconds[1], 2),
            })  # fmt: skip
            before = exact.labels_
            print(rows[-1], flush=True)
    result_files.write(RESULT, {**told, "points": len(vectors), "dimensions": DIRECTIONS, "rows": rows})


if __name__ == "__main__":
    main()
