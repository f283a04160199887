"""Orders by vectors against slow restatements: facility location, k-centre, the filter of likes, targets in turn, the parametric fit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact import sample
from codeact.sample import groups, orders, parametric


def test_deita_takes_a_cosine_of_exactly_its_limit() -> None:
    vectors = np.array([[3, 1, 0], [3, 0, 1], [3, 1, 0.01]]) / np.sqrt([[10], [10], [10.0001]])  # cosines 0.9 and 1
    assert list(orders.unlike([0, 1, 2], vectors.astype(np.float32))) == [0, 1]


def test_facility_location_is_near_the_best_of_all_subsets() -> None:
    rng = np.random.default_rng(3)
    points = orders.check_vectors(rng.standard_normal((11, 4)), 11)
    similar = np.maximum(points @ points.T, 0)

    def value(subset: tuple[int, ...]) -> float:
        return float(similar[list(subset)].max(axis=0).sum())

    greedy = value(tuple(itertools.islice(orders.facility_location(points), 4)))
    best = max(value(subset) for subset in itertools.combinations(range(11), 4))
    assert (1 - 1 / math.e) * best <= greedy <= best + 1e-6


def test_facility_location_without_the_whole_matrix_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    points = orders.check_vectors(np.random.default_rng(0).standard_normal((70, 5)), 70)
    whole = list(orders.facility_location(points))
    monkeypatch.setattr(orders, "KEEP_SIMILARITIES", 0)
    monkeypatch.setattr(orders, "BLOCK_ROWS", 16)
    assert list(orders.facility_location(points)) == whole


def test_greedy_orders_of_large_pools_are_merged_from_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group has the exact order, at each step what adds most goes first, and covering is hardly worse than in full."""
    rng = np.random.default_rng(8)
    points = orders.check_vectors(rng.standard_normal((20, 6))[rng.integers(0, 20, 400)] + 0.3 * rng.standard_normal((400, 6)), 400)
    gaps = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    similar = np.maximum(points @ points.T, 0)
    full = {"centre": list(orders.k_centre(points, 7)), "facility": list(orders.facility_location(points))}
    whole = groups.near_groups(points, 64)
    assert sorted(np.concatenate(whole).tolist()) == list(range(400))
    assert max(map(len, whole)) <= 64
    monkeypatch.setattr(groups, "EXACT", 100)
    monkeypatch.setattr(groups.near_groups, "__defaults__", (64,))
    centre, facility = list(orders.k_centre(points, 7)), list(orders.facility_location(points))
    assert sorted(centre) == sorted(facility) == list(range(400))
    assert 7 in centre[: len(whole)]
    for rows in whole:
        start = rows.tolist().index(7) if 7 in rows else 0
        own = [rows[at] for _, at in orders._farthest_first(points[rows], start)]
        assert [n for n in centre if n in set(rows.tolist())] == own
        exact = [rows[at] for _, at in orders._lazy_greedy(points[rows])]
        assert [n for n in facility if n in set(rows.tolist())] == exact
    radius = [gaps[:, chosen[:120]].min(axis=1).max() for chosen in (centre, full["centre"])]
    covered = [similar[:, chosen[:120]].max(axis=1).sum() for chosen in (facility, full["facility"])]
    assert radius[0] <= 1.5 * radius[1]
    assert covered[0] >= 0.98 * covered[1]


def test_the_filter_of_a_large_pool_compares_inside_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    points = orders.check_vectors(rng.standard_normal((300, 3)), 300)
    order = rng.permutation(300).tolist()
    monkeypatch.setattr(orders, "COMPARE_ALL", 100)
    monkeypatch.setattr(orders, "COMPARED", 80)
    monkeypatch.setattr(orders, "BLOCK_ROWS", 16)
    expected: list[int] = []
    label = {int(n): at for at, rows in enumerate(groups.near_groups(points, 80)) for n in rows}
    for number in order:
        near = [m for m in expected if label[m] == label[number] and points[m] @ points[number] > orders.MOST_SIMILAR + orders.ROUNDING]
        if not near:
            expected.append(number)
    assert list(orders.unlike(order, points)) == expected


def test_k_centre_is_farthest_first_and_within_twice_the_best() -> None:
    points = orders.check_vectors(np.random.default_rng(1).standard_normal((12, 3)), 12)
    gaps = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    order = list(orders.k_centre(points, 5))
    assert sorted(order) == list(range(12))
    assert order[0] == 5
    for size in range(1, 12):
        nearest = gaps[:, order[:size]].min(axis=1)
        assert nearest[order[size]] == pytest.approx(nearest.max(), abs=1e-6)
    for size in (2, 3, 4):
        radius = gaps[:, order[:size]].min(axis=1).max()
        best = min(gaps[:, list(s)].min(axis=1).max() for s in itertools.combinations(range(12), size))
        assert radius <= 2 * best + 1e-9


@given(st.integers(1, 5), st.integers(1, 12), st.sampled_from([1, 4, 10, 25, 1000]), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_targets_take_turns_for_the_nearest_record_left(targets: int, count: int, most: int, seed: int) -> None:
    """Against a brute force; few different vectors, so that there are ties; with room for all ranks, and for a few at a time."""
    rng = np.random.default_rng(seed)
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]], np.float32)
    asked, pool = (corners[rng.integers(0, 4, size)] for size in (targets, count))
    left, plain = list(range(count)), []
    while left:
        mine = asked[len(plain) % targets]
        plain.append(max(left, key=lambda n: (round(float(mine @ pool[n]), 5), -n)))
        left.remove(plain[-1])
    assert list(orders.nearest_in_turn(asked, pool, most)) == plain


def test_parametric_descends_the_loss_of_its_authors() -> None:
    """Value and gradient against torch's, of the formula as their code has it; then the nearest record left for each point."""
    import torch

    rng = np.random.default_rng(2)
    points = orders.check_vectors(rng.standard_normal((40, 6)), 40)
    raw = rng.standard_normal((7, 6)) * 1.3
    value, slope = parametric.loss(points, raw)
    theta = torch.tensor(raw, requires_grad=True)
    unit = torch.nn.functional.normalize(theta, dim=1)
    positive, nearest = torch.exp(torch.tensor(points, dtype=torch.float64) @ unit.T / 0.07).max(dim=1)
    others = torch.exp(unit.detach() @ unit.T / 0.07).sum(dim=0)[nearest]
    expected = -(torch.log(positive) - torch.log(positive + others)).mean()
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(slope, theta.grad.numpy(), rtol=1e-5, atol=1e-9)
    start = np.arange(7)
    moved = torch.tensor(points[start].astype(np.float64), requires_grad=True)
    optimiser = torch.optim.Adam([moved], lr=parametric.LEARNING_RATE)
    for _ in range(20):
        moved.grad = torch.tensor(parametric.loss(points, moved.detach().numpy())[1])
        optimiser.step()
    left, plain = list(range(40)), []
    targets = torch.nn.functional.normalize(moved.detach(), dim=1).numpy()
    for turn in range(40):
        plain.append(max(left, key=lambda n: float(points[n] @ targets[turn % 7].astype(np.float32))))
        left.remove(plain[-1])
    assert list(parametric.fitted(points, start, steps=20)) == plain


def test_parametric_spreads_as_the_pool_and_takes_no_two_alike() -> None:
    """Three tight groups of 60, 30 and 10: points repel each other, so each group is there, and the large one most."""
    rng = np.random.default_rng(0)
    centres = np.eye(8)[[0, 1, 2]]
    group = np.repeat([0, 1, 2], [60, 30, 10])
    points = centres[group] + rng.normal(0, 0.1, (100, 8))
    found = sample.choose([f"r{n:02}" for n in range(100)], strategy="parametric", ratio=0.2, embedding=points)
    counts = np.bincount(group[found.selected], minlength=3)
    assert counts.sum() == 20
    assert counts[0] > counts[1] >= counts[2] >= 1


def test_take_stops_at_the_nearest_prefix() -> None:
    cost = np.array([4, 4, 4, 0])
    assert orders.take([0, 1, 2], cost, 9).tolist() == [0, 1]
    assert orders.take([0, 1, 2], cost, 11).tolist() == [0, 1, 2]
    assert orders.take([0, 1, 2], cost, 10).tolist() == [0, 1]
    assert orders.take([3, 0], cost, 4).tolist() == [3, 0]
    assert orders.take([0], cost, 0).tolist() == []
