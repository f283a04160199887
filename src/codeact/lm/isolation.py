"""The guard: it refuses a model and a batch whose packed samples see each other, and says why.

Run before training (`codeact.training.sft`) and, by `codeact.lm.streams.check_model`, before scoring, rating and bits per byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.errors import CodeactError, InputError
from codeact.lm.attention import ATTENTION, NOT_PACKED
from codeact.lm.given import check_model_given
from codeact.lm.modes import eval_mode
from codeact.lm.passes import batch_fault, pass_limits
from codeact.packing.collate import collate_rows
from codeact.types import Ints

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

# Two rows; samples of different lengths; padding at the end of the second row.
PROBE_ROWS = ((7, 12, 5), (9, 4, 6))
TWICE, BEHIND = 6, 9  # tokens of the sample that is put at two places, and of the one before it
# Above this, what differs between two places is no rounding, even in half precision.
PLACE_ROUNDING = 5e-2
# What architectures that were not made for the attention interface fail with, in their own forward pass.
REFUSALS = (TypeError, AttributeError, LookupError, ValueError, RuntimeError)


class LeakError(CodeactError):
    """Packed samples see each other, or the batch breaks the contract that keeps them apart.

    Attributes:
        measured: what was measured.
    """

    measured: Isolation | None = None


@dataclass(frozen=True, slots=True)
class Isolation:
    """What `check_isolation` measured on a model that passed.

    Attributes:
        leak: largest change at an unchanged sample, in the logits and in what every module takes and gives, relative to the
            largest entry of the same tensor. Sound models measure 0: bit-equal.
        effect: largest change of a logit of the changed samples, likewise: what a change does where it should.
        tolerance: the `leak` allowed.
        shift: largest difference between a sample's values at two places of a row, likewise.
    """

    leak: float
    effect: float
    tolerance: float
    shift: float = 0.0


def check_isolation(
    model: torch.nn.Module, batch: Mapping[str, Any] | None = None, *, tolerance: float = 0.0, seed: int = 0
) -> Isolation:
    """Change some samples of a packed batch and see that everything about the others stays as it was, to the last bit.

    The first sample of every row is changed, then the last: what leaks forward and what leaks backward. Not the logits
    alone are compared, but what every module takes and gives, so that a leak shows in the scale of the layer that makes it,
    in half precision and however small the weights. Then one sample is put at two places of a row: a model that takes no
    notice of position_ids computes it differently. Besides, the batch must keep the contract of `codeact.packing.collate`
    (no attention_mask, no KV cache, cu_seq_lens_q, position_ids that restart), since what breaks it leaks without a sound in
    one implementation of attention or another; and its samples must be on one side of a length at which the model computes
    all of a batch otherwise (`codeact.lm.passes`). The model is put in eval mode for four to six forward passes, and back.

    Args:
        model: a causal LM of transformers, as it will be trained (a PEFT or DDP wrapper is fine).
        batch: a batch as it will be fed, for example the first of the data loader; default: two rows of random tokens.
        tolerance: largest change allowed, relative to the largest entry of its tensor.
        seed: of the random tokens.

    Returns:
        What was measured.

    Raises:
        LeakError: samples see each other, positions do not restart, or the batch breaks the contract; the message names the
            cause and the mend.
        InputError: a name in place of the model, or a model without weights; the architecture cannot take packed batches at all; no row
            of `batch` holds two samples; or the change had no effect, so that nothing can be told.
        CodeactError: the model's logits are not finite.
    """
    import torch

    from codeact.lm import activations

    check_model_given(model)
    inner: Any = getattr(model, "module", model)
    if reason := getattr(inner, "not_packed", ""):
        raise InputError(reason)
    config = inner.config.get_text_config()
    device = next(model.parameters()).device
    given = probe_batch(config.vocab_size, seed) if batch is None else batch
    inputs = _on(device, given)
    faults = contract_faults(inputs, config)
    segments = _segments(inputs)
    ids = inputs["input_ids"]
    if batch is not None and (fault := batch_fault(pass_limits(config), _sizes(segments), ids.shape)):
        raise LeakError(f"unsafe packed batch: {fault}")
    shift = torch.randint(1, config.vocab_size, ids.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    leak, effect, where = 0.0, 0.0, ""
    misplaced = 0.0
    try:
        with eval_mode(model):
            before = activations.observe(model, inputs)
            logits = before.tensors[activations.LOGITS]
            _check_finite(logits)
            for touched in _touched(segments):
                other = torch.where(touched, (ids + shift) % config.vocab_size, ids)
                after = activations.observe(model, {**inputs, "input_ids": other}, before, touched)
                moved, name = activations.largest_change(before, after, ~touched)
                leak, where = max((leak, where), (moved, name))
                effect = max(effect, activations.change(logits[touched], after.tensors[activations.LOGITS][touched], logits))
            if leak <= tolerance and not faults:
                misplaced = _misplaced(model, _on(device, _twice(config.vocab_size, seed)))
    except REFUSALS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        if faults and isinstance(error, ValueError):
            raise LeakError(f"unsafe packed batch: {faults[0]} (the model refused it: {reason})") from error
        raise InputError(f"{type(inner).__name__} {NOT_PACKED} ({reason})") from error
    measured = Isolation(leak, effect, tolerance, misplaced)
    try:
        _judge(measured, faults, config._attn_implementation, where)
    except LeakError as error:
        error.measured = measured
        raise
    return measured


def probe_batch(vocab_size: int, seed: int = 0) -> dict[str, Any]:
    """A small packed batch of random tokens: two rows, three samples each, padding at the end of the second."""
    rng = np.random.default_rng(seed)
    lengths = [size for row in PROBE_ROWS for size in row]
    samples = [{"input_ids": rng.integers(0, vocab_size, size)} for size in lengths]
    rows = np.split(np.arange(len(lengths)), np.cumsum([len(row) for row in PROBE_ROWS])[:-1])
    return collate_rows(samples, rows, pad_token_id=0)


def contract_faults(inputs: Mapping[str, Any], config: PretrainedConfig) -> list[str]:
    """How a packed batch breaks the contract of `codeact.packing.collate`, one line each, with the mend; none if it is kept."""
    import torch

    faults = []
    if inputs.get("attention_mask") is not None:
        faults.append(
            "it carries an attention_mask, even if all ones, and with one transformers does not look for packed samples;"
            " leave attention_mask out"
        )
    if inputs.get("use_cache", getattr(config, "use_cache", False)):
        faults.append(
            "use_cache is on, and with a KV cache transformers does not look for packed samples;"
            " set model.config.get_text_config().use_cache = False"
        )
    positions, bounds = inputs.get("position_ids"), inputs.get("cu_seq_lens_q")
    if positions is None:
        faults.append(
            "it has no position_ids that restart at each sample; batch with collate_rows or DynamicPackCollator"
        )
    if bounds is None and inputs["input_ids"].shape[0] > 1:
        faults.append(
            "it has several rows but no cu_seq_lens_q, and FlashAttention then takes each row for one sample;"
            " batch with collate_rows or DynamicPackCollator"
        )
    if positions is not None and bounds is not None:
        starts = torch.nonzero(positions.flatten() == 0).flatten()
        if not torch.equal(starts, bounds[:-1].to(starts)) or int(bounds[-1]) != positions.numel():
            faults.append(
                "its cu_seq_lens_q and its position_ids disagree on where samples begin; batch with collate_rows"
            )
    return faults


def _segments(inputs: Mapping[str, Any]) -> torch.Tensor:
    """Number of the segment that each token belongs to: int64 [B, T], from 0 in each row."""
    import torch

    ids = inputs["input_ids"]
    if inputs.get("position_ids") is not None:
        starts = inputs["position_ids"] == 0
    elif inputs.get("cu_seq_lens_q") is not None:
        starts = torch.zeros(ids.numel(), dtype=torch.bool, device=ids.device)
        starts[inputs["cu_seq_lens_q"][:-1].long()] = True
        starts = starts.view(ids.shape)
    else:
        raise InputError("a batch without position_ids and cu_seq_lens_q does not say where its samples begin")
    numbers: torch.Tensor = starts.long().cumsum(1) - starts[:, :1].long()
    return numbers


def _sizes(segments: torch.Tensor) -> Ints:
    """Tokens of each segment, row after row."""
    return np.concatenate([np.bincount(row) for row in segments.cpu().numpy()])


def _touched(segments: torch.Tensor) -> list[torch.Tensor]:
    """Which tokens to change: those of every row's first segment, then those of its last."""
    choices = [segments == 0, segments == segments[:, -1:]]
    if bool((segments[:, -1] == 0).all()):
        raise InputError("no row of the batch holds two samples, so that isolation cannot be seen; pass a fuller batch")
    return choices


def _on(device: torch.device, batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch's model inputs, on the device."""
    import torch

    return {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items() if k != "labels"}


def _check_finite(logits: torch.Tensor) -> None:
    if not bool(logits.isfinite().all()):
        raise CodeactError("the model's logits are not finite on a packed batch, so that isolation cannot be seen")


def _twice(vocab_size: int, seed: int) -> dict[str, Any]:
    """Two rows that hold the same sample: the first at its beginning, the second after another sample."""
    rng = np.random.default_rng(seed)
    one, other, *rest = (rng.integers(0, vocab_size, size) for size in (TWICE, BEHIND, 10, 1))
    samples = [{"input_ids": sample} for sample in (one, rest[0], other, one, rest[1])]
    return collate_rows(samples, [np.arange(2), np.arange(2, 5)], pad_token_id=0)


def _misplaced(model: torch.nn.Module, inputs: Mapping[str, Any]) -> float:
    """How differently a model that takes no notice of position_ids computes the same sample at two places; else 0.

    What differs in a model that reads them is rounding. So is it in one that counts rotary positions itself, where only
    distances matter, but not in one that adds an embedding of the place: that shows before any token sees another.
    """
    import torch

    from codeact.lm import activations

    causal: Any = getattr(model, "module", model)
    ids = inputs["input_ids"]
    first, second = (slice(start + 1, start + TWICE) for start in (0, BEHIND))
    seen = activations.observe(model, inputs)
    differs = {
        name: found
        for name, tensor in seen.tensors.items()
        if (found := activations.change(tensor[0, first], tensor[1, second], tensor))
    }
    if not differs:
        return 0.0
    running_on = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    if activations.largest_change(seen, activations.observe(model, {**inputs, "position_ids": running_on}), everywhere)[0]:
        return 0.0
    other = ids.clone()
    other[0, 0] = other[1, BEHIND] = (ids[0, 0] + 1) % causal.get_input_embeddings().weight.shape[0]
    context = activations.observe(model, {**inputs, "input_ids": other}).tensors
    alone = [
        found
        for name, found in differs.items()
        if name in context and activations.change(seen.tensors[name][0, first], context[name][0, first], context[name]) == 0
    ]
    most = max(differs.values())
    return max(alone, default=most if most > PLACE_ROUNDING else 0.0)


def _judge(measured: Isolation, faults: list[str], implementation: str, where: str) -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    if measured.leak > measured.tolerance:
        causes = list(faults)
        if implementation not in ALL_MASK_ATTENTION_FUNCTIONS:
            causes.append(
                f"attention {implementation!r} has no mask function, so that transformers builds no mask;"
                " register one with AttentionMaskInterface, or load the model with attn_implementation='codeact'"
            )
        causes = causes or [
            f"attention {implementation!r} does not keep packed samples apart; load the model with"
            " attn_implementation='codeact' (after codeact.lm.attention.register())"
            if implementation != ATTENTION
            else "this architecture mixes tokens outside transformers' attention interface (a convolution, a state space or an"
            " attention of its own); set pack.scope=none, which pads instead"
        ]
        raise LeakError(
            f"packed samples see each other: changing one moved others by {measured.leak:.2g} of the largest value"
            f" (allowed: {measured.tolerance:g}), most in {where!r}; cause: {causes[0]}"
        )
    if faults:
        raise LeakError(
            f"unsafe packed batch: {faults[0]} (attention {implementation!r} did not leak on it, but others do without a sound)"
        )
    if measured.shift > 0.0:
        raise LeakError(
            "positions do not restart: the model takes no notice of position_ids, so that a sample is computed differently"
            f" behind another (by {measured.shift:.2g} of the largest value); set pack.scope=none, which pads instead"
        )
    if measured.effect == 0.0:
        raise InputError(
            "changing a sample moved nothing, so that isolation cannot be seen; the model's logits do not vary"
        )
