"""Hidden states of a causal LM point in much the same direction: centred and whitened, their cosines tell texts apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codeact.types import Floats, Vectors

DIMENSIONS = 256
RECORDS_PER_DIMENSION = 4
ROWS = 8192
SMALLEST = 1e-4  # of the largest standard deviation


def whiten(vectors: Vectors, others: Vectors, dimensions: int = DIMENSIONS) -> tuple[Vectors, Vectors]:
    """Both sets centred and whitened by the first one's mean and principal components, rows of unit length.

    BERT-whitening (Su et al., arXiv 2103.15316), which has 256 dimensions too. With as many dimensions as records all records are equally
    far apart, so there are at most a quarter as many; directions in which the records hardly differ are left out.

    Args:
        vectors: float32 [N, D], of the pool.
        others: float32 [M, D].
        dimensions: at most.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = sum(part.T @ part for part in _centred(vectors, mean)) / len(vectors)
    values, directions = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(values[::-1], 0.0))
    most = max(1, min(dimensions, len(vectors) // RECORDS_PER_DIMENSION))
    kept = np.flatnonzero(spread[:most] > SMALLEST * spread[0]) if spread[0] > 0 else np.arange(1)
    scaled = directions[:, ::-1][:, kept] / np.maximum(spread[kept], 1e-12)

    def turned(some: Vectors) -> Vectors:
        made = np.empty((len(some), len(kept)), np.float32)
        for start, part in zip(range(0, len(some), ROWS), _centred(some, mean), strict=True):
            whitened = part @ scaled
            made[start : start + ROWS] = whitened / np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), 1e-12)
        return made

    return turned(vectors), turned(others)


def _centred(vectors: Vectors, mean: Floats) -> Iterator[Floats]:
    """The rows less their mean, in float64, some at a time."""
    for start in range(0, len(vectors), ROWS):
        yield vectors[start : start + ROWS].astype(np.float64) - mean
