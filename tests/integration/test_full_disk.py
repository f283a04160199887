"""A disk that takes no more, at whichever file of a training, is one line; started again, the training goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import codeact
from tests.helpers.tiny_models import byte_level, ended, save_llama

ROWS = [{"instruction": f"Write version {n}.", "output": f"x = {n}\n" * (1 + n % 7)} for n in range(16)]
SETTINGS = {
    "train.epochs": 1, "train.batch_size": 4, "train.save_steps": 2, "train.warmup_steps": 1,
    "model.template": "question", "model.max_length": 64, "model.device": "cpu", "model.dtype": "float32",
}  # fmt: skip


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for row in ROWS for text in row.values()]
    return save_llama(tmp_path_factory.mktemp("tiny"), ended(byte_level(texts, 300, ["<end>"])), seed=0, vocabulary=300, positions=128)


@pytest.mark.parametrize("share", [0.5, 1.5], ids=["weights", "optimizer"])
def test_a_training_on_a_full_disk(model: Path, tmp_path: Path, share: float) -> None:
    weights = (model / "model.safetensors").stat().st_size
    with files_of_at_most(int(share * weights)), pytest.raises(codeact.InputError) as error:
        codeact.train(ROWS, tmp_path / "tuned", model=model, settings=SETTINGS)
    assert str(error.value).startswith(f"{tmp_path / 'tuned' / 'checkpoints'} cannot be written: ")
    assert "\n" not in str(error.value)
    found = codeact.train(ROWS, tmp_path / "tuned", model=model, settings=SETTINGS)
    assert found["steps"] == 4
