"""The estimate against what the scorer really runs, and FLOPs against PyTorch's own counter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from codeact.errors import InputError
from codeact.lm.models import load_model, load_tokenizer
from codeact.records import Message, Record
from codeact.score import Scorer, build_sequences, default_template
from codeact.score.cost import SAMPLE, estimate, forward_flops, model_cost


def records(count: int) -> list[Record]:
    return [
        Record(
            f"r{n}", (Message("user", f"Write version {n}."), Message("assistant", "rows = rows[1:]\n" * (1 + n % 5)))
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(str(tiny_model_dir))


@pytest.fixture(scope="module")
def config(tiny_model_dir: Path) -> Any:
    return AutoConfig.from_pretrained(tiny_model_dir)


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_tokens_are_those_that_the_scorer_runs(variant: str, config: Any, tokenizer: Any, tiny_model_dir: Path) -> None:
    pool = records(7)
    scorer = Scorer(load_model(str(tiny_model_dir), dtype="float32", device="cpu"), tokenizer, variant=variant)
    seen: list[int] = []
    handle = scorer.model.get_decoder().register_forward_hook(
        lambda _, args, kwargs, out: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    scorer.score(pool)
    handle.remove()
    found = estimate(pool, config, tokenizer, variant=variant)
    assert (found.records, found.sampled, found.tokens) == (7, 7, sum(seen))


def test_flops_are_those_of_pytorchs_counter(config: Any) -> None:
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(40)[None], use_cache=False)
    cost = model_cost(config)
    # eager attention multiplies the masked half too; the rotary table is one small product more
    masked = 4 * cost.attention_width * 40 * 39 / 2
    assert forward_flops(cost, [40], 40) + masked == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_weights_are_counted_without_embeddings(config: Any) -> None:
    cost = model_cost(config)
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64 + 2 * 32
    assert cost.body_parameters == 2 * layer + 32
    assert cost.head_parameters == config.vocab_size * 32
    assert cost.attention_width == 2 * 32


def test_experts_count_as_far_as_they_are_visited() -> None:
    from transformers import MixtralConfig

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 50}  # fmt: skip
    two = model_cost(MixtralConfig(**small, num_local_experts=8, num_experts_per_tok=2))
    four = model_cost(MixtralConfig(**small, num_local_experts=8, num_experts_per_tok=4))
    assert four.body_parameters - two.body_parameters == 2 * 3 * 16 * 32


def test_a_large_pool_is_estimated_from_a_sample(config: Any, tokenizer: Any) -> None:
    pool = records(2 * SAMPLE)
    found = estimate(pool, config, tokenizer, hardware={"one": 1e9, "two": 2e9})
    template = default_template("default", tokenizer)
    exact = (
        sum(len(s.ids) - 1 for r in pool[:50] for s in build_sequences(r, template, tokenizer).streams) * len(pool) / 50
    )
    assert found.sampled == SAMPLE
    assert found.tokens == pytest.approx(exact, rel=0.05)
    assert found.hours["one"] == pytest.approx(found.flops / 1e9 / 3600)
    assert found.hours["one"] == pytest.approx(2 * found.hours["two"])
    assert f"{found.tokens:,} model tokens" in found.lines()[0]
    assert f"sample of {SAMPLE:,}" in found.lines()[0]


def test_nothing_to_estimate_is_an_error(config: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no records"):
        estimate([], config, tokenizer)


def test_a_configuration_without_language_model_is_an_error() -> None:
    from transformers import ViTConfig

    with pytest.raises(InputError, match="ViTConfig is not the configuration of a causal LM"):
        model_cost(ViTConfig())
