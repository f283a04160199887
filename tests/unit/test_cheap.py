"""What is known of a record before the model runs, against plain restatements."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.score.adaptive.features import describe, overlap, zlib_gain

TOKENS = st.lists(st.integers(0, 8), max_size=25)


@given(before=TOKENS, after=TOKENS.filter(bool))
def test_overlap_counts_distinct_tokens_and_pairs(before: list[int], after: list[int]) -> None:
    rarity = {token: 0.5 + token for token in range(9)}
    known = [t for t in range(9) if t in after and t in before]
    new = [t for t in range(9) if t in after and t not in before]

    def pairs(tokens: list[int]) -> set[tuple[int, int]]:
        return {(tokens[n], tokens[n + 1]) for n in range(len(tokens) - 1)}

    expected = [
        len(known), len(new), sum(0.5 + t for t in known), sum(0.5 + t for t in new),
        sum(p in pairs(before) for p in pairs(after)), sum(p not in pairs(before) for p in pairs(after)),
    ]  # fmt: skip
    assert overlap(before, after, rarity) == pytest.approx([value / len(after) for value in expected])


def test_zlib_gain_is_the_code_length_after_the_instruction_over_that_alone() -> None:
    text = "def reverse_the_words(sentence):\n    return ' '.join(reversed(sentence.split()))\n"
    told, density = zlib_gain(text, text)
    apart, _ = zlib_gain("Compute 17 factorial, please!", text)
    assert told < math.log(0.3)  # it is all in the instruction
    assert -0.2 < apart <= 0.2
    assert density == len(zlib.compress(text.encode(), 9)) / len(text)
    assert zlib_gain("\ud800", "\ud800x")[1] > 0  # a lone surrogate is no failure


def test_rare_tokens_weigh_more_and_rows_do_not_depend_on_their_order() -> None:
    texts = [("a", "a b"), ("c", "c d e"), ("a", "b a a")]
    tokens = [([1], [1, 2]), ([3], [3, 4, 5]), ([1], [2, 1, 1])]
    found = describe(texts, tokens)
    assert found.shape == (3, 10)
    np.testing.assert_allclose(
        found[[2, 0, 1]], describe([texts[i] for i in (2, 0, 1)], [tokens[i] for i in (2, 0, 1)])
    )
    # token 3 is in one record of three, token 1 in two
    assert found[1, 6] * 3 == pytest.approx(math.log(4 / 1))
    assert found[0, 6] * 2 == pytest.approx(math.log(4 / 2))
    assert found[0, :2] == pytest.approx([math.log(2), math.log(2)])
