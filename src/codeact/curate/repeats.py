"""Which instructions nearly repeat another's, for a few texts against many: exact, without sketches and without an extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from codeact.curate.near_copies import runs_of_words
from codeact.records import Record

MOST_ALIKE = 0.8


def repeats(records: Iterable[Record], of: Sequence[Record] | None = None, threshold: float = MOST_ALIKE) -> dict[int, int]:
    """Number of each record whose instruction nearly repeats another's -> number of that one, the most alike.

    Alike by the Jaccard similarity of their runs of five words, as `near_copies.find_near` (Lee et al., arXiv 2107.06499).

    Args:
        records: that are looked at.
        of: that they may repeat; None: an earlier one of `records` that repeats none itself.
        threshold: above 0, at most 1.
    """
    holders: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}

    def keep(number: int, runs: Sequence[int]) -> None:
        sizes[number] = len(runs)
        for run in runs:
            holders.setdefault(run, []).append(number)

    for number, record in enumerate(of or ()):
        keep(number, runs_of_words(record.instruction))
    found: dict[int, int] = {}
    for number, record in enumerate(records):
        runs = runs_of_words(record.instruction)
        shared = Counter(other for run in runs for other in holders.get(run, ()))
        alike = [(count / (len(runs) + sizes[other] - count), -other) for other, count in shared.items()]
        likeness, other = max(alike, default=(0.0, 0))
        if likeness >= threshold:
            found[number] = -other
        elif of is None:
            keep(number, runs)
    return found
