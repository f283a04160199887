"""Which process trains on what: batches dealt so that in each step all have nearly the same compute.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from codeact.lm.models import projection_sizes
from codeact.packing.balance import balance_steps, crossover_tokens, deal_steps, row_costs, sample_costs
from codeact.packing.collate import PackedDataset
from codeact.training.metrics import entries
from codeact.types import Model


class BalancedSampler(Sampler[int]):
    """The order of an epoch for several processes: batch after batch, in each round one for every process.

    Samples keep their step: those that would be in one round, in the random order that one process takes too, are dealt to
    the processes by compute, so every optimizer step stays what it was. Rows of a whole packed epoch are exchanged between near
    steps as well (`balance_steps`), since one row alone cannot be evened out.

    Args:
        dataset: samples, or a `PackedDataset`, which is planned anew at each epoch.
        ranks: processes.
        batch_size: items of a batch.
        seed: of the order.
        crossover: see `codeact.packing.crossover_tokens`.
        epoch: the epoch whose order is wanted. accelerate would tell it, but for one that is gone on from in its middle.
    """

    def __init__(
        self, dataset: PackedDataset | Sequence[Mapping[str, Any]], ranks: int, batch_size: int, seed: int, crossover: float, epoch: Callable[[], int]
    ) -> None:
        from accelerate.data_loader import SeedableRandomSampler

        self.dataset, self.ranks, self.batch_size, self.crossover = dataset, ranks, batch_size, crossover
        self.seed, self.epoch = seed, epoch
        self.random = SeedableRandomSampler(dataset, data_seed=seed, generator=torch.Generator())

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        size, epoch = self.ranks * self.batch_size, self.epoch()
        if isinstance(self.dataset, PackedDataset):
            self.dataset.set_epoch(epoch)
            costs = row_costs(self.dataset.rows, self.dataset.lengths, self.crossover)
            if len(costs) % size == 0:
                yield from balance_steps(costs, self.ranks, self.batch_size, self.seed + epoch).tolist()
                return
        else:
            costs = sample_costs([len(sample["input_ids"]) for sample in self.dataset], self.crossover)
        self.random.set_epoch(epoch)
        order = np.fromiter(self.random, np.int64, len(costs))
        whole = len(order) - len(order) % size  # accelerate fills the last round up with samples of the first
        yield from deal_steps(order[:whole], costs, self.ranks, self.batch_size).tolist()
        yield from order[whole:].tolist()


def batch_cost(batch: Mapping[str, Any], crossover: float) -> float:
    """Compute of a batch, packed or padded, in tokens of the linear part; padding counts, since it is computed too."""
    bounds = batch.get("cu_seq_lens_q")
    rows, width = batch["input_ids"].shape
    sizes = bounds.diff().double() if bounds is not None else torch.full((rows,), float(width), dtype=torch.float64)
    return float((sizes + sizes**2 / crossover).sum())


def crossover_of(model: Model) -> float:
    """The length at which attention costs as much as all else in this model: `crossover_tokens` of its body.

    Infinite, so that tokens alone count, where the configuration does not tell the layers' size.
    """
    config = model.config.get_text_config()
    layers, hidden = (getattr(config, name, None) for name in ("num_hidden_layers", "hidden_size"))
    if not layers or not hidden:
        return math.inf
    ends = [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]
    outside = {id(parameter) for module in ends for parameter in module.parameters()}
    body = sum(entries(parameter) for parameter in model.parameters() if id(parameter) not in outside)
    attends = getattr(config, "num_attention_heads", None)
    width = sum(queries for queries, _ in projection_sizes(config)) / layers if attends else 0
    return crossover_tokens(body, width or hidden, layers)
