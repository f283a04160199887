"""The slot cache: rows that join, leave and grow in place write what each of them would write alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from codeact.errors import InputError
from codeact.evaluation import live_rows
from codeact.evaluation.generate import Completion, Prompt, generate
from codeact.evaluation.slots import LEAST_ROOM, hold, join, leave, order_after
from codeact.evaluation.vllm_engine import completion, sampling
from codeact.lm.vllm_model import load_vllm
from tests.helpers.tiny_models import ended, greedy_alone

WORDS = 97


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = ["<end>", *(f"w{i} " for i in range(1, WORDS))]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<end>"))
    core.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    core.decoder = decoders.Fuse()
    return ended(core)


@pytest.fixture(scope="module", params=["llama", "window"])
def model(request: pytest.FixtureRequest) -> Any:
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

    small: dict[str, Any] = {
        "vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
    }  # fmt: skip
    torch.manual_seed(1)
    config = LlamaConfig(**small) if request.param == "llama" else MistralConfig(**small, sliding_window=7)
    made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()
    made.generation_config.eos_token_id = None
    return made


def random_prompts(count: int, longest: int, stops: tuple[str, ...] = ()) -> list[Prompt]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [Prompt(tuple(torch.randint(1, WORDS, (n,), generator=generator).tolist()), stops) for n in lengths]


def run(model: Any, tokenizer: Any, requests: list[Prompt], new: int, batch_size: int) -> list[Completion]:
    found: dict[int, Completion] = {}
    for finished in generate(model, tokenizer, requests, max_new_tokens=new, batch_size=batch_size):
        found.update(finished)
    return [found[i] for i in range(len(requests))]


def alone(model: Any, prompt: Prompt, new: int) -> list[int]:
    """Transformers' greedy search on this prompt alone."""
    return greedy_alone(model, prompt.ids, new, 0)


def test_rows_that_end_at_different_times_write_what_they_write_alone(model: Any, tokenizer: Any) -> None:
    """40 prompts through 8 slots, ending at stop texts here and there."""
    stops = tuple(f"w{i} " for i in range(5, WORDS, 12))
    requests = random_prompts(40, 30, stops)
    found = run(model, tokenizer, requests, 24, batch_size=8)
    ends = set()
    for prompt, completed in zip(requests, found, strict=True):
        ids = alone(model, prompt, 24)
        cut = next((i for i, token in enumerate(ids) if token == 0 or f"w{token} " in stops), len(ids) - 1)
        assert completed.tokens == cut + 1
        assert completed.text == "".join(f"w{i} " for i in ids[: cut + 1] if i and f"w{i} " not in stops)
        ends.add(completed.tokens)
    assert len(ends) > 5


def test_a_prompt_of_several_samples_is_read_once(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [replace(prompt, seed=seed) for prompt in random_prompts(4, 30) for seed in range(5)]

    def drawn(batch_size: int) -> list[Completion]:
        found = dict(one for some in generate(model, tokenizer, requests, max_new_tokens=12, batch_size=batch_size, temperature=1.0) for one in some)
        return [found[i] for i in range(len(requests))]

    expected = drawn(1)  # the model has been tried
    read = []
    real = live_rows._forward

    def counting(model: Any, ids: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.extend([ids.shape[0]] if ids.shape == mask.shape else [])
        return real(model, ids, mask, *rest)

    monkeypatch.setattr(live_rows, "_forward", counting)
    assert drawn(20) == expected
    assert (sum(read), len({one.text for one in expected})) == (4, len(expected))


def test_buffers_grow(model: Any, tokenizer: Any) -> None:
    new = LEAST_ROOM * 2 + 5
    requests = random_prompts(5, 12)
    for prompt, completed in zip(requests, run(model, tokenizer, requests, new, batch_size=3), strict=True):
        assert completed.text == "".join(f"w{i} " for i in alone(model, prompt, new) if i)
        assert completed.tokens > LEAST_ROOM or completed.finish == "eos"


def test_a_finished_row_costs_nothing_more(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows put through the model: each prompt, and one for every token written but the last; fewer where tokens are guessed."""
    run(model, tokenizer, random_prompts(1, 5), 1, batch_size=1)  # the model is tried before its first answer
    seen = 0
    real = live_rows._forward

    def counting(model: Any, ids: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        nonlocal seen
        seen += 0 if ids.shape == mask.shape else ids.shape[0]
        return real(model, ids, mask, *rest)

    monkeypatch.setattr(live_rows, "_forward", counting)
    requests = [
        Prompt(p.ids * 2, p.stops) for p in random_prompts(20, 30, tuple(f"w{i} " for i in range(5, WORDS, 12)))
    ]
    found = run(model, tokenizer, requests, 24, batch_size=8)
    written = sum(c.tokens - 1 for c in found)
    assert seen == written if model.config.model_type == "mistral" else 0 < seen <= written


def dynamic(keys: list[torch.Tensor]) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, part in enumerate(keys):
        cache.update(part, -part, layer)
    return cache


@torch.inference_mode()
def test_join_and_leave_keep_the_newest_columns() -> None:
    first, second = torch.rand(3, 2, 5, 4), torch.rand(2, 2, 7, 4)
    held = hold(dynamic([first]), 3)
    join(held, dynamic([second]))  # more rows than slots, and longer ones
    keys = held.layers[0].keys
    assert keys.shape == (5, 2, 7, 4)
    assert torch.equal(keys[:3, :, 2:], first)
    assert torch.equal(keys[:3, :, :2], torch.zeros(3, 2, 2, 4))
    assert torch.equal(keys[3:], second)
    leave(held, [3, 1], 6)
    assert order_after(5, [3, 1]) == [0, 4, 2]
    new = torch.rand(3, 2, 1, 4)
    held.update(new, -new, 0)
    keys, values = held.layers[0].keys, held.layers[0].values
    expected = torch.cat([torch.stack([keys[0, :, :6], second[1, :, 1:], keys[2, :, :6]]), new], dim=2)
    assert torch.equal(keys, expected)
    assert torch.equal(keys[0, :, 1:6], first[0])
    assert torch.equal(keys[2, :, 1:6], first[2])
    assert torch.equal(values, -keys)
    assert held.get_seq_length() == 7


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_gaps_are_filled_from_the_end(rows: int) -> None:
    for mask in range(2**rows):
        gone = [place for place in range(rows) if mask >> place & 1]
        stay = order_after(rows, gone)
        assert sorted(stay) == [place for place in range(rows) if place not in gone]
        assert all(old >= len(stay) for new, old in enumerate(stay) if new != old)


def test_vllm_answers_are_read_as_ours_are_written(model: Any, tokenizer: Any) -> None:
    """The same tokens, as vLLM would report them, become the same completion."""
    stops = tuple(f"w{i} " for i in range(5, WORDS, 12))
    requests = random_prompts(30, 20, stops)
    seen = set()
    for prompt, ours in zip(requests, run(model, tokenizer, requests, 16, batch_size=8), strict=True):
        ids = alone(model, prompt, 16)[: ours.tokens]
        reason = "length" if ours.finish == "length" else "stop"
        assert completion(tokenizer, prompt, SimpleNamespace(token_ids=tuple(ids), finish_reason=reason)) == ours
        seen.add(ours.finish)
    assert {"stop", "length"} <= seen


def test_vllm_is_asked_for_plain_decoding() -> None:
    request = Prompt((1, 2), ("\ndef ",), seed=2**64 - 1)
    assert sampling(request, 9, [0], 0.0) == {
        "temperature": 0.0, "seed": None, "max_tokens": 9, "stop": ["\ndef "], "stop_token_ids": [0],
    }  # fmt: skip
    assert 0 <= sampling(request, 9, [0], 0.7)["seed"] < 2**63


@pytest.mark.parametrize(("settings", "why"), [
    ({"use_dora": True}, "use_dora"), ({"modules_to_save": ["lm_head"]}, "modules_to_save"), ({"peft_type": "IA3"}, "peft_type IA3"),
    ({"rank_pattern": {"q_proj": 600}}, "up to rank 512, and this one has 600"),
])  # fmt: skip
def test_vllm_is_given_no_adapter_that_it_would_apply_in_part(settings: dict[str, Any], why: str, tmp_path: Path) -> None:
    adapter = {"base_model_name_or_path": "some/model", "peft_type": "LORA", "r": 4, "bias": "none", **settings}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(InputError, match=why):
        load_vllm(str(tmp_path), None, "float32", "evaluate.backend vllm", longest=64)
