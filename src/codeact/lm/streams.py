"""Token streams through the model: packed rows in, the loss of every scored token out.

Used by scoring (`codeact.score`), bits per byte (`codeact.evaluation.likelihood`) and the held-out loss of comparisons.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from codeact.errors import CodeactError
from codeact.lm.forward import allowed_head_gap, head_gap, hidden_states, looks_ahead, write_losses
from codeact.lm.isolation import REFUSALS, LeakError, check_isolation, probe_batch
from codeact.lm.rows import Layout, make_batch, move, plan_rows
from codeact.progress import Progress, Steady
from codeact.types import Floats, Ints, Model

if TYPE_CHECKING:
    import torch

CPU_ROW_TOKENS = 1024
DEVICE_ROW_TOKENS = (4096, 65_536)


log = logging.getLogger(__name__)
_layouts: WeakKeyDictionary[Any, Layout] = WeakKeyDictionary()


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


def check_model(model: Model) -> Layout:
    """How a model's texts may share a forward pass, measured once per model: packed, else padded, else each alone.

    Raises:
        LeakError: packed samples see each other by an attention implementation that lacks its mask function: no fault of the model's.
        CodeactError: its logits are not those of its output head, or its tokens see those behind them.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    if model in _layouts:
        return _layouts[model]
    reason = ""
    try:
        check_isolation(model, {**probe_batch(model.config.get_text_config().vocab_size), "use_cache": False})
    except CodeactError as error:  # of a leak, of what cannot be packed, or of logits that are not finite, which `_gap` finds too
        if isinstance(error, LeakError) and model.config.get_text_config()._attn_implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
            raise
        reason = str(error)
    gap, allowed = _gap(model, "alone"), allowed_head_gap(model)
    if not gap <= allowed:
        if not math.isfinite(gap) and (where := _not_finite(model)):
            raise CodeactError(
                f"the {where} of {type(model).__name__} are not finite (NaN or infinite), as after a training that diverged;"
                " this model cannot be scored: train with a lower train.learning_rate, or with train.max_grad_norm"
            )
        raise CodeactError(
            f"{type(model).__name__} does more to its logits than its output head does: log-probabilities differ from its own by {gap:.2g}"
            f" of the largest (allowed: {allowed:g}); this model cannot be scored"
        )
    if reason and looks_ahead(model):
        raise CodeactError(f"{type(model).__name__} is no causal language model: its tokens see those behind them; this model cannot be scored")
    layouts: tuple[Layout, ...] = ("padded",) if reason else ("packed", "padded")
    found: Layout = next((each for each in layouts if _gap(model, each) <= allowed_head_gap(model, each)), "alone")
    if found != "packed":
        log.info("%s takes no packed rows: texts run %s", type(model).__name__, "side by side, with padding" if found == "padded" else "one by one")
        log.debug("%s", reason)
    _layouts[model] = found
    return found


def _gap(model: Model, layout: Layout) -> float:
    """`head_gap`; infinite where the model fails on it, as one whose head takes other vectors than its decoder gives."""
    import torch

    try:
        return head_gap(model, layout)
    except REFUSALS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return math.inf


def _not_finite(model: Model) -> str:
    """What of the model is NaN or infinite: "weights", or "logits" of a short text; "" where neither is, or the model fails on it."""
    import torch

    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters() if weight.is_floating_point()):
        return "weights"
    ids = torch.arange(8, device=model.device)[None] % model.config.get_text_config().vocab_size
    try:
        with torch.no_grad():
            return "" if bool(torch.isfinite(model(input_ids=ids, use_cache=False).logits).all()) else "logits"
    except REFUSALS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return ""


def stream_losses(
    model: Model,
    streams: Sequence[Stream],
    batch_tokens: int,
    finished: Callable[[Ints, int], None] | None = None,
) -> list[Floats]:
    """Negative log-likelihood of every scored token, in nats.

    Rows of at most `batch_tokens` (or one stream, where that is longer) are planned by best-fit decreasing; each is one
    forward pass without padding, where the model keeps packed samples apart (`check_model`, `codeact.lm.rows`). Hidden
    states of the positions that predict a scored token go through the output head in chunks. On an accelerator nothing
    waits for the device before the last row.

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
    layout = check_model(model)
    rows = plan_rows(lengths, batch_tokens, layout, model.config)
    order = np.concatenate(rows)
    counts = np.array([sum(span.end - span.start for span in stream.spans) for stream in streams])
    with torch.inference_mode():
        # one buffer, not a tensor per row: small tensors kept between large ones that are freed keep the heap from shrinking
        flat = torch.empty(int(counts.sum()), dtype=torch.float32, device=model.device)
        start = 0
        for row in rows:
            batch, places = make_batch(samples, row, layout, model.device)
            positions, targets = _scored([streams[i] for i in row], places)
            hidden = hidden_states(model, batch).flatten(0, 1).index_select(0, move(torch.from_numpy(positions), model.device))
            write_losses(
                model, hidden, move(torch.from_numpy(targets), model.device), flat[start : start + len(targets)]
            )
            start += len(targets)
            if finished is not None:
                finished(row, int(lengths[row].sum()))
        values = flat.cpu().numpy().astype(np.float64)
    pieces = np.split(values, np.cumsum(counts[order])[:-1])
    return [pieces[index] for index in np.argsort(order)]


def evenly(progress: Progress, streams: Sequence[Stream]) -> Callable[[Ints, int], None]:
    """A `finished` of `stream_losses` that advances by one for each stream, evenly with the tokens: long streams come first."""
    steady = Steady(progress, len(streams), sum(len(stream.ids) - 1 for stream in streams))
    return lambda _, tokens: steady.add(tokens)


def token_losses_at(model: Model, hidden: torch.Tensor, positions: Ints, targets: Sequence[int]) -> Floats:
    """Negative log-likelihood of `targets` as predicted at `positions` of the hidden states [T, hidden]: float64, nats."""
    import torch

    states = hidden.index_select(0, move(torch.from_numpy(positions), hidden.device))
    wanted = move(torch.tensor(targets, dtype=torch.int64), hidden.device)
    found = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
    write_losses(model, states, wanted, found)
    return np.asarray(found.cpu().numpy(), np.float64)


def _scored(streams: Sequence[Stream], places: Ints) -> tuple[Ints, Ints]:
    """Positions in the flattened batch that predict a scored token, and those tokens. places: where each stream begins."""
    positions: list[Ints] = []
    targets: list[int] = []
    for stream, place in zip(streams, places.tolist(), strict=True):
        for span in stream.spans:
            positions.append(np.arange(place + span.start - 1, place + span.end - 1))
            targets += stream.ids[span.start : span.end]
    return np.concatenate(positions), np.array(targets, np.int64)
