"""Attention over a filled cache against the formula, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeact.lm.cached_attention import FEW_QUERIES, attend, serves


def by_formula(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """[B, Q, heads, size], one query and head at a time."""
    batch, heads, count, _ = query.shape
    out = torch.zeros(batch, count, heads, value.shape[-1], dtype=torch.float64)
    for row, head, place in np.ndindex(batch, heads, count):
        own = head * key.shape[1] // heads
        seen = mask[row, 0, place]
        if seen.any():
            scores = key[row, own, seen].double() @ query[row, head, place].double() * scale
            out[row, place, head] = scores.softmax(0) @ value[row, own, seen].double()
    return out


@pytest.mark.parametrize("count", [1, 2, 17])
@pytest.mark.parametrize(("heads", "groups"), [(6, 2), (4, 4), (3, 1)])
def test_it_is_the_formula(heads: int, groups: int, count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    batch, tokens = 4, 60
    query = torch.randn(batch, heads, count, 8, generator=generator)
    key, value = (torch.randn(batch, groups, tokens + 9, 8, generator=generator)[:, :, 9:] for _ in range(2))  # a window of a buffer
    columns = torch.rand(batch, tokens, generator=generator) > 0.1  # guesses that did not hold
    for row in range(batch):
        columns[row, : row * 12] = False  # padding
    mask = columns[:, None, None] & torch.ones(count, tokens, dtype=torch.bool).tril(tokens - count)
    mask[0, 0, count - 1] = False  # sees nothing
    with torch.inference_mode():
        assert serves(query, key, mask) == (count > 1)
        found = attend(query, key, value, mask, 0.3)
    torch.testing.assert_close(found.double(), by_formula(query, key, value, mask, 0.3), atol=1e-5, rtol=1e-5)


def test_everything_else_is_left_to_pytorch() -> None:
    query, key = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 50, 8)
    mask = torch.ones(2, 1, 3, 50, dtype=torch.bool)
    assert not serves(query, key, mask)  # gradients
    with torch.inference_mode():
        assert serves(query, key, mask)
        assert not serves(query.half(), key.half(), mask)
        assert not serves(query, key, mask.float())
        assert not serves(query, key, mask[:1])
        assert not serves(query, key, mask.expand(2, 4, 3, 50))
        assert not serves(torch.randn(2, 4, FEW_QUERIES + 1, 8), key, mask[:, :, :1].expand(2, 1, FEW_QUERIES + 1, 50))
        assert not serves(query, key[:, :, :20], mask[..., :20])  # few keys: a prompt that is read
