"""Guesses of what a model writes next, from what it has read and written: texts repeat themselves, loops above all.

Guessed tokens are read together with the newest one, in the same pass, and each is kept only if it is the one that the model takes
there: the answer is the same, in fewer passes. This is prompt lookup decoding (https://github.com/apoorvumang/prompt-lookup-decoding),
a speculative decoding (Leviathan et al., arXiv 2211.17192) without a second model.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST = 3  # tokens that must have stood there before
MOST = 16  # tokens guessed at a time
PASS_TOKENS = 16
"""A pass costs as much as so many tokens in it, beside its own: measured for matrices of a model of 135M on two kinds of AVX2
processor. On a GPU it is far more, so a guess is worth more there than is assumed."""
BATCH_TOKENS = 64  # most tokens of a pass that holds guesses: each has logits of the whole vocabulary


class Repeats:
    """A text, and where its last tokens stood before."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """The text's next token."""
        if len(self._ids) >= LEAST:
            self._after[tuple(self._ids[-LEAST:])] = len(self._ids)
        self._ids.append(token)

    def guess(self, most: int) -> list[int]:
        """What comes next if it goes on as it did the last time: as many tokens as had stood there before, at most `most` and `MOST`."""
        at = self._after.get(tuple(self._ids[-LEAST:])) if most > 0 else None
        if at is None:
            return []
        ids, end = self._ids, len(self._ids)
        most = min(most, MOST)
        same = LEAST
        while same < most and same < at and ids[at - 1 - same] == ids[end - 1 - same]:
            same += 1
        found: list[int] = []
        for place in range(at, at + min(same, most)):
            found.append(ids[place] if place < end else found[place - end])  # a loop goes round in its own guess
        return found


def worth(guesses: Sequence[Sequence[int]]) -> int:
    """How many tokens of the guesses to read: a pass reads equally many of each row, so a few long guesses among many rows cost more than they give."""
    rows = len(guesses)
    longest = min(max(map(len, guesses)), BATCH_TOKENS // rows - 1)
    best, most = 0, rows / (PASS_TOKENS + rows)
    for size in range(1, longest + 1):
        gain = sum(1 + min(len(guess), size) for guess in guesses) / (PASS_TOKENS + rows * (1 + size))
        if gain > most:
            best, most = size, gain
    return best
