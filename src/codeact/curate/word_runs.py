"""Where in texts one of many runs of words stands, told for all words of many texts at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from codeact.types import Bools, Ints

_BITS = 21
_HEAD = 4
_BLOCK = 1 << 14
_BLANK = 32
_FACTOR = 0x9E37_79B9_7F4A_7C15  # odd, so that it has an inverse modulo 2^64
_BYTES = np.random.default_rng(0).integers(1, 1 << 63, 256, np.uint64)
_BYTES[_BLANK] = 0
_Codes = NDArray[np.uint64]


class Runs:
    """Tells quickly where in a text one of many runs of words may stand: nowhere else does one, and seldom is it another.

    Args:
        runs: length -> the runs of so many words.
    """

    def __init__(self, runs: Mapping[int, Collection[tuple[str, ...]]]) -> None:
        self.head = min((_HEAD, *runs))
        self.codes: dict[int, _Codes] = {}
        self.heads = np.zeros(1 << _BITS, np.bool_)
        for length, some in runs.items():
            spelled = " ".join([word for run in some for word in run]).encode("utf-8", "surrogatepass")
            words = _hashed(b" %b " % spelled)[0].reshape(-1, length).T
            self.codes[length] = np.unique(_run_codes(words))
            self.heads[_run_codes(words[: self.head]) >> np.uint64(64 - _BITS)] = True

    def __call__(self, texts: Sequence[bytes]) -> list[list[tuple[int, int]]]:
        """Of each text the runs that may stand there: the number of its first word, and the length.

        Args:
            texts: their words with blanks between them (`tokens.spelled`).
        """
        found: list[list[tuple[int, int]]] = [[] for _ in texts]
        words, begins = _hashed(b" %b " % b" ".join(texts))
        last = len(words) - self.head + 1
        if not self.codes or last < 1:
            return found
        codes = _run_codes(words[k : last + k] for k in range(self.head))
        heads = np.flatnonzero(self.heads[codes >> np.uint64(64 - _BITS)])
        lengths = np.array([len(text) for text in texts])
        ends = np.cumsum(lengths + 1)
        first = np.searchsorted(begins, ends - lengths)  # of each text the number of its first word
        for length, at in self._found(words, codes[heads], heads):
            text = np.searchsorted(ends, begins[at], "right")
            whole = text == np.searchsorted(ends, begins[at + length - 1], "right")
            for number, begin in zip(text[whole].tolist(), (at - first[text])[whole].tolist(), strict=True):
                found[number].append((begin, length))
        return found

    def _found(self, words: _Codes, codes: _Codes, heads: Ints) -> Iterator[tuple[int, Ints]]:
        """Each length, and the places where runs of it begin, in the order of `self.codes`.

        Args:
            words: a number for each word.
            codes: of the first `self.head` words from each of `heads` on.
            heads: places where runs may begin.
        """
        found: dict[int, Ints] = {}
        reached = self.head
        for length in sorted(self.codes):
            there = int(np.searchsorted(heads, len(words) - length, "right"))
            heads, codes = heads[:there], codes[:there]
            codes = _run_codes((words[heads + k] for k in range(reached, length)), codes)  # a run's code goes on from its beginning's
            reached = length
            found[length] = heads[_among(codes, self.codes[length])]
        return ((length, found[length]) for length in self.codes)


def _hashed(text: bytes) -> tuple[_Codes, Ints]:
    """A number for each word of a text that begins and ends with a blank, and the place of its first byte."""
    found, start = [], 0
    while start < len(text) - 1:
        end = start + _BLOCK
        if end < len(text):
            end = text.rfind(b" ", start + 1, end)
            end = end if end > 0 else text.index(b" ", start + _BLOCK)
        hashes, begins = _hashed_block(np.frombuffer(text, np.uint8, min(end + 1, len(text)) - start, start))
        found.append((hashes, begins + start))
        start = end
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


def _hashed_block(letters: NDArray[np.uint8]) -> tuple[_Codes, Ints]:
    """`_hashed`: of each word the sum of its bytes' numbers times the factor's powers, from 0 on (Karp and Rabin 1987), modulo 2^64.

    Read off the sums from the text's beginning on: two neighbouring ones differ by the word's sum, times a power that is divided out.
    """
    powers, inverse = _powers(_FACTOR, len(letters)), _powers(pow(_FACTOR, -1, 1 << 64), len(letters))
    inside = letters != _BLANK
    before = np.flatnonzero(inside[1:] > inside[:-1])
    sums = np.cumsum(_BYTES.take(letters) * powers[: len(letters)])
    upto = sums[before]
    return (np.append(upto[1:], sums[-1]) - upto) * inverse[before], before + 1


@lru_cache(maxsize=2)
def _more_powers(factor: int, count: int) -> _Codes:
    found: _Codes = np.cumprod(np.full(count, factor, np.uint64), dtype=np.uint64)
    return found


def _powers(factor: int, count: int) -> _Codes:
    return _more_powers(factor, _BLOCK + 1) if count <= _BLOCK + 1 else _more_powers.__wrapped__(factor, count)


def _run_codes(columns: Iterable[_Codes], begun: _Codes | None = None) -> _Codes:
    """A number for each run, of the numbers of its words, column by column (multiplicative hashing, Knuth 6.4); those of its first words are `begun`."""
    code: _Codes = np.zeros(1, np.uint64) if begun is None else begun
    for column in columns:
        code = (column + code) * np.uint64(_FACTOR)
    return code


def _among(codes: _Codes, known: _Codes) -> Bools:
    """Whether each code is among those that are known, which ascend."""
    there: Bools = known[np.minimum(np.searchsorted(known, codes), len(known) - 1)] == codes
    return there
