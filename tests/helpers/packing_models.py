"""Tiny random models of several families, and random samples, for the packing tests. Weights are large enough to see leaks."""

from __future__ import annotations

import numpy as np
import torch
import transformers as hf

from codeact.lm.attention import register

VOCAB, PAD = 97, 0
COMMON = {
    "vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 96, "pad_token_id": PAD, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6}
GPT2 = {
    "vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    "attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**COMMON),
    "qwen2": lambda: hf.Qwen2Config(**COMMON),
    "qwen3": lambda: hf.Qwen3Config(**COMMON, head_dim=8),
    "mistral-window": lambda: hf.MistralConfig(**COMMON, sliding_window=5),
    "gemma2-softcap": lambda: hf.Gemma2Config(**COMMON, **GEMMA),
    "gemma3": lambda: hf.Gemma3TextConfig(**COMMON, **GEMMA),
    "gpt2": lambda: hf.GPT2Config(**GPT2),
}
FAMILIES = tuple(CONFIGS)


def build(family: str, attention: str | None = None) -> hf.PreTrainedModel:
    """A model in float32 and train mode; without `attention`: codeact. The weights depend on the family only."""
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(CONFIGS[family](), attn_implementation=attention or register())
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.config.use_cache = False
    return model.float().train()


def reference_attention(family: str) -> str:
    """transformers' own: SDPA, or eager where SDPA has no soft-capping."""
    return "eager" if family == "gemma2-softcap" else "sdpa"


def random_samples(count: int, longest: int, seed: int = 0, prompt: bool = False) -> list[dict[str, list[int]]]:
    """Samples of mixed lengths; with `prompt`, the first third of each is not learnt."""
    rng = np.random.default_rng(seed)
    samples = []
    for size in rng.integers(3, longest + 1, count).tolist():
        ids = rng.integers(1, VOCAB, size).tolist()
        masked = size // 3 if prompt else 0
        samples.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
    return samples


def pad(samples: list[dict[str, list[int]]], left: bool = False) -> dict[str, torch.Tensor]:
    """The ordinary padded batch, with its attention mask."""
    width = max(len(sample["input_ids"]) for sample in samples)

    def line(values: list[int], fill: int) -> list[int]:
        padding = [fill] * (width - len(values))
        return padding + values if left else values + padding

    return {
        "input_ids": torch.tensor([line(s["input_ids"], PAD) for s in samples]),
        "labels": torch.tensor([line(s["labels"], -100) for s in samples]),
        "attention_mask": torch.tensor([line([1] * len(s["input_ids"]), 0) for s in samples]),
    }


def learnt_tokens(samples: list[dict[str, list[int]]]) -> int:
    """Labels that a loss sees: the first token of a sample is never predicted."""
    return sum(label != -100 for sample in samples for label in sample["labels"][1:])
