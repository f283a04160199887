"""Cheap parts computed again in the backward pass: the same gradients to the last bit, and fewer tensors kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from benchmarks.train_memory import kept_for_backward
from codeact.config import TrainConfig
from codeact.lm.forward import losses_of_logits
from codeact.training.losses import token_losses
from codeact.training.recompute import recompute_cheap_parts
from codeact.training.sft import adapt_model


def step(model: Any, dtype: torch.dtype) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """Loss, gradients, and the bytes that the forward pass kept."""
    model.train()
    ids = torch.arange(48).view(2, 24) % 50
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32), kept_for_backward(model) as kept:
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None], sum(kept.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_the_same_and_less_is_kept(tiny_model_dir: Path, dtype: torch.dtype) -> None:
    def load() -> Any:
        return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)

    loss, gradients, kept = step(load(), dtype)
    found, ours, less = step(adapt_model(load(), TrainConfig(), 0), dtype)
    assert torch.equal(found, loss)
    assert all(torch.equal(a, b) for a, b in zip(ours, gradients, strict=True))
    assert less < 0.85 * kept


def test_only_what_computes_the_same_is_changed(tiny_model_dir: Path) -> None:
    shape: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
    gemma = Gemma2ForCausalLM(Gemma2Config(**shape, num_key_value_heads=1, head_dim=8))
    assert recompute_cheap_parts(gemma) == 2 * (4 + 1) + 1  # four norms and an MLP a layer
    assert recompute_cheap_parts(GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=64))) == 0
    other: Any = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    for layer in other.model.layers:
        own = layer.mlp.forward
        layer.mlp.forward = lambda hidden, own=own: 2 * own(hidden)
    assert recompute_cheap_parts(other) == 2 * 2 + 1  # the norms alone


def test_without_gradients_nothing_changes(tiny_model_dir: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir).eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = model(ids).logits
        recompute_cheap_parts(model)
        assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_their_gradient_are_those_of_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    targets, scales = torch.randint(50, (9,)), torch.rand(9)
    given = torch.randn(9, 50).to(dtype)
    ours, theirs = given.clone().requires_grad_(), given.clone().requires_grad_()
    found, expected = token_losses(ours, targets), losses_of_logits(theirs, targets)
    assert torch.equal(found, expected)
    (found * scales).sum().backward()
    (expected * scales).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-7)
