"""Packed, padded and one-by-one training take the same optimizer steps: against a plain loop written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.records import Message, Record
from codeact.training.data import tokenise_records
from codeact.training.sft import fine_tune, prepare_model
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.processes import launched

ROOT = Path(__file__).parents[2]
STEPS, RATE, CLIP = 3, 1e-3, 0.5
# Twelve records of very different lengths; one step sees all of them, so that their order does not matter.
POOL = [
    Record(
        f"r{n}",
        (
            Message("user", f"Write version {n}." + " Be short." * (n % 3)),
            Message("assistant", f"x_{n} = {n}\n" * (1 + n * 5 % 11)),
        ),
    )
    for n in range(12)
]
WAYS = {  # scope, records and gradient accumulation, rows per pass
    "packed": ("batch", 12, 1, 1),
    "packed, two rows per pass": ("batch", 12, 1, 2),
    "packed, all rows at once": ("batch", 12, 1, 0),
    "packed, accumulated": ("batch", 4, 3, 1),
    "packed, uneven accumulation": ("batch", 5, 3, 1),
    "padded": ("none", 12, 1, 1),
    "padded, accumulated": ("none", 4, 3, 1),
    "one by one": ("none", 1, 12, 1),
    "packed ahead": ("epoch", 12, 9, 1),
    "packed ahead, two rows per pass": ("epoch", 12, 9, 2),
}


def settings(
    folder: Path, method: str, batch_size: int, grad_accum: int, on_prompt: bool, loss: str = "token-mean"
) -> tuple[ModelConfig, TrainConfig]:
    model = ModelConfig(name=str(folder), max_length=128, template="question", device="cpu", dtype="float32")
    return model, TrainConfig(
        method=method, epochs=STEPS, batch_size=batch_size, grad_accum=grad_accum, learning_rate=RATE, warmup_steps=0, weight_decay=0.01,
        max_grad_norm=CLIP, train_on_prompt=on_prompt, loss=loss,
    )  # fmt: skip


def plain_loop(folder: Path, method: str, on_prompt: bool, objective: str = "token-mean") -> dict[str, torch.Tensor]:
    """Gradients of one sample at a time, summed: divided by the learnt tokens of the step, or the mean of the samples' means."""
    config, hyper = settings(folder, method, 1, 1, on_prompt)
    model = prepare_model(config, hyper, packed=False, seed=0)
    tokenizer = load_tokenizer(str(folder))
    samples = tokenise_records(POOL, load_template("question", tokenizer), tokenizer, 128, on_prompt).samples
    learnt = sum(int((sample["labels"] != -100).sum()) for sample in samples)
    trained = [p for p in model.parameters() if p.requires_grad]
    norms = [p for n, p in model.named_parameters() if p.requires_grad and "norm" in n]
    plain = {id(p) for p in norms}
    groups = [
        {"params": [p for p in trained if id(p) not in plain], "weight_decay": 0.01},
        {"params": norms, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    schedule = get_cosine_schedule_with_warmup(optimizer, 0, STEPS)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        for sample in samples:
            ids, labels = (torch.tensor(sample[key], dtype=torch.int64)[None] for key in ("input_ids", "labels"))
            logits = model(input_ids=ids).logits[0, :-1]
            total = torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")
            own = int((labels[0, 1:] != -100).sum())
            (total / learnt if objective == "token-mean" else total / own / len(samples)).backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        schedule.step()
    merged = model.merge_and_unload() if method == "lora" else model
    return {name: tensor.detach().clone() for name, tensor in merged.state_dict().items()}


@pytest.fixture(scope="module")
def expected(tiny_model_dir: Path) -> dict[tuple[Any, ...], dict[str, torch.Tensor]]:
    cases: list[tuple[Any, ...]] = [("full", False), ("full", True), ("lora", False)]
    cases += [("full", False, "sample-mean"), ("lora", False, "sample-mean")]
    return {case: plain_loop(tiny_model_dir, *case) for case in cases}


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name] - tensor).norm() <= 1e-5 * tensor.norm(), name


SOME = ("packed", "packed, uneven accumulation", "padded, accumulated")  # how rows are made is the same for every model and loss


@pytest.mark.parametrize(
    ("method", "on_prompt", "way"),
    [*(("full", False, way) for way in WAYS), *(("full", True, way) for way in SOME), *(("lora", False, way) for way in SOME)],
)
def test_parameters_after_three_steps(
    tiny_model_dir: Path, tmp_path: Path, expected: dict[Any, Any], way: str, method: str, on_prompt: bool
) -> None:
    scope, batch_size, grad_accum, rows_per_pass = WAYS[way]
    model, hyper = settings(tiny_model_dir, method, batch_size, grad_accum, on_prompt)
    pack = PackConfig(scope=scope, rows_per_pass=rows_per_pass)
    summary = fine_tune(POOL, tmp_path, model=model, train=hyper, pack=pack, seed=0)
    assert summary["steps"] == STEPS
    assert summary["chunked_loss"]
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    assert_same(tuned, expected[method, on_prompt])
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir).state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    assert (tuned[name] - base[name]).norm() > 1e-3 * base[name].norm()


ALL_LOGITS = ("packed, accumulated", "packed, uneven accumulation", "padded, accumulated", "packed ahead")


@pytest.mark.parametrize(
    ("method", "chunked", "way"),
    [*(("full", True, way) for way in WAYS), *(("full", False, way) for way in ALL_LOGITS), ("lora", True, "packed")],
)
def test_the_mean_over_samples(
    tiny_model_dir: Path,
    tmp_path: Path,
    expected: dict[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    method: str,
    chunked: bool,
) -> None:
    """`train.loss=sample-mean`, with the loss in chunks and of all logits at a time, against one sample at a time."""
    scope, batch_size, grad_accum, rows_per_pass = WAYS[way]
    if not chunked:
        monkeypatch.setattr("codeact.training.losses._head_is_all", lambda _: False)
    model, hyper = settings(tiny_model_dir, method, batch_size, grad_accum, False, "sample-mean")
    pack = PackConfig(scope=scope, rows_per_pass=rows_per_pass)
    summary = fine_tune(POOL, tmp_path, model=model, train=hyper, pack=pack, seed=0)
    assert (summary["steps"], summary["chunked_loss"], summary["loss"]) == (STEPS, chunked, "sample-mean")
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    assert_same(tuned, expected[method, False, "sample-mean"])
    with pytest.raises(AssertionError):  # the two means are far apart on these records
        assert_same(tuned, expected[method, False])


@pytest.mark.slow
def test_the_command_on_two_processes(tiny_model_dir: Path, tmp_path: Path) -> None:
    """`codeact train` on two processes (gloo), as torchrun starts them, against one: parameters, losses, validation losses."""
    data = tmp_path / "pool.jsonl"
    rows = [{"instruction": r.messages[0].content, "output": r.messages[1].content} for r in POOL]
    write_lines(data, rows)
    outs = {"4": tmp_path / "two", "8": tmp_path / "one"}  # records per process: 8 of 12 are learnt in one step
    for batch_size, out in outs.items():
        options = [
            "--model",
            str(tiny_model_dir),
            "-o",
            str(out),
            "--batch-size",
            batch_size,
            "--max-length",
            "128",
            "--template",
            "question",
        ]
        options += [
            "--dtype",
            "float32",
            "--epochs",
            "3",
            "--learning-rate",
            "0.001",
            "--validation",
            "0.3",
            "--set",
            "train.warmup_steps=0",
            "--set",
            "train.save_minutes=0.000001",  # the processes agree when to save
        ]
        if out.name == "one":
            alone = codeact_command("train", str(data), *options)
            assert alone.returncode == 0, alone.stderr
            continue
        both = launched(2, "-m", "codeact", "train", str(data), *options)
        told = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], told[0][1][-3000:]
    pair, whole = (
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in outs.values()
    )
    assert [row["step"] for row in pair] == [row["step"] for row in whole] == [0, 1, 1, 2, 2, 3, 3]
    for key in ("loss", "validation_loss", "tokens"):
        assert [r[key] for r in pair if key in r] == pytest.approx([r[key] for r in whole if key in r], rel=1e-5)
    first, second = (AutoModelForCausalLM.from_pretrained(out / "model").state_dict() for out in outs.values())
    assert_same(first, second)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(second[name], AutoModelForCausalLM.from_pretrained(tiny_model_dir).state_dict()[name])


SCRIPT = """
import os
import sys
from pathlib import Path
import numpy as np
sys.path[:0] = [{tests!r}, {root!r}]
import test_train_parity as parity
from codeact.training import sampler
from codeact.training.trainer import MeteredTrainer
model, hyper = parity.settings(Path({folder!r}), "full", 6, {accum!r}, False, {loss!r})
if {uneven!r}:
    sampler.deal_steps = lambda order, costs, *_: order[np.argsort(costs[order])]
counts = []
inner = MeteredTrainer.training_step


def counted(self, model, inputs, *rest):
    counts.append(len(inputs["passes"]))
    return inner(self, model, inputs, *rest)


MeteredTrainer.training_step = counted
parity.fine_tune(parity.POOL, Path({out!r}), model=model, train=hyper, pack=parity.PackConfig(scope={scope!r}), seed=0)
Path({out!r}, "passes-" + os.environ["RANK"]).write_text(str(counts))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "scope", "uneven"),
    [("token-mean", "batch", True), ("sample-mean", "batch", False), ("token-mean", "epoch", False)],
)
def test_two_processes_take_the_same_steps(
    tiny_model_dir: Path, tmp_path: Path, expected: dict[Any, Any], loss: str, scope: str, uneven: bool
) -> None:
    script = tmp_path / "script.py"
    out = tmp_path / "out"
    accum = 9 if scope == "epoch" else 1
    script.write_text(
        SCRIPT.format(
            tests=str(Path(__file__).parent), root=str(ROOT), folder=str(tiny_model_dir), out=str(out), scope=scope, loss=loss,
            accum=accum, uneven=uneven,
        )
    )  # fmt: skip
    together(script)
    tuned = AutoModelForCausalLM.from_pretrained(out / "model").state_dict()
    assert_same(tuned, expected[("full", False) if loss == "token-mean" else ("full", False, loss)])
    balance = json.loads((out / "summary.json").read_text())["balance"]
    assert len(balance["rank_costs"]) == 2
    assert balance["mean"] == pytest.approx(sum(balance["rank_costs"]) / 2 / max(balance["rank_costs"]), rel=1e-5)
    if uneven:
        # the processes had different numbers of passes in a step, else this would prove nothing about them
        first, second = (json.loads((out / f"passes-{rank}").read_text()) for rank in range(2))
        assert first != second
        assert max(first + second) > 1
        assert balance["mean"] < 0.8
    elif scope == "batch":
        assert balance["worst"] > 0.95


RESUMED = """
import os
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
import test_train_parity as parity
from codeact.training.recorder import Recorder
inner = Recorder.on_save


def ended(self, args, state, control, **kwargs):
    inner(self, args, state, control, **kwargs)
    if state.global_step == {last!r}:
        import torch
        torch.distributed.barrier()
        os._exit(7)


Recorder.on_save = ended
model, _ = parity.settings(Path({folder!r}), "full", 2, 1, False)
hyper = parity.TrainConfig(epochs=2, batch_size=2, learning_rate=1e-3, warmup_steps=0, save_steps=1)
parity.fine_tune(parity.POOL, Path({out!r}), model=model, train=hyper, pack=parity.PackConfig(scope={scope!r}), seed=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["batch", "epoch"])
def test_two_processes_go_on_in_the_middle_of_an_epoch(tiny_model_dir: Path, tmp_path: Path, scope: str) -> None:
    """Ended after a checkpoint in the second epoch, whose rows are planned and dealt anew: the same model, bit for bit."""
    outs = {"whole": [0], "ended": [5 if scope == "batch" else 3, 0]}
    for name, ends in outs.items():
        for last in ends:
            script = tmp_path / f"{name}{last}.py"
            words = {"tests": str(Path(__file__).parent), "root": str(ROOT), "folder": str(tiny_model_dir)}
            script.write_text(RESUMED.format(**words, out=str(tmp_path / name), last=last, scope=scope))
            together(script, status=7 if last else 0)
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in outs
    ]
    assert max(row["step"] for row in rows[0]) > outs["ended"][0]
    for key in ("step", "loss", "tokens", "rank_costs"):
        assert [row[key] for row in rows[1]] == [row[key] for row in rows[0]]
    whole, ended = (AutoModelForCausalLM.from_pretrained(tmp_path / name / "model").state_dict() for name in outs)
    assert all(torch.equal(ended[name], tensor) for name, tensor in whole.items())


def together(script: Path, processes: int = 2, status: int = 0) -> None:
    """Run a script as torchrun would, in forks that have the libraries loaded."""
    for one in launched(processes, str(script)):
        _, errors = one.communicate(timeout=300)
        assert one.returncode == status, errors[-3000:]
