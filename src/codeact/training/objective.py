"""What the loss of an optimizer step is a mean over: its learnt tokens, or its samples, each the mean of its own tokens.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codeact.errors import InputError
from codeact.lm.forward import losses_of_logits
from codeact.packing.overlong import IGNORE
from codeact.types import Model


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


def use_sample_mean(model: Model, packed: bool) -> None:
    """Make a causal language model that keeps its own loss weigh samples equally, in place; an auxiliary loss stays.

    Only transformers' `loss_function` is replaced, so the model must use it, and hand on what says where samples begin: one
    forward pass sees whether it does.

    Args:
        model: of transformers, PEFT-wrapped or not.
        packed: whether it will be given packed batches.

    Raises:
        InputError: it does not.
    """
    given: Any = model
    causal = given.get_base_model() if hasattr(given, "get_base_model") else given
    seen: list[tuple[bool, bool]] = []

    def loss(
        logits: Tensor, labels: Tensor, vocab_size: int, num_items_in_batch: Tensor | int | None = None,
        cu_seq_lens_q: Tensor | None = None, **inputs: object,
    ) -> Tensor:  # fmt: skip
        bounds = cu_seq_lens_q
        seen.append((bounds is not None, num_items_in_batch is not None))
        weights, count = sample_weights(labels, bounds)
        learnt = weights[:, 1:] > 0
        losses = losses_of_logits(logits[:, :-1][learnt], labels[:, 1:][learnt])
        total = (losses * weights[:, 1:][learnt]).sum()
        return total / (count.clamp(min=1) if num_items_in_batch is None else num_items_in_batch)

    causal.loss_function = loss
    ids = torch.zeros((1, 4), dtype=torch.int64, device=causal.device)
    inputs: dict[str, Any] = {"input_ids": ids, "labels": ids, "num_items_in_batch": 1, "use_cache": False}
    if packed:
        bounds = torch.tensor([0, 2, 4], dtype=torch.int32, device=ids.device)
        inputs |= {"position_ids": ids + torch.tensor([0, 1, 0, 1], device=ids.device), "cu_seq_lens_q": bounds}
        inputs |= {"cu_seq_lens_k": bounds, "max_length_q": 2, "max_length_k": 2}
    with torch.no_grad():
        try:
            causal(**inputs)
        except TypeError:  # a forward pass without these arguments
            seen.clear()
    if seen != [(packed, True)]:
        raise InputError(
            f"train.loss = sample-mean: {type(causal).__name__} computes its own loss, which cannot be weighed by samples;"
            " use train.loss=token-mean"
        )
