"""Attention of a few tokens of each row over a filled KV cache, on a CPU in float32: a step of generation that reads guesses.

PyTorch's own for CPUs repeats the keys for each head there, and takes 3 times as long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FEW_QUERIES = 32


def serves(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor) -> bool:
    """Whether `attend` is for these inputs, without gradients: float32 on a CPU, a bool mask, and 2 to `FEW_QUERIES` of more tokens."""
    import torch

    if torch.is_grad_enabled() or mask.dtype != torch.bool or mask.shape[:2] != (len(query), 1):
        return False
    return query.device.type == "cpu" and query.dtype == torch.float32 and 1 < query.shape[2] <= FEW_QUERIES < key.shape[2]


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention, the queries of the heads that share keys in one product.

    Args:
        query: [B, heads, Q, head size].
        key: [B, key-value heads, T, head size].
        value: as key.
        mask: [B, 1, Q, T]; bool, True: may see.
        scale: of the scores.

    Returns:
        [B, Q, heads, head size]; zeros for a query that sees nothing.
    """
    batch, heads, count, size = query.shape
    groups, tokens = key.shape[1], key.shape[2]
    scores = (query * scale).reshape(batch, groups, -1, size) @ key.transpose(2, 3)
    shares = scores.view(batch, heads, count, tokens).masked_fill_(~mask, -math.inf).softmax(-1)
    # of a query that sees nothing
    shares = shares.nan_to_num_(0.0).view(batch, groups, -1, tokens)
    return (shares @ value).view(batch, heads, count, -1).transpose(1, 2).contiguous()
