"""A packed sample that stops and goes on has the hidden states of one that ran whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from codeact.lm.attention import register
from codeact.lm.forward import hidden_states
from codeact.lm.segments import continue_row, past_bytes

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SMALL, "num_key_value_heads": 2, "intermediate_size": 48}
KINDS: dict[str, dict[str, Any]] = {
    "LlamaConfig": GROUPED,
    "Qwen2Config": GROUPED,
    "MistralConfig": {**GROUPED, "sliding_window": 5},
    "Gemma2Config": {**GROUPED, "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "Gemma3TextConfig": {**GROUPED, "head_dim": 8, "sliding_window": 6, "sliding_window_pattern": 2},
    "GPT2Config": {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}


def build(kind: str) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**KINDS[kind])
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=register()).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_equals_running_whole(kind: str) -> None:
    model = build(kind)
    rng = torch.Generator().manual_seed(1)
    samples = [torch.randint(0, 97, (size,), generator=rng).tolist() for size in (23, 9, 31, 14)]
    stops = [(5, 6, 23), (9,), (1, 20, 31), (0, 13, 14)]  # the last starts one row later than the others
    parts: list[list[torch.Tensor]] = [[] for _ in samples]
    pasts: list[Any] = [None] * len(samples)
    with torch.inference_mode():
        for step in range(3):
            going = [
                n for n, stop in enumerate(stops) if step < len(stop) and stop[step] > (stop[step - 1] if step else 0)
            ]
            new = [samples[n][stops[n][step - 1] if step else 0 : stops[n][step]] for n in going]
            hidden, kept = continue_row(
                model, new, [pasts[n] for n in going], [stops[n][-1] > stops[n][step] for n in going]
            )
            for n, states, past in zip(going, torch.split(hidden, [len(ids) for ids in new]), kept, strict=True):
                parts[n].append(states)
                pasts[n] = past
                assert (past is None) == (stops[n][-1] == stops[n][step])
        for ids, found in zip(samples, parts, strict=True):
            alone = hidden_states(model, {"input_ids": torch.tensor([ids])})[0]
            torch.testing.assert_close(torch.cat(found), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("key_heads", [1, 2, 4])  # with one head, a part of the row is contiguous as it is
def test_the_memory_of_a_past_is_what_is_said(key_heads: int) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**GROUPED, "num_key_value_heads": key_heads})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=register()).eval()
    kept: Any = None
    for new, tokens in (([1, 2, 3], 3), ([4, 5], 5)):  # begun, then gone on
        with torch.inference_mode():
            _, (kept, gone) = continue_row(model, [new, [6] * 7], [kept, None], [True, False])
        assert gone is None
        held = sum(part.untyped_storage().nbytes() for pair in kept for part in pair)
        assert held == tokens * past_bytes(model.config, 4)
