"""Packed training is padded training is one-by-one training: loss, gradients and parameters, in float32."""

from __future__ import annotations

import pytest
import torch

from codeact.packing import DynamicPackCollator
from tests.helpers.packing_models import FAMILIES, PAD, build, learnt_tokens, pad, random_samples, reference_attention

CAPACITY = 40


def run_step(model, micro_batches, items):
    """One optimizer step's loss and gradients, as the Trainer accumulates them: token mean over all micro-batches."""
    model.zero_grad()
    total = 0.0
    for batch in micro_batches:
        loss = model(**batch, use_cache=False, num_items_in_batch=items).loss
        loss.backward()
        total += float(loss.detach())
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def one_by_one(samples):
    return [{key: torch.tensor([sample[key]]) for key in ("input_ids", "labels")} for sample in samples]


def apart(first, second):
    return float((first - second).norm() / second.norm())


@pytest.mark.parametrize("prompt", [False, True], ids=["all-tokens", "prompt-masked"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_padded_equals_one_by_one(family, prompt):
    micro = [random_samples(6, 30, seed, prompt) for seed in (1, 2)]
    items = sum(learnt_tokens(samples) for samples in micro)
    collate = DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD)
    packed = [collate(samples) for samples in micro]
    assert all(1 < len(batch["input_ids"]) < 6 for batch in packed)

    loss, gradient = run_step(build(family), packed, items)
    reference = build(family, reference_attention(family))
    for batches in (
        one_by_one([sample for samples in micro for sample in samples]),
        [pad(samples) for samples in micro],
    ):
        expected_loss, expected_gradient = run_step(reference, batches, items)
        assert abs(loss - expected_loss) <= 1e-5 * expected_loss
        assert apart(gradient, expected_gradient) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_agree_after_three_steps(family):
    packed_model, padded_model = build(family), build(family, reference_attention(family))
    packed_optimizer = torch.optim.SGD(packed_model.parameters(), lr=0.1, momentum=0.9)
    padded_optimizer = torch.optim.SGD(padded_model.parameters(), lr=0.1, momentum=0.9)
    start = torch.cat([p.detach().flatten().clone() for p in packed_model.parameters()])
    collate = DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD)
    for step in range(3):
        samples = random_samples(6, 30, seed=10 + step, prompt=True)
        run_step(packed_model, [collate(samples)], learnt_tokens(samples))
        run_step(padded_model, [pad(samples)], learnt_tokens(samples))
        packed_optimizer.step()
        padded_optimizer.step()
    packed, padded = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (packed_model, padded_model))
    assert float((padded - start).norm()) > 0.1
    assert apart(packed, padded) <= 1e-5


def test_paper_order_and_balanced_order_take_the_same_step():
    samples = random_samples(8, 30, seed=4)
    steps = [
        run_step(build("llama"), [DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD, order=order)(samples)], 100)
        for order in ("balanced", "paper")
    ]
    assert steps[0][0] == pytest.approx(steps[1][0], rel=1e-6)
    assert apart(steps[0][1], steps[1][1]) <= 1e-5


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_gradient_checkpointing_changes_nothing(family):
    samples = random_samples(6, 30, seed=5)
    batch = DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD)(samples)
    plain = run_step(build(family), [batch], 50)
    model = build(family)
    model.gradient_checkpointing_enable()
    checkpointed = run_step(model, [batch], 50)
    assert checkpointed[0] == pytest.approx(plain[0], rel=1e-6)
    assert apart(checkpointed[1], plain[1]) <= 1e-6


def test_the_models_own_mean_is_the_token_mean():
    samples = random_samples(6, 30, seed=6, prompt=True)
    batch = DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD)(samples)
    model = build("llama")
    assert int((batch["labels"] != -100).sum()) == learnt_tokens(samples)
    counted = model(**batch, num_items_in_batch=learnt_tokens(samples)).loss
    assert float(model(**batch).loss.detach()) == pytest.approx(float(counted.detach()), rel=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma2-softcap"])
def test_without_segment_bounds_position_ids_still_keep_samples_apart(family):
    batch = DynamicPackCollator(capacity=CAPACITY, pad_token_id=PAD)(random_samples(6, 30, seed=7))
    bare = {key: batch[key] for key in ("input_ids", "labels", "position_ids")}
    model = build(family)
    full, dense = run_step(model, [batch], 50), run_step(model, [bare], 50)
    assert dense[0] == pytest.approx(full[0], rel=1e-5)
    assert apart(dense[1], full[1]) <= 1e-5
