"""A training killed at any moment goes on from its last complete checkpoint and ends with the very same model."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.records import Message, Record
from codeact.training import trainer
from codeact.training.sft import fine_tune
from tests.helpers.processes import Started

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_resume_train as here
here.fit(Path({folder!r}), Path({out!r}), {scope!r}, {method!r}, save_minutes={save_minutes!r}, share={share!r})
"""


def fit(
    folder: Path, out: Path, scope: str = "batch", method: str = "full", rate: float = 3e-3, save_minutes: float = 30, share: float = 1.0
) -> dict[str, object]:
    """Two epochs, with dropout in the LoRA layers; a checkpoint every 4 steps or, packed ahead, once an epoch or by the clock."""
    pool = [
        Record(f"r{n}", (Message("user", f"Write version {n}."), Message("assistant", f"x = {n}\n" * (1 + n % 7))))
        for n in range(32)
    ]
    hyper = TrainConfig(
        method=method, epochs=2, batch_size=2 if scope == "batch" else 4, grad_accum=2 if scope == "batch" else 1, learning_rate=rate,
        warmup_steps=2, save_steps=4 if scope == "batch" else 0, lora_dropout=0.1, validation=0.125 if scope == "batch" else 0.0,
        save_minutes=save_minutes, token_share=share,
    )  # fmt: skip
    model = ModelConfig(name=str(folder), max_length=64, template="question", device="cpu", dtype="float32")
    return fine_tune(pool, out, model=model, train=hyper, pack=PackConfig(scope=scope), seed=0)


def rows_of(out: Path, key: str = "loss") -> dict[int, dict[str, float]]:
    """The lines of metrics.jsonl that hold `key`, by step; no step twice."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {row["step"]: row for row in rows if key in row}
    assert len(found) == sum(key in row for row in rows)
    return found


def steps_of(out: Path) -> list[int]:
    return list(rows_of(out))


def killed(folder: Path, out: Path, scope: str, method: str, step: int, save_minutes: float = 30, share: float = 1.0) -> list[int]:
    """Start a training in a process of its own, kill it once `step` is logged, and return the steps it had logged."""
    script = out.with_suffix(".py")
    script.write_text(
        SCRIPT.format(
            tests=str(Path(__file__).parent),
            folder=str(folder),
            out=str(out),
            scope=scope,
            method=method,
            save_minutes=save_minutes,
            share=share,
        )
    )
    process = Started(str(script))
    metrics = out / "metrics.jsonl"
    try:
        while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < step):
            time.sleep(0.001)
    finally:
        process.kill()
    assert process.wait() == -9, "the training ended before it could be killed"
    return steps_of(out)


def same(first: Path, second: Path) -> bool:
    left, right = (AutoModelForCausalLM.from_pretrained(path / "model").state_dict() for path in (first, second))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.slow
@pytest.mark.parametrize(("scope", "method", "share"), [("batch", "lora", 1.0), ("epoch", "full", 1.0), ("batch", "full", 0.6)])
def test_a_killed_training_ends_as_one_that_was_not(
    tiny_model_dir: Path, tmp_path: Path, scope: str, method: str, share: float
) -> None:
    whole = fit(tiny_model_dir, tmp_path / "whole", scope, method, share=share)
    out, other = tmp_path / "killed", tmp_path / "other"
    logged = killed(tiny_model_dir, out, scope, method, step=int(str(whole["steps"])) // 2 + 2, share=share)
    assert logged == list(range(1, len(logged) + 1))
    checkpoint = max(
        (out / "checkpoints").glob("checkpoint-*/complete.json"), key=lambda path: path.stat().st_mtime
    ).parent
    reached = int(checkpoint.name.rpartition("-")[2])
    assert 0 < reached <= len(logged)
    # what a kill leaves in the middle of the next checkpoint: a folder without its marker
    cut = checkpoint.with_name(f"checkpoint-{reached + 4}")
    shutil.copytree(checkpoint, cut, dirs_exist_ok=True)
    (cut / "complete.json").unlink()
    (cut / "optimizer.pt").write_bytes(b"half")
    shutil.copytree(out, other)
    before = rows_of(out)

    resumed = fit(tiny_model_dir, out, scope, method, share=share)
    assert same(tmp_path / "whole", out)
    assert steps_of(out) == list(range(1, int(str(whole["steps"])) + 1))
    after = rows_of(out)
    assert rows_of(out, "validation_loss") == rows_of(tmp_path / "whole", "validation_loss")
    assert all(after[n] == before[n] for n in range(1, reached + 1))  # kept, not trained again
    for key in ("steps", "tokens", "padding_rate", "first_loss", "final_loss"):
        assert resumed[key] == whole[key]
    assert not (out / "checkpoints").exists()

    if scope == "epoch":  # once is enough: a checkpoint of other settings is not gone on from
        fit(tiny_model_dir, other, scope, method, rate=1e-3)
        rates = [json.loads(line)["learning_rate"] for line in (other / "metrics.jsonl").read_text().splitlines()]
        assert len(rates) == whole["steps"]
        assert max(rates) == pytest.approx(1e-3)


@pytest.mark.slow
def test_a_long_epoch_is_saved_by_the_clock(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(tiny_model_dir, tmp_path / "whole", "epoch")
    saved: list[int] = []
    kept = trainer.Recorder.on_save
    monkeypatch.setattr(
        trainer.Recorder,
        "on_save",
        lambda r, a, state, c, **k: saved.append(state.global_step) or kept(r, a, state, c, **k),
    )
    fit(tiny_model_dir, tmp_path / "often", "epoch", save_minutes=1e-6)
    assert saved == list(range(1, int(str(whole["steps"]))))  # each once, at the end of an epoch too
    assert same(tmp_path / "whole", tmp_path / "often")
    first_epoch = int(str(whole["steps"])) // 2
    out = tmp_path / "killed"
    logged = killed(tiny_model_dir, out, "epoch", "full", step=first_epoch - 1, save_minutes=1e-6)
    checkpoint = max(int(p.parent.name.rpartition("-")[2]) for p in out.glob("checkpoints/checkpoint-*/complete.json"))
    assert 0 < checkpoint <= len(logged)
    before = rows_of(out)
    fit(tiny_model_dir, out, "epoch")  # how often it is saved is no other training
    assert same(tmp_path / "whole", out)
    assert all(rows_of(out)[n] == before[n] for n in range(1, checkpoint + 1))
