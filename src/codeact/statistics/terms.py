"""What sets groups of texts apart: the terms that one group has far more often than all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

PRIOR = 0.5  # texts that are added to each count: a term seen once is no news
SHOWN = 3
CLEAR = 2.0  # standard errors
COMMON = 0.25  # a term in more of the other texts than this is a function word, in whatever language


def distinctive_terms(texts: Sequence[Collection[str]], labels: Sequence[int], shown: int = SHOWN) -> dict[int, tuple[str, ...]]:
    """The terms that set each group apart from the rest, the clearest first.

    Function words are none: scikit-learn's English list, and in any language what more than a quarter of the other texts hold.
    Terms are ordered by the logarithm of the odds that a text of the group holds one, less that of the rest, in standard errors (Monroe, Colaresi
    and Quinn 2008, with texts for words). A term that is part of one before it says nothing new and is left out.

    Args:
        texts: the different terms of each text.
        labels: the group of each text; below 0: of none.
        shown: terms of a group at most; fewer where no more stand out.

    Returns:
        Group -> terms; groups that nothing sets apart have none.
    """
    inside: dict[int, Counter[str]] = {}
    sizes: Counter[int] = Counter()
    for terms, label in zip(texts, labels, strict=True):
        if label >= 0:
            inside.setdefault(label, Counter()).update(terms)
            sizes[label] += 1
    whole: Counter[str] = Counter()
    for counts in inside.values():
        whole.update(counts)
    total = sum(sizes.values())
    return {label: _clearest(counts, sizes[label], whole, total, shown) for label, counts in sorted(inside.items())}


def _clearest(counts: Counter[str], size: int, whole: Counter[str], total: int, shown: int) -> tuple[str, ...]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    terms = sorted(term for term, count in counts.items() if (count > 1 or size < 4) and term not in ENGLISH_STOP_WORDS)
    if not terms or size == total:
        return ()
    here = np.array([counts[term] for term in terms], np.float64)
    rest = np.array([whole[term] for term in terms], np.float64) - here
    with_it, without = here + PRIOR, size - here + PRIOR
    others_with, others_without = rest + PRIOR, total - size - rest + PRIOR
    odds = np.log(with_it / without) - np.log(others_with / others_without)
    apart = odds / np.sqrt(1 / with_it + 1 / without + 1 / others_with + 1 / others_without)
    apart[rest > COMMON * (total - size)] = 0.0
    chosen: list[str] = []
    for at in np.argsort(-apart, kind="stable").tolist():
        if len(chosen) == shown or apart[at] < CLEAR:
            break
        if not any(_same(terms[at], other) for other in chosen):
            chosen.append(terms[at])
    return tuple(chosen)


def _same(one: str, other: str) -> bool:
    """Whether one is a form of the other (date, dates), or a part of it; letters of a script without blanks overlap by one."""
    return one in other or other in one or (not one.isascii() and (one[1:] == other[:-1] or one[:-1] == other[1:]))
