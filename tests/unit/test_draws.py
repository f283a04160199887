"""Draws by a hash: the same as their formulas, whatever the order of the ids and whoever else is there."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from codeact.draws import seeded_hash, seeded_order, seeded_subset
from codeact.errors import InputError
from codeact.rundir import tables

IDS = [f"record-{n}" for n in range(300)] + ["ünïcode", "half \ud800", ""]


@pytest.mark.parametrize("seed", [0, 7, -1])
def test_draws_are_their_formulas(seed: int) -> None:
    """The formulas decide who is drawn, so a run made before and one made today agree."""
    texts = {i: f"{seed}:{i}".encode("utf-8", "surrogatepass") for i in IDS}
    by_sha = sorted(IDS, key=lambda i: hashlib.sha256(texts[i]).digest())
    assert [IDS[n] for n in seeded_order(IDS, seed)] == by_sha
    assert seeded_subset(IDS, 40, seed) == set(by_sha[:40])
    blake = [int.from_bytes(hashlib.blake2b(texts[i], digest_size=8).digest(), "little") for i in IDS]
    assert seeded_hash(IDS, seed).tolist() == blake


def test_a_draw_depends_on_the_ids_alone() -> None:
    turned = IDS[::-1]
    assert seeded_subset(turned, 40, 3) == seeded_subset(IDS, 40, 3)
    assert seeded_hash(turned, 3).tolist() == seeded_hash(IDS, 3).tolist()[::-1]
    fewer = [i for i in IDS if i not in seeded_subset(IDS, 40, 3)]
    assert seeded_subset(IDS, 60, 3) - seeded_subset(IDS, 40, 3) == seeded_subset(fewer, 20, 3)
    assert seeded_subset(IDS, 999, 3) == set(IDS)
    assert seeded_order([], 0).tolist() == []
    assert seeded_hash([], 0).tolist() == []


def test_two_draws_under_one_seed_are_not_alike() -> None:
    """Else a random selection of a limited pool were the pool of a smaller limit."""
    ids = [f"{n}" for n in range(4000)]
    first = np.isin(ids, sorted(seeded_subset(ids, 400, 0)))
    second = seeded_hash(ids, 0).argsort().argsort() < 400
    assert 15 < int((first & second).sum()) < 75


def test_rows_of_a_table_in_the_order_of_ids() -> None:
    table = pa.concat_tables(
        [pa.table({"id": ["a", "b"], "v": [1, 2], "kept": [True, False]}), pa.table({"id": ["c"], "v": [3], "kept": [True]})]
    )
    assert tables.in_order(table, ["c", "a", "c"])["v"].to_pylist() == [3, 1, 3]
    assert tables.in_order(table, pa.array(["b"]))["v"].to_pylist() == [2]
    assert tables.in_order(table, ["x", "b"], lenient=True)["v"].to_pylist() == [None, 2]
    with pytest.raises(InputError, match="no row of record 'x'"):
        tables.in_order(table, ["a", "x"])
    assert tables.ids_where(table, "kept") == ["a", "c"]
