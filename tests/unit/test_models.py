"""Loading: folders, GGUF files, adapters; and what cannot be loaded is one clear line."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import codeact
from codeact import downloads
from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import CodeactError, InputError
from codeact.lm import models
from codeact.lm.attention import register
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.identity import model_identity
from codeact.lm.isolation import check_isolation
from codeact.lm.streams import Span, Stream, check_model, stream_losses
from codeact.records import Message, Record
from codeact.training.sft import fine_tune


def write_gguf(folder: Path, target: Path) -> None:
    """The tiny Llama as llama.cpp would store it: query and key rows permuted for its rotary layout."""
    import gguf

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    c = model.config
    out = gguf.GGUFWriter(str(target), "llama")
    out.add_block_count(c.num_hidden_layers)
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_head_count_kv(c.num_key_value_heads)
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    out.add_rope_freq_base(c.rope_parameters["rope_theta"])
    out.add_vocab_size(c.vocab_size)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(vocabulary)
    out.add_token_types([3 if token == "<|end|>" else 1 for token in vocabulary])
    out.add_token_merges([" ".join(pair) for pair in merges(folder)])
    out.add_eos_token_id(tokenizer.eos_token_id)
    out.add_bos_token_id(tokenizer.eos_token_id)

    def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
        return (
            weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
            .swapaxes(1, 2)
            .reshape(weight.shape)
        )

    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    out.add_tensor("token_embd.weight", state["model.embed_tokens.weight"])
    out.add_tensor("output_norm.weight", state["model.norm.weight"])
    for layer in range(c.num_hidden_layers):
        for ours, theirs in names.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}.get(theirs)
            out.add_tensor(f"blk.{layer}.{theirs}.weight", weight if heads is None else permuted(weight, heads))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def merges(folder: Path) -> list[list[str]]:
    import json

    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]


def test_a_gguf_file_is_the_model_it_was_made_from(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf", reason="the gguf extra is not installed")
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny model.gguf"
    write_gguf(tiny_model_dir, file)
    text = "def add_numbers(a, b):\n    return a + b"
    found = []
    for name in (str(tiny_model_dir), str(file), str(file)):
        tokenizer = models.load_tokenizer(name)
        model = models.load_model(name, dtype="float32", attention="sdpa")
        found.append((tokenizer(text)["input_ids"], model(torch.tensor([tokenizer(text)["input_ids"]])).logits))
    assert found[1][0] == found[0][0]
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2][1], found[1][1], atol=0, rtol=0)
    assert len(list((tmp_path / "cache" / "gguf").iterdir())) == 1


def test_a_loaded_model_is_ready(tiny_model_dir: Path) -> None:
    model = models.load_model(str(tiny_model_dir), dtype="float32")
    assert not model.training
    assert model.config.use_cache is False
    assert model.dtype == torch.float32
    assert models.context_length(model.config) == 2048
    assert models.load_tokenizer(str(tiny_model_dir)).pad_token_id is not None


def test_identity_follows_the_weights(tiny_model_dir: Path, tmp_path: Path) -> None:
    first = model_identity(str(tiny_model_dir))
    assert first == model_identity(str(tiny_model_dir))
    torch.manual_seed(1)
    config = LlamaConfig.from_pretrained(tiny_model_dir)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert model_identity(str(tmp_path)) != first


@pytest.mark.parametrize("name", ["", "./nowhere", "/no/such/model", "a/b/c", "missing.gguf", "nobody-has/this-model"])
def test_a_model_that_does_not_exist_is_one_line(name: str) -> None:
    for load in (models.load_tokenizer, models.load_model):
        with pytest.raises(InputError) as caught:
            load(name)
        assert "\n" not in str(caught.value)
        assert "model" in str(caught.value)
        assert any(mend in str(caught.value) for mend in ("local folder", "GGUF"))


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_path_that_weights_cannot_be_opened_under_is_refused_before_any_work(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Tokenizers open UTF-8 names alone: their own error would be "no such file", after hours where it is the output."""
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.symlink_to(tiny_model_dir)
    with pytest.raises(InputError, match="opened where the path is UTF-8"):
        models.load_tokenizer(str(odd))
    rows = [{"instruction": "a", "output": "b"}] * 4
    with pytest.raises(InputError, match="opened where the path is UTF-8"):
        codeact.train(rows, model=str(tiny_model_dir), output=tmp_path / os.fsdecode(b"\xca\xfd"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        models.load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match="device"):
        choose_device(name)


def test_auto_on_a_cpu_is_bfloat16_where_the_processor_multiplies_it() -> None:
    units = torch.cpu.get_capabilities()  # asks the processor itself, not the system
    expected = torch.bfloat16 if units.get("avx512_bf16") or units.get("amx_bf16") else torch.float32
    assert choose_dtype("auto", torch.device("cpu")) == expected


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    if shutil.which("pip") is None:
        pytest.skip("pip is not installed")
    source = tmp_path / "wheels"
    source.mkdir()
    (source / "codeact_no_such_package-1.0-py3-none-any.whl").write_bytes(b"not a wheel")
    with pytest.raises(CodeactError, match="cannot be fetched"):
        downloads.fetch_wheel("codeact-no-such-package", "1.0", "0" * 64)


def test_an_environment_without_pip_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n', encoding="utf-8")  # -S: no site-packages
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(
        CodeactError, match=r"No module named pip; put pip into this environment \(`uv pip install pip`\)"
    ):
        downloads.fetch_wheel("codeact-no-such-package", "1.0", "0" * 64)


def test_qlora_learns_in_every_layer_after_a_pass_in_eval_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As training begins: the check for leaks first. On CPUs with AVX512-BF16 bitsandbytes repacks weights in such a pass, to a
    layout without gradients; here every CPU is taken for one."""
    from codeact.config import ModelConfig, TrainConfig
    from codeact.lm.isolation import check_isolation
    from codeact.training.sft import prepare_model

    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    own = ModelConfig(name=str(tmp_path), dtype="float32", device="cpu")
    network = prepare_model(own, TrainConfig(method="qlora"), packed=True, seed=0)
    check_isolation(network)
    ids = torch.arange(32)[None]
    network.train()(input_ids=ids, labels=ids).loss.backward()
    learnt = {name: p.grad for name, p in network.named_parameters() if "lora_B" in name}
    assert len(learnt) == 2 * 7
    assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in learnt.values())


class Runs:
    """Unpickled, it would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("fault", ["code", "cut", "empty", "none"])
def test_a_pickle_checkpoint_is_read_without_its_code_or_refused_on_one_line(
    tiny_model_dir: Path, tmp_path: Path, fault: str
) -> None:
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model_dir, folder)
    weights = LlamaForCausalLM.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    torch.save(weights if fault != "code" else {**weights, "x": Runs(tmp_path / "ran")}, file)
    if fault in ("cut", "empty"):
        file.write_bytes(file.read_bytes()[: 1000 if fault == "cut" else 0])
    if fault == "none":
        assert torch.equal(models.load_model(str(folder), dtype="float32").lm_head.weight, weights["lm_head.weight"])
        return
    with pytest.raises(InputError) as caught:
        models.load_model(str(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_repository_with_code_of_its_own_is_refused_without_a_question(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json
    import shutil

    from codeact.embed import load_embedder
    from codeact.training.merge import base_dtype

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    folder = tmp_path / "own"
    shutil.copytree(tiny_model_dir, folder)
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\nclass Tokenizer: ...\n"
    (folder / "own.py").write_text(code, encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    mapped = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": mapped}), encoding="utf-8")
    for load in (models.load_model, load_embedder, base_dtype):
        with pytest.raises(InputError, match=r"trust_remote_code|code from its own repository") as caught:
            load(str(folder))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


class TestArchitectures:
    """Models whose text part is a part of a larger one, and those that transformers' `get_decoder` says nothing useful of."""

    @pytest.fixture
    def gemma3(self, tiny_model_dir: Path, tmp_path: Path) -> Path:
        """Of texts and images, as all of Gemma 3 but the smallest."""
        text = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 6, "vocab_size": 600, **SMALL}
        vision = {
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        }  # fmt: skip
        config = hf.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
        return save_beside(hf.Gemma3ForConditionalGeneration(config), tiny_model_dir, tmp_path)

    def test_a_model_of_texts_and_images_is_packed(self, gemma3: Path) -> None:
        model = models.load_model(str(gemma3), dtype="float32", device="cpu")
        assert check_isolation(model).leak == 0
        plain = AutoModelForCausalLM.from_pretrained(gemma3, attn_implementation="eager").eval()
        assert_scores_are(model, plain)

    def test_it_is_trained_packed_and_saved_with_its_cache_on(self, gemma3: Path, tmp_path: Path) -> None:
        pool = [Record(f"r{n}", (Message("user", f"Add {n}."), Message("assistant", f"return {n}"))) for n in range(8)]
        summary = fine_tune(
            pool, tmp_path / "tuned", model=ModelConfig(name=str(gemma3), max_length=96, template="question", dtype="float32"),
            train=TrainConfig(epochs=1, batch_size=4, warmup_steps=0), pack=PackConfig(), seed=0,
        )  # fmt: skip
        assert (summary["scope"], summary["steps"]) == ("batch", 2)
        tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned" / "model")
        assert tuned.config.get_text_config().use_cache

    def test_a_whole_model_given_for_its_own_decoder(self) -> None:
        config = hf.models.mllama.MllamaTextConfig(
            vocab_size=600, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            cross_attention_layers=[], initializer_range=0.2, pad_token_id=0,
        )  # fmt: skip
        torch.manual_seed(0)
        plain = hf.MllamaForCausalLM._from_config(config, attn_implementation="eager").eval()
        model = hf.MllamaForCausalLM._from_config(config, attn_implementation=register()).eval()
        model.load_state_dict(plain.state_dict())
        assert model.get_decoder() is model
        assert_scores_are(model, plain)

    def test_a_head_of_several_layers_is_refused_in_one_line(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        config = hf.ModernBertDecoderConfig(
            vocab_size=600, num_hidden_layers=2, local_attention=6, bos_token_id=0, cls_token_id=0, sep_token_id=0, pad_token_id=0, eos_token_id=0,
            **{key: SMALL[key] for key in ("hidden_size", "intermediate_size", "num_attention_heads")},
        )  # fmt: skip
        folder = save_beside(hf.ModernBertDecoderForCausalLM(config), tiny_model_dir, tmp_path)
        model = models.load_model(str(folder), dtype="float32", device="cpu")
        with pytest.raises(CodeactError, match="does more to its logits than its output head does"):
            check_model(model)


SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "initializer_range": 0.2,
}  # fmt: skip


def save_beside(model: hf.PreTrainedModel, tokenizer: Path, folder: Path) -> Path:
    """A model saved with another one's tokenizer."""
    model.save_pretrained(folder / "made")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder / "made")
    return folder / "made"


def assert_scores_are(model: hf.PreTrainedModel, plain: hf.PreTrainedModel) -> None:
    """Packed token losses of `model` are those of `plain`, one sequence at a time."""
    check_model(model)
    rng = np.random.default_rng(0)
    streams = [Stream(rng.integers(1, 600, size).tolist(), (Span(0, 1, int(size)),)) for size in (5, 30, 17, 2)]
    for stream, found in zip(streams, stream_losses(model, streams, 40), strict=True):
        ids = torch.tensor([stream.ids])
        with torch.no_grad():
            logits = plain(input_ids=ids, use_cache=False).logits[0, :-1].double()
        assert found == pytest.approx(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").numpy(), abs=1e-4)


def test_threads_that_load_at_once_leave_the_loggers_as_they_were(tiny_model_dir: Path) -> None:
    names = ("sentence_transformers", "transformers", "huggingface_hub")
    before = [logging.getLogger(name).level for name in names]
    together = threading.Barrier(4)

    def load(_: int) -> int:
        together.wait()
        return sum(weight.numel() for weight in codeact.load_model(str(tiny_model_dir), device="cpu").parameters())

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert len({*pool.map(load, range(4))}) == 1
    assert [logging.getLogger(name).level for name in names] == before


def test_long_texts_are_not_said_to_end_in_errors(tiny_model_dir: Path, tmp_path: Path) -> None:
    """transformers warns of "indexing errors" where a text is longer than its model; here each is cut before the model sees it."""
    shutil.copytree(tiny_model_dir, tmp_path, dirs_exist_ok=True)
    short = AutoTokenizer.from_pretrained(tiny_model_dir, model_max_length=16)
    short.save_pretrained(tmp_path)
    heard: list[str] = []
    # A handler and a level of its own: what this logger hands on, and from which level, is changed by others in the same process.
    ear, source = logging.Handler(logging.WARNING), logging.getLogger("transformers.tokenization_utils_base")
    ear.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    level = source.level
    source.addHandler(ear)
    source.setLevel(logging.WARNING)
    try:
        for tokenizer, told in ((AutoTokenizer.from_pretrained(tmp_path), 1), (codeact.load_tokenizer(str(tmp_path)), 1)):
            assert len(tokenizer("x = 1 + " * 40)["input_ids"]) > tokenizer.model_max_length == 16
            assert sum("indexing errors" in line for line in heard) == told
    finally:
        source.removeHandler(ear)
        source.setLevel(level)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_are_told_as_such(tiny_model_dir: Path, value: str) -> None:
    """A training that diverged in its last step was told as a head that "does more to its logits"."""
    model = models.load_model(str(tiny_model_dir), dtype="float32", device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(float(value))
    with pytest.raises(CodeactError, match=r"the weights of LlamaForCausalLM are not finite \(NaN or infinite\), as after a training that diverged"):
        check_model(model)
