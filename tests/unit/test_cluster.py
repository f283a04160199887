"""K-means that does not depend on the order of the input, and the 2-D view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from codeact.cluster import choose_k, cluster_embeddings, project_2d
from codeact.errors import InputError
from codeact.rundir.parts import regrouped
from codeact.rundir.store import Store
from codeact.stages.columns import TablePoints, vectors_by_place


def blobs(
    sizes: tuple[int, ...], dimensions: int = 16, seed: int = 0
) -> tuple[NDArray[np.float32], list[str], list[int]]:
    """Unit vectors around orthogonal directions; shuffled ids, the true group of each."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = np.eye(dimensions)[truth] + random.normal(0, 0.05, (len(truth), dimensions))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    names = [f"id{n:04d}" for n in random.permutation(len(truth))]
    return points.astype(np.float32), names, truth.tolist()


@pytest.mark.parametrize("full", [10**6, 40])
def test_finds_the_groups_largest_first(full: int) -> None:
    points, ids, truth = blobs((30, 80, 50))
    found = cluster_embeddings(points, 3, 0, ids=ids, full=full)
    assert found.labels.tolist() == [{1: 0, 2: 1, 0: 2}[group] for group in truth]
    assert found.labels.dtype == np.int32
    assert found.note == ""
    for c in range(3):
        np.testing.assert_allclose(found.centroids[c], points[found.labels == c].mean(axis=0), atol=1e-6)
    expected = np.linalg.norm(points - found.centroids[found.labels], axis=1)
    np.testing.assert_allclose(found.distance, expected, atol=1e-6)


def test_equal_sizes_are_numbered_by_the_smallest_id() -> None:
    points = np.array([[0, 1], [1, 0], [0, 1], [1, 0]], np.float32)
    assert cluster_embeddings(points, 2, 0, ids=["b", "a", "c", "d"]).labels.tolist() == [1, 0, 1, 0]
    assert cluster_embeddings(points, 2, 0, ids=["a", "b", "c", "d"]).labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("full", [10**6, 40])
def test_order_of_the_input_changes_nothing(full: int) -> None:
    # No structure: the labels depend on every detail of the run.
    points = np.random.default_rng(3).normal(size=(300, 8)).astype(np.float32)
    ids = [f"r{n}" for n in range(300)]
    one = cluster_embeddings(points, 7, 1, ids=ids, full=full)
    mix = np.random.default_rng(4).permutation(300)
    two = cluster_embeddings(points[mix], 7, 1, ids=[ids[i] for i in mix], full=full)
    np.testing.assert_array_equal(one.labels[mix], two.labels)
    np.testing.assert_array_equal(one.distance[mix], two.distance)
    np.testing.assert_array_equal(one.centroids, two.centroids)
    other = cluster_embeddings(points, 7, 2, ids=ids, full=full)
    assert (other.labels != one.labels).any()


def test_a_large_pool_is_clustered_nearly_as_well_as_in_full() -> None:
    """Overlapping groups: the sum of squared distances within 1 % of that of ten restarts over all points."""
    random = np.random.default_rng(5)
    points = (random.normal(size=(12, 16))[random.integers(0, 12, 4000)] + random.normal(0, 0.8, (4000, 16))).astype(np.float32)
    ids = [f"r{n}" for n in random.permutation(4000)]
    exact = cluster_embeddings(points, 8, 0, ids=ids)
    found = cluster_embeddings(points, 8, 0, ids=ids, full=500)
    assert found.fit["sample"] == 500
    assert 1 <= found.fit["passes"] <= 5
    assert not exact.fit
    assert float((found.distance**2).sum()) <= 1.01 * float((exact.distance**2).sum())
    nearest = ((points[:, None] - found.centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == found.labels).mean() > 0.98  # centroids are means of their members, one step further
    for c in range(8):
        np.testing.assert_allclose(found.centroids[c], points[found.labels == c].mean(axis=0), atol=1e-6)
    flat = project_2d(points, ids=ids, full=500)
    assert np.abs(np.corrcoef(flat[:, 0], project_2d(points, ids=ids)[:, 0])[0, 1]) > 0.95


def test_points_on_the_disk_give_the_clusters_of_points_in_memory(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    points, ids = random.normal(size=(9000, 8)).astype(np.float32), [f"r{n}" for n in range(9000)]
    points[:, 0] += 9 * random.integers(0, 3, 9000)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), 8)
    Store(tmp_path).write_parts("embed", regrouped([pa.table({"id": ids, "embedding": flat})]))
    held = TablePoints(Store(tmp_path))
    rows = np.array([0, 5, 4095, 4096, 8999])
    np.testing.assert_array_equal(held.take(rows), points[rows])
    mixed = np.array([8999, 3, 4096])
    np.testing.assert_array_equal(vectors_by_place(Store(tmp_path), ids)(mixed), points[mixed])
    for full in (1000, 10**6):
        one, two = (cluster_embeddings(source, 3, 0, ids=ids, full=full) for source in (points, held))
        np.testing.assert_array_equal(one.labels, two.labels)
        np.testing.assert_array_equal(one.distance, two.distance)
        np.testing.assert_array_equal(project_2d(points, ids=ids, full=full), project_2d(held, ids=ids, full=full))
    kept = TablePoints(Store(tmp_path), pa.array(ids[::3]))
    np.testing.assert_array_equal(np.concatenate([*kept.blocks()]), points[::3])
    points[77] = np.nan
    with pytest.raises(InputError, match="'r77' is not finite"):
        cluster_embeddings(points, 3, 0, ids=ids, full=1000)


def test_fewer_distinct_points_than_clusters() -> None:
    points = np.array([[1, 0], [0, 1], [1, -0.0], [0, 1], [0.0, 1]], np.float32)
    found = cluster_embeddings(points, 10, 0, ids=list("abcde"))
    assert found.labels.tolist() == [1, 0, 1, 0, 0]
    assert found.centroids.shape == (2, 2)
    assert found.distance.max() == 0
    assert found.note == "k reduced from 10 to 2: of 5 records only 2 embeddings are distinct"


def test_one_record_and_one_cluster() -> None:
    found = cluster_embeddings(np.ones((1, 4), np.float32), 3, 0, ids=["only"])
    assert found.labels.tolist() == [0]
    assert "k reduced from 3 to 1" in found.note
    points, ids, _ = blobs((5, 5))
    assert set(cluster_embeddings(points, 1, 0, ids=ids).labels.tolist()) == {0}


def test_projection_is_the_pca_of_scikit_learn() -> None:
    points = (np.random.default_rng(0).normal(size=(200, 12)) * np.linspace(3, 0.2, 12)).astype(np.float32)
    ids = [f"r{n}" for n in range(200)]
    found = project_2d(points, ids=ids)
    expected = PCA(2, svd_solver="full").fit_transform(points.astype(np.float64))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    assert found.dtype == np.float32
    mix = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(found[mix], project_2d(points[mix], ids=[ids[i] for i in mix]))


def test_projection_sign_follows_the_strongest_loading() -> None:
    points = np.zeros((4, 3), np.float32)
    points[:, 2] = [-3, -1, 1, 3]
    points[:, 0] = [0.5, -0.5, -0.5, 0.5]
    expected = np.stack([points[:, 2], points[:, 0]], axis=1)
    np.testing.assert_allclose(project_2d(points, ids=list("abcd")), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (4, 1), (3, 2)])
def test_projection_of_very_small_pools(shape: tuple[int, int]) -> None:
    points = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    flat = project_2d(points, ids=[str(n) for n in range(shape[0])])
    assert flat.shape == (shape[0], 2)
    assert np.isfinite(flat).all()
    if shape[1] == 1:
        np.testing.assert_allclose(flat[:, 0], points[:, 0] - points.mean(), atol=1e-6)
        assert not flat[:, 1].any()


def test_bad_input_is_one_clear_line() -> None:
    points = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match=r"cluster\.k is 0"):
        cluster_embeddings(points, 0, 0, ids=list("abc"))
    with pytest.raises(InputError, match=r"shape \[3, 3\] for 2 ids"):
        cluster_embeddings(points, 2, 0, ids=list("ab"))
    with pytest.raises(InputError, match=r"shape \[3\]"):
        project_2d(points[0], ids=list("abc"))
    with pytest.raises(InputError, match="'a' occurs twice"):
        cluster_embeddings(points, 2, 0, ids=list("aba"))
    with pytest.raises(InputError, match="no records"):
        cluster_embeddings(points[:0], 2, 0, ids=[])
    broken = points.copy()
    broken[1, 1] = np.nan
    with pytest.raises(InputError, match="record 'x' is not finite"):
        cluster_embeddings(broken, 2, 0, ids=["a", "x", "c"])


def test_auto_finds_the_number_of_groups() -> None:
    points, ids, _ = blobs((60, 50, 40, 30))
    found = choose_k(points, 0, ids=ids, candidates=(2, 3, 4, 6, 8), pairs=2)
    assert found.k == 4
    at = found.candidates.index(4)
    assert found.stability[at] == pytest.approx(1.0)
    assert found.silhouette[at] == max(found.silhouette)
    assert set(found.table()) == {"2", "3", "4", "6", "8"}


def test_auto_does_not_depend_on_the_order_and_uses_a_sample() -> None:
    points, ids, _ = blobs((60, 50, 40))
    mixed = np.random.default_rng(1).permutation(len(ids))
    one = choose_k(points, 3, ids=ids, candidates=(2, 3, 5), sample=80, pairs=1)
    two = choose_k(points[mixed], 3, ids=[ids[n] for n in mixed], candidates=(2, 3, 5), sample=80, pairs=1)
    assert one == two
    assert one.k == 3


def test_auto_needs_something_to_choose_from() -> None:
    with pytest.raises(InputError, match="too few to choose from"):
        choose_k(np.eye(4, dtype=np.float32), 0, ids=list("abcd"))
