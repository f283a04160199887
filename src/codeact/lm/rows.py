"""How texts share the forward passes of a model: packed into rows, side by side behind padding, or each alone.

Packing wants attention that keeps samples apart. Architectures with state spaces, convolutions or an attention of their own (Qwen 3.5,
gpt-oss, Mamba, Falcon-H1, ...) mix what stands in one row; in rows of their own their texts are computed exactly too, with some padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codeact.errors import InputError
from codeact.lm.passes import PassLimits, pass_limits, sides
from codeact.packing.collate import collate_rows
from codeact.packing.plan import plan_epoch
from codeact.types import Ints

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

Layout = Literal["packed", "padded", "alone"]
MOST_PAIRS = 2**24
"""Token pairs of a padded batch: eager attention holds them all for each head, 2 GB for 64 heads in half precision."""


def plan_rows(lengths: Ints, batch_tokens: int, layout: Layout, config: PretrainedConfig) -> list[Ints]:
    """Which texts go through the model together; each in one batch.

    Texts that the model would compute otherwise in one pass go apart (`codeact.lm.passes`).

    Args:
        lengths: tokens of each text, at least 1.
        batch_tokens: tokens of a batch, padding included, or one text where that is longer.
        layout: "packed" rows by best-fit decreasing, "padded" neighbours by length, the longest first, or "alone".
        config: the model's.

    Raises:
        InputError: a text beyond the length from which the model computes texts by those before them.
    """
    limits = pass_limits(config)
    if limits.longest is not None and lengths.max() > limits.longest:
        raise InputError(
            f"a text of {lengths.max()} tokens: beyond {limits.longest} this model's rotary factors (rope_type dynamic) follow the longest text"
            f" before it, so its losses would depend on the others; set model.max_length={limits.longest}"
        )
    side, rows = sides(limits, lengths), list[Ints]()
    for number in np.unique(side)[::-1]:
        some = np.flatnonzero(side == number)
        rows += [some[row] for row in _plan(lengths[some], batch_tokens, layout, limits)]
    return rows


def _plan(lengths: Ints, batch_tokens: int, layout: Layout, limits: PassLimits) -> list[Ints]:
    """`plan_rows` of texts on one side of the switches."""
    if layout == "packed" and limits.row is not None and lengths.max() > limits.row:
        alone, others = np.flatnonzero(lengths > limits.row), np.flatnonzero(lengths <= limits.row)
        rest = _plan(lengths[others], batch_tokens, layout, limits) if len(others) else []
        return [*alone[:, None], *(others[row] for row in rest)]
    if layout == "packed":
        most = batch_tokens if limits.row is None else min(batch_tokens, limits.row)
        return list(plan_epoch(lengths, max(most, int(lengths.max()))))
    order = np.argsort(-lengths, kind="stable")
    if layout == "alone":
        return list(order[:, None])
    rows, start = [], 0
    while start < len(order):
        longest = int(lengths[order[start]])
        count = max(1, min(batch_tokens // longest, MOST_PAIRS // longest**2))
        rows.append(order[start : start + count])
        start += count
    return rows


def make_batch(samples: Sequence[Mapping[str, Any]], row: Ints, layout: Layout, device: torch.device) -> tuple[dict[str, Any], Ints]:
    """Model inputs of one row of texts, and where each begins in the flattened [B * T] tokens.

    Padding stands behind the texts and no mask is given: what is causal does not see it, and the kernels of state spaces need none.

    Args:
        samples: each with `input_ids`.
        row: which of them.
        layout: of `plan_rows`.
        device: where the tensors go.
    """
    import torch

    lengths = np.array([len(samples[int(index)]["input_ids"]) for index in row], np.int64)
    if layout == "packed":
        made = collate_rows(samples, [row], pad_token_id=0)
        return {k: move(v, device) if isinstance(v, torch.Tensor) else v for k, v in made.items()}, np.cumsum(lengths) - lengths
    ids = np.zeros((len(row), int(lengths.max())), np.int64)
    for line, index in zip(ids, row.tolist(), strict=True):
        tokens = samples[index]["input_ids"]
        line[: len(tokens)] = tokens
    return {"input_ids": move(torch.from_numpy(ids), device)}, np.arange(len(row), dtype=np.int64) * ids.shape[1]


def move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of this machine's memory on the device; CUDA does not wait for it."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
