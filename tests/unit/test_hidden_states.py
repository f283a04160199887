"""Strategies rds and learnable: each part against a plain restatement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.config import CurateConfig, TrainConfig
from codeact.curate.repeats import repeats
from codeact.errors import InputError
from codeact.lm.models import load_model
from codeact.lm.pooling import pooled_states
from codeact.records import Message, Record
from codeact.sample.whitening import whiten
from codeact.stages.learn import learnability, probe_settings
from codeact.stages.target import benchmark_free


def asked(instruction: str, answer: str = "pass") -> Record:
    return Record(instruction[:20], (Message("user", instruction), Message("assistant", answer)))


def test_packed_pooling_is_that_of_each_text_alone(tiny_model_dir: Path) -> None:
    import torch

    model = load_model(str(tiny_model_dir), dtype="float32", device="cpu").eval()
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, model.config.vocab_size, size).tolist() for size in (1, 7, 30, 12, 3, 25)]
    counted: list[int] = []
    found = pooled_states(model, texts, 40, lambda rows, tokens: counted.append(len(rows)))
    assert sum(counted) == len(texts)
    for vector, ids in zip(found, texts, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0].double().numpy()
        weights = np.arange(1, len(ids) + 1)
        np.testing.assert_allclose(vector, (weights[:, None] * states).sum(axis=0) / weights.sum(), atol=2e-5)
    assert pooled_states(model, [], 40).shape == (0, model.config.hidden_size)


def test_whitened_records_have_equal_spread_in_every_direction() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0, 1, 12) * 10  # what all hidden states share
    raw = (common + rng.normal(0, 1, (400, 12)) * np.geomspace(5, 0.05, 12)).astype(np.float32)
    others = (common + rng.normal(0, 1, (5, 12))).astype(np.float32)
    pool, targets = whiten(raw, others)
    assert pool.shape == (400, 12)
    np.testing.assert_allclose(np.linalg.norm(pool, axis=1), 1, atol=1e-5)
    centred = raw - raw.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    plain = centred @ directions.T / (sizes / np.sqrt(400))
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(pool @ pool.T, plain @ plain.T, atol=1e-3)  # directions may be turned, cosines not
    moved = (others - raw.mean(axis=0)) @ directions.T / (sizes / np.sqrt(400))
    np.testing.assert_allclose(targets @ pool.T, moved / np.linalg.norm(moved, axis=1, keepdims=True) @ plain.T, atol=1e-3)
    assert abs(float((pool @ pool.T).mean())) < 0.05 < float(np.corrcoef(raw).mean())


def test_few_records_have_few_dimensions_and_equal_ones_no_nan() -> None:
    rng = np.random.default_rng(2)
    pool, _ = whiten(rng.normal(0, 1, (20, 64)).astype(np.float32), rng.normal(0, 1, (1, 64)).astype(np.float32))
    assert pool.shape[1] == 5
    same, _ = whiten(np.ones((8, 4), np.float32), np.ones((1, 4), np.float32))
    assert np.isfinite(same).all()


def test_repeats_are_those_of_a_brute_force() -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[n : n + 5]) for n in range(max(1, len(words) - 4))}

    words = [f"word{n}" for n in range(40)]
    texts = [" ".join(words), " ".join(words[:-2]), " ".join(words[20:]), "Sort a list", "sort a  LIST", "sort a list now please", " ".join(words[::-1])]
    expected: dict[int, int] = {}
    for number, text in enumerate(texts):
        kept = [n for n in range(number) if n not in expected]
        best = max(kept, key=lambda n: (len(runs(text) & runs(texts[n])) / len(runs(text) | runs(texts[n])), -n), default=None)
        if best is not None and len(runs(text) & runs(texts[best])) / len(runs(text) | runs(texts[best])) >= 0.8:
            expected[number] = best
    assert repeats([asked(text) for text in texts]) == expected == {1: 0, 4: 3}
    assert repeats([asked("sort a list"), asked("add two numbers")], [asked("add two NUMBERS"), asked("x y z")]) == {1: 0}


def test_examples_that_hold_a_benchmarks_task_take_no_turn(tmp_path: Path) -> None:
    task = "Return the number of ways in which a knight can visit every square of a board of the given size exactly once."
    (tmp_path / "own.jsonl").write_text(f'{{"prompt": "{task}"}}\n', encoding="utf-8")
    curate = CurateConfig(decontaminate=(), benchmark_files=(str(tmp_path / "own.jsonl"),))
    mine, leaked = asked("Parse a date given as text."), asked(f"Please: {task} Use Python.")
    assert benchmark_free([mine, leaked], curate) == ([mine], 1)
    with pytest.raises(InputError, match=r"all 1 examples hold tasks of benchmarks \(own 1\)"):
        benchmark_free([leaked], curate)
    assert benchmark_free([leaked], CurateConfig(decontaminate=())) == ([leaked], 0)


def test_learnability_is_the_relative_fall_of_the_loss() -> None:
    found = learnability(np.array([2.0, 1.0, 0.0, np.nan]), np.array([1.0, 1.5, 1.0, 1.0]))
    assert found[:2].tolist() == [0.5, -0.5]
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(("method", "rate", "expected"), [("full", 5e-5, ("lora", 2e-4)), ("lora", 1e-3, ("lora", 1e-3)), ("qlora", 1e-4, ("qlora", 1e-4))])
def test_the_probe_is_short_and_cheap_whatever_the_training(method: Any, rate: float, expected: tuple[str, float]) -> None:
    found = probe_settings(TrainConfig(method=method, learning_rate=rate, epochs=3, validation=0.2))
    assert (found.method, found.learning_rate) == expected
    assert (found.epochs, found.validation, found.merge) == (1, 0, True)
