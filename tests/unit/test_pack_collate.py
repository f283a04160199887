"""Over-long policies, the batch contract, the collator and the packed data set."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from codeact.errors import InputError
from codeact.packing import (
    DynamicPackCollator,
    PackedDataset,
    apply_overlong,
    collate_rows,
    plan_batch,
    split_rows,
)

PAD, EOS = 0, 2


def make_samples(sizes, seed=0, prompt=0):
    rng = np.random.default_rng(seed)
    samples = []
    for size in sizes:
        ids = rng.integers(3, 90, size).tolist()
        samples.append({"input_ids": ids, "labels": [-100] * min(prompt, size) + ids[prompt:]})
    return samples


def range_of(size):
    return list(range(3, 3 + size))


def segments(batch):
    bounds = batch["cu_seq_lens_q"].tolist()
    flat = {key: batch[key].flatten().tolist() for key in ("input_ids", "labels", "position_ids")}
    return [{key: values[a:b] for key, values in flat.items()} for a, b in itertools.pairwise(bounds)]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=25), st.integers(30, 64), st.integers(0, 4))
@settings(max_examples=80)
def test_batch_contract(sizes, capacity, prompt):
    samples = make_samples(sizes, prompt=prompt)
    rows = plan_batch(sizes, capacity)
    batch = collate_rows(samples, rows, pad_token_id=PAD)
    shape = batch["input_ids"].shape
    assert set(batch) == {
        "input_ids", "labels", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k",
    }  # fmt: skip
    assert shape == batch["labels"].shape == batch["position_ids"].shape
    assert shape[0] == len(rows)
    assert shape[1] == max(sum(sizes[i] for i in row) for row in rows) <= capacity
    bounds = batch["cu_seq_lens_q"]
    assert bounds.dtype == batch["cu_seq_lens_k"].dtype == torch.int32
    assert torch.equal(bounds, batch["cu_seq_lens_k"])
    assert bounds[0] == 0
    assert bounds[-1] == shape.numel()
    assert type(batch["max_length_q"]) is type(batch["max_length_k"]) is int
    assert batch["max_length_q"] == batch["max_length_k"] == int(bounds.diff().max())
    assert all(batch[key].dtype == torch.int64 for key in ("input_ids", "labels", "position_ids"))

    found = segments(batch)
    assert all(part["position_ids"] == list(range(len(part["position_ids"]))) for part in found)
    assert all(part["labels"][0] == -100 for part in found)
    expected = [samples[i] for row in rows for i in row]
    texts = [part for part in found if part["input_ids"] != [PAD] * len(part["input_ids"])]
    assert [part["input_ids"] for part in texts] == [sample["input_ids"] for sample in expected]
    assert [part["labels"][1:] for part in texts] == [sample["labels"][1:] for sample in expected]
    padding = [part for part in found if part["input_ids"] == [PAD] * len(part["input_ids"])]
    assert all(set(part["labels"]) == {-100} for part in padding)
    assert sum(len(part["labels"]) for part in padding) == shape.numel() - sum(sizes)


@given(st.lists(st.integers(2, 30), min_size=1, max_size=25), st.integers(30, 64), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=80)
def test_split_rows(sizes, capacity, prompt, rows):
    samples = [
        {"input_ids": ids, "labels": [-100] * min(prompt, len(ids)) + ids[prompt:]} for ids in map(range_of, sizes)
    ]
    planned = plan_batch(sizes, capacity)
    parts = split_rows(collate_rows(samples, planned, pad_token_id=PAD), rows)
    step = rows or len(planned)
    # each part is the batch that its own rows would have made
    assert len(parts) == -(-len(planned) // step)
    for number, part in enumerate(parts):
        alone = collate_rows(samples, planned[number * step : (number + 1) * step], pad_token_id=PAD)
        assert part.keys() == alone.keys()
        for key, value in alone.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(part[key], value), key
                assert part[key].dtype == value.dtype
            else:
                assert part[key] == value
                assert type(part[key]) is int


def test_split_rows_keeps_samples_that_look_like_padding():
    learnt = {"input_ids": [5, PAD], "labels": [5, PAD]}  # ends with the padding token, as where EOS pads
    batch = collate_rows([*make_samples([4, 6]), learnt], [np.array([0, 2]), np.array([1])], pad_token_id=PAD)
    first, second = split_rows(batch, 1)
    assert segments(first)[1] == {"input_ids": [5, PAD], "labels": [-100, PAD], "position_ids": [0, 1]}
    assert first["input_ids"].shape == second["input_ids"].shape == (1, 6)
    alone = collate_rows([learnt], [np.array([0])] * 2, pad_token_id=PAD)  # a row's only sample is never padding
    assert [part["input_ids"].tolist() for part in split_rows(alone, 1)] == [[[5, PAD]]] * 2


def test_collate_takes_arrays_tensors_and_no_labels():
    rows = [np.array([1, 0])]
    lists = collate_rows([{"input_ids": [5, 6, 7]}, {"input_ids": [8, 9]}], rows, pad_token_id=PAD)
    tensors = collate_rows(
        [{"input_ids": torch.tensor([5, 6, 7])}, {"input_ids": np.array([8, 9])}], rows, pad_token_id=PAD
    )
    assert lists["input_ids"].tolist() == tensors["input_ids"].tolist() == [[8, 9, 5, 6, 7]]
    assert lists["labels"].tolist() == [[-100, 9, -100, 6, 7]]


def test_collate_refuses_bad_samples():
    with pytest.raises(InputError, match="sample 0 has 2 input_ids but 1 entries of labels"):
        collate_rows([{"input_ids": [1, 2], "labels": [1]}], [np.array([0])], pad_token_id=PAD)
    with pytest.raises(InputError, match="sample 0 is empty"):
        collate_rows([{"input_ids": []}], [np.array([0])], pad_token_id=PAD)
    with pytest.raises(InputError, match="at least one row"):
        collate_rows([], [], pad_token_id=PAD)


def test_truncation_keeps_the_end():
    ids = [*range(10, 20), EOS]
    (cut,) = apply_overlong([{"input_ids": ids, "labels": ids}], 6, "truncate", EOS).samples
    assert cut["input_ids"].tolist() == cut["labels"].tolist() == [10, 11, 12, 13, 14, EOS]
    chat = [*range(10, 20), EOS, 7]  # a template's newline after the end of turn
    (cut,) = apply_overlong([{"input_ids": chat}], 6, "truncate", EOS).samples
    assert cut["input_ids"].tolist() == [10, 11, 12, 13, EOS, 7]
    (cut,) = apply_overlong([{"input_ids": list(range(10, 20))}], 6, "truncate", EOS).samples
    assert cut["input_ids"].tolist() == [10, 11, 12, 13, 14, 15]
    (cut,) = apply_overlong([{"input_ids": ids}], 6, "truncate").samples
    assert cut["input_ids"].tolist() == [10, 11, 12, 13, 14, 15]


def test_truncation_that_leaves_nothing_to_learn_is_counted():
    sample = {"input_ids": list(range(3, 13)), "labels": [-100] * 8 + [11, 12]}
    fitted = apply_overlong([sample, *make_samples([4])], 6, "truncate", EOS)
    assert fitted.source.tolist() == [1]
    assert (fitted.counts.truncated, fitted.counts.unlabelled, fitted.counts.lost_tokens) == (1, 1, 10)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
    st.integers(3, 20),
    st.sampled_from(["truncate", "split", "drop"]),
)
@settings(max_examples=120)
def test_overlong_policies(sizes, capacity, policy):
    samples = make_samples(sizes)
    fitted = apply_overlong(samples, capacity, policy)
    counts, long = fitted.counts, [i for i, size in enumerate(sizes) if size > capacity]
    parts = [math.ceil(size / capacity) for size in sizes]
    expected = [  # lengths of what each sample becomes
        [size] if size <= capacity else [capacity] if policy == "truncate" else [] if policy == "drop"
        else [size // n + (k < size % n) for k in range(n)]
        for size, n in zip(sizes, parts, strict=True)
    ]  # fmt: skip
    assert [len(sample["input_ids"]) for sample in fitted.samples] == [n for some in expected for n in some]
    assert fitted.source.tolist() == [i for i, some in enumerate(expected) for _ in some]
    assert (counts.samples, counts.overlong, counts.unlabelled) == (len(sizes), len(long), 0)
    assert counts.lost_tokens == sum(sizes) - sum(n for some in expected for n in some)
    changed = {"truncate": counts.truncated, "drop": counts.dropped, "split": counts.split}
    assert changed == {name: len(long) if name == policy else 0 for name in changed}
    assert counts.pieces == (sum(len(expected[i]) for i in long) if policy == "split" else 0)
    for index, sample in enumerate(samples):
        pieces = [list(fitted.samples[i]["input_ids"]) for i in np.flatnonzero(fitted.source == index)]
        if index not in long:
            assert pieces == [sample["input_ids"]]
        elif policy == "split":
            assert [token for piece in pieces for token in piece] == sample["input_ids"]
        elif policy == "truncate":
            assert pieces == [sample["input_ids"][:capacity]]
        else:
            assert pieces == []


def test_overlong_errors():
    with pytest.raises(InputError, match="sample 1 has 9 tokens, more than the capacity 8"):
        apply_overlong(make_samples([3, 9]), 8)
    with pytest.raises(InputError, match="error, truncate, split or drop"):
        apply_overlong(make_samples([3]), 8, "cut")
    assert apply_overlong(make_samples([3, 8]), 8).source.tolist() == [0, 1]


def test_collator_packs_a_batch_and_counts():
    collator = DynamicPackCollator(capacity=16, pad_token_id=PAD, overlong="truncate")
    batch = collator(make_samples([10, 20, 6, 5]))
    assert batch["input_ids"].shape[1] <= 16
    assert (collator.counts.samples, collator.counts.truncated, collator.counts.lost_tokens) == (4, 1, 4)
    assert collator.tokens == 37
    assert collator.row_tokens == batch["input_ids"].numel()
    assert collator.padding_rate == pytest.approx(1 - 37 / collator.row_tokens)
    collator(make_samples([17]))
    assert (collator.counts.samples, collator.counts.truncated) == (5, 2)


def test_collator_orders_and_errors():
    samples = make_samples([2, 2, 2, 4, 5, 5])
    paper = DynamicPackCollator(capacity=11, pad_token_id=PAD, order="paper")(samples)
    assert [len(part["labels"]) for part in segments(paper)] == [2, 2, 2, 4, 5, 5]
    with pytest.raises(InputError, match="sample 0 has 20 tokens"):
        DynamicPackCollator(capacity=16, pad_token_id=PAD)(make_samples([20]))
    with pytest.raises(InputError, match="leaves nothing"):
        DynamicPackCollator(capacity=16, pad_token_id=PAD, overlong="drop")(make_samples([20]))
    with pytest.raises(InputError, match="pad_token_id"):
        DynamicPackCollator(capacity=16)
    for wrong, said in (({"overlong": "trunc"}, "error, truncate"), ({"order": "paber"}, "balanced or paper"), ({"capacity": "16"}, "an integer of")):
        with pytest.raises(InputError, match=said):
            DynamicPackCollator(**{"capacity": 16, "pad_token_id": PAD, **wrong})
    with pytest.raises(InputError, match="an empty batch"):
        DynamicPackCollator(capacity=16, pad_token_id=PAD)([])


def test_collator_takes_its_tokens_from_the_tokenizer():
    class Tokenizer:
        pad_token_id, eos_token_id = None, EOS

    collator = DynamicPackCollator(Tokenizer(), 8)
    assert (collator.pad_token_id, collator.eos_token_id) == (EOS, EOS)
    assert DynamicPackCollator(Tokenizer(), 8, pad_token_id=7).pad_token_id == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_with_the_collator(workers):
    samples = make_samples(np.random.default_rng(1).integers(1, 30, 40).tolist())
    loader = DataLoader(
        samples, batch_size=8, collate_fn=DynamicPackCollator(capacity=64, pad_token_id=PAD), num_workers=workers
    )
    seen = [tuple(p["input_ids"]) for batch in loader for p in segments(batch) if p["input_ids"][0] != PAD]
    assert sorted(seen) == sorted(tuple(sample["input_ids"]) for sample in samples)


def test_packed_dataset_rows_and_batches():
    samples = make_samples(np.random.default_rng(2).integers(1, 30, 50).tolist(), prompt=2)
    data = PackedDataset(samples, 64, pad_token_id=PAD)
    assert all(len(data[i]["input_ids"]) <= 64 for i in range(len(data)))
    loader = DataLoader(data, batch_size=3, shuffle=True, collate_fn=data.collate)
    seen = []
    for batch in loader:
        direct = [p for p in segments(batch) if p["input_ids"][0] != PAD]
        seen += [(tuple(p["input_ids"]), tuple(p["labels"][1:])) for p in direct]
    assert sorted(seen) == sorted((tuple(s["input_ids"]), tuple(s["labels"][1:])) for s in samples)
    with pytest.raises(IndexError):
        data[len(data)]


def test_distributed_samplers_repeat_and_drop_nothing():
    samples = make_samples(np.random.default_rng(3).integers(1, 30, 60).tolist())
    data = PackedDataset(samples, 64, pad_token_id=PAD, rows_multiple_of=4)
    shards = [list(DistributedSampler(data, num_replicas=4, rank=rank, shuffle=True)) for rank in range(4)]
    assert len({len(shard) for shard in shards}) == 1
    assert sorted([row for shard in shards for row in shard]) == list(range(len(data)))


def test_each_epoch_is_planned_anew():
    samples = make_samples(np.random.default_rng(4).integers(1, 30, 60).tolist())
    data = PackedDataset(samples, 64, pad_token_id=PAD, rows_multiple_of=2)
    first, count = data.rows.samples.copy(), len(data)
    data.set_epoch(1)
    assert len(data) == count
    assert not np.array_equal(first, data.rows.samples)
    data.set_epoch(0)
    assert np.array_equal(first, data.rows.samples)


def test_workers_that_stay_plan_each_epoch_anew():
    samples = make_samples(np.random.default_rng(4).integers(1, 30, 60).tolist())
    data = PackedDataset(samples, 64, pad_token_id=PAD)
    loader = DataLoader(data, batch_size=2, collate_fn=data.collate, num_workers=1, persistent_workers=True)
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        seen = [batch["input_ids"].tolist() for batch in loader]
        assert seen == [batch["input_ids"].tolist() for batch in DataLoader(data, batch_size=2, collate_fn=data.collate)]
        assert np.array_equal(data.rows.samples, PackedDataset(samples, 64, pad_token_id=PAD, seed=epoch).rows.samples)
    data.set_epoch(1)
    for copied in (pickle.loads(pickle.dumps(data)), copy.deepcopy(data)):
        assert np.array_equal(copied.rows.samples, data.rows.samples)


PADDED = {"input_ids": [0, 0, 0, 5, 6, 7], "attention_mask": [0, 0, 0, 1, 1, 1], "labels": [-100, -100, -100, -100, 6, 7]}
RIGHT = {"input_ids": [8, 9, 0, 0], "attention_mask": [1, 1, 0, 0], "position_ids": [0, 1, 1, 1]}


class TestMasks:
    """What a tokenizer or TRL puts beside the tokens is honoured or refused, never dropped."""

    @pytest.mark.parametrize("ways", ["collator", "rows", "epoch", "overlong"])
    def test_padding_is_cut_off(self, ways: str) -> None:
        bare = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8, 9]}]
        found, expected = (
            {
                "collator": lambda s: DynamicPackCollator(capacity=8, pad_token_id=0)(s),
                "rows": lambda s: collate_rows(s, [np.array([0, 1])], pad_token_id=0),
                "epoch": lambda s: PackedDataset(s, 8, pad_token_id=0).collate([PackedDataset(s, 8, pad_token_id=0)[0]]),
                "overlong": lambda s: DynamicPackCollator(capacity=3, pad_token_id=0, overlong="error")(s),
            }[ways](samples)
            for samples in ([PADDED, RIGHT], bare)
        )
        assert found.keys() == expected.keys()
        assert all(torch.equal(torch.as_tensor(found[key]), torch.as_tensor(expected[key])) for key in found)

    def test_masks_of_what_is_learnt(self) -> None:
        sample = {"input_ids": [1, 2, 3, 4], "completion_mask": [0, 0, 1, 1], "assistant_masks": [0, 1, 1, 0]}
        batch = collate_rows([sample], [np.array([0])], pad_token_id=0)
        assert batch["labels"].tolist() == [[-100, -100, 3, -100]]
        batch = collate_rows([{**sample, "labels": [1, 2, -100, 4]}], [np.array([0])], pad_token_id=0)
        assert batch["labels"].tolist() == [[-100, 2, -100, 4]]

    @pytest.mark.parametrize(
        ("extra", "said"),
        [
            ({"attention_mask": [1, 0, 1, 1]}, "hides tokens in its middle"),
            ({"attention_mask": [0, 0, 0, 0]}, "nothing but padding"),
            ({"attention_mask": [1, 1]}, "4 input_ids but 2 entries of attention_mask"),
            ({"position_ids": [0, 1, 0, 1]}, "packed already"),
            ({"completion_mask": [1]}, "entries of completion_mask"),
            ({"attention_mask": [1, 1, 2, 2]}, "values other than 0 and 1"),
            ({"completion_mask": [0.0, 0.5, 1.0, 1.0]}, "values other than 0 and 1"),
            ({"seq_lengths": [1, 3]}, "holds 2 samples by its seq_lengths: it is packed already"),
            ({"labels": [3, 4]}, "4 input_ids but 2 entries of labels"),
            ({"labels": [[1, 2, 3, 4]]}, "they must be flat"),
            ({"input_ids": torch.tensor([[1, 2, 3, 4]])}, "not flat"),
            ({"input_ids": [[1, 2, 3, 4]]}, "not flat"),
            ({"input_ids": None}, "no input_ids"),
        ],
    )
    def test_what_cannot_be_honoured(self, extra: dict[str, Any], said: str) -> None:
        samples = [{"input_ids": [1, 2, 3, 4], **extra}]
        for way in (
            lambda: DynamicPackCollator(capacity=8, pad_token_id=0)(samples),
            lambda: PackedDataset(samples, 8, pad_token_id=0)[0],
            lambda: collate_rows(samples, [[0]], pad_token_id=0),
            *(lambda policy=policy: apply_overlong(samples, 2, policy) for policy in ("truncate", "split", "drop")),
        ):
            with pytest.raises(InputError, match=said):
                way()

    def test_one_sequence_by_its_seq_lengths_and_no_labels_are_samples(self) -> None:
        samples = [{"input_ids": [1, 2], "seq_lengths": [2], "labels": None}, {"input_ids": [3, 4, 5]}]
        batch = DynamicPackCollator(capacity=8, pad_token_id=0)(samples)
        assert batch["cu_seq_lens_q"].tolist() in ([0, 2, 5], [0, 3, 5])
        assert sorted(batch["labels"].flatten().tolist()) == [-100, -100, 2, 4, 5]
