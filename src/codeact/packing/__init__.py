"""Dynamic Pack: several samples in one row instead of padding, each seeing only itself.

`plan` (lengths -> rows), `stream` (the same for samples that come one after the other), `balance` (rows -> steps and ranks
of equal compute), `overlong` (samples longer than a row), `collate` (rows -> tensors). How a model runs packed rows, and
what refuses to train on a leak, is in `codeact.lm`.
"""

from __future__ import annotations

from codeact.packing.balance import balance_ratio, balance_steps, crossover_tokens, fit_crossover, row_costs
from codeact.packing.collate import DynamicPackCollator, PackedDataset, collate_rows, split_rows
from codeact.packing.overlong import FitCounts, Fitted, apply_overlong
from codeact.packing.plan import compare_layouts, padding_rate, plan_batch, plan_epoch, plan_ranks
from codeact.packing.rows import Rows
from codeact.packing.stream import PackedStream, StreamState

__all__ = [
    "DynamicPackCollator",
    "FitCounts",
    "Fitted",
    "PackedDataset",
    "PackedStream",
    "Rows",
    "StreamState",
    "apply_overlong",
    "balance_ratio",
    "balance_steps",
    "collate_rows",
    "compare_layouts",
    "crossover_tokens",
    "fit_crossover",
    "padding_rate",
    "plan_batch",
    "plan_epoch",
    "plan_ranks",
    "row_costs",
    "split_rows",
]
