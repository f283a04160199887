"""Points on the unit sphere that are fitted to a pool and repel each other; each then takes the record nearest to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codeact.sample.orders import nearest_in_turn
from codeact.types import Floats, Ints, Vectors

TEMPERATURE = 0.07
STEPS = 300
LEARNING_RATE = 1e-3
BLOCK = 4096


def fitted(vectors: Vectors, start: Ints, steps: int = STEPS) -> Iterator[int]:
    """The records nearest to the fitted points, which take turns; of equals the first.

    Parametric data selection (Lyu, Huang and Xia, arXiv 2507.02378), the loss of ActiveFT (Xie et al., arXiv 2303.14382):

        J = -mean over records i of log(e_i / (e_i + sum over k of exp(theta_k . theta_c / T))),  e_i = exp(max_c f_i . theta_c / T)

    with c the point nearest to record i. The first part matches the pool's distribution, the second keeps the points apart. As in
    the authors' code (https://github.com/Kyle-Lyu/efficode-finetune, data_selection/ours/select.py): T = 0.07, weight 1, 300 steps of Adam
    with a learning rate of 0.001, no gradient through theta_k, and the sum holds k = c too.

    Args:
        vectors: float32 [N, D], rows of unit length.
        start: int64 [M], the records that the points start from; as many points as records are wanted.
        steps: of Adam.
    """
    points = vectors[start].astype(np.float64)
    first, second = np.zeros_like(points), np.zeros_like(points)
    for step in range(1, steps + 1):
        _, slope = loss(vectors, points)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        points -= LEARNING_RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return nearest_in_turn(_unit(points).astype(np.float32), vectors)


def loss(vectors: Vectors, points: Floats) -> tuple[float, Floats]:
    """J of `fitted`, and its gradient by the points: float64 [M, D].

    Args:
        vectors: float32 [N, D], rows of unit length.
        points: float64 [M, D], of any length but 0; their directions count.
    """
    unit = _unit(points)
    sums = np.empty(len(unit))
    pulls = np.empty_like(unit)
    for at in range(0, len(unit), BLOCK):
        near = np.exp(unit[at : at + BLOCK] @ unit.T / TEMPERATURE)
        sums[at : at + BLOCK] = near.sum(axis=1)
        pulls[at : at + BLOCK] = near @ unit / TEMPERATURE  # of log-free sums, by the point itself
    value, attraction, crowding = 0.0, np.zeros_like(unit), np.zeros(len(unit))
    for at in range(0, len(vectors), BLOCK):
        some = vectors[at : at + BLOCK].astype(np.float64)
        cosine = some @ unit.T
        nearest = cosine.argmax(axis=1)
        own = np.exp(cosine[np.arange(len(some)), nearest] / TEMPERATURE)
        others = sums[nearest]
        value += float(np.log1p(others / own).sum())
        np.add.at(attraction, nearest, some * (-others / (own + others) / TEMPERATURE)[:, None])
        np.add.at(crowding, nearest, 1.0 / (own + others))
    slope = (attraction + crowding[:, None] * pulls) / len(vectors)
    slope -= (slope * unit).sum(axis=1, keepdims=True) * unit
    return value / len(vectors), slope / np.linalg.norm(points, axis=1, keepdims=True)


def _unit(points: Floats) -> Floats:
    found: Floats = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return found
