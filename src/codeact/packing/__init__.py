"""Dynamic Pack: several samples in one row instead of padding, each seeing only itself.

`plan` (lengths -> rows), `fit` (samples longer than a row), `collate` (rows -> tensors), `attention` (isolation on every
backend), `forward` (hidden states and token losses of packed rows), `guard` (refuses to train on a leak).
"""

from __future__ import annotations

from codeact.packing.collate import DynamicPackCollator, PackedDataset, collate_rows, split_rows
from codeact.packing.fit import FitCounts, Fitted, apply_overlong, fit_lengths
from codeact.packing.plan import Rows, compare_layouts, padding_rate, plan_batch, plan_epoch

__all__ = [
    "DynamicPackCollator",
    "FitCounts",
    "Fitted",
    "PackedDataset",
    "Rows",
    "apply_overlong",
    "collate_rows",
    "compare_layouts",
    "fit_lengths",
    "padding_rate",
    "plan_batch",
    "plan_epoch",
    "split_rows",
]
