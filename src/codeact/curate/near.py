"""Copies that are not equal: code with other names, texts with a few other words, instructions that mean the same."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.curate.blocks import code_blocks, python_evidence
from codeact.curate.canonical import canonical_tokens, code_of, fingerprint, nameless_tokens
from codeact.curate.dedup import preference
from codeact.errors import InputError, require
from codeact.progress import SILENT, Progress
from codeact.records import Record

MIN_CODE_TOKENS = 20
MIN_SHARED_WORDS = 0.25
LONG_CODE_TOKENS = 30
SHORT_SHARED_WORDS = 0.5
NAMELESS_TOKENS = 40
SHINGLE = 5
PERMUTATIONS = 128
BLOCK = 2048
_WORD = re.compile(r"\w+|[^\w\s]")
_LETTERS = re.compile(r"[a-z]\w+")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Copy:
    """Which record represents the group, and what makes the two copies."""

    original: str
    evidence: str


def find_renamed(records: Sequence[Record]) -> dict[str, Copy]:
    """Records whose code differs in names, in comments and in layout only.

    Names that the code defines may differ in code of 20 tokens, and any name in code of 40. The instructions need a quarter of
    their distinct words in common (half of them under 30 tokens): one answer to two questions is no copy. The longest
    canonical code has no say (it is the same): the lowest row represents the group, then the lowest id.
    """
    groups: dict[bytes, list[Record]] = {}
    found: dict[str, Copy] = {}
    for record in sorted(records, key=lambda r: preference(r)[1:]):
        if (
            not code_blocks(record.response)
            and not python_evidence(record.response)
            and not re.search(r"[;{}=]", record.response)
        ):
            continue
        shapes = list(_shapes(code_of(record.response)))
        copy = next((copy for shape in shapes if (copy := _copy(record, groups, *shape))), None)
        if copy is not None:
            found[record.id] = copy
            continue
        for key, _, _ in shapes:
            groups.setdefault(key, []).append(record)
    return found


def _shapes(code: str) -> Iterator[tuple[bytes, int, str]]:
    """What copies of this code have in common: a key, its number of tokens, and what may differ. Code that is too short has none."""
    own = canonical_tokens(code)
    if len(own) >= MIN_CODE_TOKENS:
        yield fingerprint(own), len(own), "names"
    blind = nameless_tokens(code)
    if len(blind) >= NAMELESS_TOKENS:
        yield fingerprint(["", *blind]), len(blind), "all names"


def _copy(
    record: Record, groups: Mapping[bytes, Sequence[Record]], key: bytes, tokens: int, differ: str
) -> Copy | None:
    least = MIN_SHARED_WORDS if tokens >= LONG_CODE_TOKENS else SHORT_SHARED_WORDS
    for original in groups.get(key, ()):
        if shared_words(original.instruction, record.instruction) >= least:
            return Copy(
                original.id, f"same code as {original.id} up to {differ}, comments and layout ({tokens} tokens)"
            )
    return None


def shared_words(left: str, right: str) -> float:
    """Jaccard similarity of the sets of words of two or more letters."""
    a, b = set(_LETTERS.findall(left.lower())), set(_LETTERS.findall(right.lower()))
    return len(a & b) / len(a | b) if a | b else 1.0


def find_near(records: Sequence[Record], threshold: float, progress: Progress = SILENT) -> dict[str, Copy]:
    """Records whose runs of five tokens have a Jaccard similarity of at least `threshold` with a record that stays.

    MinHash (Broder 1997) with locality-sensitive hashing finds candidates, the exact similarity decides; runs of five tokens
    and 0.8 are those of Lee et al. (arXiv 2107.06499). The longest response goes first, then the lowest row, so each copy
    names a record that stays.

    Args:
        records: the pool.
        threshold: above 0, at most 1.
        progress: advanced by each record.

    Raises:
        MissingExtraError: datasketch is not installed.
        InputError: the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"curate.near = {threshold}: must be above 0 and at most 1 (a Jaccard similarity)")
    datasketch = require("datasketch", "curate", "finding near duplicates")
    # more bands than the threshold alone asks for: a missed candidate is lost, a wrong one only costs a comparison
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
    seed = datasketch.MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)
    kept: dict[str, NDArray[np.uint32]] = {}
    found: dict[str, Copy] = {}
    for record in sorted(records, key=preference):
        progress.advance()
        shingles = _shingles(record)
        sketch: Any = seed.copy()
        sketch.update_batch(shingles.tolist())
        similar = [(_jaccard(shingles, kept[key]), key) for key in index.query(sketch)]
        best = min(((-value, key) for value, key in similar if value >= threshold), default=None)
        if best is not None:
            found[record.id] = Copy(
                best[1], f"near copy of {best[1]}: {-best[0]:.2f} of their runs of {SHINGLE} tokens are shared"
            )
            continue
        kept[record.id] = shingles
        index.insert(record.id, sketch)
    return found


def _shingles(record: Record) -> NDArray[np.uint32]:
    """Sorted distinct 32-bit hashes of the runs of five tokens, without case."""
    words = _WORD.findall("\n".join(message.content for message in record.messages).lower())
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, len(words))
    size = min(SHINGLE, len(hashes))
    if size == 0:
        return np.zeros(1, np.uint32)
    total = np.zeros(len(hashes) - size + 1, np.uint64)
    for offset in range(size):
        total = (total * np.uint64(1_000_003)) ^ hashes[offset : len(hashes) - size + 1 + offset]
    return np.unique((total ^ (total >> np.uint64(32))).astype(np.uint32))


def _jaccard(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def find_same_meaning(ids: Sequence[str], vectors: Floats, order: Sequence[int], threshold: float) -> dict[str, Copy]:
    """Records whose embedding has a cosine of at least `threshold` with one that stays (SemDeDup, arXiv 2303.09540).

    Exact and in blocks: memory grows with the records, not with their pairs.

    Args:
        ids: N ids.
        vectors: float32 [N, D], rows of unit length.
        order: positions, the preferred representatives first.
        threshold: cosine, above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"curate.semantic = {threshold}: must be above 0 and at most 1 (a cosine)")
    points = vectors[np.asarray(order, np.int64)]
    stays = np.ones(len(points), np.bool_)
    found: dict[str, Copy] = {}
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        earlier = np.flatnonzero(stays[:start])
        best, at = np.full(len(block), -2.0, np.float32), np.zeros(len(block), np.int64)
        for first in range(0, len(earlier), 8 * BLOCK):
            some = earlier[first : first + 8 * BLOCK]
            cosines = block @ points[some].T
            place = cosines.argmax(1)
            value = cosines[np.arange(len(block)), place]
            better = value > best
            best[better], at[better] = value[better], some[place[better]]
        inner = block @ block.T
        for row in range(len(block)):
            left = inner[row, :row]
            left = np.where(stays[start : start + row], left, -2.0)
            if row and left.max() > best[row]:
                best[row], at[row] = left.max(), start + int(left.argmax())
            if best[row] >= threshold:
                stays[start + row] = False
                original = ids[order[int(at[row])]]
                found[ids[order[start + row]]] = Copy(original, f"cosine {best[row]:.3f} with {original}")
    return found


def neighbours(vectors: Floats, targets: Floats, threshold: float) -> Mapping[int, tuple[int, float]]:
    """Row of `vectors` -> (row of `targets`, cosine) of its nearest target, where the cosine is at least `threshold`."""
    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ targets.T
        nearest = cosines.argmax(1)
        for row, column in enumerate(nearest.tolist()):
            if cosines[row, column] >= threshold:
                found[start + row] = (column, float(cosines[row, column]))
    return found
