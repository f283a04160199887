"""What `benchmarks.gpu` measures itself: attention kernels on packed rows, and scoring against one text at a time.

Imports torch at the top; weights are random, of the shape that a configuration in configs/ names, so no hub is asked.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.ifd_speed import measure_peak
from codeact.lm import attention, kernels
from codeact.lm.hardware import CARDS
from codeact.lm.streams import Span, Stream, check_model, choose_batch_tokens, stream_losses
from codeact.packing.plan import plan_epoch
from codeact.score.cost import forward_flops, model_cost

CONFIGS = Path(__file__).parent / "configs"
LENGTHS = CONFIGS / "evol_instruct_lengths.json"


def read_config(name: str) -> dict[str, Any]:
    """A configuration of configs/, or `tiny`: a shape that a CPU runs at once."""
    if name == "tiny":
        return {
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 4096, "tie_word_embeddings": False,
        }  # fmt: skip
    return dict(json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8")))


def read_lengths(records: int) -> list[tuple[int, int]]:
    """[prompt, all] tokens of so many records of Evol-Instruct, evenly spaced."""
    known = json.loads(LENGTHS.read_text(encoding="utf-8"))
    step = max(1.0, len(known) / records)
    return [(known[int(n * step)][0], known[int(n * step)][1]) for n in range(min(records, len(known)))]


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], Any], device: torch.device, repeats: int) -> list[float]:
    """Seconds of each call after two that warm up (compile, allocate)."""
    found = []
    for number in range(repeats + 2):
        settle(device)
        begun = time.perf_counter()
        work()
        settle(device)
        if number >= 2:
            found.append(time.perf_counter() - begun)
    return found


def measure_attention(config: str, device: torch.device, dtype: torch.dtype, tokens: int, repeats: int) -> dict[str, Any]:
    """One packed row through every kernel that this device has, forward and backward, beside a dense mask.

    Returns:
        `pairs` of a token and one that it sees; for each kernel milliseconds (median, least, most), TFLOP/s over the pairs that
        count, most memory beside the inputs, and the largest difference from float32 attention sample by sample.
    """
    shape = read_config(config)
    heads, groups = shape["num_attention_heads"], shape["num_key_value_heads"]
    size = shape["hidden_size"] // heads
    row = _a_row(tokens)
    bounds = torch.tensor(np.concatenate([[0], np.cumsum(row)]), dtype=torch.int32, device=device)
    total, pairs = int(sum(row)), sum(n * (n + 1) / 2 for n in row)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, some, total, size, device=device, dtype=dtype, requires_grad=True) for some in (heads, groups, groups))
    weight = torch.randn(1, total, heads, size, device=device, dtype=dtype)
    plain = [part.detach() for part in (q, k, v)]
    exact = _packed("segments", *(part.float() for part in plain), bounds, max(row))
    flops = 4.0 * heads * size * pairs
    found: dict[str, Any] = {}
    for name in _kernels_here(device, dtype):

        def forward(*parts: torch.Tensor, kernel: str = name) -> torch.Tensor:
            return _dense(*parts, row) if kernel == "dense mask" else _packed(kernel, *parts, bounds, max(row))

        def both(run: Callable[..., torch.Tensor] = forward) -> None:
            (run(q, k, v) * weight).sum().backward()
            q.grad = k.grad = v.grad = None

        def ahead(run: Callable[..., torch.Tensor] = forward) -> torch.Tensor:
            return run(*plain)

        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            held = torch.cuda.memory_allocated(device)
        learns = name != "flex" or device.type == "cuda"  # on a CPU it has no backward pass
        times = {"forward": seconds_of(ahead, device, repeats), "forward_backward": seconds_of(both if learns else ahead, device, repeats)}
        apart = float((ahead().float() - exact).abs().max())
        found[name] = {
            **{f"{key}_ms": [round(1e3 * f(some), 4) for f in (statistics.median, min, max)] for key, some in times.items()},
            "backward": learns,
            "forward_tflops": round(flops / statistics.median(times["forward"]) / 1e12, 3),
        # five products in the backward pass where the forward pass has two
            "forward_backward_tflops": round(3.5 * flops / statistics.median(times["forward_backward"]) / 1e12, 3),
            "extra_memory_bytes": torch.cuda.max_memory_allocated(device) - held if device.type == "cuda" else None,
            "largest_difference": apart,
        }
    return {"config": config, "tokens": total, "segments": len(row), "pairs": pairs, "kernels": found}


def _a_row(tokens: int) -> list[int]:
    """Lengths of the samples of one packed row of Evol-Instruct."""
    lengths = [size for _, size in read_lengths(10_000) if size <= tokens]
    rows = plan_epoch(lengths, tokens)
    row = max(rows, key=lambda some: sum(lengths[i] for i in some))
    return [lengths[i] for i in row]


def _kernels_here(device: torch.device, dtype: torch.dtype) -> list[str]:
    named = ["segments", "flex", "dense mask"]
    if device.type == "cuda" and dtype != torch.float32:
        named = [*(["varlen"] if kernels.varlen_function() else []), *(["flash"] if kernels.flash_function() else []), *named]
    return named


def _packed(kernel: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bounds: torch.Tensor, longest: int) -> torch.Tensor:
    """The product's attention with its choice of kernel made for it: [1, T, heads, size]."""
    from torch.nn.attention.flex_attention import flex_attention

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(kernels, "kernel_for", return_value=kernel))
        if q.device.type != "cuda":  # compiling for a dry run would take longer than the run
            patches.enter_context(mock.patch.object(kernels, "flex_function", return_value=flex_attention))
        return attention.attend(torch.nn.Module(), q, k, v, None, is_causal=True, cu_seq_lens_q=bounds, max_length_q=longest)[0]


def _dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, row: Sequence[int]) -> torch.Tensor:
    """Attention over the whole row under a mask [T, T]."""
    sample = torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)).to(q.device)
    mask = (sample[:, None] == sample[None]).tril()
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])
    return out.transpose(1, 2)


def random_model(config: str, device: torch.device, dtype: torch.dtype, implementation: str) -> Any:
    """A causal LM of this shape with random weights, made on the device."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = AutoConfig.for_model(**read_config(config))
    with device:
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype, attn_implementation=implementation)
    model.config.use_cache = False
    return model.eval()


def measure_scoring(config: str, device: torch.device, dtype: torch.dtype, records: int, alone: int) -> dict[str, Any]:
    """Both passes of IFD: packed as the product scores, against one text at a time with logits at every position.

    They take turns. `alone` records are also scored one by one; rates are per model token, so the sides need not score
    equally many.

    Returns:
        tokens per second of both, their ratio by turn, the share of the measured matrix-multiply peak (model FLOPs: 2 a weight and
        token, causal attention), the peak of the maker's data sheet where it is known, memory, and how far the losses are apart.
    """
    model = random_model(config, device, dtype, attention.register())
    plain = random_model(config, device, dtype, "sdpa")
    plain.load_state_dict(model.state_dict())
    check_model(model)
    vocabulary = model.config.get_text_config().vocab_size
    rng = np.random.default_rng(0)
    streams = []
    for prompt, size in read_lengths(records):
        prompt = max(1, min(prompt, size - 2))
        ids = rng.integers(1, vocabulary, size).tolist()
        streams += [Stream(ids, (Span(0, prompt, size),)), Stream(ids[prompt:], (Span(0, 1, size - prompt),))]
    few = streams[:: max(1, len(streams) // (2 * alone))]
    budget = choose_batch_tokens(model)
    stream_losses(model, streams[:8], budget)
    _one_by_one(plain, few[:4])
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    rates: dict[str, list[float]] = {"packed": [], "alone": []}
    memory: dict[str, int] = {}
    peaks = [measure_peak(device, dtype, 0.5)]
    losses: dict[str, Any] = {}
    for turn in range(3):
        for side in ("packed", "alone") if turn % 2 else ("alone", "packed"):
            some = streams if side == "packed" else few
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            settle(device)
            begun = time.perf_counter()
            losses[side] = stream_losses(model, some, budget) if side == "packed" else _one_by_one(plain, some)
            settle(device)
            rates[side].append(sum(len(one.ids) - 1 for one in some) / (time.perf_counter() - begun))
            if device.type == "cuda":
                memory[side] = torch.cuda.max_memory_allocated(device)
        peaks.append(measure_peak(device, dtype, 0.5))
    apart = [abs(float(losses["packed"][i * max(1, len(streams) // (2 * alone))].mean()) - one) for i, one in enumerate(losses["alone"])]
    lengths = [len(one.ids) - 1 for one in streams]
    scored = sum(span.end - span.start for one in streams for span in one.spans)
    each = forward_flops(model_cost(model.config), lengths, scored) / sum(lengths)
    sheet = _data_sheet(device)
    return {
        "config": config, "records": records, "tokens": sum(lengths), "batch_tokens": budget, "flops_per_token": each,
        "packed_tokens_per_second": rates["packed"], "alone_tokens_per_second": rates["alone"],
        "ratios": [a / b for a, b in zip(rates["packed"], rates["alone"], strict=True)], "peak_flops": max(peaks),
        "packed_share_of_peak": each * max(rates["packed"]) / max(peaks), "alone_share_of_peak": each * max(rates["alone"]) / max(peaks),
        "data_sheet_flops": sheet, "packed_share_of_data_sheet": each * max(rates["packed"]) / sheet if sheet else None,
        "peak_memory_bytes": memory, "largest_difference_of_mean_losses": max(apart),
    }  # fmt: skip


def _one_by_one(model: Any, streams: Sequence[Stream]) -> list[float]:
    """Mean loss of each text as the reference algorithm takes it: batch 1, logits everywhere, the model's own loss."""
    found = []
    for stream in streams:
        ids = torch.tensor([stream.ids], device=model.device)
        labels = ids.clone()
        labels[0, : stream.spans[0].start] = -100
        with torch.no_grad():
            found.append(model(ids, labels=labels).loss.item())
    return found


def _data_sheet(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((card.flops for key, card in CARDS.items() if re.search(rf"\b{key}\b", name, re.IGNORECASE)), None)
