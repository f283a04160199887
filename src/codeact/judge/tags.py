"""Intention tags as in InsTag (arXiv 2308.07074): reading the judge's answer, and making one tag of many spellings.

The paper's four steps of normalisation: the frequency filter, the rules (case, punctuation, plural), the merging of tags of like
meaning by DBSCAN over embeddings, and association rules.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

from codeact.spoken import spoken
from codeact.types import Vectors

Status = Literal["ok", "empty", "unparsed", "no_answer"]
MOST_WORDS = 6
MERGE_DISTANCE = 0.05
CONFIDENCE = 0.99  # of an association rule, as in the paper


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags of one record; none unless the status is ok. `detail` has the answer's beginning where it is not."""

    tags: tuple[str, ...]
    status: Status
    detail: str = ""


def parse_tags(text: str) -> Tagged:
    """Read a JSON list of objects with a "tag", or of strings, alone or in a fenced block; anything else is unparsed.

    Tags are normalised, repeated ones dropped; an entry that is no tag (not a text, empty, more than 6 words) makes the whole
    answer unparsed. Thinking before the answer is left out.
    """
    answer = spoken(text)
    beginning = " ".join((answer.strip() or text).split())[:80]
    body = re.sub(r"^\s*```(?:json)?\s*|\s*```\s*$", "", answer.strip())
    try:
        value: Any = json.loads(body)
    except (json.JSONDecodeError, RecursionError):
        return Tagged((), "unparsed", beginning)
    if not isinstance(value, list):
        return Tagged((), "unparsed", beginning)
    names = [item.get("tag") if isinstance(item, Mapping) else item for item in value]
    clean = [normalise(name) if isinstance(name, str) else "" for name in names]
    if any(not name or len(name.split()) > MOST_WORDS for name in clean):
        return Tagged((), "unparsed", beginning)
    return Tagged(tuple(dict.fromkeys(clean)), "ok" if clean else "empty")


def normalise(tag: str) -> str:
    """One spelling: NFKC, lower case, marks other than `+` and `#` to blanks, the last word in the singular.

    >>> normalise("Binary-Search  Trees"), normalise("C++"), normalise("data analysis")
    ('binary search tree', 'c++', 'data analysis')
    """
    plain = unicodedata.normalize("NFKC", tag).lower()
    words = re.sub(r"[^\w+#]|_", " ", plain).split()
    if words:
        words[-1] = _singular(words[-1])
    return " ".join(words)


def frequent(tags: Sequence[Sequence[str]], min_count: int) -> list[tuple[str, ...]]:
    """Drop the tags that fewer than `min_count` records have (the paper: 20, for 100,000 and more records)."""
    counts = Counter(name for found in tags for name in set(found))
    return [tuple(name for name in found if counts[name] >= min_count) for found in tags]


def merge_like(
    counts: Mapping[str, int], vectors: Vectors, distance: float = MERGE_DISTANCE
) -> dict[str, str]:
    """Tag -> the commonest tag of its group (of equals the first by name): DBSCAN on cosine distance, as in the paper.

    Args:
        counts: tag -> records that have it.
        vectors: float32 [tags, D], rows of unit length, in the order of `sorted(counts)`.
        distance: largest cosine distance of neighbours (the paper: 0.05, with PhraseBERT).
    """
    from sklearn.cluster import DBSCAN

    names = sorted(counts)
    if not names:
        return {}
    labels = DBSCAN(eps=distance, min_samples=1, metric="cosine").fit_predict(vectors)
    leaders: dict[int, str] = {}
    for name, label in sorted(zip(names, labels.tolist(), strict=True), key=lambda pair: (-counts[pair[0]], pair[0])):
        leaders.setdefault(label, name)
    return {name: leaders[label] for name, label in zip(names, labels.tolist(), strict=True)}


def merge_associated(
    tags: Sequence[Sequence[str]], support: int, confidence: float = CONFIDENCE
) -> list[tuple[str, ...]]:
    """Replace a tag by another that nearly always comes with it, until no such rule is left.

    A rule A -> B holds where at least `support` records have both tags and they are at least `confidence` of those that have
    A. Among rules between the same two tags the rarer gives way (of equals the later by name); each round applies, to each
    tag, its rule of most records. The paper mines rules by FP-growth with a support of 40 and a confidence of 99 %; merging one
    tag into one other needs rules of two tags only, which counting pairs finds.

    Args:
        tags: of each record, normalised.
        support: records, at least 1.
        confidence: from above 0.5 to 1.

    >>> merge_associated([("sql", "database"), ("sql", "database"), ("database",)], support=2)
    [('database',), ('database',), ('database',)]
    """
    found = [tuple(dict.fromkeys(some)) for some in tags]
    while True:
        counts = Counter(name for some in found for name in some)
        pairs = Counter(pair for some in found for pair in permutations(some, 2))
        into: dict[str, tuple[int, str]] = {}
        for (name, other), both in pairs.items():
            holds = both >= support and both >= confidence * counts[name]
            if holds and (-counts[name], name) > (-counts[other], other):
                into[name] = min(into.get(name, (-both, other)), (-both, other))
        if not into:
            return found
        found = [tuple(dict.fromkeys(into[n][1] if n in into else n for n in some)) for some in found]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
