"""Weights of the strategy `dsir`: the package's against the formula, one text at a time."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from itertools import pairwise

import pytest

from codeact.sample.importance import log_weights

pytest.importorskip("data_selection", reason="needs the extra `dsir`")

POOL = [
    "Write a Python function that adds two numbers.\n\ndef add(a, b):\n    return a + b",
    "What is the capital of France?\n\nParis is the capital of France.",
    "SELECT name FROM users WHERE id = 3;",
    "Write a Python function that multiplies two numbers.\n\ndef times(a, b):\n    return a * b",
    "Größe, naïve café: 数を足す",
]
EXAMPLES = ["Write a Python function that subtracts.\n\ndef minus(a, b):\n    return a - b", "def f(x): return x"]
BUCKETS = 10_000


def buckets(text: str) -> Counter[int]:
    """Of lower-case words and signs, and of neighbours: SHA-256 of each, modulo the number of buckets."""
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    pieces = words + [f"{left} {right}" for left, right in pairwise(words)]
    return Counter(int(hashlib.sha256(piece.encode()).hexdigest(), 16) % BUCKETS for piece in pieces)


def shares(texts: list[str]) -> dict[int, float]:
    counts = sum((buckets(text) for text in texts), Counter())
    return {bucket: n / counts.total() for bucket, n in counts.items()}


def test_weights_are_the_formula() -> None:
    wanted, there = shares(EXAMPLES), shares(POOL)
    expected = [
        sum(n * (math.log(wanted.get(b, 0) + 1e-8) - math.log(there.get(b, 0) + 1e-8)) for b, n in buckets(text).items()) for text in POOL
    ]
    assert log_weights(POOL, EXAMPLES).tolist() == pytest.approx(expected)


def test_the_order_of_the_pool_moves_no_weight(capfd: pytest.CaptureFixture[str]) -> None:
    there = log_weights(POOL, EXAMPLES)
    back = log_weights(POOL[::-1], EXAMPLES[::-1])
    assert back[::-1].tolist() == pytest.approx(there.tolist())
    assert capfd.readouterr().err == ""
