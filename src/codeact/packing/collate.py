"""Rows of samples -> the tensors of a packed batch, and the collators that transformers.Trainer and any DataLoader take.

The packed batch (the contract that every attention implementation needs in order to keep samples apart):

    input_ids               int64 [B, T], T = tokens of the longest row; the rest is padding
    labels                  int64 [B, T], -100 at each sample's first token (models shift labels) and on padding
    position_ids            int64 [B, T], from 0 in each sample; the padding of a row is a segment of its own
    cu_seq_lens_q, _k       int32 [S + 1], where each segment begins in the flattened B * T tokens, padding included; last: B * T
    max_length_q, _k        Python int, the longest segment

It never holds an attention_mask: with one, transformers stops looking for packed samples and lets them see each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.amounts import amount, check_whole
from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.packing.checks import sample_numbers, whole_numbers
from codeact.packing.overlong import (
    IGNORE,
    FitCounts,
    Overlong,
    apply_overlong,
    check_capacity,
    check_policy,
    plain_sample,
)
from codeact.packing.plan import Order, check_order, plan_batch, plan_epoch
from codeact.packing.rows import Rows
from codeact.types import Indices, Ints, Tokenizer

if TYPE_CHECKING:
    import torch
    from torch.utils.data import Dataset

    RowDataset = Dataset[dict[str, Ints]]  # what loaders are declared to take; a map-style one is told by its methods alone
else:
    RowDataset = object

Batch = dict[str, Any]


def collate_rows(
    samples: Sequence[Mapping[str, Any]],
    rows: Sequence[Indices],
    *,
    pad_token_id: int,
    device: torch.device | str | None = None,
) -> Batch:
    """Build the packed batch (see the top of this file) of `rows` of `samples`.

    Args:
        samples: mappings with `input_ids` and, optionally, `labels` (-100: not learnt; absent: every token is learnt);
            flat lists, arrays or tensors of equal length; masks as in `overlong.plain_sample`.
        rows: indices into `samples`, one array or list per row.
        pad_token_id: fills the rows that are shorter than the longest.
        device: where the tensors go (default: CPU).

    Raises:
        InputError: no rows, an empty row or sample, a sample that is not there, input_ids or labels that are no integers, labels of
            another length than input_ids, a padding token that is no number.
    """
    import torch

    check_whole("pad_token_id", pad_token_id, 0)
    pieces = [[_tokens(samples[index], index) for index in sample_numbers(row, len(samples)).tolist()] for row in rows]
    if not pieces or not all(pieces):
        raise InputError("a packed batch needs at least one row, and each row at least one sample")
    width = max(sum(len(ids) for ids, _ in row) for row in pieces)
    input_ids = np.full((len(pieces), width), pad_token_id, np.int64)
    labels = np.full((len(pieces), width), IGNORE, np.int64)
    sizes: list[int] = []
    for line, row in enumerate(pieces):
        start = 0
        for ids, targets in row:
            input_ids[line, start : start + len(ids)] = ids
            labels[line, start + 1 : start + len(ids)] = targets[1:]
            start += len(ids)
            sizes.append(len(ids))
        if start < width:
            sizes.append(width - start)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    position_ids = np.arange(bounds[-1]) - np.repeat(bounds[:-1], sizes)
    cu_seq_lens = torch.from_numpy(bounds.astype(np.int32)).to(device)
    return {
        "input_ids": torch.from_numpy(input_ids).to(device),
        "labels": torch.from_numpy(labels).to(device),
        "position_ids": torch.from_numpy(position_ids.reshape(len(pieces), width)).to(device),
        "cu_seq_lens_q": cu_seq_lens,
        "cu_seq_lens_k": cu_seq_lens,
        "max_length_q": max(sizes),
        "max_length_k": max(sizes),
    }


class DynamicPackCollator:
    """Packs the samples of each batch among themselves: the `data_collator` of a Trainer, or any DataLoader's `collate_fn`.

    A batch of n samples becomes fewer rows of at most `capacity` tokens, so that an optimizer step sees the same samples, and
    takes the same gradient, as without packing. With the Trainer, `per_device_train_batch_size` counts samples.

    Args:
        tokenizer: gives the padding token (else its EOS) and the EOS that truncation keeps.
        capacity: most tokens of a row; at most the model's context length.
        pad_token_id: overrides the tokenizer's; needed without a tokenizer.
        eos_token_id: likewise; None keeps none in truncation.
        order: `balanced`, or `paper` for the reference code's ascending next-fit.
        overlong: what happens to a sample longer than `capacity`: `error`, `truncate`, `split` or `drop`.

    Attributes:
        counts: what `overlong` did so far, in this process (workers of a DataLoader count for themselves).
        tokens: sample tokens packed so far, likewise.
        row_tokens: tokens of all rows so far, padding included, likewise.

    Raises:
        InputError: neither `pad_token_id` nor a tokenizer with a padding or EOS token; an unknown `order` or `overlong`; `capacity`
            below 1; when called: an empty batch, and as `plan_batch` and `apply_overlong`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        capacity: int = DEFAULTS.model.max_length,
        *,
        pad_token_id: int | None = None,
        eos_token_id: int | None = None,
        order: Order = "balanced",
        overlong: Overlong = "error",
    ) -> None:
        check_policy(overlong)
        check_order(order)
        check_capacity(capacity)
        self.pad_token_id = find_pad_token(tokenizer, pad_token_id)
        self.eos_token_id = getattr(tokenizer, "eos_token_id", None) if eos_token_id is None else eos_token_id
        self.capacity = capacity
        self.order: Order = order
        self.overlong: Overlong = overlong
        self.counts = FitCounts()
        self.tokens = 0
        self.row_tokens = 0

    @property
    def padding_rate(self) -> float:
        """Share of padding among all tokens of the batches made so far by this process; 0 before the first."""
        return 1.0 - self.tokens / self.row_tokens if self.row_tokens else 0.0

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        if len(samples) == 0:
            raise InputError("an empty batch cannot be packed; give at least one sample")
        fitted = apply_overlong(samples, self.capacity, self.overlong, self.eos_token_id)
        if not fitted.samples:
            raise InputError(
                f"overlong={self.overlong} leaves nothing of a batch of {amount(len(samples), 'sample')}, all longer than the capacity"
                f" {self.capacity}; raise the capacity, or fit the data set with apply_overlong before batching"
            )
        lengths = [len(sample["input_ids"]) for sample in fitted.samples]
        rows = plan_batch(lengths, self.capacity, self.order)
        batch = collate_rows(fitted.samples, rows, pad_token_id=self.pad_token_id)
        self.counts = add_counts(self.counts, fitted.counts)
        self.tokens += sum(lengths)
        self.row_tokens += batch["input_ids"].numel()
        return batch


class PackedDataset(RowDataset):
    """A whole epoch packed ahead, as a map-style data set: item i is one row of several samples.

    Ordinary and distributed samplers shard it: with `rows_multiple_of` = world size * rows per device step, no rank gets a repeated or a
    shorter step. Use `collate` as the collator. With the Trainer, `per_device_train_batch_size` counts rows.

    Items are dictionaries of int64 arrays `input_ids`, `labels` (-100 at each sample's first token) and `position_ids` (from 0 in
    each sample, which is how `collate` finds the samples again).

    Args:
        samples: as `collate_rows`; read again at every access.
        capacity: most tokens of a row.
        tokenizer: gives the padding token.
        pad_token_id: overrides the tokenizer's; needed without a tokenizer.
        seed: of the shuffle.
        rows_multiple_of: rows are split until their number is a multiple of this.

    Raises:
        InputError: as `plan_epoch`; apply `apply_overlong` to the samples first where some are too long.
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]],
        capacity: int,
        tokenizer: Tokenizer | None = None,
        *,
        pad_token_id: int | None = None,
        seed: int = 0,
        rows_multiple_of: int = 1,
    ) -> None:
        self.samples = samples
        self.capacity = capacity
        self.pad_token_id = find_pad_token(tokenizer, pad_token_id)
        self.seed = seed
        self.rows_multiple_of = rows_multiple_of
        self.lengths = np.array(
            [len(plain_sample(sample, n)["input_ids"]) for n, sample in enumerate(samples)], dtype=np.int64
        )
        import torch

        # in memory that workers see too: persistent ones keep their copy of the data set from epoch to epoch
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._planned = 0
        self._rows = plan_epoch(self.lengths, capacity, seed, rows_multiple_of)

    @property
    def rows(self) -> Rows:
        """Sample indices of each row, as planned for the epoch."""
        epoch = int(self._epoch)
        if epoch != self._planned:
            self._rows = plan_epoch(self.lengths, self.capacity, self.seed + epoch, self.rows_multiple_of)
            self._planned = epoch
        return self._rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Ints]:
        row = self.rows[index]
        parts = [_tokens(self.samples[int(i)], int(i)) for i in row]
        labels = [np.concatenate([[IGNORE], targets[1:]]) for _, targets in parts]
        return {
            "input_ids": np.concatenate([ids for ids, _ in parts]),
            "labels": np.concatenate(labels).astype(np.int64),
            "position_ids": np.concatenate([np.arange(len(ids)) for ids, _ in parts]),
        }

    def set_epoch(self, epoch: int) -> None:
        """Plan the rows anew for `epoch` (the number of rows stays the same), in a loader's workers too; Trainer and accelerate call this.

        Call it between two epochs: what a loader fetches afterwards is of the new plan.
        """
        self._epoch.fill_(epoch)

    def collate(self, items: Sequence[Mapping[str, Any]]) -> Batch:
        """Several items -> one packed batch of as many rows."""
        samples: list[Mapping[str, Any]] = []
        rows = []
        for item in items:
            bounds = np.append(np.flatnonzero(np.asarray(item["position_ids"]) == 0), len(item["input_ids"]))
            rows.append(np.arange(len(samples), len(samples) + len(bounds) - 1))
            samples += [
                {key: item[key][start:stop] for key in ("input_ids", "labels")}
                for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
            ]
        return collate_rows(samples, rows, pad_token_id=self.pad_token_id)


def split_rows(batch: Batch, rows: int) -> list[Batch]:
    """Cut a packed batch into packed batches of at most `rows` rows each, padded to their own longest row only.

    No sample is cut, so losses summed over the parts, and their gradients, are those of the batch, while the activations of
    one part alone need memory at a time. What ends a row with copies of one token, none of them learnt, counts as padding.

    Args:
        batch: as `collate_rows` makes it.
        rows: most rows of a part; 0: all.

    Returns:
        The parts, in order; a batch of no more than `rows` rows alone, as it is.
    """
    import torch

    count, width = batch["input_ids"].shape
    if rows == 0 or count <= rows:
        return [batch]
    bounds = batch["cu_seq_lens_q"].cpu().numpy().astype(np.int64)
    starts = np.searchsorted(bounds, np.arange(0, (count + 1) * width, width))
    lines = [np.diff(bounds[first : last + 1]) for first, last in pairwise(starts.tolist())]
    sizes = [
        line[:-1] if len(line) > 1 and _is_padding(batch, number, int(line[-1])) else line
        for number, line in enumerate(lines)
    ]
    parts = []
    for first in range(0, count, rows):
        held = sizes[first : first + rows]
        most = max(int(line.sum()) for line in held)
        segments = np.concatenate([np.append(line, most - line.sum()) for line in held])
        segments = segments[segments > 0]
        cu_seq_lens = torch.from_numpy(np.append(0, np.cumsum(segments)).astype(np.int32)).to(batch["input_ids"].device)
        part = {key: batch[key][first : first + rows, :most] for key in ("input_ids", "labels", "position_ids")}
        part |= {"cu_seq_lens_q": cu_seq_lens, "cu_seq_lens_k": cu_seq_lens}
        parts.append(part | {"max_length_q": int(segments.max()), "max_length_k": int(segments.max())})
    return parts


def find_pad_token(tokenizer: Tokenizer | None, pad_token_id: int | None = None) -> int:
    """The id that fills padding: `pad_token_id`, else the tokenizer's padding token, else its EOS.

    Raises:
        InputError: there is none, or it is no number of a token.
    """
    choices = (pad_token_id, getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None))
    for choice in choices:
        if choice is not None:
            check_whole("pad_token_id", choice, 0)
            return int(choice)
    raise InputError(
        "packing needs a padding token: the tokenizer has neither a pad nor an EOS token; pass pad_token_id"
    )


def add_counts(first: FitCounts, second: FitCounts) -> FitCounts:
    """The sum of two counts, field by field."""
    return replace(first, **{name: getattr(first, name) + getattr(second, name) for name in FitCounts.__slots__})


def _is_padding(batch: Batch, row: int, size: int) -> bool:
    """Whether the last `size` tokens of a row are padding, or as good as: all the same one, and none learnt."""
    ids, labels = batch["input_ids"][row, -size:], batch["labels"][row, -size:]
    return bool((ids == ids[0]).all()) and bool((labels == IGNORE).all())


def _tokens(sample: Mapping[str, Any], index: int) -> tuple[Ints, Ints]:
    sample = plain_sample(sample, index)
    ids = whole_numbers(sample["input_ids"], f"input_ids of sample {index}")
    labels = whole_numbers(sample["labels"], f"labels of sample {index}") if "labels" in sample else ids
    if len(ids) == 0:
        raise InputError(f"sample {index} is empty; leave empty samples out")
    return ids, labels
