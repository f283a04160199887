"""Does this response belong to this instruction? Shared words, compared with what the other instructions share with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codeact.records import Record

BLOCK = 512
MARGIN = 1.15
MIN_WORDS = 5
RELATED = 0.2
MIN_POOL = 50
MOST_RIVALS = 1000
MIN_AGREEMENT = 0.35
"""Median agreement below which the words of a pool tell nothing: in chat, and in translations, sound pairs share few."""
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W\d_a-zA-Z]+")
_NO_BLANKS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_STEM = 5  # letters of a word of another script than the Latin one: what is left of its endings
_SUFFIX = re.compile(r"(?:ing|ings|ers|er|ed|es|s|ion|ions|ation|e)$")
_SYNONYMS = {"arr": "array", "lst": "list", "str": "string", "num": "number", "nums": "number", "char": "character", "func": "function", "len": "length",
             "avg": "average", "max": "maximum", "min": "minimum", "fact": "factorial", "fib": "fibonacci", "btn": "button", "img": "image", "dict": "dictionary",
             "int": "integer", "mul": "multiply", "concat": "concatenate", "temp": "temperature", "freq": "frequency", "substr": "substring", "gcd": "greatest",
             "sqrt": "square", "rand": "random", "calc": "calculate", "addr": "address", "obj": "object", "db": "database", "td": "table", "tr": "table"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a response fits its instruction.

    Attributes:
        own: cosine of the TF-IDF vectors of instruction and response, 0 to 1.
        better: share of the pool's instructions, unrelated to its own, whose cosine with this response is clearly higher.
    """

    own: float
    better: float


def words(text: str) -> list[str]:
    """Words and the parts of identifiers (`maxValue`, `max_value`), without case and common endings; short forms spelt out.

    Chinese, Japanese and Korean are taken two characters at a time, which stand for words where no blanks part them.
    """
    found = []
    for part in _PART.findall(text):
        if _NO_BLANKS.match(part):
            found += [part[at : at + 2] for at in range(max(1, len(part) - 1))]
            continue
        word = part.lower()
        if not word.isascii():
            found.append(word[:_STEM])
            continue
        word = _SYNONYMS.get(word, word)
        found.append(_SUFFIX.sub("", word) if len(word) > 4 else word)
    return found


def find_mismatches(records: Sequence[Record], most: float, seed: int = 0) -> dict[str, str]:
    """Id -> evidence of each record whose response fits more than the share `most` of the pool's other instructions better.

    Costs no model call. Instructions related to the record's own (cosine of 0.2) do not count as rivals, nor does one that
    fits less than 1.15 times as well; responses of fewer than 5 distinct words, and pools of fewer than 50 records, are not
    judged, and neither is a pool whose median agreement is below 0.35. Of a large pool a seeded sample of 1,000 instructions stands for all.

    Args:
        records: the pool.
        most: share of the other instructions, from 0 to 1.
        seed: of the sample.
    """
    if len(records) < MIN_POOL:
        return {}
    found = {}
    fits = agreements(records, seed)
    if np.median([fit.own for fit in fits]) < MIN_AGREEMENT:
        return {}
    for record, fit in zip(records, fits, strict=True):
        if fit.better > most and len(set(words(record.response))) >= MIN_WORDS:
            found[record.id] = (
                f"the response fits {fit.better:.1%} of unrelated instructions better than its own (cosine {fit.own:.2f})"
            )
    return found


def agreements(records: Sequence[Record], seed: int = 0) -> list[Agreement]:
    """The agreement of every record with its instruction, against the instructions of the pool (at most 1,000 of them)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    instructions, responses = [r.instruction for r in records], [r.response for r in records]
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, max_df=0.2 if len(records) >= MIN_POOL else 1.0)
    vectorizer.fit(instructions + responses)
    left, right = vectorizer.transform(instructions), vectorizer.transform(responses)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(records))[:MOST_RIVALS])
    rivals = left[chosen].T.tocsc()
    found = []
    for start in range(0, len(records), BLOCK):
        block = slice(start, start + BLOCK)
        own = np.asarray(right[block].multiply(left[block]).sum(1)).ravel()
        related = (left[block] @ rivals).toarray() >= RELATED
        better = ((right[block] @ rivals).toarray() > MARGIN * own[:, None] + 1e-9) & ~related
        shares = better.sum(1) / len(chosen)
        found += [Agreement(float(a), float(b)) for a, b in zip(own, shares, strict=True)]
    return found
