"""The guard: run before training, it refuses a model and a batch whose packed samples see each other, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.errors import CodeactError, InputError
from codeact.packing.collate import collate_rows

if TYPE_CHECKING:
    import torch

# Two rows; samples of different lengths; padding at the end of the second row.
PROBE_ROWS = ((7, 12, 5), (9, 4, 6))


class LeakError(CodeactError):
    """Packed samples see each other, or the batch breaks the contract that keeps them apart."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What `check_isolation` measured on a model that passed.

    Attributes:
        leak: largest change of a logit of an unchanged sample, relative to the largest logit (0: bit-equal).
        effect: largest change of a logit of the changed samples, likewise: what a change does where it should.
        tolerance: the `leak` allowed.
    """

    leak: float
    effect: float
    tolerance: float


def check_isolation(
    model: Any, batch: Mapping[str, Any] | None = None, *, tolerance: float | None = None, seed: int = 0
) -> Isolation:
    """Change some samples of a packed batch and see that the logits of the others stay as they were.

    The first sample of every row is changed, then the last: what leaks forward and what leaks backward. Besides, the batch
    must keep the contract of `codeact.packing.collate` (no attention_mask, no KV cache, cu_seq_lens_q, position_ids that
    restart), since what breaks it leaks without a sound in one implementation of attention or another. The model is
    put in eval mode for three forward passes, and back.

    Args:
        model: a causal LM of transformers, as it will be trained (a PEFT or DDP wrapper is fine).
        batch: a batch as it will be fed, for example the first of the data loader; default: two rows of random tokens.
        tolerance: largest change allowed, relative to the largest logit; default 1e-5 for float32, 1e-2 for half precision.
        seed: of the random tokens.

    Returns:
        What was measured.

    Raises:
        LeakError: samples see each other, or the batch breaks the contract; the message names the cause and the mend.
        InputError: no row of `batch` holds two samples, or the change had no effect, so that nothing can be told.
        CodeactError: the model's logits are not finite.
    """
    import torch

    inner = getattr(model, "module", model)
    config = inner.config.get_text_config()
    device = next(model.parameters()).device
    given = probe_batch(config.vocab_size, seed) if batch is None else batch
    inputs = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in given.items() if k != "labels"}
    faults = contract_faults(inputs, config)
    segments = _segments(inputs)
    ids = inputs["input_ids"]
    shift = torch.randint(1, config.vocab_size, ids.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    leak = effect = 0.0
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            before = model(**inputs).logits.float()
            for touched in _touched(segments):
                other = torch.where(touched, (ids + shift) % config.vocab_size, ids)
                moved = (model(**{**inputs, "input_ids": other}).logits.float() - before).abs().amax(-1)
                leak = max(leak, _share(moved[~touched], before))
                effect = max(effect, _share(moved[touched], before))
    except ValueError as error:
        if not faults:
            raise
        raise LeakError(f"unsafe packed batch: {faults[0]} (the model refused it: {error})") from error
    finally:
        model.train(training)
    if tolerance is None:
        tolerance = 1e-5 if next(model.parameters()).dtype == torch.float32 else 1e-2
    _judge(Isolation(leak, effect, tolerance), faults, config._attn_implementation)
    return Isolation(leak, effect, tolerance)


def probe_batch(vocab_size: int, seed: int = 0) -> dict[str, Any]:
    """A small packed batch of random tokens: two rows, three samples each, padding at the end of the second."""
    rng = np.random.default_rng(seed)
    lengths = [size for row in PROBE_ROWS for size in row]
    samples = [{"input_ids": rng.integers(0, vocab_size, size)} for size in lengths]
    rows = np.split(np.arange(len(lengths)), np.cumsum([len(row) for row in PROBE_ROWS])[:-1])
    return collate_rows(samples, rows, pad_token_id=0)


def contract_faults(inputs: Mapping[str, Any], config: Any) -> list[str]:
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
            " set model.config.use_cache = False"
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


def _touched(segments: torch.Tensor) -> list[torch.Tensor]:
    """Which tokens to change: those of every row's first segment, then those of its last."""
    choices = [segments == 0, segments == segments[:, -1:]]
    if bool((segments[:, -1] == 0).all()):
        raise InputError("no row of the batch holds two samples, so that isolation cannot be seen; pass a fuller batch")
    return choices


def _share(moved: torch.Tensor, before: torch.Tensor) -> float:
    """Largest change relative to the largest logit."""
    largest = float(before.abs().max())
    if not np.isfinite(largest):
        raise CodeactError("the model's logits are not finite on a packed batch, so that isolation cannot be seen")
    return float(moved.max()) / largest if largest > 0 else 0.0


def _judge(measured: Isolation, faults: list[str], implementation: str) -> None:
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
            " attn_implementation='codeact' (after codeact.packing.attention.register())"
        ]
        raise LeakError(
            f"packed samples see each other: changing one moved the logits of others by {measured.leak:.2g} of the largest logit"
            f" (allowed: {measured.tolerance:g}); cause: {causes[0]}"
        )
    if faults:
        raise LeakError(
            f"unsafe packed batch: {faults[0]} (attention {implementation!r} did not leak on it, but others do without a sound)"
        )
    if measured.effect <= measured.tolerance:
        raise InputError(
            "changing a sample moved nothing, so that isolation cannot be seen; the model's logits do not vary"
        )
