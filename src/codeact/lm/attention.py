"""The attention implementation `codeact`: keeps the samples of a packed row apart, on every device.

`register()` makes it known to transformers, under that name, as an attention function and as a mask function (with the
function alone, transformers builds no mask and packed samples see each other). A model is loaded with
`attn_implementation="codeact"`; its forward hands the batch's `cu_seq_lens_q` down to every layer, and then

    CUDA, half precision     torch.nn.attention.varlen.varlen_attn over all samples at once (needs no flash-attn package);
                             flash_attn_varlen_func where flash-attn is installed and torch is older than 2.11, or with
                             score soft-capping (Gemma 2) or dropout; compiled flex_attention for soft-capping without it
    CPU, bfloat16            with AVX512-BF16 and without gradients: blocks of queries over the keys that they see
    CPU, float32, the rest   causal scaled_dot_product_attention sample by sample: no T x T mask; written out with soft-capping
    a mask of its own        dense scaled_dot_product_attention (chunked attention, bidirectional image blocks)

Without `cu_seq_lens_q` it is transformers' SDPA with the ordinary mask, so left-padded batches and generation with a
KV cache give the ordinary result; packed rows are then found by their position_ids and get a dense mask.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from codeact.lm import blocked_attention, cached_attention, kernels
from codeact.lm.devices import cpu_flags

if TYPE_CHECKING:
    import torch

ATTENTION = "codeact"
WIDE_ON_CPU = True
"""Without gradients, half precision goes through float32 on CPUs without matrix units: their kernel is faster in it, and rounds less."""
NOT_PACKED = (
    "takes no packed batches: its attention does not go through transformers' attention interface, or needs what the"
    " implementation 'codeact' lacks; train with pack.scope=none, which pads instead"
)

# Mask functions of transformers.masking_utils that mean: causal, inside one sample, perhaps in a sliding window. A mask
# built from anything else (chunks, image blocks, prefixes, a caller's own overlay) is built and used as it is.
_CAUSAL_PARTS = frozenset(
    {
        "causal_mask_function",
        "and_masks.<locals>.and_mask",
        "sliding_window_overlay.<locals>.inner_mask",
        "packed_sequence_mask_function.<locals>.inner_mask",
        "remap_positions_for_packed_sequence.<locals>.inner_mask",
    }
)


class DeferredMask:
    """A mask that is built only if a layer asks for it: packed layers know their segments and never do.

    Attributes:
        causal: the mask is causal inside each sample and nothing else, so segments can stand in for it.
        window: its sliding window in tokens, or None.
    """

    def __init__(self, build: Callable[[], torch.Tensor | None], causal: bool, window: int | None) -> None:
        self.causal = causal
        self.window = window
        self._build = build
        self._built = False
        self._tensor: torch.Tensor | None = None

    def tensor(self) -> torch.Tensor | None:
        """The boolean mask [B, 1, T, T] (True: may see), or None where plain causal attention is meant."""
        if not self._built:
            self._tensor, self._built = self._build(), True
        return self._tensor


def register() -> str:
    """Make `codeact` known to transformers, as an attention and as a mask function. Safe to call again.

    Returns:
        The name, for `from_pretrained(..., attn_implementation=register())`.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, make_mask)
    return ATTENTION


def make_mask(**arguments: Any) -> DeferredMask | torch.Tensor | None:
    """The mask function: transformers' SDPA mask, deferred where the batch may be packed (no 2-D mask, no filled cache)."""
    from transformers.masking_utils import sdpa_mask

    # static caches have a tensor offset and more keys than queries, and are never packed
    offset = arguments.get("q_offset", 0)
    whole = arguments["q_length"] == arguments["kv_length"] and isinstance(offset, int) and offset == 0
    if arguments.get("attention_mask") is not None or not whole:
        mask: torch.Tensor | None = sdpa_mask(**arguments)
        return mask
    parts = {part.__qualname__ for part in _parts(arguments["mask_function"])}
    return DeferredMask(lambda: sdpa_mask(**arguments), parts <= _CAUSAL_PARTS, arguments.get("local_size"))


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: DeferredMask | torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    cu_seq_lens_k: torch.Tensor | None = None,
    max_length_q: int | None = None,
    max_length_k: int | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """The attention function, with transformers' interface.

    Args:
        module: the layer; its `is_causal` holds where the argument is None.
        query: [B, heads, T, head size].
        key: [B, key-value heads, T, head size]; more than T where the samples go on from a `SegmentCache`.
        value: as key.
        attention_mask: what `make_mask` returned, or a caller's own 4-D mask.
        dropout: probability, on the attention weights.
        scaling: of the scores; default head size ** -0.5.
        is_causal: whether a token sees only itself and the tokens before it.
        sliding_window: how many tokens a token sees, itself included.
        softcap: scores become softcap * tanh(score / softcap).
        cu_seq_lens_q: int32 [S + 1], segment bounds in the flattened B * T tokens.
        cu_seq_lens_k: the same for keys and values; a segment's queries are the last of its keys.
        max_length_q: longest segment.
        max_length_k: longest segment of keys.

    Returns:
        [B, T, heads, head size], and None for the weights.

    Raises:
        ValueError: a packed batch with an attention mask or a filled KV cache, segments that do not cover the batch, or
            attention sinks, a position bias or continuous batching, which this implementation does not have.
    """
    _check_supported(kwargs, packed=cu_seq_lens_q is not None)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if cu_seq_lens_q is None or _asks_dense(attention_mask, sliding_window):
        mask = attention_mask.tensor() if isinstance(attention_mask, DeferredMask) else attention_mask
        return _dense(module, query, key, value, mask, dropout, scaling, is_causal, softcap, kwargs), None
    bounds_k = cu_seq_lens_q if cu_seq_lens_k is None else cu_seq_lens_k
    _check_packed(query, key, attention_mask, bounds_k is cu_seq_lens_q)
    batch, heads, tokens, size = query.shape
    window = attention_mask.window if isinstance(attention_mask, DeferredMask) else sliding_window
    scale = size**-0.5 if scaling is None else scaling
    q, k, v = (_flatten(part, query, value) for part in (query, key, value))
    same = bounds_k is cu_seq_lens_q or len(k) == len(q)
    kernel = kernels.kernel_for(q, v, dropout, softcap)
    if kernel == "flex" and not same:
        kernel = "segments"
    pairs = ((max_length_q, cu_seq_lens_q, len(q)), (max_length_k, bounds_k, len(k)))
    # varlen_attn and flash-attn never look at the bounds on the host
    longest = [int(given) if given is not None else max(_sizes(bounds, size)) for given, bounds, size in pairs]
    common = ((cu_seq_lens_q, bounds_k), longest, scale, causal, window)
    if kernel == "varlen" and (function := kernels.varlen_function()) is not None:
        out = kernels.varlen(function, q, k, v, *common)
    elif kernel == "flash" and (function := kernels.flash_function()) is not None:
        out = kernels.flash(function, q, k, v, *common, dropout, softcap)
    elif kernel == "flex":
        _sizes(cu_seq_lens_q, len(q))
        query, key, value = (part.to(q.dtype) for part in (query, key, value))
        out = kernels.flex(kernels.flex_function(), query, key, value, cu_seq_lens_q, scale, causal, window, softcap)
    else:
        sizes = _sizes(cu_seq_lens_q, len(q)), _sizes(bounds_k, len(k))
        out = _by_segment(q, k, v, sizes, scale, causal, window, dropout, softcap)
    return out.view(batch, tokens, heads, -1), None


def _parts(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A mask function and all the mask functions that it closes over."""
    yield function
    for cell in function.__closure__ or ():
        held = cell.cell_contents
        for inner in held if isinstance(held, tuple) else (held,):
            if inspect.isfunction(inner):
                yield from _parts(inner)


def _asks_dense(mask: DeferredMask | torch.Tensor | None, sliding_window: int | None) -> bool:
    """Whether a packed batch needs its mask as it is: not causal, or with a window that the layer does not speak of."""
    if not isinstance(mask, DeferredMask):
        return False
    return not mask.causal or mask.window not in (None, sliding_window)


def _check_supported(kwargs: dict[str, Any], packed: bool) -> None:
    if kwargs.get("s_aux") is not None:
        raise ValueError("attention 'codeact' has no attention sinks; load this model with attn_implementation='eager'")
    if packed and kwargs.get("position_bias") is not None:
        raise ValueError("attention 'codeact' packs no models with a position bias; do not pack, or use 'eager'")
    if packed and kwargs.get("cache") is not None:
        raise ValueError("attention 'codeact' does not serve continuous batching; load the model with 'sdpa' for that")


def _check_packed(
    query: torch.Tensor, key: torch.Tensor, mask: DeferredMask | torch.Tensor | None, same_bounds: bool
) -> None:
    if key.shape[2] != query.shape[2] and same_bounds:
        raise ValueError(
            f"attention 'codeact' got cu_seq_lens_q for {query.shape[2]} tokens but {key.shape[2]} keys;"
            " packed batches do not work with a filled KV cache or in cross-attention"
        )
    if mask is not None and not isinstance(mask, DeferredMask):
        raise ValueError(
            "attention 'codeact' got cu_seq_lens_q and an attention mask; a packed batch carries no attention_mask"
        )


def _sizes(cu_seq_lens: torch.Tensor, tokens: int) -> list[int]:
    """Segment sizes as Python ints; kept on the tensor, so that a forward pass waits for the device once, not per layer."""
    sizes: list[int] | None = getattr(cu_seq_lens, "_codeact_sizes", None)
    if sizes is None:
        bounds = cu_seq_lens.tolist()
        sizes = [stop - start for start, stop in pairwise(bounds)]
        cu_seq_lens._codeact_sizes = sizes  # type: ignore[attr-defined]
    if sum(sizes) != tokens:
        raise ValueError(
            f"attention 'codeact': cu_seq_lens covers {sum(sizes)} tokens but the batch has {tokens}; it must span all rows,"
            " padding included (torch.nn.DataParallel cuts a packed batch apart: use torchrun or accelerate launch)"
        )
    return sizes


def _flatten(part: torch.Tensor, query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """[B, heads, T, size] -> [B * T, heads, size], in one dtype: under autocast rotary embeddings leave float32 queries."""
    import torch

    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    return part.transpose(1, 2).flatten(0, 1).to(dtype)


def _by_segment(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sizes: tuple[list[int], list[int]],
    scale: float,
    causal: bool,
    window: int | None,
    dropout: float,
    softcap: float | None,
) -> torch.Tensor:
    """Attention sample by sample. q, k, v: [tokens, heads, size]; returns q's shape, with v's size. sizes: of q, of k."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    narrow = v.dtype
    plain = causal and dropout == 0.0 and softcap is None and (window is None or max(sizes[1], default=0) <= window)
    if plain and blocked_attention.serves(q, k, v):
        return blocked_attention.attend(q, k, v, sizes, scale)
    if WIDE_ON_CPU and q.device.type == "cpu" and not torch.is_grad_enabled() and cpu_flags().isdisjoint({"amx_bf16", "bf16"}):
        q, k, v = q.float(), k.float(), v.float()
    grouped = q.shape[1] != k.shape[1]
    if grouped and (q.device.type != "cpu" or softcap is not None):
        # off the CPU, the kernels that float32 can use take no grouped heads
        k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
        grouped = False
    masks: dict[tuple[int, int], torch.Tensor] = {}
    out = []
    # split, not slices: its backward is one concatenation instead of one full-size tensor per sample
    pieces = (torch.split(part, some) for part, some in ((q, sizes[0]), (k, sizes[1]), (v, sizes[1])))
    for shape, *parts in zip(zip(*sizes, strict=True), *pieces, strict=True):
        one, two, three = (part.transpose(0, 1).unsqueeze(0) for part in parts)
        mask = None
        if causal and (shape[0] != shape[1] or (window is not None and shape[1] > window)):
            if shape not in masks:
                masks[shape] = _band(shape[0], shape[1], window, q.device)
            mask = masks[shape]
        if softcap is not None:
            result = _softcapped(one, two, three, mask, scale, causal, softcap, dropout)
        else:
            result = scaled_dot_product_attention(
                one, two, three, mask, dropout, is_causal=causal and mask is None, scale=scale, enable_gqa=grouped
            )
        out.append(result.squeeze(0).transpose(0, 1))
    return torch.cat(out).to(narrow)


def _band(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Causal [queries, keys], the queries being the last of the keys; in a window if there is one."""
    import torch

    past = keys - queries
    mask = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(past)
    return mask if window is None else mask.triu(past + 1 - window)


def _softcapped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    causal: bool,
    softcap: float,
    dropout: float,
) -> torch.Tensor:
    """Attention with capped scores (Gemma 2, arXiv 2408.00118), softmax in float32. Heads must match; [B, heads, T, size]."""
    import torch
    from torch.nn.functional import dropout as drop

    scores = torch.tanh(query @ key.transpose(2, 3) * (scale / softcap)).float() * softcap
    if mask is None and causal and query.shape[2] > 1:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        # a left-padded query sees nothing; leave its row finite
        scores = scores.masked_fill((scores == -torch.inf).all(-1, keepdim=True), 0.0)
    return drop(scores.softmax(-1).to(value.dtype), dropout) @ value


def _dense(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
    is_causal: bool | None,
    softcap: float | None,
    kwargs: dict[str, Any],
) -> torch.Tensor:
    """Ordinary attention over whole rows: transformers' own SDPA, or the soft-capped one."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    plain = softcap is None and not dropout and kwargs.get("position_bias") is None
    if plain and mask is not None and cached_attention.serves(query, key, mask):
        return cached_attention.attend(query, key, value, mask, scale)
    if softcap is None:
        out: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )[0]
        return out
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], dim=1) for part in (key, value))
    return _softcapped(query, key, value, mask, scale, causal, softcap, dropout).transpose(1, 2).contiguous()
