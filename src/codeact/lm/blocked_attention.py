"""Attention of packed segments on a CPU with AVX512-BF16, without gradients: scores in float32, products by its bfloat16 units.

PyTorch's own kernel for CPUs multiplies in float32 there, and whole blocks of 512 keys, those that a causal query cannot see too.
Here a block of queries meets the keys that it sees. Queries and keys in bfloat16 have exact products, which are summed in float32;
weights are rounded to bfloat16, as PyTorch's kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codeact.lm.devices import cpu_flags

if TYPE_CHECKING:
    import torch

BLOCK, LEAST_BLOCK = 96, 16
MATMUL = "matmul"  # holds the precision of float32 products on CPUs, from PyTorch 2.9 on
LARGEST_SCORES = 2**22  # 16 MiB of float32


def serves(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether `attend` is for these tensors: bfloat16 without gradients, on a CPU that multiplies it but has no AMX (whose kernel is faster)."""
    import torch

    if torch.is_grad_enabled() or {part.dtype for part in (query, key, value)} != {torch.bfloat16}:
        return False
    flags = cpu_flags()
    able = "avx512_bf16" in flags and "amx_bf16" not in flags and hasattr(torch.backends.mkldnn, MATMUL)
    return able and query.device.type == "cpu" and query.shape[1] % key.shape[1] == 0


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sizes: tuple[list[int], list[int]], scale: float
) -> torch.Tensor:
    """Causal attention inside each segment; a segment's queries are the last of its keys.

    Args:
        query: bfloat16 [tokens, heads, size].
        key: bfloat16 [key tokens, key-value heads, size].
        value: bfloat16 [key tokens, key-value heads, value size].
        sizes: tokens of each segment: of its queries, of its keys.
        scale: of the scores.

    Returns:
        bfloat16 [tokens, heads, value size].
    """
    import torch

    tokens, heads, size = query.shape
    groups = key.shape[1]
    each = heads // groups
    # the queries of heads that share keys in one product, token by token
    queries = (
        query.view(tokens, groups, each, size)
        .permute(1, 0, 2, 3)
        .to(torch.float32, memory_format=torch.contiguous_format)
    )
    queries = queries.view(groups, tokens * each, size)
    keys = key.permute(1, 2, 0).to(torch.float32, memory_format=torch.contiguous_format)
    values = value.transpose(0, 1).contiguous()
    out = torch.empty(groups, tokens * each, value.shape[-1], dtype=value.dtype)
    block = max(LEAST_BLOCK, min(BLOCK, LARGEST_SCORES // (heads * max(sizes[1], default=1))))
    unseen = torch.full((block, block), -torch.inf).triu(1)[:, None]
    room = torch.empty(heads * block * max(sizes[1], default=0))
    at, key_at = 0, 0
    for count, key_count in zip(*sizes, strict=True):
        past = key_count - count
        for start in range(0, count, block):
            rows = min(block, count - start)
            seen = past + start + rows
            these = slice((at + start) * each, (at + start + rows) * each)
            scores = room[: heads * rows * seen].view(groups, rows * each, seen)
            with _products_in_bfloat16():
                torch.baddbmm(
                    scores, queries[:, these], keys[:, :, key_at : key_at + seen], beta=0, alpha=scale, out=scores
                )
            scores.view(groups, rows, each, seen)[..., seen - rows :] += unseen[:rows, :, :rows]
            torch.softmax(scores, -1, out=scores)
            torch.bmm(scores.to(value.dtype), values[:, key_at : key_at + seen], out=out[:, these])
        at, key_at = at + count, key_at + key_count
    return out.view(groups, tokens, each, -1).permute(1, 0, 2, 3).reshape(tokens, heads, -1)


@contextmanager
def _products_in_bfloat16() -> Iterator[None]:
    """float32 matrix products round their factors to bfloat16 (which these are already) while the block runs, in the whole process."""
    import torch

    precision = getattr(torch.backends.mkldnn, MATMUL, None)
    if precision is None:
        yield
        return
    kept = precision.fp32_precision
    precision.fp32_precision = "bf16"
    try:
        yield
    finally:
        precision.fp32_precision = kept
