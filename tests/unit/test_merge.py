"""Merged adapters compute what base and adapter compute, however head and embeddings share their weights, or nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from codeact import api
from codeact.errors import CodeactError, InputError
from codeact.lm import models
from codeact.training import merge

peft = pytest.importorskip("peft", reason="peft is not installed")
ADAPTERS: dict[str, dict[str, Any]] = {
    "layers": {"target_modules": ["q_proj", "up_proj"]},
    "lm_head": {"target_modules": ["lm_head"]},
    "lm_head and layers": {"target_modules": ["lm_head", "q_proj"]},
    "embed_tokens": {"target_modules": ["embed_tokens"]},
    "both": {"target_modules": ["embed_tokens", "lm_head"]},
    "saved embed_tokens": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "saved lm_head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "saved both": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "some tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [1, 5, 300]},
    "dora": {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
}


def adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter whose every trained weight is far from where it began."""
    torch.manual_seed(0)  # PEFT draws its matrices A
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    return folder


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[1, 5, 9, 300, 42, 7]])
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_tied_model_merged(tiny_model_dir: Path, tmp_path: Path, kind: str, dtype: str) -> None:
    made = adapter(tiny_model_dir, tmp_path / "adapter", **ADAPTERS[kind])
    # the reference: PEFT's own forward pass over base and adapter
    apart = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32), made)
    expected, plain = logits(apart), logits(AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32))
    api.merge(made, tmp_path / "merged", dtype=dtype)
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32))
    largest = float(expected.abs().max())
    assert float((plain - expected).abs().max()) > 0.1 * largest
    assert float((found - expected).abs().max()) < (1e-5 if dtype == "float32" else 3e-2) * largest
    assert logits(models.load_model(str(tmp_path / "merged"))).isfinite().all()
    tied = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").config.tie_word_embeddings
    assert tied == (kind in ("layers", "some tokens")) or kind.startswith("saved")


def test_new_tokens(tiny_model_dir: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.add_tokens(["<one>", "<two>"], special_tokens=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    model.resize_token_embeddings(len(tokenizer))
    lora = peft.LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj"])
    trained = peft.get_peft_model(model, lora)
    for known, saved in (("with", True), ("without", False)):
        trained.save_pretrained(tmp_path / known, save_embedding_layers=saved)
        tokenizer.save_pretrained(tmp_path / known)
    ids = torch.tensor([[3, len(tokenizer) - 1, len(tokenizer) - 2, 8]])
    with torch.no_grad():
        expected = trained(input_ids=ids).logits
    with pytest.raises(InputError, match="holds no embeddings of them"):
        api.merge(tmp_path / "without", tmp_path / "merged")
    assert not (tmp_path / "merged" / "config.json").exists()
    api.merge(tmp_path / "with", tmp_path / "merged", dtype="float32")
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_model_whose_forward_pass_in_bfloat16_is_far_off_is_merged(
    tiny_model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Activations in 16 bits may move logits by a tenth; that is no fault of the merged weights."""
    deep = AutoConfig.from_pretrained(tiny_model_dir, num_hidden_layers=24, layer_types=None)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(deep)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter *= 8
    model.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(tmp_path / "base")
    made = adapter(tmp_path / "base", tmp_path / "adapter", target_modules=["q_proj", "v_proj", "up_proj"])
    apart = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32), made)
    expected = logits(apart)
    assert float((logits(apart.bfloat16()) - expected).abs().max() / expected.abs().max()) > 0.05
    api.merge(made, tmp_path / "merged", dtype="bfloat16")
    apart = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32), made)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(found[name], weight.bfloat16()) for name, weight in apart.merge_and_unload().state_dict().items())
    assert "moves the logits by" in caplog.text


def test_weights_too_large_for_float16_are_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    made = adapter(tiny_model_dir, tmp_path / "adapter", target_modules=["lm_head"], lora_alpha=4_000_000)
    with pytest.raises(CodeactError, match=r"do not fit into float16.*float32"):
        api.merge(made, tmp_path / "merged", dtype="float16")
    assert not (tmp_path / "merged" / "config.json").exists()
    api.merge(made, tmp_path / "merged", dtype="bfloat16")


@pytest.mark.parametrize("fault", ["in memory", "written"])
def test_a_wrong_merge_is_not_written(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Without what mends a shared head, the comparison of logits refuses; that of weights where others were written."""
    made = adapter(tiny_model_dir, tmp_path / "adapter", **ADAPTERS["lm_head"])
    if fault == "in memory":
        monkeypatch.setattr(merge, "_untie", lambda model: False)
    else:
        loaded = models.load_model
        plain = lambda name, **options: loaded(str(tiny_model_dir) if ".merged" in name else name, **options)  # noqa: E731
        monkeypatch.setattr(merge, "load_model", plain)
    (tmp_path / "merged").mkdir()
    with pytest.raises(CodeactError, match="computes other logits" if fault == "in memory" else "holds other weights"):
        api.merge(made, tmp_path / "merged")
    assert not list(tmp_path.rglob("*merged*/*.safetensors"))
    assert not (tmp_path / "merged" / "config.json").exists()
