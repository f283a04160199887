"""What can be known of a record's IFD before the model runs: lengths, zlib, and which tokens the instruction gives away."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from codeact.types import Floats

Tokens = Sequence[int]


def describe(texts: Sequence[tuple[str, str]], tokens: Sequence[tuple[Tokens, Tokens]]) -> Floats:
    """Ten numbers per record that predict its IFD: float64 [N, 10].

    The logarithms of both token counts, `zlib_gain`, and `overlap`.

    Args:
        texts: instruction and response of each record.
        tokens: the token ids of both, as they are scored.
    """
    # in how many records a token occurs: a rare token that the instruction names is worth more than a common one
    spread = Counter(token for pair in tokens for token in set(pair[0]).union(pair[1]))
    rarity = {token: float(np.log((len(tokens) + 1) / count)) for token, count in spread.items()}
    rows = [
        [np.log(len(after)), np.log1p(len(before)), *zlib_gain(*text), *overlap(before, after, rarity)]
        for text, (before, after) in zip(texts, tokens, strict=True)
    ]
    return np.array(rows, np.float64).reshape(len(rows), 10)


def zlib_gain(instruction: str, response: str) -> tuple[float, float]:
    """log(compressed size of the response after the instruction / alone), and compressed bytes per byte of the response.

    The first is what log IFD would be with zlib as the language model, for a compressed size is a code length.
    """
    before, after = (text.encode("utf-8", "surrogatepass") for text in (instruction + "\n", response))
    alone = len(zlib.compress(after, 9))
    given = len(zlib.compress(before + after, 9)) - len(zlib.compress(before, 9))
    return float(np.log(max(given, 1) / alone)), alone / max(len(after), 1)


def overlap(before: Tokens, after: Tokens, rarity: dict[int, float]) -> list[float]:
    """Distinct tokens of the response that the instruction holds, and that it does not, per response token.

    Counted, weighted by rarity, and counted for pairs of tokens: six numbers. What the instruction tells a model is mostly
    told where such a token comes first.
    """
    known, new = set(after) & set(before), set(after) - set(before)
    pairs, seen = set(pairwise(after)), set(pairwise(before))
    sums = [
        len(known), len(new), sum(rarity[t] for t in known), sum(rarity[t] for t in new), len(pairs & seen), len(pairs - seen),
    ]  # fmt: skip
    return [value / len(after) for value in sums]
