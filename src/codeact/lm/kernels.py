"""The CUDA kernels under the attention implementation `codeact`, and the choice among them.

Every kernel takes a packed batch by its segment bounds. q, k, v are [tokens, heads, size], except under flex attention.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch.nn.attention.flex_attention import BlockMask

Kernel = Literal["varlen", "flash", "flex", "segments"]
LARGEST_HEAD = 256  # of the FlashAttention kernels, inside torch and outside


def choose_kernel(
    device: str,
    dtype: torch.dtype,
    size: int,
    value_size: int,
    dropout: float,
    softcap: float | None,
    *,
    modern: bool,
    varlen: bool,
    flash: bool,
) -> Kernel:
    """Which kernel runs a packed batch.

    Args:
        device: its type.
        dtype: of queries, keys and values.
        size: of a query head.
        value_size: of a value head.
        dropout: on the attention weights.
        softcap: of the scores, or None.
        modern: an NVIDIA GPU of Ampere or later.
        varlen: torch has `varlen_attn` with the arguments needed.
        flash: the package flash-attn is installed.

    Returns:
        `varlen` (inside torch), `flash` (flash-attn: where torch is too old, with soft-capping or dropout), `flex` (compiled
        flex attention: soft-capping without flash-attn), or `segments` (ordinary attention sample by sample).
    """
    import torch

    if device != "cuda" or not modern:
        return "segments"
    half = dtype in (torch.float16, torch.bfloat16)
    if half and size == value_size and size <= LARGEST_HEAD and size % 8 == 0:
        if varlen and dropout == 0.0 and softcap is None:
            return "varlen"
        if flash:
            return "flash"
    return "flex" if half and softcap is not None and dropout == 0.0 else "segments"


def kernel_for(q: torch.Tensor, v: torch.Tensor, dropout: float, softcap: float | None) -> Kernel:
    """`choose_kernel` for these tensors, on this machine."""
    if q.device.type != "cuda":
        return "segments"
    return choose_kernel(
        q.device.type,
        q.dtype,
        q.shape[-1],
        v.shape[-1],
        dropout,
        softcap,
        modern=_is_ampere(q),
        varlen=varlen_function() is not None,
        flash=flash_function() is not None,
    )


def _is_ampere(q: torch.Tensor) -> bool:
    import torch

    return torch.version.cuda is not None and torch.cuda.get_device_capability(q.device) >= (8, 0)


@cache
def varlen_function() -> Callable[..., Any] | None:
    """torch's varlen_attn, or None where torch is too old for the arguments needed (they came with 2.11)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    needed = {"scale", "window_size", "enable_gqa"}
    return varlen_attn if needed <= set(inspect.signature(varlen_attn).parameters) else None


@cache
def flash_function() -> Callable[..., Any] | None:
    """flash_attn_varlen_func of the package flash-attn (2.6 or later: soft-capping), or None."""
    if find_spec("flash_attn") is None:
        return None
    import flash_attn

    function: Callable[..., Any] | None = getattr(flash_attn, "flash_attn_varlen_func", None)
    return function if function is not None and "softcap" in inspect.signature(function).parameters else None


def varlen(
    function: Callable[..., Any],
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor],
    longest: Sequence[int],
    scale: float,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """`function` is torch's varlen_attn; causal is its window (-1, 0), which ends at the last key.

    bounds, longest: of the queries' segments, of the keys'.
    """
    import torch

    left = window - 1 if window is not None and longest[1] > window else -1
    out: torch.Tensor = function(
        q.contiguous(),
        k.contiguous(),
        v.contiguous(),
        *(bound.to(device=q.device, dtype=torch.int32) for bound in bounds),
        *longest,
        scale=scale,
        window_size=(left, 0) if causal else (-1, -1),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out


def flash(
    function: Callable[..., Any],
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor],
    longest: Sequence[int],
    scale: float,
    causal: bool,
    window: int | None,
    dropout: float,
    softcap: float | None,
) -> torch.Tensor:
    """`function` is flash_attn_varlen_func; it takes grouped heads as they are, and 0.0 for no soft-capping."""
    import torch

    of_queries, of_keys = (bound.to(device=q.device, dtype=torch.int32) for bound in bounds)
    out: torch.Tensor = function(
        q.contiguous(),
        k.contiguous(),
        v.contiguous(),
        cu_seqlens_q=of_queries,
        cu_seqlens_k=of_keys,
        max_seqlen_q=longest[0],
        max_seqlen_k=longest[1],
        dropout_p=dropout,
        softmax_scale=scale,
        causal=causal,
        window_size=(window - 1, 0) if causal and window is not None else (-1, -1),
        softcap=0.0 if softcap is None else softcap,
    )
    return out


@cache
def flex_function() -> Callable[..., Any]:
    """flex_attention, compiled: uncompiled it holds all the scores."""
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def flex(
    function: Callable[..., Any],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    scale: float,
    causal: bool,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """`function` is flex_attention. query, key, value: [B, heads, T, size]; returns [B * T, heads, size]."""
    import torch

    cap = 0.0 if softcap is None else softcap

    def capped(score: torch.Tensor, b: torch.Tensor, h: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        return cap * torch.tanh(score / cap)

    out: torch.Tensor = function(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped,
        block_mask=_blocks(cu_seq_lens, query, causal, window),
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2).flatten(0, 1)


def _blocks(cu_seq_lens: torch.Tensor, query: torch.Tensor, causal: bool, window: int | None) -> BlockMask:
    """The block mask of a batch; kept on the tensor of its bounds, so that all layers of a kind share one."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask

    kept: dict[tuple[bool, int | None], BlockMask] = cu_seq_lens.__dict__.setdefault("_codeact_blocks", {})
    if (causal, window) not in kept:
        rows, _, tokens, _ = query.shape
        sizes = [stop - start for start, stop in pairwise(cu_seq_lens.tolist())]
        numbers = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        segment = numbers.view(rows, tokens).to(query.device)

        def allowed(b: torch.Tensor, h: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
            seen = segment[b, i] == segment[b, j]
            if causal:
                seen = seen & (i >= j)
                if window is not None:
                    seen = seen & (i - j < window)
            return seen

        kept[causal, window] = create_block_mask(allowed, rows, None, tokens, tokens, device=str(query.device))
    return kept[causal, window]
