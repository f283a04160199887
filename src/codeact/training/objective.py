"""What the loss of an optimizer step is a mean over: its learnt tokens, or its samples, each the mean of its own tokens.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codeact.packing.overlong import IGNORE


def sample_weights(labels: Tensor, bounds: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The weight of each label in a mean over samples, and how many samples there are.

    A sample's loss is the mean over its n learnt tokens, so each of them weighs 1 / n. Samples with nothing learnt do not count.

    Args:
        labels: int64 [B, T]; -100 is not learnt, and the first of a row never is.
        bounds: int [S + 1], where samples begin in the flattened B * T tokens (`cu_seq_lens_q` of a packed batch);
            None: each row is one sample.

    Returns:
        float32 [B, T], 0 where nothing is learnt; and int64 scalar.
    """
    learnt = labels != IGNORE
    learnt[:, 0] = False
    rows, width = labels.shape
    if bounds is None:
        bounds = torch.arange(0, (rows + 1) * width, width, device=labels.device)
    sizes = bounds.diff().to(labels.device)
    sample = torch.repeat_interleave(torch.arange(len(sizes), device=labels.device), sizes)
    counts = torch.zeros(len(sizes), device=labels.device).index_add_(0, sample, learnt.flatten().float())
    weights = torch.where(learnt.flatten(), 1.0 / counts.clamp(min=1.0)[sample], 0.0)
    return weights.view(rows, width), (counts > 0).sum()


def count_items(batch: Mapping[str, Any], objective: str) -> Tensor:
    """What the loss of a batch is divided by, int64 scalar: its learnt tokens, or under `sample-mean` its samples with some."""
    if objective == "sample-mean":
        return sample_weights(batch["labels"], batch.get("cu_seq_lens_q"))[1]
    counted: Tensor = (batch["labels"][:, 1:] != IGNORE).sum()
    return counted
