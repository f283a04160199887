"""Copies among more records than memory holds: what is compared lies on the disk, and the result is that of comparing all with all."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from codeact.curate import near_copies, shared_bands, spool
from codeact.curate.near_copies import find_near
from codeact.curate.renamed_copies import find_renamed
from codeact.curate.shared_bands import Bands, Earlier
from codeact.curate.spool import Counts, Spool
from codeact.errors import InputError
from codeact.records import Message, Record
from tests.helpers.answers import fence, record

WORDS = [a + b + c for a in "bdfgklmnprst" for b in ("a", "ei", "o", "u") for c in ("n", "r", "st", "lk")]


def sentence(draw: random.Random, size: int) -> list[str]:
    return [draw.choice(WORDS) for _ in range(size)]


def reworded(count: int, seed: int) -> Iterator[Record]:
    """Answers of one sentence; of each there are one to four, with another word here and there or in many places. Half have no row."""
    draw = random.Random(seed)
    number = 0
    while number < count:
        asked, said = sentence(draw, 6), sentence(draw, 400)
        for _ in range(draw.randint(1, 4)):
            other = list(said)
            for _ in range(draw.choice((0, 1, 1, 60))):
                other[draw.randrange(len(other))] = draw.choice(WORDS)
            yield Record(
                f"r{draw.random()}", (Message("user", " ".join(asked) + "."), Message("assistant", " ".join(other) + ".")),
                {"row": number} if draw.random() < 0.5 else {},
            )  # fmt: skip
            number += 1


def runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def by_all_pairs(records: list[Record], threshold: float) -> dict[str, str]:
    """Each copy, and the most similar of those that stay: the longest answer first, then the lowest row, then the lowest id."""
    said = {r.id: r.response.rstrip(".").split() for r in records}
    asked = {r.id: r.instruction.rstrip(".").split() for r in records}
    stays: list[str] = []
    found: dict[str, str] = {}
    for one in sorted(records, key=lambda r: (-len(r.response), r.meta.get("row", float("inf")), r.id)):
        alike = []
        for other in stays:
            whole = jaccard(*(runs(asked[name] + said[name]) for name in (one.id, other)))
            if whole >= threshold and asked[one.id] == asked[other] and jaccard(runs(said[one.id]), runs(said[other])) >= threshold:
                alike.append((-whole, other))
        if alike:
            found[one.id] = min(alike)[1]
        else:
            stays.append(one.id)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_near_copies_are_those_of_all_pairs(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasketch", reason="needs the extra `curate`")
    monkeypatch.setattr(shared_bands, "BLOCK_ROWS", 17)
    monkeypatch.setattr(spool, "WAITING", 100)
    monkeypatch.setattr(near_copies, "PARTS_AT_HAND", 3)
    monkeypatch.setattr(near_copies, "RUNS_AT_HAND", 3)
    pool = list(reworded(150, seed))
    random.Random(seed).shuffle(pool)
    wanted = by_all_pairs(pool, 0.8)
    found = find_near(iter(pool), 0.8, folder=tmp_path)
    assert {name: copy.original for name, copy in found.items()} == wanted
    assert 20 < len(wanted) < 100
    assert found == find_near(pool[::-1], 0.8)
    assert not list(tmp_path.iterdir())


def test_a_threshold_of_one_has_bands_too() -> None:
    pytest.importorskip("datasketch", reason="needs the extra `curate`")
    text = " ".join(WORDS[:60])
    pool = [record("a", "Say it.", text, 0), record("b", "say it", text, 1), record("c", "Say it.", text + " now", 2)]
    assert {name: copy.original for name, copy in find_near(pool, 1.0).items()} == {"b": "a"}


def test_renamed_copies_come_in_the_order_of_the_file_then_of_their_ids() -> None:
    pytest.importorskip("tree_sitter", reason="needs the extra `curate`")
    code = "def {0}(values):\n    kept = []\n    for value in values:\n        if value > {1}:\n            kept.append(value * {1})\n    return kept"
    pool = [record(f"{n}-{name}", f"Keep and scale what is above {n}.", fence(code.format(name, n)), 9) for n in range(30) for name in ("g", "f", "h")]
    pool = [Record(r.id, r.messages, {} if at % 2 else r.meta) for at, r in enumerate(pool)]
    found = find_renamed(iter(pool))
    for n in range(30):
        group = sorted((r for r in pool if r.id.startswith(f"{n}-")), key=lambda r: (not r.meta, r.id))
        assert {name: copy.original for name, copy in found.items() if name.startswith(f"{n}-")} == {r.id: group[0].id for r in group[1:]}


@pytest.mark.parametrize("find", [lambda some: find_near(some, 0.8), find_renamed], ids=["near", "renamed"])
def test_memory_does_not_grow_with_the_texts(find: Callable[[Iterator[Record]], object], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasketch", reason="needs the extra `curate`")
    monkeypatch.setattr(shared_bands, "BLOCK_ROWS", 64)
    monkeypatch.setattr(spool, "WAITING", 1000)
    monkeypatch.setattr(near_copies, "PARTS_AT_HAND", 16)
    monkeypatch.setattr(near_copies, "RUNS_AT_HAND", 16)

    def pool(count: int) -> Iterator[Record]:
        draw = random.Random(count)
        for n in range(count):
            said = "\n".join(f"    {a} = {b}({a}, {n})" for a, b in zip(sentence(draw, 10), sentence(draw, 10), strict=True))
            yield record(f"r{n}", " ".join(sentence(draw, 200)) + ".", fence(f"def f(x):\n{said}\n    return x"), n)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            find(pool(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)  # what is imported and kept once
    assert peak(450) - peak(150) < 300 * 500


def test_pieces_are_read_in_any_order_while_others_come(tmp_path: Path) -> None:
    pieces = Spool(tmp_path)
    wanted: list[bytes] = []
    for n in range(40):
        wanted.append(bytes([n]) * (n * 700 % 900))
        pieces.append(wanted[-1])
        at = n * 7 % (n + 1)
        assert pieces[at] == wanted[at]
    assert list(pieces) == wanted
    assert pieces.sizes().tolist() == [len(piece) for piece in wanted]
    with pytest.raises(IndexError):
        pieces[40]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone cannot be written: No such file or directory"):
        Spool(tmp_path / "gone")


def test_counts_are_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "WAITING", 50)
    draw = random.Random(0)
    seen = [int(draw.gauss(0, 300)) * 7919 for _ in range(5000)] + [-(1 << 63), (1 << 63) - 1]
    counts = Counts()
    for at in range(0, len(seen), 11):
        counts.add(seen[at : at + 11])
    for least in (1, 5, 9):
        assert counts.often(least) == {number for number, count in Counter(seen).items() if count >= least}


def test_bands_are_grouped_as_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_bands, "BLOCK_ROWS", 13)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 4, (200, 3, 2)).astype(np.uint32)
    hashes[:60] = rng.integers(4, 1 << 32, (60, 3, 2))  # some that share nothing
    bands = Bands(3, 2)
    for row in hashes:
        bands.append(row.reshape(-1))
    alike = (hashes[:, None] == hashes[None]).all(axis=3).any(axis=2) & ~np.eye(200, dtype=bool)
    shared = bands.shared()
    assert shared.tolist() == np.flatnonzero(alike.any(axis=1)).tolist()
    order = rng.permutation(shared)
    earlier = Earlier(bands, order)
    for place, row in enumerate(order):
        assert earlier[place].tolist() == np.flatnonzero(alike[row, order[:place]]).tolist()
