"""Copies that are not equal: code with other names, texts with a few other words, instructions that mean the same."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.curate.canonical import canonical_code, canonical_tokens, fingerprint
from codeact.curate.dedup import file_order, lines_of, preference
from codeact.curate.languages import guess_language
from codeact.curate.tokens import plain, terms, words
from codeact.errors import InputError, require
from codeact.progress import SILENT, Progress
from codeact.records import Record
from codeact.types import Vectors

MIN_CODE_TOKENS = 20
MIN_SHARED_WORDS = 0.25
LONG_CODE_TOKENS = 30
SHORT_SHARED_WORDS = 0.5
MIN_GIVEN_CODE = 20
MIN_TOLD = 4
TRANSLATED = 0.45
"""Of the words of the shorter text: of 20 translated questions the most is 0.37, of 152 copies in English the least 0.52."""
MIN_ANSWER_WORDS = 10
MOST_COMPARED = 50
MOST_COPIES = 10
"""Of one program. What more requests get is a template's; of 28 public sources the most is 7."""
SHINGLE = 5
PERMUTATIONS = 128
BLOCK = 2048
COMMON_SENTENCE = 50
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])")
_NUMBER = re.compile(r"\d+")
_WORD_OR_BRACKET = re.compile(r"\w+|[()\[\]{}]")
_REMARK = re.compile(r"^[ \t]*(?:--|//|#+)[ \t]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Copy:
    """Which record represents the group, and what makes the two copies."""

    original: str
    evidence: str


def find_renamed(records: Sequence[Record]) -> dict[str, Copy]:
    """Records whose code differs in the names that it defines, in remarks and in layout only (the indentation of Python counts).

    At least 20 tokens of code. The instructions need a quarter of their distinct words in common (half of them under
    30 tokens), and neither the word that tells them apart nor a number may differ: one program under two titles is no
    copy. Nor is one mended program for two broken ones: code that the user shows must agree too. Nor is a translation. Text of no known
    language is never a copy, nor is a program that more than ten others repeat: a template's. The lowest row represents
    the group, then the lowest id.
    """
    groups: dict[bytes, list[Record]] = {}
    copies: dict[bytes, dict[str, Copy]] = {}
    for record in sorted(records, key=file_order):
        code = canonical_code(record.response)
        if len(code) < MIN_CODE_TOKENS:
            continue
        key = fingerprint([*code, _setting(record), *_given_code(record)])
        group = groups.setdefault(key, [])
        least = MIN_SHARED_WORDS if len(code) >= LONG_CODE_TOKENS else SHORT_SHARED_WORDS
        original = next(
            (
                other
                for other in group
                if shared_words(other.instruction, record.instruction) >= least
                and not _ask_apart(other, record)
                and _same_tongue(other, record)
            ),
            None,
        )
        if original is not None:
            evidence = f"same code as {original.id} up to names, remarks and layout ({len(code)} tokens)"
            copies.setdefault(key, {})[record.id] = Copy(original.id, evidence)
        elif len(group) < MOST_COMPARED:
            group.append(record)
    return {identity: copy for found in copies.values() if len(found) <= MOST_COPIES for identity, copy in found.items()}


def _ask_apart(left: Record, right: Record) -> bool:
    """Whether each request has a number of its own in its sentences, a word of its own that only its answer takes up, or the same words
    in other roles.

    A program from a template carries its title in remarks and in the text around it, where a copy with other names has
    the same words. Both must have one: a copy may leave out an example, or name a thing that the other only describes.
    """
    numbers = [set(_prose_numbers(record.instruction)) for record in (left, right)]
    if numbers[0] - numbers[1] and numbers[1] - numbers[0]:
        return True
    said = words(left.instruction), words(right.instruction)
    if said[0] != said[1] and Counter(said[0]) == Counter(said[1]):  # "rand7 by rand5", "rand5 by rand7"
        return True
    asked, other = terms(left.instruction), terms(right.instruction)
    answered, reply = terms(left.response), terms(right.response)
    return bool((asked - other) & (answered - reply)) and bool((other - asked) & (reply - answered))


def _same_tongue(left: Record, right: Record) -> bool:
    """Whether what two records say outside of code may be in one language: a translation shares the code, and few words."""
    a, b = (terms(_CODE.sub(" ", f"{record.instruction}\n{record.response}")) for record in (left, right))
    return min(len(a), len(b)) < MIN_TOLD or len(a & b) >= TRANSLATED * min(len(a), len(b))


def _prose_numbers(text: str) -> list[str]:
    """The numbers of the lines that are prose, remarks too: those of an example differ between two requests for one program."""
    bare = _REMARK.sub("", text)
    return [number for line, prose in lines_of(bare) if prose for number in _NUMBER.findall(plain(line))]


def _given_code(record: Record) -> list[str]:
    """The tokens of the code that the user shows, if it is more than a call or a list: two programs to mend are two tasks."""
    lines = [line for line, prose in lines_of(record.instruction) if not prose]
    shown = canonical_tokens("\n".join(lines), indented=True) if lines else []
    return shown if len(shown) >= MIN_GIVEN_CODE and guess_language("\n".join(lines)) else []


def _setting(record: Record) -> str:
    """What must be equal in any two copies: roles, tools, and what neither the user nor the assistant says."""
    turns = [
        (m.role, "" if m.role in ("user", "assistant") else m.content, m.tool_calls, m.learn) for m in record.messages
    ]
    return json.dumps([*turns, record.tools])


def shared_words(left: str, right: str) -> float:
    """Jaccard similarity of the sets of words of two or more letters, or of pairs of letters where words have no blanks between them."""
    a, b = terms(left), terms(right)
    return len(a & b) / len(a | b) if a | b else 1.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A text, and its comparable pieces: sentences of words, the lines that may be code as they are, and all numbers."""

    sentences: tuple[tuple[str, ...], ...]
    code: tuple[str, ...]
    numbers: tuple[str, ...]
    text: str


def find_near(records: Sequence[Record], threshold: float, progress: Progress = SILENT) -> dict[str, Copy]:
    """Records that repeat one that stays in slightly other words.

    Candidates share runs of five words with a Jaccard similarity of at least `threshold`, found by MinHash (Broder 1997) with
    locality-sensitive hashing; runs of five and 0.8 are those of Lee et al. (arXiv 2107.06499). Sentences that 50 records share, as a
    schema or a standing request, do not count.

    A long common text says little about two records, so instruction and response must each agree by itself: the lines
    that may be code and all numbers are equal, and the sentences that the two do not have in common reach the threshold too. Where
    other words are asked, the answer has ten words at least. Roles, tools and tool calls are equal. The longest response goes
    first, then the lowest row, so each copy names a record that stays.

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
    common = _common_pieces(records)
    kept: dict[str, tuple[Record, NDArray[np.uint32]]] = {}
    found: dict[str, Copy] = {}
    for record in sorted(records, key=preference):
        progress.advance()
        shingles = _shingles(record, common)
        sketch: Any = seed.copy()
        sketch.update_batch(shingles.tolist())
        similar = sorted((-_jaccard(shingles, kept[key][1]), key) for key in index.query(sketch))
        likely = [(-value, key) for value, key in similar[:MOST_COMPARED] if -value >= threshold]
        best = next(((value, key) for value, key in likely if _agree(record, kept[key][0], threshold)), None)
        if best is not None:
            found[record.id] = Copy(
                best[1], f"near copy of {best[1]}: {best[0]:.2f} of their runs of {SHINGLE} words are shared"
            )
            continue
        kept[record.id] = record, shingles
        index.insert(record.id, sketch)
    return found


def _common_pieces(records: Sequence[Record]) -> frozenset[tuple[str, ...]]:
    counts = Counter(piece for record in records for piece in set(_pieces(record)))
    return frozenset(piece for piece, count in counts.items() if count >= COMMON_SENTENCE)


def _agree(left: Record, right: Record, threshold: float) -> bool:
    (asked, answered), (other, reply) = _parts(left), _parts(right)
    reworded = Counter(word for s in asked.sentences for word in s) != Counter(w for s in other.sentences for w in s)
    return (
        _setting(left) == _setting(right)
        and (reworded or _grouped(asked) == _grouped(other))
        and not (reworded and len(words(left.response)) < MIN_ANSWER_WORDS)  # `yes` answers many questions
        and all(
            a.code == b.code and a.numbers == b.numbers and _same_sentences(a, b, threshold)
            for a, b in ((asked, other), (answered, reply))
        )
    )


def _grouped(part: _Part) -> list[str]:
    """The words of a text with its brackets: `a or (b and c)` asks for another thing than `(a or b) and c`."""
    return _WORD_OR_BRACKET.findall(plain(part.text).lower())


def _same_sentences(left: _Part, right: _Part, threshold: float) -> bool:
    """Whether the sentences that only one of two texts has say nearly the same."""
    a, b = Counter(left.sentences), Counter(right.sentences)
    only = [[word for s in c if c[s] > d[s] for word in s] for c, d in ((a, b), (b, a))]
    return only[0] == only[1] or _jaccard(_runs(only[0]), _runs(only[1])) >= threshold


def _parts(record: Record) -> tuple[_Part, _Part]:
    """What is asked (all that is not the assistant's), and what is answered."""
    asked = [m.content for m in record.messages if m.role != "assistant"]
    answered = [text for m in record.messages if m.role == "assistant" for text in (m.reasoning, m.content)]
    return _part("\n".join(asked)), _part("\n".join(answered))


def _part(text: str) -> _Part:
    sentences, code = [], []
    numbers: list[str] = []
    for line, prose in lines_of(text):
        numbers += _NUMBER.findall(line)
        if not prose:
            code.append(line)
            continue
        sentences += [tuple(found) for sentence in _SENTENCE.split(line) if (found := words(sentence))]
    return _Part(tuple(sentences), tuple(code), tuple(numbers), text)


def _shingles(record: Record, common: frozenset[tuple[str, ...]]) -> NDArray[np.uint32]:
    """The runs of a record's words, but for the sentences that many records share, where anything else is left."""
    pieces = _pieces(record)
    own = [word for piece in pieces if piece not in common for word in piece]
    return _runs(own or [word for piece in pieces for word in piece])


def _pieces(record: Record) -> list[tuple[str, ...]]:
    """The words of each sentence and of each line of code."""
    return [piece for p in _parts(record) for piece in (*p.sentences, *(tuple(words(line)) for line in p.code))]


def _runs(text: Sequence[str]) -> NDArray[np.uint32]:
    """Sorted distinct 32-bit hashes of the runs of five words."""
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in text), np.uint64, len(text))
    size = min(SHINGLE, len(hashes))
    if size == 0:
        return np.zeros(1, np.uint32)
    total = np.zeros(len(hashes) - size + 1, np.uint64)
    for offset in range(size):
        total = (total * np.uint64(1_000_003)) ^ hashes[offset : len(hashes) - size + 1 + offset]
    return np.unique((total ^ (total >> np.uint64(32))).astype(np.uint32))


def runs_of_words(text: str) -> list[int]:
    """Distinct 32-bit hashes of the runs of five words of a text, of all its words where there are fewer."""
    found: list[int] = _runs(words(text)).tolist()
    return found


def _jaccard(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def find_same_meaning(ids: Sequence[str], vectors: Vectors, order: Sequence[int], threshold: float) -> dict[str, Copy]:
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
            nearest = cosines.argmax(1)
            value = cosines[np.arange(len(block)), nearest]
            better = value > best
            best[better], at[better] = value[better], some[nearest[better]]
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


def neighbours(vectors: Vectors, targets: Vectors, threshold: float) -> Mapping[int, tuple[int, float]]:
    """Row of `vectors` -> (row of `targets`, cosine) of its nearest target, where the cosine is at least `threshold`."""
    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ targets.T
        nearest = cosines.argmax(1)
        for row, column in enumerate(nearest.tolist()):
            if cosines[row, column] >= threshold:
                found[start + row] = (column, float(cosines[row, column]))
    return found
