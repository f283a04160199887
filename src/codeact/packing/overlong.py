"""What to do with samples longer than a row: refuse, truncate, split or drop, always counted. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from codeact.errors import InputError
from codeact.packing.checks import whole_numbers
from codeact.types import Ints

Overlong = Literal["error", "truncate", "split", "drop"]

IGNORE = -100  # the label that transformers' losses skip: a token that is not learnt

# A chat template may put a newline after the end-of-turn token, so the end of a sample is its last two tokens.
END_TOKENS = 2
LEARNT_MASKS = ("completion_mask", "assistant_masks")
MASKS = ("attention_mask", *LEARNT_MASKS)


@dataclass(frozen=True, slots=True)
class FitCounts:
    """What a policy did to the samples longer than the capacity.

    Attributes:
        samples: samples given.
        overlong: how many of them were longer than the capacity.
        truncated: samples cut to the capacity.
        split: samples cut into pieces.
        pieces: pieces that these became.
        dropped: samples left out by `drop`.
        unlabelled: truncated samples and pieces left out because the cut left no token to learn.
        lost_tokens: tokens of the overlong samples that are in no output.
    """

    samples: int = 0
    overlong: int = 0
    truncated: int = 0
    split: int = 0
    pieces: int = 0
    dropped: int = 0
    unlabelled: int = 0
    lost_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """Samples that fit. `source[i]` (int64) is the index, among the samples given, that `samples[i]` comes from."""

    samples: list[Mapping[str, Any]]
    source: Ints
    counts: FitCounts


def apply_overlong(
    samples: Sequence[Mapping[str, Any]],
    capacity: int,
    policy: Overlong = "error",
    eos_token_id: int | Sequence[int] | None = None,
) -> Fitted:
    """Make every sample fit a row of `capacity` tokens.

    `truncate` cuts the end off. Where the cut falls into an answer (tokens with labels; without labels, anywhere) that ends
    with the end-of-sequence token (and the newline that a chat template may put after it), that end is kept with its label:
    the model still learns to stop, and never in the middle of a question. `split` cuts into
    ceil(length / capacity) pieces of nearly equal size, each trained on as a sequence of its own. A truncated sample or a piece
    with no label left is left out, since it teaches nothing. `drop` leaves the sample out. Samples that fit pass as they are.

    Args:
        samples: mappings with `input_ids` and, optionally, `labels` (-100: not learnt), flat sequences of equal length.
        capacity: most tokens of a row.
        policy: `error`, `truncate`, `split` or `drop`.
        eos_token_id: the token that `truncate` keeps, or the tokens, where several end an answer; None keeps none.

    Returns:
        `Fitted`: the samples (input_ids and labels of changed ones are int64 arrays), where each comes from, the counts.

    Raises:
        InputError: `error` and a sample is longer than `capacity`; an unknown policy; `capacity` below 1; an end that is no token; as `plain_sample`.
    """
    check_policy(policy)
    check_capacity(capacity)
    kept: list[Mapping[str, Any]] = []
    source: list[int] = []
    ending = whole_numbers([] if eos_token_id is None else np.atleast_1d(eos_token_id), "eos_token_id")
    overlong = truncated = split = made = dropped = unlabelled = lost = 0
    for index, one in enumerate(samples):
        sample = plain_sample(one, index)
        size = len(sample["input_ids"])
        if size <= capacity:
            kept.append(sample)
            source.append(index)
            continue
        if policy == "error":
            raise InputError(overlong_message(index, size, capacity))
        overlong += 1
        pieces: list[dict[str, Any]] = []
        if policy == "drop":
            dropped += 1
        elif policy == "truncate":
            truncated += 1
            pieces = [_pick(sample, _kept_tokens(sample, capacity, ending))]
        else:
            split += 1
            pieces = [_pick(sample, part) for part in np.array_split(np.arange(size), -(-size // capacity))]
            made += len(pieces)
        useful = [piece for piece in pieces if _learns(piece)]
        unlabelled += len(pieces) - len(useful)
        lost += size - sum(len(piece["input_ids"]) for piece in useful)
        kept += useful
        source += [index] * len(useful)
    counts = FitCounts(len(samples), overlong, truncated, split, made, dropped, unlabelled, lost)
    return Fitted(kept, np.array(source, dtype=np.int64), counts)


def plain_sample(sample: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """A sample as `input_ids` and `labels` alone: padding that its `attention_mask` names is cut off, and without `labels`
    only what TRL's `completion_mask` and `assistant_masks` name is learnt.

    Raises:
        InputError: no `input_ids`, or not flat; labels or a mask of another length; a mask that holds more than 0 and 1 or hides tokens
            in the middle; nothing but padding; several samples in one: `position_ids` that restart, or TRL's `seq_lengths`.
    """
    _check_lengths(sample, index)
    marks = [key for key in ("position_ids", *MASKS) if sample.get(key) is not None]
    if not marks:
        return sample if sample.get("labels", IGNORE) is not None else {"input_ids": sample["input_ids"]}
    ids = np.asarray(sample["input_ids"], dtype=np.int64)
    given = {key: np.asarray(sample[key]) for key in marks}
    for key in (key for key in marks if key in MASKS):
        if not ((given[key] == 0) | (given[key] == 1)).all():
            raise InputError(
                f"sample {index} has values other than 0 and 1 in its {key}, as samples that are packed already have; give the samples one by one"
            )
    found = {"input_ids": ids}
    if sample.get("labels") is not None:
        found["labels"] = np.asarray(sample["labels"], dtype=np.int64)
    elif learnt := [given[key] for key in marks if key in LEARNT_MASKS]:
        found["labels"] = np.where(np.all(learnt, axis=0), ids, IGNORE)
    if "attention_mask" in given:
        seen = np.flatnonzero(given["attention_mask"])
        if len(seen) == 0:
            raise InputError(f"sample {index} is nothing but padding by its attention_mask; leave it out")
        if seen[-1] - seen[0] + 1 != len(seen):
            raise InputError(
                f"sample {index} has an attention_mask that hides tokens in its middle, which packing cannot; split the sample"
            )
        found = {key: values[seen[0] : seen[-1] + 1] for key, values in found.items()}
        given = {key: values[seen[0] : seen[-1] + 1] for key, values in given.items()}
    if "position_ids" in given and (np.diff(given["position_ids"]) != 1).any():
        raise InputError(f"sample {index} has position_ids that restart: it is packed already; give the samples one by one")
    return found


def overlong_message(index: int, size: int, capacity: int) -> str:
    """The one line that says which sample does not fit, and the mend."""
    return (
        f"sample {index} has {size} tokens, more than the capacity {capacity};"
        " raise the capacity or choose overlong=truncate, split or drop"
    )


def check_policy(policy: str) -> None:
    """Refuse a policy that there is not.

    Raises:
        InputError: it is not one of `Overlong`.
    """
    if policy not in get_args(Overlong):
        raise InputError(f"overlong policy {policy!r} is unknown; use error, truncate, split or drop")


def check_capacity(capacity: object) -> None:
    """Refuse a capacity of rows that is no number of tokens.

    Raises:
        InputError: it is not an integer of at least 1.
    """
    if not isinstance(capacity, (int, np.integer)) or capacity < 1:
        raise InputError(f"packing capacity is {capacity!r} tokens; it must be an integer of at least 1")


def _check_lengths(sample: Mapping[str, Any], index: int) -> None:
    """One sample, all of whose columns have an entry a token."""
    if not isinstance(sample, Mapping) or sample.get("input_ids") is None:
        raise InputError(f"sample {index} has no input_ids; make samples of rows with codeact.tokenise first")
    ids = sample["input_ids"]
    if not _flat(ids, len(ids)):
        raise InputError(
            f"sample {index} has input_ids that are not flat, such as tokenizers make of a batch and with return_tensors; give the samples one by one"
        )
    if sample.get("seq_lengths") is not None and np.size(sample["seq_lengths"]) > 1:
        raise InputError(
            f"sample {index} holds {np.size(sample['seq_lengths'])} samples by its seq_lengths: it is packed already; give the samples one by one"
        )
    for key in ("labels", "position_ids", *MASKS):
        if sample.get(key) is not None and not _flat(sample[key], len(ids)):
            raise InputError(
                f"sample {index} has {len(ids)} input_ids but {np.size(sample[key])} entries of {key}; they must be flat and of equal length"
            )


def _flat(values: Sequence[object], size: int) -> bool:
    """Whether these are `size` single values; the first one tells, so that long lists need not be made arrays for it."""
    return len(values) == size and (size == 0 or np.ndim(cast("ArrayLike", values[0])) == 0)


def _kept_tokens(sample: Mapping[str, Any], capacity: int, ending: Ints) -> Ints:
    """The tokens that stay: the first ones, and the end of the answer in which the cut falls."""
    ids = np.asarray(sample["input_ids"], dtype=np.int64)
    first, last = 0, len(ids)
    if "labels" in sample:
        unlearnt = np.flatnonzero(np.asarray(sample["labels"]) == IGNORE)
        first = int(max(unlearnt[unlearnt < capacity], default=-1)) + 1
        last = int(min(unlearnt[unlearnt >= capacity], default=len(ids)))
    for index in range(last - len(ending), last - len(ending) - END_TOKENS, -1) if len(ending) else ():
        if index >= capacity - (last - index) > first and (ids[index : index + len(ending)] == ending).all():
            return np.concatenate([np.arange(capacity - (last - index)), np.arange(index, last)])
    return np.arange(capacity)


def _pick(sample: Mapping[str, Any], where: Ints) -> dict[str, Any]:
    return {key: np.asarray(sample[key], dtype=np.int64)[where] for key in ("input_ids", "labels") if key in sample}


def _learns(piece: Mapping[str, Any]) -> bool:
    """Whether a label is left, not counting the first token, which has no context to be predicted from."""
    labels = piece.get("labels")
    return len(piece["input_ids"]) > 1 if labels is None else bool((labels[1:] != IGNORE).any())
