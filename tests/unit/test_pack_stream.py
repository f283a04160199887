"""Streaming packing: every sample once, rows that fit, fuller with a wider window, and the same rows after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.errors import InputError
from codeact.packing import PackedStream, padding_rate, plan_epoch


def stream(lengths: list[int], capacity: int, **options: Any) -> PackedStream:
    return PackedStream(list(enumerate(lengths)), capacity, length=lambda sample: sample[1], **options)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 50), max_size=120), st.integers(50, 90), st.integers(1, 40), st.integers(0, 3))
def test_every_sample_is_in_exactly_one_row_that_fits(
    lengths: list[int], capacity: int, window: int, seed: int
) -> None:
    rows = list(stream(lengths, capacity, window=window, seed=seed))
    assert sorted(n for row in rows for n, _ in row) == list(range(len(lengths)))
    assert all(0 < sum(size for _, size in row) <= capacity for row in rows)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=120), st.integers(1, 40), st.data())
def test_a_stopped_stream_goes_on_with_the_same_rows(lengths: list[int], window: int, data: st.DataObject) -> None:
    whole = list(stream(lengths, 60, window=window, seed=1))
    stop = data.draw(st.integers(0, len(whole)))
    first = stream(lengths, 60, window=window, seed=1)
    rows = iter(first)
    begun = [next(rows) for _ in range(stop)]
    saved = json.loads(json.dumps(first.state()))  # through a file
    assert begun + list(stream(lengths, 60, window=window, seed=1, state=saved)) == whole


def test_never_holds_more_than_the_window() -> None:
    held = most = 0

    def source() -> Iterator[int]:
        nonlocal held, most
        for size in np.random.default_rng(0).integers(1, 400, 5000).tolist():
            held += 1
            most = max(most, held)
            yield size

    for row in PackedStream(source(), 1024, window=256, length=int):
        held -= len(row)
    assert most <= 256
    assert held == 0


def test_a_wide_window_packs_as_well_as_the_whole_epoch() -> None:
    lengths = np.minimum(np.random.default_rng(0).lognormal(5.3, 0.8, 8_000).astype(int) + 1, 2048).tolist()
    rates = {}
    for window in (16, 256, 4096):
        rows = [np.array([n for n, _ in row]) for row in stream(lengths, 2048, window=window)]
        rates[window] = padding_rate(rows, lengths, 2048)
    epoch = padding_rate(plan_epoch(lengths, 2048), lengths, 2048)
    assert rates[16] > rates[256] > rates[4096]
    assert rates[4096] < epoch + 0.005


def test_no_sample_waits_for_ever() -> None:
    # one sample of 60 never fits well beside samples of 50 in rows of 100
    lengths = [60] + [50] * 4000
    rows = list(stream(lengths, 100, window=32))
    where = next(i for i, row in enumerate(rows) if (0, 60) in row)
    assert where < 200


def test_bad_input() -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        stream([1], 0)
    with pytest.raises(InputError, match="sample 1 of the stream has 70 tokens"):
        list(stream([5, 70], 60))
    with pytest.raises(InputError, match="end before the 9 that were read"):
        list(stream([5], 60, state={"read": 9, "round": 1, "held": {}, "rows": []}))


def test_a_state_of_another_stream_is_refused() -> None:
    lengths = np.random.default_rng(0).integers(2, 14, 40).tolist()
    first = stream(lengths, 32, window=30)
    next(iter(first))
    state = json.loads(json.dumps(first.state()))
    for other, said in (({"capacity": 16}, "capacity 32, and this one's is 16"), ({"window": 8}, "window 30"), ({"seed": 5}, "seed 0")):
        with pytest.raises(InputError, match=said):
            stream(lengths, **{"capacity": 32, "window": 30, **other}, state=state)
    for wrong, said in (
        ({}, "lacks read, round, held, rows"),
        ({**state, "rows": [[0], [0]]}, "holds a sample twice"),
        ({**state, "held": {"99": 0}}, "not read"),
    ):
        with pytest.raises(InputError, match=said):
            stream(lengths, 32, window=30, state=wrong)
    with pytest.raises(InputError, match="not of the lengths that the state was made with"):
        list(stream(lengths[::-1], 32, window=30, state=state))


def test_a_state_of_an_earlier_release_is_taken_where_its_rows_fit() -> None:
    lengths = np.random.default_rng(0).integers(2, 14, 40).tolist()
    first = stream(lengths, 32, window=30)
    rows = iter(first)
    next(rows)
    old = {key: value for key, value in first.state().items() if key in ("read", "round", "held", "rows")}
    again = stream(lengths, 32, window=30, state=old)
    assert list(again) == list(rows)
    with pytest.raises(InputError, match="not of the lengths"):
        list(stream(lengths, 16, window=30, state=old))


def test_one_iteration_at_a_time() -> None:
    rows = stream([5, 9, 20, 31, 44, 12] * 10, 60, window=16)
    first = iter(rows)
    next(first)
    assert next(iter(rows))
    with pytest.raises(InputError, match="another iteration"):
        next(first)


def test_a_second_iteration_is_the_next_epoch() -> None:
    rows = stream([5, 9, 20, 31, 44, 12] * 10, 60, window=16)
    first, second = list(rows), list(rows)
    assert first != second
    assert sorted(n for row in first for n, _ in row) == sorted(n for row in second for n, _ in row) == list(range(60))
    assert list(stream([], 60)) == []
    once = PackedStream(iter([5, 9]), 60, length=int)
    assert [sorted(row) for row in once] == [[5, 9]]
    with pytest.raises(InputError, match=r"gave nothing in the second epoch.*not a generator"):
        list(once)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=120), st.integers(1, 40), st.data())
def test_rows_that_a_loader_fetched_ahead_come_again(lengths: list[int], window: int, data: st.DataObject) -> None:
    whole = list(stream(lengths, 60, window=window, seed=1))
    given_out = data.draw(st.integers(0, len(whole)))
    ahead = data.draw(st.integers(0, given_out))
    first = stream(lengths, 60, window=window, seed=1)
    rows = iter(first)
    begun = [next(rows) for _ in range(given_out)]
    saved = first.state(unused=ahead)
    kept = json.dumps(saved)
    assert begun[: given_out - ahead] + list(stream(lengths, 60, window=window, seed=1, state=saved)) == whole
    assert json.dumps(saved) == kept
    with pytest.raises(InputError, match="unused is"):
        first.state(unused=given_out + 1)


def test_a_trainer_that_goes_on_from_a_checkpoint_ends_where_one_without_a_stop_does(tmp_path: Path) -> None:
    import torch
    from torch.utils.data import IterableDataset
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from codeact.lm.attention import register
    from codeact.packing import collate_rows

    rng = np.random.default_rng(0)
    samples = [{"input_ids": (ids := rng.integers(1, 90, size)), "labels": ids} for size in rng.integers(3, 40, 80)]

    class Packed(IterableDataset[Any]):
        def __init__(self, state: Any = None) -> None:
            self.rows, self.given = PackedStream(samples, 64, window=16, seed=3, state=state), 0

        def __iter__(self) -> Iterator[Any]:
            for row in self.rows:
                self.given += 1
                yield row

    class SaveStream(TrainerCallback):
        def __init__(self, data: Packed, done: int) -> None:
            self.data, self.done = data, done

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ahead = self.data.given - 2 * (state.global_step - self.done)  # two rows a step
            path = Path(args.output_dir, f"checkpoint-{state.global_step}", "stream.json")
            path.write_text(json.dumps(self.data.rows.state(unused=ahead)))

    def collate(rows: list[Any]) -> dict[str, Any]:
        flat = [sample for row in rows for sample in row]
        ends = np.cumsum([0, *map(len, rows)])
        return collate_rows(flat, [np.arange(a, b) for a, b in pairwise(ends.tolist())], pad_token_id=0)

    def train(folder: Path, checkpoint: Path | None = None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        shape = LlamaConfig(vocab_size=100, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)
        model = LlamaForCausalLM._from_config(shape, attn_implementation=register())
        data = Packed(json.loads((checkpoint / "stream.json").read_text()) if checkpoint else None)
        arguments = TrainingArguments(
            str(folder), max_steps=9, per_device_train_batch_size=2, learning_rate=0.01, save_steps=4, save_strategy="steps", report_to=[],
            use_cpu=True, disable_tqdm=True, logging_strategy="no", ignore_data_skip=True, remove_unused_columns=False, seed=0,
            accelerator_config={"dispatch_batches": False},
        )  # fmt: skip
        done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collate, callbacks=[SaveStream(data, done)])
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = train(tmp_path / "whole")
    again = train(tmp_path / "again", tmp_path / "whole" / "checkpoint-4")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
