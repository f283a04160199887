"""Packed rows through a causal LM without its logits: hidden states, and the loss of each token in bounded memory.

`[tokens, vocabulary]` float32 logits are the largest tensor of a forward pass (2048 tokens x 49k entries = 400 MB); here
the output head runs on chosen positions only, a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from codeact.errors import CodeactError

if TYPE_CHECKING:
    import torch

LOGITS_PER_CHUNK = 2**25  # 128 MiB of float32

_checked_heads: WeakSet[torch.nn.Module] = WeakSet()


def hidden_states(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """Last hidden states [B, T, hidden] of a batch of `collate_rows` (or any model inputs): the decoder without its head.

    Args:
        model: a causal LM of transformers, perhaps wrapped by PEFT; gradients flow unless switched off.
        batch: model inputs; `labels` are ignored, no KV cache is made.
    """
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    hidden: torch.Tensor = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
    return hidden


def head_logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [..., vocabulary] of hidden states [..., hidden], with the scaling or soft-capping that the model adds.

    Knows the three that transformers' models have: `final_logit_softcapping` (Gemma), `logit_scale` (Cohere) and
    `logits_scaling` (Granite). `token_losses` checks each model against its own forward pass once.
    """
    import torch

    config = model.config.get_text_config()
    logits: torch.Tensor = model.get_output_embeddings()(hidden)
    if getattr(config, "logit_scale", None) is not None:
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None) is not None:
        logits = logits / config.logits_scaling
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def token_losses(model: Any, batch: Mapping[str, Any], chunk: int | None = None) -> torch.Tensor:
    """Negative log-likelihood of every labelled token, in nats: float32 [B, T], aligned with `labels`, 0 where it is -100.

    Entry [b, t] is -log p(labels[b, t] | the tokens before it in its sample). The logits are made for labelled positions
    only, `chunk` positions at a time; with gradients on, each chunk is computed again in the backward pass, so that the
    memory stays bounded there too. The mean over labelled tokens is the model's own loss.

    Args:
        model: as `hidden_states`.
        batch: model inputs with `labels`, -100 at the first token of every sample.
        chunk: positions per pass of the output head; default: as many as make 128 MiB of float32 logits.

    Raises:
        CodeactError: the model's logits are not its output embeddings of its last hidden states (checked once a model).
    """
    import torch

    _check_head(model)
    labels: torch.Tensor = batch["labels"]
    hidden = hidden_states(model, batch)
    wanted = labels[:, 1:] != -100
    states, targets = hidden[:, :-1][wanted.to(hidden.device)], labels[:, 1:][wanted].to(hidden.device)
    size = chunk or max(1, LOGITS_PER_CHUNK // model.get_output_embeddings().weight.shape[0])
    parts = [
        _chunk_losses(model, some, right)
        for some, right in zip(torch.split(states, size), torch.split(targets, size), strict=True)
        if len(right)
    ]
    losses = torch.zeros(labels.shape, dtype=torch.float32, device=hidden.device)
    if parts:
        losses[:, 1:][wanted.to(hidden.device)] = torch.cat(parts)
    return losses


def _chunk_losses(model: Any, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.utils.checkpoint import checkpoint

    def losses(some: torch.Tensor) -> torch.Tensor:
        logits = head_logits(model, some).float()
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none")

    if not torch.is_grad_enabled():
        return losses(states)
    result: torch.Tensor = checkpoint(losses, states, use_reentrant=False)
    return result


def _check_head(model: Any) -> None:
    if model in _checked_heads:
        return
    import torch

    training = model.training
    model.eval()
    with torch.no_grad():
        ids = torch.arange(4, device=model.device).unsqueeze(0) % model.config.get_text_config().vocab_size
        own = model(input_ids=ids, use_cache=False).logits.float()
        ours = head_logits(model, hidden_states(model, {"input_ids": ids})).float()
    model.train(training)
    gap, scale = float((own - ours).abs().max()), float(own.abs().max())
    if not gap <= 1e-3 * max(scale, 1e-6):
        raise CodeactError(
            f"{type(model).__name__} does more to its logits than its output head does (difference {gap:.3g} of {scale:.3g});"
            " token losses in chunks would be wrong for it: use the model's own loss"
        )
    _checked_heads.add(model)
