"""Memory and parameter counts of the dry run against models whose figures are known."""

from __future__ import annotations

import pytest

from codeact.config import TrainConfig, load_recipe
from codeact.pipeline.sizes import count_parameters, pass_tokens, training_memory


def llama_7b() -> object:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32, num_attention_heads=32
    )


def test_llama_7b_has_its_published_parameters() -> None:
    parameters, adapter = count_parameters(llama_7b(), 16)
    assert parameters == 6_738_415_616
    # per layer 4 square maps of 4096 and 3 between 4096 and 11008, each with rank * (in + out)
    assert adapter == 16 * 32 * (4 * 8192 + 3 * (4096 + 11_008))


def test_full_training_holds_16_bytes_a_weight_and_lora_far_less() -> None:
    full, lora = TrainConfig(method="full"), TrainConfig(method="lora")
    shape = {"parameters": 1_000_000, "adapter_parameters": 10_000, "hidden": 64, "layers": 2, "tokens": 100.0}
    whole, small = training_memory(full, **shape), training_memory(lora, **shape)  # type: ignore[arg-type]
    assert whole["weights"] + whole["gradients"] + whole["optimizer"] == (16 + 2) * 1_000_000
    assert small["weights"] + small["gradients"] + small["optimizer"] == 2 * 1_000_000 + 16 * 10_000
    assert whole["activations"] == small["activations"]


def test_checkpointing_keeps_less_the_deeper_the_model() -> None:
    def kept(layers: int, checkpointing: bool) -> float:
        train = TrainConfig(gradient_checkpointing=checkpointing)
        made = training_memory(train, parameters=0, adapter_parameters=0, hidden=1024, layers=layers, tokens=1e5)
        return made["activations"] - 3 * 2**25 * 4

    assert kept(1, True) > kept(1, False)  # one layer is recomputed whole
    assert kept(32, True) == pytest.approx(kept(32, False) * (32 * 4 + 34) / (32 * 34))


@pytest.mark.parametrize(
    ("scope", "rows", "tokens"),
    [("batch", 1, 1024), ("epoch", 2, 2048), ("batch", 9, 8000), ("batch", 0, 8000), ("none", 1, 8000)],
)
def test_a_pass_holds_its_rows_or_the_whole_batch(scope: str, rows: int, tokens: int) -> None:
    recipe = load_recipe(
        extra={"pack.scope": scope, "pack.rows_per_pass": rows, "train.batch_size": 16, "model.max_length": 1024}
    )
    assert pass_tokens(recipe, 500.0) == tokens
