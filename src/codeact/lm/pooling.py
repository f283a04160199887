"""One vector for a text from a causal LM: its last hidden states, averaged with weights that grow with the position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codeact.lm.forward import hidden_states
from codeact.lm.rows import make_batch, plan_rows
from codeact.lm.streams import check_model
from codeact.types import Ints, Model, Vectors

if TYPE_CHECKING:
    import torch


def pooled_states(
    model: Model, sequences: Sequence[Sequence[int]], batch_tokens: int, finished: Callable[[Ints, int], None] | None = None
) -> Vectors:
    """sum over tokens t of t * h_t / sum of t, h the last hidden states: float32 [sequences, hidden].

    A token that sees more of the text counts more: SGPT (Muennighoff, arXiv 2202.08904); for data selection RDS+ (Ivison et al., arXiv
    2503.01807). Sequences share rows where the model keeps them apart (`codeact.lm.rows`); the output head does not run.

    Args:
        model: a causal LM in eval mode.
        sequences: token ids, at least one each.
        batch_tokens: tokens of a row.
        finished: called after each row with the numbers of its sequences and its tokens.
    """
    import torch

    if not sequences:
        return np.zeros((0, int(model.config.get_text_config().hidden_size)), np.float32)
    samples = [{"input_ids": np.asarray(ids, np.int64)} for ids in sequences]
    lengths = np.array([len(ids) for ids in sequences], np.int64)
    layout = check_model(model)
    rows = plan_rows(lengths, batch_tokens, layout, model.config)
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        for row in rows:
            batch, starts = make_batch(samples, row, layout, model.device)
            states = hidden_states(model, batch).flatten(0, 1).float()
            for start, length in zip(starts.tolist(), lengths[row].tolist(), strict=True):
                weights = torch.arange(1, length + 1, device=states.device, dtype=torch.float32)
                found.append((weights / weights.sum()) @ states[start : start + length])
            if finished is not None:
                finished(row, int(lengths[row].sum()))
        values = torch.stack(found).cpu().numpy().astype(np.float32)
    return np.asarray(values[np.argsort(np.concatenate(rows))], np.float32)
