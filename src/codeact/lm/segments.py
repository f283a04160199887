"""Packed samples that stop and go on later: the keys and values of each sample are kept, so that only new tokens cost.

Used by adaptive scoring (`codeact.score.adaptive.resume`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import numpy as np

from codeact.lm.forward import hidden_states
from codeact.lm.models import projection_sizes
from codeact.types import Model

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

# of one sample: keys and values [key-value heads, tokens, size] per layer
Past = list[tuple["torch.Tensor", "torch.Tensor"]]


class _PastsCache(Protocol):
    """A cache of transformers that hands out what it kept of each sample."""

    def pasts(self) -> list[Past | None]: ...


def continue_row(
    model: Model, tokens: Sequence[Sequence[int]], pasts: Sequence[Past | None], keep: Sequence[bool]
) -> tuple[torch.Tensor, list[Past | None]]:
    """One packed row through the decoder, each sample after its own past.

    Equal to running each sample whole: the queries of a sample see its kept keys and its own new tokens, nothing else.

    Args:
        model: a causal LM loaded with attention `codeact`.
        tokens: the new token ids of each sample, at least one each.
        pasts: what an earlier call returned for each sample; None where it starts here.
        keep: whether the sample goes on later.

    Returns:
        Last hidden states [all new tokens, hidden], sample after sample; and the past of each kept sample.
    """
    import torch

    device = model.device
    before = [0 if past is None else past[0][0].shape[1] for past in pasts]
    new = [len(ids) for ids in tokens]
    positions = np.concatenate([np.arange(old, old + size) for old, size in zip(before, new, strict=True)])
    whole = [old + size for old, size in zip(before, new, strict=True)]
    cache = _make_cache(pasts, new, keep)
    batch = {
        "input_ids": torch.tensor([[token for ids in tokens for token in ids]], device=device),
        "position_ids": torch.from_numpy(positions).unsqueeze(0).to(device),
        "cu_seq_lens_q": torch.tensor([0, *accumulate(new)], dtype=torch.int32, device=device),
        "cu_seq_lens_k": torch.tensor([0, *accumulate(whole)], dtype=torch.int32, device=device),
        "max_length_q": max(new),
        "max_length_k": max(whole),
        "past_key_values": cache,
    }
    hidden = hidden_states(model, batch)[0]
    return hidden, cache.pasts()


def past_bytes(config: PretrainedConfig, itemsize: int) -> int:
    """Bytes of the keys and values of one token, all layers."""
    return 2 * sum(keys for _, keys in projection_sizes(config)) * itemsize


def _make_cache(pasts: Sequence[Past | None], new: Sequence[int], keep: Sequence[bool]) -> _PastsCache:
    import torch
    from transformers import Cache

    class SegmentCache(Cache):
        """A cache of transformers whose samples lie one after the other in a single row, each behind its own past.

        To the mask code it looks empty: positions and segment bounds come with the batch.
        """

        def __init__(self) -> None:
            super().__init__(layers=[])
            self.kept: list[Past | None] = [[] if one else None for one in keep]

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: object, **kwargs: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            pieces: list[tuple[torch.Tensor, torch.Tensor]] = []
            split = (torch.split(states[0], list(new), dim=1) for states in (key_states, value_states))
            for number, (key, value) in enumerate(zip(*split, strict=True)):
                past = pasts[number]
                if past is not None:
                    key, value = torch.cat([past[layer_idx][0], key], 1), torch.cat([past[layer_idx][1], value], 1)
                pieces.append((key, value))
                kept = self.kept[number]
                if kept is not None:
                    # a copy, or one kept sample would hold the memory of the whole row
                    kept.append((key, value) if past is not None else (key.clone(), value.clone()))
            keys, values = (torch.cat(parts, 1).unsqueeze(0) for parts in zip(*pieces, strict=True))
            return keys, values

        def get_seq_length(self, layer_idx: int = 0) -> int:
            return 0

        def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
            return query_length, 0

        def pasts(self) -> list[Past | None]:
            return self.kept

    return SegmentCache()
