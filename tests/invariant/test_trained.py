"""Odd architectures through the training of the product: loss, gradients and the written model are those of one text at a time.

All architectures: python -m benchmarks.trained_architectures
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, LlamaForCausalLM, LlamaModel

from benchmarks import architectures, trained_architectures
from tests.helpers.log import logged

# learned positions and fused layers, logits scaled, several head sizes, a state space, attention sinks, labels not shifted
WHOLE = [
    ("gpt2", "packed"), ("granite", "packed"), ("gemma4_unified_text", "packed"), ("mamba", "padded"), ("gpt_oss", "padded"), ("bart", "padded"),
    ("mixtral", "checkpointed"),
]  # fmt: skip
# experts and dense layers that PEFT takes for them; experts that it passes over; layers applied in groups; fused layers
# of so many adapted layers so many have a gradient: none has what chooses the keys of DeepSeek V4's sparse attention
LORA = {"deepseek_v3": (16, 16), "gpt_oss": (12, 12), "jetmoe": (14, 14), "deepseek_v4": (22, 28), "gpt2": (8, 8)}


@pytest.fixture(scope="module")
def coder() -> Any:
    return architectures.tokenizer()


def found(name: str, way: str, coder: Any) -> dict[str, Any]:
    return dict(trained_architectures.one(CONFIG_MAPPING[name], coder, [way])[way])


@pytest.mark.parametrize(("name", "way"), WHOLE)
def test_a_step_is_that_of_one_text_at_a_time(name: str, way: str, coder: Any) -> None:
    row = found(name, way, coder)
    assert row["loss"] < 1e-6
    assert row["gradient"] < (2e-5 if name == "gemma4_unified_text" else 1e-5)  # packed and padded are as far from it: rounding
    assert row.keys().isdisjoint({"weights", "configuration", "missing_keys", "unexpected_keys", "mismatched_keys"})
    assert row.get("logits", 0.0) < 1e-6


@pytest.mark.parametrize("name", LORA)
def test_lora_adapts_every_linear_layer_and_expert(name: str, coder: Any) -> None:
    """The merged model, loaded by transformers, has the logits of the one that was trained."""
    row = found(name, "lora", coder)
    assert row["logits"] < 1e-5
    assert (row["learning"], row["of"]) == LORA[name]
    assert all(end.endswith((".wpe.weight", "router.weight", "gate.weight", "_bias", "_hc.fn", "hc_fn", "tid2eid")) for end in row["left_out"])


def test_lora_says_which_layers_of_a_state_space_it_leaves_out(coder: Any) -> None:
    with logged() as lines:
        row = found("falcon_h1", "lora", coder)
    assert row["left_out"] == ["mamba.conv1d.weight", "mamba.out_proj.weight"]
    assert any("2 linear layers get no LoRA (model.layers.0.mamba.out_proj.weight, ...): PEFT has none" in line for line in lines)


def test_lora_leaves_gates_alone_that_carry_a_state(coder: Any) -> None:
    """RecurrentGemma's: wrapped, they kept the state of the batch before."""
    with logged() as lines:
        row = found("recurrent_gemma", "lora", coder)
    assert row["logits"] < 1e-5
    assert row["learning"] == row["of"]
    assert {end.split(".")[-1] for end in row["left_out"]} >= {"input_gate_weight", "recurrent_gate_weight"}
    assert any("no experts' get no LoRA (model.layers.0.temporal_block.rg_lru." in line for line in lines)


@pytest.mark.parametrize(
    ("name", "way", "said"),
    [
        ("bert", "packed", "BertLMHeadModel is no causal language model"),
        ("bert", "padded", "BertLMHeadModel is no causal language model"),
        ("gpt_oss", "packed", "no attention sinks"),
        ("cpmant", "padded", "CpmAntForCausalLM is no causal language model"),
        ("ctrl", "checkpointed", "train.gradient_checkpointing: CTRLLMHeadModel does not support"),
    ],
)
def test_what_cannot_be_right_is_one_line(name: str, way: str, said: str, coder: Any) -> None:
    assert said in found(name, way, coder)["refused"]


def test_what_is_refused_in_padded_batches_trains_one_record_at_a_time(coder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that computes a text by the width of its batch."""
    own = LlamaModel.forward

    def forward(self: Any, input_ids: Any = None, **inputs: Any) -> Any:
        output = own(self, input_ids=input_ids, **inputs)
        output.last_hidden_state = output.last_hidden_state * (1 + input_ids.shape[1] / 10)
        return output

    monkeypatch.setattr(LlamaModel, "forward", forward)
    monkeypatch.setitem(trained_architectures.WAYS, "alone", {"scope": "none", "batch_size": 1, "grad_accum": 6})
    assert "set train.batch_size=1 and train.grad_accum=6" in found("llama", "padded", coder)["refused"]
    row = found("llama", "alone", coder)
    assert row["loss"] < 1e-6
    assert row["gradient"] < 1e-5


def test_dropout_into_experts_is_refused(coder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trained_architectures.WAYS, "dropped", {"scope": "none", "method": "lora", "lora_dropout": 0.1})
    assert "set train.lora_dropout=0" in found("mixtral", "dropped", coder)["refused"]
    assert "loss" in found("llama", "dropped", coder)


@pytest.mark.parametrize("changes", [{}, {"batch_size": 2, "grad_accum": 3}])
def test_a_model_that_tells_the_trainer_not_to_divide_its_loss(coder: Any, changes: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 4 does: each packed row was a mean of its own, and a step their sum."""
    monkeypatch.setattr(LlamaForCausalLM, "accepts_loss_kwargs", False, raising=False)
    monkeypatch.setitem(trained_architectures.WAYS, "told", {"scope": "batch", **changes})
    row = found("llama", "told", coder)
    assert row["loss"] < 1e-6
    assert row["gradient"] < 1e-5


def test_a_balance_of_experts_needs_no_accumulation_to_be_counted_once(coder: Any, tmp_path: Path) -> None:
    """Six records alone and accumulated: the loss of the step is the mean of those of one record at a time, by their tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    from codeact.lm.models import load_tokenizer
    from codeact.lm.prompts import load_template
    from codeact.training.data import tokenise_records

    made, _ = architectures.make(CONFIG_MAPPING["mixtral"])
    made.config.output_router_logits, made.config.router_aux_loss_coef = True, 0.02
    made.save_pretrained(tmp_path / "base")
    coder.save_pretrained(tmp_path / "base")
    own = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    tokenizer = load_tokenizer(str(tmp_path / "base"))
    samples = tokenise_records(trained_architectures.records(), load_template("question", tokenizer), tokenizer, 64).samples
    total, learnt = 0.0, 0
    for sample in samples:
        ids, labels = (torch.tensor(sample[key], dtype=torch.int64)[None] for key in ("input_ids", "labels"))
        with torch.no_grad():
            output, items = own(input_ids=ids, labels=labels), int((labels != -100).sum())
        assert float(output.aux_loss) > 1
        total, learnt = total + float(output.loss) * items, learnt + items
    summary = trained_architectures.train(str(tmp_path / "base"), tmp_path / "out", "none", batch_size=1, grad_accum=6)
    assert summary["first_loss"] == pytest.approx(total / learnt, rel=1e-6)

