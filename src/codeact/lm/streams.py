"""Token streams through the model: packed rows in, the loss of every scored token out.

Used by scoring (`codeact.score`), bits per byte (`codeact.evaluation.likelihood`) and the held-out loss of comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from codeact.errors import CodeactError
from codeact.lm.forward import allowed_head_gap, head_gap, hidden_states, write_losses
from codeact.lm.heap import freed_memory_kept
from codeact.lm.isolation import check_isolation, probe_batch
from codeact.packing.collate import collate_rows
from codeact.packing.plan import plan_epoch
from codeact.progress import Progress, Steady
from codeact.types import Floats, Ints, Model

if TYPE_CHECKING:
    import torch

CPU_ROW_TOKENS = 1024
DEVICE_ROW_TOKENS = (4096, 65_536)


_checked: WeakSet[Any] = WeakSet()


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `[start, end)` of a stream are scored, and belong to assistant turn number `turn`. start >= 1."""

    turn: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One sequence for the model. Its last token is always a scored one."""

    ids: list[int]
    spans: tuple[Span, ...]


def choose_batch_tokens(model: Model) -> int:
    """Tokens of one forward pass: on CPU what measures fastest, on an accelerator what half of the free memory holds.

    On CUDA the estimate is the widest point of a decoder layer, 8 hidden + 4 intermediate vectors a token.
    """
    import torch

    device = model.device
    if device.type == "cpu":
        return CPU_ROW_TOKENS
    least, most = DEVICE_ROW_TOKENS
    if device.type != "cuda":
        return least
    config = model.config.get_text_config()
    hidden = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    per_token = (8 * hidden + 4 * int(inner)) * int(model.dtype.itemsize)
    free, _ = torch.cuda.mem_get_info(device)
    return max(least, min(most, int(free) // 2 // per_token))


def check_model(model: Model) -> None:
    """Check once per model that packing isolates its samples and that its head can be run in chunks.

    Raises:
        LeakError: packed samples see each other.
        CodeactError: the logits differ.
    """
    if model in _checked:
        return
    check_isolation(model, {**probe_batch(model.config.get_text_config().vocab_size), "use_cache": False})
    for packed in (False, True):
        gap, allowed = head_gap(model, packed), allowed_head_gap(model, packed)
        if not gap <= allowed:
            raise CodeactError(
                f"{type(model).__name__} does more to its logits than its output head does:{' packed' if packed else ''} log-probabilities differ"
                f" from its own by {gap:.2g} of the largest (allowed: {allowed:g}); this model cannot be scored"
            )
    _checked.add(model)


def stream_losses(
    model: Model,
    streams: Sequence[Stream],
    batch_tokens: int,
    finished: Callable[[Ints, int], None] | None = None,
) -> list[Floats]:
    """Negative log-likelihood of every scored token, in nats.

    Rows of at most `batch_tokens` (or one stream, where that is longer) are planned by best-fit decreasing; each is one
    forward pass without padding. Hidden states of the positions that predict a scored token go through the output head
    in chunks. On an accelerator nothing waits for the device before the last row.

    Args:
        model: a causal LM in eval mode.
        streams: token sequences with their spans.
        batch_tokens: tokens of a row.
        finished: called after each row with the indices of its streams and its tokens.

    Returns:
        One float64 array per stream: its scored tokens, span after span.
    """
    import torch

    if not streams:
        return []
    # the last token of a stream is predicted, and predicts nothing
    samples = [{"input_ids": np.asarray(stream.ids[:-1], np.int64)} for stream in streams]
    lengths = np.array([len(sample["input_ids"]) for sample in samples], np.int64)
    rows = plan_epoch(lengths, max(batch_tokens, int(lengths.max())))
    counts = np.array([sum(span.end - span.start for span in stream.spans) for stream in streams])
    with freed_memory_kept(model.device), torch.inference_mode():
        # one buffer, not a tensor per row: small tensors kept between large ones that are freed keep the heap from shrinking
        flat = torch.empty(int(counts.sum()), dtype=torch.float32, device=model.device)
        start = 0
        for row in rows:
            made = collate_rows(samples, [row], pad_token_id=0)
            batch = {k: _move(v, model.device) if isinstance(v, torch.Tensor) else v for k, v in made.items()}
            positions, targets = _scored([streams[i] for i in row])
            hidden = hidden_states(model, batch)[0].index_select(0, _move(torch.from_numpy(positions), model.device))
            write_losses(
                model, hidden, _move(torch.from_numpy(targets), model.device), flat[start : start + len(targets)]
            )
            start += len(targets)
            if finished is not None:
                finished(row, int(lengths[row].sum()))
        values = flat.cpu().numpy().astype(np.float64)
    pieces = np.split(values, np.cumsum(counts[rows.samples])[:-1])
    return [pieces[index] for index in np.argsort(rows.samples)]


def evenly(progress: Progress, streams: Sequence[Stream]) -> Callable[[Ints, int], None]:
    """A `finished` of `stream_losses` that advances by one for each stream, evenly with the tokens: long streams come first."""
    steady = Steady(progress, len(streams), sum(len(stream.ids) - 1 for stream in streams))
    return lambda _, tokens: steady.add(tokens)


def token_losses_at(model: Model, hidden: torch.Tensor, positions: Ints, targets: Sequence[int]) -> Floats:
    """Negative log-likelihood of `targets` as predicted at `positions` of the hidden states [T, hidden]: float64, nats."""
    import torch

    states = hidden.index_select(0, _move(torch.from_numpy(positions), hidden.device))
    wanted = _move(torch.tensor(targets, dtype=torch.int64), hidden.device)
    found = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
    write_losses(model, states, wanted, found)
    return np.asarray(found.cpu().numpy(), np.float64)


def _scored(streams: Sequence[Stream]) -> tuple[Ints, Ints]:
    """Positions in the row that predict a scored token, and those tokens."""
    positions: list[Ints] = []
    targets: list[int] = []
    offset = 0
    for stream in streams:
        for span in stream.spans:
            positions.append(np.arange(offset + span.start - 1, offset + span.end - 1))
            targets += stream.ids[span.start : span.end]
        offset += len(stream.ids) - 1
    return np.concatenate(positions), np.array(targets, np.int64)


def _move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
