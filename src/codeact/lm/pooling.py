"""One vector for a text from a causal LM: its last hidden states, averaged with weights that grow with the position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codeact.lm.forward import hidden_states
from codeact.packing.collate import collate_rows
from codeact.packing.plan import plan_epoch
from codeact.types import Ints, Model, Vectors

if TYPE_CHECKING:
    import torch


def pooled_states(
    model: Model, sequences: Sequence[Sequence[int]], batch_tokens: int, finished: Callable[[Ints, int], None] | None = None
) -> Vectors:
    """sum over tokens t of t * h_t / sum of t, h the last hidden states: float32 [sequences, hidden].

    A token that sees more of the text counts more: SGPT (Muennighoff, arXiv 2202.08904); for data selection RDS+ (Ivison et al., arXiv
    2503.01807). Sequences are packed into rows, isolated from each other; the output head does not run.

    Args:
        model: a causal LM in eval mode, of which `streams.check_model` has seen that packing isolates.
        sequences: token ids, at least one each.
        batch_tokens: tokens of a row.
        finished: called after each row with the numbers of its sequences and its tokens.
    """
    import torch

    if not sequences:
        return np.zeros((0, int(model.config.get_text_config().hidden_size)), np.float32)
    samples = [{"input_ids": np.asarray(ids, np.int64)} for ids in sequences]
    lengths = np.array([len(ids) for ids in sequences], np.int64)
    rows = plan_epoch(lengths, max(batch_tokens, int(lengths.max())))
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        for row in rows:
            made = collate_rows(samples, [row], pad_token_id=0, device=model.device)
            states = hidden_states(model, made)[0].float()
            ends = np.cumsum(lengths[row])
            for start, end in zip(ends - lengths[row], ends, strict=True):
                weights = torch.arange(1, int(end - start) + 1, device=states.device, dtype=torch.float32)
                found.append((weights / weights.sum()) @ states[int(start) : int(end)])
            if finished is not None:
                finished(row, int(lengths[row].sum()))
        values = torch.stack(found).cpu().numpy().astype(np.float32)
    return np.asarray(values[np.argsort(rows.samples)], np.float32)
