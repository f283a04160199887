"""`codeact train` with `train.shard` on processes that share out the weights (FSDP 2 over gloo): the parameters of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.lines import write_lines
from tests.helpers.processes import launched
from tests.parity.test_train_parity import POOL, assert_same, plain_loop

pytestmark = pytest.mark.slow
ENDED = """
import os, runpy, sys
from codeact.training.recorder import Recorder
inner = Recorder.on_save


def ended(self, args, state, control, **kwargs):
    inner(self, args, state, control, **kwargs)
    if state.global_step == 2:
        import torch
        torch.distributed.barrier()
        os._exit(7)


Recorder.on_save = ended
sys.argv = ["codeact", *sys.argv[1:]]
runpy.run_module("codeact", run_name="__main__", alter_sys=True)
"""


def command(processes: int, *words: str, ended: bool = False) -> None:
    """`codeact` as torchrun starts it; with `ended`, all end after the checkpoint of step 2."""
    given = ("-c", ENDED, *words) if ended else ("-m", "codeact", *words)
    for one in launched(processes, *given):
        _, errors = one.communicate(timeout=240)
        assert one.returncode == (7 if ended else 0), errors[-3000:]


def words(folder: Path, model: Path, out: Path, batch_size: int, *more: str) -> list[str]:
    data = folder / "pool.jsonl"
    rows = [{"instruction": r.messages[0].content, "output": r.messages[1].content} for r in POOL]
    write_lines(data, rows)
    made = ["train", str(data), "--model", str(model), "-o", str(out), "--template", "question", "--dtype", "float32"]
    made += ["--max-length", "128", "--batch-size", str(batch_size), "--epochs", "3", "--learning-rate", "0.001"]
    keys = ["shard=true", "warmup_steps=0", "weight_decay=0.01", "max_grad_norm=0.5", *more]
    return [*made, *(word for key in keys for word in ("--set", f"train.{key}"))]


def tuned(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found
    assert_same(found, {name: expected[name] for name in found})


@pytest.fixture(scope="module")
def expected(tiny_model_dir: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {method: plain_loop(tiny_model_dir, method, False) for method in ("full", "lora")}


@pytest.mark.parametrize(("processes", "method", "accum"), [(2, "full", 1), (2, "full", 3), (4, "full", 1), (2, "lora", 1)])
def test_the_parameters_of_one_process(
    tiny_model_dir: Path, tmp_path: Path, expected: dict[str, Any], processes: int, method: str, accum: int
) -> None:
    """Packed, the loss in chunks, a row a pass: the processes have different numbers of passes."""
    out = tmp_path / "out"
    size = len(POOL) // processes // accum
    command(processes, *words(tmp_path, tiny_model_dir, out, size, f"method={method}", f"grad_accum={accum}"))
    same(tuned(out), expected[method])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["chunked_loss"]
    assert summary["steps"] == 3
    assert len(summary["balance"]["rank_costs"]) == processes


def test_another_number_of_processes_goes_on(tiny_model_dir: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    out = tmp_path / "out"
    command(2, *words(tmp_path, tiny_model_dir, out, 6, "save_steps=1"), ended=True)
    (made,) = (out / "checkpoints").glob("checkpoint-*")
    parts = sorted(file.name for file in made.glob("*/*.distcp"))
    assert len(parts) == 4  # of model and optimizer, each process its own
    command(4, *words(tmp_path, tiny_model_dir, out, 3, "save_steps=1"))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [len(row["rank_costs"]) for row in rows] == [2, 2, 4]
    same(tuned(out), expected["full"])
