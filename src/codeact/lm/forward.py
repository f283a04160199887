"""A causal LM without its [tokens, vocabulary] logits: hidden states, then the output head on chosen positions, in chunks.

Float32 logits are the largest tensor of a forward pass (2048 tokens x 49k entries = 400 MB). Everything that needs losses
goes through here: scoring and bits per byte (`codeact.lm.streams`), adaptive scoring (`codeact.score.adaptive`), ratings by
a model (`codeact.judge.ratings`) and the training loss (`codeact.training.losses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codeact.errors import InputError
from codeact.lm.modes import eval_mode
from codeact.lm.rows import Layout, make_batch
from codeact.types import Model

if TYPE_CHECKING:
    import torch

LOGITS_PER_CHUNK = 2**25  # 128 MiB of float32
CPU_LOGITS = 12_000_000  # 24 MB of bfloat16, 48 MB of float32
LEAST_POSITIONS = 16
CACHED_POSITIONS = 8  # whose log-probabilities stay in a core's own cache
PROBE_TOKENS = (13, 8)
MULTIPLIED, DIVIDED = ("logit_scale",), ("logits_scaling", "logits_mup_width_multiplier")
"""Entries of a configuration that all logits are multiplied or divided by: Cohere, Granite, Inkling."""
CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Entries that logits are soft-capped by: Gemma, RecurrentGemma, xLSTM."""


def hidden_states(model: Model, batch: Mapping[str, Any]) -> torch.Tensor:
    """Last hidden states [B, T, hidden] of a batch of `collate_rows` (or any model inputs): the decoder without its head.

    Args:
        model: a causal LM of transformers, perhaps wrapped by PEFT; gradients flow unless switched off.
        batch: model inputs; `labels` are ignored, no KV cache is made unless it asks for one.

    Raises:
        InputError: as `decoder`.
    """
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    hidden: torch.Tensor = decoder(model)(**{"use_cache": False, **inputs})[0]
    return hidden


def without_adapter(model: Model) -> Model:
    """The causal language model itself; of one that PEFT wraps, the model inside, with the adapter's layers in it."""
    given: Any = model
    causal: Model = given.get_base_model() if hasattr(given, "get_base_model") else given
    return causal


def decoder(model: Model) -> torch.nn.Module:
    """What a causal LM runs below its output head.

    transformers' `get_decoder` gives the whole model where it knows no better (Llama 4, Mllama), and the head where that is
    called `decoder` (ModernBERT).

    Raises:
        InputError: none is found.
    """
    causal: Any = without_adapter(model)
    others = (causal, causal.get_output_embeddings())
    for found in (causal.get_decoder(), causal.base_model, getattr(causal, "model", None)):
        if found is not None and not any(found is other for other in others):
            below: torch.nn.Module = found
            return below
    raise InputError(
        f"{type(causal).__name__} has no network apart from its output head that could be run alone; this model cannot be scored"
    )


def head_logits(model: Model, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [..., vocabulary] of hidden states [..., hidden], with the scaling or soft-capping that the model adds.

    Knows those of transformers' models (`MULTIPLIED`, `DIVIDED`, `CAPS`, entries of a padded vocabulary). `head_gap` measures whether a model
    does something else.
    """
    import torch

    config = model.config.get_text_config()
    logits: torch.Tensor = model.get_output_embeddings()(hidden)
    for name in (*MULTIPLIED, *DIVIDED):
        if (scale := getattr(config, name, None)) is not None:
            logits = logits * scale if name in MULTIPLIED else logits / scale
    for name in CAPS:
        if (cap := getattr(config, name, None)) is not None:
            logits = torch.tanh(logits / cap) * cap
    entries = getattr(config, "unpadded_vocab_size", None)
    return logits if entries is None else logits[..., :entries]


def chunk_positions(model: Model, device: torch.device, learning: bool = False) -> int:
    """Positions whose logits exist at a time: on a CPU, unless `learning`, what stays in its cache; else 128 MiB of float32."""
    logits = CPU_LOGITS if device.type == "cpu" and not learning else LOGITS_PER_CHUNK
    return max(LEAST_POSITIONS, logits // int(model.config.get_text_config().vocab_size))


def losses_of_logits(
    logits: torch.Tensor, targets: torch.Tensor, reduction: Literal["none", "sum"] = "none"
) -> torch.Tensor:
    """-log softmax(logits)[target], float32, in nats: of logits [N, V] and targets int64 [N] each [N], or their sum."""
    import torch

    # the fused log_softmax kernel, not logsumexp: on CPU that one costs as much as the matrix product
    return torch.nn.functional.nll_loss(logits.log_softmax(-1, dtype=torch.float32), targets, reduction=reduction)


def write_losses(model: Model, hidden: torch.Tensor, targets: torch.Tensor, out: torch.Tensor) -> None:
    """Negative log-likelihood of each target into `out`, float32 [N], a chunk of positions at a time; without gradients.

    Args:
        model: as `head_logits`; under `torch.inference_mode` or `no_grad`.
        hidden: [N, hidden], the head's input at the positions that predict the targets.
        targets: int64 [N].
        out: float32 [N]; a part of a larger buffer, so that no small tensor stays between the large ones that are freed.
    """
    import torch

    parts = (torch.split(tensor, chunk_positions(model, hidden.device)) for tensor in (hidden, targets, out))
    for some, wanted, found in zip(*parts, strict=True):
        logits = head_logits(model, some)
        few = CACHED_POSITIONS if logits.device.type == "cpu" else len(logits)
        for these, those, place in zip(*(torch.split(tensor, few) for tensor in (logits, wanted, found)), strict=True):
            place.copy_(losses_of_logits(these, those))


def head_gap(model: Model, layout: Layout = "alone") -> float:
    """How far `head_logits` of `hidden_states` is from the model's own logits: what callers check before they trust it.

    Compared are the log-probabilities of the whole vocabulary at every position of two short random sequences; a constant
    that a model adds to all logits of a position changes no loss and does not count. 0 where the model does nothing of its own.

    Args:
        model: a causal LM; it is put in eval mode for three or four passes, and back.
        layout: compare hidden states of both sequences in one batch of this kind with the model's own of each alone.

    Returns:
        The largest difference, relative to the largest log-probability (at least 1); of sequences that share a batch in half precision the
        mean difference, since two sound kernels may be nats apart at single entries there. Infinite where it is no number or the vocabularies differ.
    """
    import torch

    rng = np.random.default_rng(0)
    samples = [{"input_ids": rng.integers(0, model.config.get_text_config().vocab_size, size)} for size in PROBE_TOKENS]
    rows = [np.array([n]) for n in range(len(samples))] if layout == "alone" else [np.arange(len(samples))]
    with eval_mode(model), torch.no_grad():
        own = [model(input_ids=torch.from_numpy(s["input_ids"]).unsqueeze(0).to(model.device), use_cache=False).logits[0] for s in samples]
        ours = []
        for row in rows:
            batch, starts = make_batch(samples, row, layout, model.device)
            states = hidden_states(model, batch).flatten(0, 1)
            ours += [head_logits(model, states[start : start + PROBE_TOKENS[n]]) for n, start in zip(row.tolist(), starts.tolist(), strict=True)]
        mean = layout != "alone" and model.dtype != torch.float32
        return max(log_probability_gap(one, other, mean) for one, other in zip(own, ours, strict=True))


def looks_ahead(model: Model) -> bool:
    """Whether a token of the model sees those behind it: no causal LM, whose losses would be of words that it was shown."""
    import torch

    ids = torch.arange(1, PROBE_TOKENS[0] + 1, device=model.device)[None] % model.config.get_text_config().vocab_size
    other = ids.clone()
    other[0, -1] = 0
    with eval_mode(model), torch.no_grad():
        one, two = (model(input_ids=each, use_cache=False).logits[0, :-1] for each in (ids, other))
    return not log_probability_gap(one, two, model.dtype != torch.float32) <= allowed_head_gap(model, "padded")


def allowed_gap(model: Model) -> float:
    """Relative difference that rounding makes between two ways to compute the same of a model: by its dtype."""
    import torch

    return 1e-4 if model.dtype == torch.float32 else 5e-2


def allowed_head_gap(model: Model, layout: Layout = "alone") -> float:
    """What `head_gap` may be: rounding alone. Alone, both ways run the same kernels in any dtype.

    Together in half precision 0.02 of the largest, as a mean: attention by another kernel gave 0.008 (SmolLM2-135M; single entries 0.13),
    logits 1.1 times as large give 0.03, soft-capping and leaks 0.07.
    """
    import torch

    return 2e-2 if layout != "alone" and model.dtype != torch.float32 else 1e-4


def log_probability_gap(own: torch.Tensor, ours: torch.Tensor, mean: bool) -> float:
    """Largest (or mean) difference of the log-probabilities of two logits [..., V], relative to the largest (at least 1); infinite where it is no number."""
    import torch

    if own.shape != ours.shape:
        return float("inf")
    expected, found = (logits.log_softmax(-1, dtype=torch.float32) for logits in (own, ours))
    apart = (expected - found).abs()
    gap = float(apart.mean() if mean else apart.max()) / max(1.0, float(expected.abs().max()))
    return gap if gap == gap else float("inf")
