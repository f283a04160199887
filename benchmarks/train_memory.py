"""What a training step holds in memory, part by part: full fine-tuning, or LoRA, of one packed row after another.

    OMP_NUM_THREADS=1 python -m benchmarks.train_memory
    python -m benchmarks.train_memory --config benchmarks/configs/deepseek-coder-1.3b.json --max-length 2048 --gradient-checkpointing

Each --dtype runs in a process of its own, on rows of --max-length random tokens in samples of --sample-tokens, half of them
learnt, through the functions that `codeact train` calls. Counted to the byte: weights, gradients, the optimizer's moments,
and what the forward pass keeps for the backward pass, by shape. Measured: the resident set after each phase, and its peak in it (on
CUDA what PyTorch allocated). `held_elsewhere` is what no counted part explains: the libraries' heap. `trainer` is the peak
of `training.trainer.fit` over the same rows: what `codeact train` reports.

Time, in processor seconds of the second step (on CPUs): of each phase, and `share_of_limit`: three forward passes' FLOPs (one forward,
two backward) by the best matrix product of that type measured before and after.

Result: benchmarks/results/train_memory.json.xz
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files

RESULTS = Path(__file__).parent / "results"
SHOWN_SHAPES = 4


def resident(device: Any) -> int:
    """Bytes in use now: allocated on the CUDA device, or the resident set of this process (Linux)."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.memory_allocated(device))
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@contextmanager
def kept_for_backward(model: Any) -> Iterator[Counter[str]]:
    """Bytes that a forward pass keeps, by dtype and shape; storages that several tensors share count once, parameters never."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: set[int] = set()
    kept: Counter[str] = Counter()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own | seen:
            seen.add(storage.data_ptr())
            kept[f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def rows_of(options: argparse.Namespace, vocabulary: int) -> list[dict[str, Any]]:
    """Samples that fill --steps rows exactly; the first half of each is not learnt."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(options.steps * (options.max_length // options.sample_tokens)):
        ids = rng.integers(1, vocabulary, options.sample_tokens).astype(np.int32)
        labels = ids.copy()
        labels[: options.sample_tokens // 2] = -100
        samples.append({"input_ids": ids, "labels": labels})
    return samples


def build(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The model as `codeact train` prepares it, with its device and dtype."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from codeact.config import ModelConfig, TrainConfig
    from codeact.lm.attention import register
    from codeact.lm.devices import choose_device, choose_dtype
    from codeact.training.sft import adapt_model, prepare_model

    hyper = TrainConfig(method=options.method, gradient_checkpointing=options.gradient_checkpointing)
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    if not options.config:
        named = ModelConfig(name=options.model, max_length=options.max_length, device=options.device, dtype=options.dtype)
        return prepare_model(named, hyper, packed=True, seed=0), device, dtype
    shape = AutoConfig.for_model(**json.loads(options.config.read_text(encoding="utf-8")))
    weights = torch.float32 if options.method == "full" else dtype
    with device:
        model = AutoModelForCausalLM.from_config(shape, dtype=weights, attn_implementation=register())
    model.config.use_cache = False
    return adapt_model(model, hyper, 0), device, dtype


def account(options: argparse.Namespace) -> dict[str, Any]:
    """Two optimizer steps by hand, phase by phase."""
    import torch
    import transformers.models.llama  # noqa: F401 - the libraries' part before the model
    from transformers import Trainer  # noqa: F401

    from codeact.lm.devices import choose_device
    from codeact.packing.collate import DynamicPackCollator
    from codeact.training.losses import use_chunked_loss
    from codeact.training.metrics import peak_memory_bytes, reset_peak_memory

    before = resident(choose_device(options.device))
    model, device, dtype = build(options)
    use_chunked_loss(model)
    model.train()
    begun = time.process_time()
    trained = [p for p in model.parameters() if p.requires_grad]
    samples = rows_of(options, model.config.get_text_config().vocab_size)
    each = options.max_length // options.sample_tokens
    collate = DynamicPackCollator(capacity=options.max_length, pad_token_id=0)
    phases: list[dict[str, Any]] = []

    def phase(name: str) -> None:
        now = time.process_time()
        told = {"phase": name, "resident": resident(device), "peak": peak_memory_bytes(device), "cpu_seconds": round(now - clock[-1], 4)}
        phases.append(told)
        reset_peak_memory(device)
        clock.append(time.process_time())

    clock = [time.process_time()]

    gc.collect()
    phase("model loaded")
    optimizer = torch.optim.AdamW(trained, fused=True)
    for step in range(2):
        batch = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in collate(samples[step * each :][:each]).items()}
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32), kept_for_backward(model) as kept:
            loss = model(**batch).loss
        phase(f"step {step + 1}: forward")
        loss.backward()
        phase(f"step {step + 1}: backward")
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        gradients = sum(p.grad.nbytes for p in trained if p.grad is not None)
        phase(f"step {step + 1}: optimizer")
        optimizer.zero_grad()
        del loss, batch
        phase(f"step {step + 1}: gradients freed")
    cpu = round(time.process_time() - begun, 1)
    limit: dict[str, Any] = {}
    if device.type == "cpu":
        from benchmarks.ifd_speed import peak_by_processor  # after the memory is told
        from codeact.score.cost import forward_flops, model_cost

        peak = peak_by_processor(dtype, 3.0)
        learnt = each * (options.sample_tokens - options.sample_tokens // 2)
        flops = 3 * forward_flops(model_cost(model.config), [options.sample_tokens] * each, learnt)
        seconds = sum(p["cpu_seconds"] for p in phases if p["phase"].startswith("step 2"))
        limit = {"flops_of_a_step": flops, "peak_flops_per_processor_second": round(peak), "seconds_of_a_step": round(seconds, 4),
                 "share_of_limit": round(flops / seconds / peak, 3)}  # fmt: skip
    weights = sum({p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}.values())
    moments = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor))
    parts = {
        "interpreter and libraries": before, "weights": weights, "moments": moments, "gradients": gradients,
        "kept for the backward pass": sum(kept.values()),
    }  # fmt: skip
    return {
        "dtype": str(dtype).removeprefix("torch."), "parts": parts,
        "phases": [p for p in phases if not p["phase"].startswith("step 1")], "peak": max(p["peak"] for p in phases[1:]), "cpu_seconds": cpu, **limit,
        "held_elsewhere": phases[-1]["resident"] - before - weights - moments, "kept_by_shape": dict(kept.most_common(SHOWN_SHAPES)),
    }  # fmt: skip


def trainer_peak(options: argparse.Namespace) -> int:
    """The peak that `codeact train` would report for these rows."""
    from codeact.config import PackConfig, TrainConfig
    from codeact.packing.collate import DynamicPackCollator
    from codeact.training.losses import use_chunked_loss
    from codeact.training.metrics import summarise
    from codeact.training.trainer import Feed, fit

    model, device, dtype = build(options)
    use_chunked_loss(model)
    samples = rows_of(options, model.config.get_text_config().vocab_size)
    hyper = TrainConfig(method=options.method, epochs=1, gradient_checkpointing=options.gradient_checkpointing)
    collate = DynamicPackCollator(capacity=options.max_length, pad_token_id=0)
    with tempfile.TemporaryDirectory() as folder:
        rows = fit(
            model, Feed(samples, collate, options.max_length // options.sample_tokens, PackConfig().rows_per_pass), Path(folder),
            train=hyper, seed=0, dtype=dtype, device=device,
        ).rows  # fmt: skip
    return int(summarise(rows)["peak_memory_bytes"])


def measured(options: argparse.Namespace, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """`account` and `trainer_peak` of each dtype, each in a process of its own."""
    found = []
    for dtype, returned in ((d, r) for d in options.dtypes for r in ((False, True) if options.returned else (False,))):
        parts = []
        for what in ("account", "trainer"):
            command = [sys.executable, "-m", "benchmarks.train_memory", *arguments, "--dtype", dtype, "--only", what]
            environment = {**os.environ, **({"MALLOC_MMAP_THRESHOLD_": "1048576"} if returned else {})}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            parts.append(json.loads(done.stdout.splitlines()[-1]))
        found.append({**parts[0], "returned_at_once": returned, "trainer": parts[1]})
    return found


def show(found: Sequence[dict[str, Any]]) -> str:
    lines = []
    for one in found:
        told = ", freed memory returned at once" if one["returned_at_once"] else ""
        lines.append(f"{one['dtype']}{told}: peak {one['peak'] / 1e9:.2f} GB by hand, {one['trainer'] / 1e9:.2f} GB in the Trainer")
        lines += [f"  {name:<28}{size / 1e9:8.2f} GB" for name, size in one["parts"].items()]
        lines += [f"  {p['phase']:<28}{p['resident'] / 1e9:8.2f} GB, at most {p['peak'] / 1e9:.2f}; {p['cpu_seconds']} s" for p in one["phases"]]
        if "share_of_limit" in one:
            lines.append(f"  {one['share_of_limit']:.2f} of the limit of a step, three forward passes by the best matrix product")
        lines += [f"    {name:<36}{size / 1e6:8.0f} MB" for name, size in one["kept_by_shape"].items()]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--config", type=Path, help="random weights of this configuration instead")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--sample-tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2, help="rows")
    parser.add_argument("--method", choices=("full", "lora"), default="full")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--returned", action="store_true", help="also with MALLOC_MMAP_THRESHOLD_=1048576: what is freed leaves the heap at once"
    )
    parser.add_argument("--dtype", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("account", "trainer"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULTS / "train_memory.json.xz")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    if options.only:
        print(json.dumps(account(options) if options.only == "account" else trainer_peak(options)))
        return
    document = machine.provenance()
    found = measured(options, sys.argv[1:])
    left_out = ("dtype", "only", "output", "device")
    settings = {k: v.name if isinstance(v, Path) else v for k, v in vars(options).items() if k not in left_out}
    document["machine"]["threads"] = os.environ.get("OMP_NUM_THREADS")
    result_files.write(options.output, {**document, "settings": settings, "results": found})
    print(show(found))


if __name__ == "__main__":
    main()
