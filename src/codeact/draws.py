"""Random draws by a hash of seed and id: who is drawn does not depend on the order of the records, nor on who else is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from codeact.types import Ints


def seeded_order(ids: Sequence[str], seed: int) -> Ints:
    """The numbers of the ids in a random order, by SHA-256: int64 [N]."""
    keys = list(_digests(hashlib.sha256(), ids, seed))
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def seeded_subset(ids: Sequence[str], limit: int, seed: int) -> set[str]:
    """The first `limit` ids of `seeded_order`."""
    return {ids[number] for number in seeded_order(ids, seed)[:limit].tolist()}


def seeded_hash(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """64 bits of BLAKE2b over seed and id, a key to sort by among others: uint64 [N].

    Another hash than that of `seeded_order`, so that a selection is no function of the draw that made its pool.
    """
    digests = bytearray()
    for digest in _digests(hashlib.blake2b(digest_size=8), ids, seed):
        digests += digest
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _digests(start: hashlib._Hash | hashlib.blake2b, ids: Sequence[str], seed: int) -> Iterator[bytes]:
    start.update(f"{seed}:".encode())
    for identity in ids:
        state = start.copy()
        state.update(identity.encode("utf-8", "surrogatepass"))
        digest: bytes = state.digest()
        yield digest
