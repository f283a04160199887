"""What the processes of a training are dealt: the same steps, each with the ranks' compute nearly equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from codeact.errors import InputError
from codeact.packing import PackedDataset, balance_ratio, row_costs
from codeact.packing.balance import deal_steps, sample_costs
from codeact.training.metrics import rank_metrics
from codeact.training.sampler import BalancedSampler, batch_cost, crossover_of
from codeact.training.sft import PaddingCollator
from tests.unit.test_training_losses import NETWORKS

RANKS, EACH, CROSSOVER = 4, 8, 700.0


def samples(count: int) -> list[dict[str, Any]]:
    sizes = np.random.default_rng(0).lognormal(5, 1.0, count).astype(int).clip(2, 500)
    return [{"input_ids": np.full(size, 1 + n % 7), "labels": np.full(size, 3)} for n, size in enumerate(sizes)]


def order(data: Any, seed: int = 0, epoch: int = 0) -> list[int]:
    return list(BalancedSampler(data, RANKS, EACH, seed, CROSSOVER, lambda: epoch))


def test_samples_keep_their_step_and_ranks_are_even() -> None:
    data, size = samples(RANKS * EACH * 10 + 5), RANKS * EACH
    ours = BalancedSampler(data, RANKS, EACH, 3, CROSSOVER, lambda: 2)
    ours.random.set_epoch(2)
    plain, dealt = list(ours.random), list(ours)
    for start in range(0, len(data), size):
        assert sorted(dealt[start : start + size]) == sorted(plain[start : start + size])
    assert dealt[-5:] == plain[-5:]
    costs = sample_costs([len(sample["input_ids"]) for sample in data], CROSSOVER)
    assert costs[7] == len(data[7]["input_ids"]) + len(data[7]["input_ids"]) ** 2 / CROSSOVER
    before, after = (balance_ratio(costs[some[:-5]], RANKS, EACH) for some in (plain, dealt))
    assert before.mean() < 0.85
    assert after.mean() > 0.9
    assert (after >= before - 1e-9).all()


def test_a_packed_epoch_is_planned_anew_and_dealt() -> None:
    data = PackedDataset(samples(600), 2000, pad_token_id=0, rows_multiple_of=RANKS * 2)
    first = list(BalancedSampler(data, RANKS, 2, 0, CROSSOVER, lambda: 1))
    rows = [row.tolist() for row in data.rows]
    assert sorted(first) == list(range(len(data)))
    costs = row_costs(data.rows, data.lengths, CROSSOVER)
    assert balance_ratio(costs[first], RANKS, 2).mean() > 0.97
    again = PackedDataset(samples(600), 2000, pad_token_id=0, rows_multiple_of=RANKS * 2)
    again.set_epoch(1)
    assert [row.tolist() for row in again.rows] == rows  # the rows that one process has in that epoch


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    data = samples(100)
    assert order(data) == order(data)
    assert order(data) != order(data, epoch=1)
    assert order(data) != order(data, seed=1)
    assert sorted(order(data, epoch=1)) == list(range(100))


def test_dealing_needs_whole_steps() -> None:
    with pytest.raises(InputError, match="5 rows do not divide into steps of 4"):
        deal_steps(np.arange(5), np.ones(5), 2, 2)


def test_a_batch_costs_its_samples_packed_and_its_width_padded() -> None:
    data = samples(3)
    sizes = [len(sample["input_ids"]) for sample in data]
    packed = PackedDataset(data, sum(sizes), pad_token_id=0)
    batch = packed.collate([packed[0]])
    assert batch_cost(batch, CROSSOVER) == pytest.approx(sum(n + n**2 / CROSSOVER for n in sizes))
    padded = PaddingCollator(pad_token_id=0)(data)
    assert batch_cost(padded, CROSSOVER) == pytest.approx(3 * (max(sizes) + max(sizes) ** 2 / CROSSOVER))


@pytest.mark.parametrize("name", NETWORKS)
def test_crossover_counts_the_body_alone(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    body = sum(p.numel() for n, p in model.named_parameters() if not any(w in n for w in ("embed", "lm_head", "wte")))
    assert crossover_of(model) == pytest.approx(body / (32 * 2))


def test_metrics_of_ranks() -> None:
    found = rank_metrics([[1.0, 4.0], [3.0, 4.0]])
    assert found == {"balance": pytest.approx((2 / 3 + 1) / 2), "worst_balance": pytest.approx(2 / 3), "rank_costs": [5.0, 7.0]}
