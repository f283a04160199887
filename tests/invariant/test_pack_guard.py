"""The guard passes what is isolated and catches each planted leak, saying why."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
import transformers as hf
from torch.nn.parallel import DistributedDataParallel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask

from codeact.errors import InputError
from codeact.lm.attention import attend, register
from codeact.lm.forward import head_gap, looks_ahead
from codeact.lm.isolation import LeakError, check_isolation, probe_batch
from codeact.lm.models import load_model
from codeact.packing import DynamicPackCollator
from codeact.training.losses import _probe
from tests.helpers.packing_models import FAMILIES, PAD, build, random_samples, reference_attention


@pytest.mark.parametrize("family", FAMILIES)
def test_codeact_attention_passes(family):
    model = build(family)
    measured = check_isolation(model)
    assert measured.leak <= measured.tolerance < measured.effect
    assert model.training


@pytest.mark.parametrize("check", [check_isolation, head_gap, looks_ahead, lambda model: _probe(model, model.forward)])
def test_parts_in_eval_mode_stay_so(check):
    model = build("llama").train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    check(model)
    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize("family", ["llama", "gemma2-softcap"])
def test_transformers_own_attention_passes_on_the_contract(family):
    assert check_isolation(build(family, reference_attention(family))).leak <= 1e-5


def test_a_real_batch_passes():
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(random_samples(8, 20, seed=2, prompt=True))
    assert check_isolation(build("llama"), batch).leak <= 1e-5


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "gpt2"])
def test_an_all_ones_mask_is_caught(family):
    batch = probe_batch(97)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    with pytest.raises(LeakError, match=r"see each other.*attention_mask"):
        check_isolation(build(family, "sdpa"), batch)
    with pytest.raises(LeakError, match="attention_mask"):
        check_isolation(build(family), batch)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_kv_cache_is_caught(family):
    model = build(family, "sdpa")
    model.config.use_cache = True
    with pytest.raises(LeakError, match=r"see each other.*use_cache = False"):
        check_isolation(model)
    model.config.use_cache = False
    with pytest.raises(LeakError, match=r"see each other.*use_cache"):
        check_isolation(model, {**probe_batch(97), "use_cache": True})
    ours = build(family)
    ours.config.use_cache = True
    with pytest.raises(LeakError, match="use_cache"):
        check_isolation(ours)


def flash_like(module, query, key, value, attention_mask, cu_seq_lens_q=None, position_ids=None, **kwargs):
    """FlashAttention's reading of a batch in transformers: given bounds; else position_ids, of a single row only."""
    if cu_seq_lens_q is None and len(query) == 1:
        starts = torch.nonzero(position_ids[0] == 0).flatten()
        cu_seq_lens_q = torch.cat([starts, torch.tensor([query.shape[2]])]).to(torch.int32)
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, None, is_causal=True, scaling=kwargs.get("scaling"))
    return attend(module, query, key, value, None, cu_seq_lens_q=cu_seq_lens_q, scaling=kwargs.get("scaling"))


def test_two_rows_without_segment_bounds_are_caught():
    AttentionInterface.register("varlen_like", flash_like)
    AttentionMaskInterface.register("varlen_like", flash_attention_mask)
    model = build("llama", "varlen_like")
    assert check_isolation(model).leak == 0
    bare = {key: value for key, value in probe_batch(97).items() if "seq_lens" not in key}
    with pytest.raises(LeakError, match=r"see each other.*no cu_seq_lens_q"):
        check_isolation(model, bare)
    with pytest.raises(LeakError, match="no cu_seq_lens_q"):
        check_isolation(build("llama"), bare)
    one_row = {key: bare[key][:1] for key in ("input_ids", "labels", "position_ids")}
    assert check_isolation(model, one_row).leak == 0


def test_a_missing_mask_function_is_caught():
    AttentionInterface.register("maskless", sdpa_attention_forward)
    with pytest.raises(LeakError, match=r"see each other.*'maskless' has no mask function"):
        check_isolation(build("llama", "maskless"))


def test_an_attention_that_ignores_the_mask_is_caught():
    AttentionInterface.register("deaf", lambda m, q, k, v, mask, **kwargs: sdpa_attention_forward(m, q, k, v, None))
    AttentionMaskInterface.register("deaf", flash_attention_mask)
    with pytest.raises(LeakError, match="'deaf' does not keep packed samples apart"):
        check_isolation(build("llama", "deaf"))


def test_positions_that_do_not_restart_are_caught():
    batch = probe_batch(97)
    batch["position_ids"] = torch.arange(24).expand(2, 24)
    with pytest.raises(LeakError, match="disagree"):
        check_isolation(build("llama"), {**batch, "position_ids": batch["position_ids"] % 12})
    with pytest.raises(LeakError, match="no position_ids"):
        check_isolation(build("llama"), {key: value for key, value in batch.items() if key != "position_ids"})


def test_nothing_to_tell_is_an_error_of_its_own():
    single = DynamicPackCollator(capacity=12, pad_token_id=PAD)([{"input_ids": list(range(1, 13))}])
    with pytest.raises(InputError, match="no row of the batch holds two samples"):
        check_isolation(build("llama"), single)
    model = build("llama")
    torch.nn.init.zeros_(model.lm_head.weight)
    with pytest.raises(InputError, match="do not vary"):
        check_isolation(model)


# As their authors initialise them: small weights, whose leak hardly moves a logit beside what rounding moves.
SMALL = {"vocab_size": 97, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
TWO = {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 2}
MAMBA = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_n_groups": 1}
LEAKING = {
    "lfm2": lambda: hf.Lfm2Config(**TWO, layer_types=["conv", "full_attention"]),
    "falcon-h1": lambda: hf.FalconH1Config(**TWO, **MAMBA),
    "jamba": lambda: hf.JambaConfig(**TWO, mamba_d_state=8, num_experts=2, use_mamba_kernels=False),
    "mamba": lambda: hf.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=8),
    "openai-gpt": lambda: hf.OpenAIGPTConfig(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=96),
    "xlnet": lambda: hf.XLNetConfig(vocab_size=97, d_model=32, n_layer=2, n_head=4, d_inner=48),
}


def fresh(config: hf.PreTrainedConfig) -> hf.PreTrainedModel:
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation=register())
    model.config.use_cache = False
    return model.float()


@pytest.mark.parametrize("half", ["float32", "autocast", "bfloat16"])
@pytest.mark.parametrize("family", [*LEAKING, "sound"])
def test_half_precision_and_small_weights_hide_no_leak(family: str, half: str) -> None:
    model = fresh(hf.LlamaConfig(**TWO) if family == "sound" else LEAKING[family]())
    model = model.bfloat16() if half == "bfloat16" else model
    with torch.autocast("cpu", torch.bfloat16, enabled=half == "autocast"):
        if family == "sound":
            assert check_isolation(model).leak == 0
            return
        with pytest.raises(LeakError, match=r"see each other.*pack\.scope=none") as caught:
            check_isolation(model)
        assert caught.value.measured.leak > 1e-3


@contextmanager
def one_process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "bart", "blenderbot-small", "llama"])
def test_a_model_that_counts_positions_itself(family: str, half: bool) -> None:
    """Refused where a place is added to the tokens, however small; not where distances alone matter (rotary)."""
    kind, config = {
        "gpt2": (hf.GPT2LMHeadModel, hf.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=96)),
        "bart": (hf.BartForCausalLM, seq2seq(hf.BartConfig)),
        "blenderbot-small": (hf.BlenderbotSmallForCausalLM, seq2seq(hf.BlenderbotSmallConfig)),
        "llama": (hf.LlamaForCausalLM, hf.LlamaConfig(**TWO)),
    }[family]

    class Deaf(kind):
        def forward(self, *args, position_ids=None, **kwargs):
            return super().forward(*args, **kwargs)

    torch.manual_seed(0)
    model = Deaf._from_config(config, attn_implementation=register()).float()
    model.config.use_cache = False
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        if family == "llama":
            assert check_isolation(model).shift == 0
            with one_process_group():
                assert check_isolation(DistributedDataParallel(model)).shift == 0
            return
        with one_process_group(), pytest.raises(LeakError, match="positions do not restart"):
            check_isolation(DistributedDataParallel(model))
        with pytest.raises(LeakError, match="positions do not restart"):
            check_isolation(model)


def seq2seq(kind: type) -> hf.PreTrainedConfig:
    sizes = {"decoder_ffn_dim": 48, "decoder_layers": 2, "decoder_attention_heads": 4, "max_position_embeddings": 96}
    return kind(vocab_size=97, d_model=32, **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def test_rounding_in_a_mixture_of_experts_is_no_leak() -> None:
    """How many tokens an expert gets decides its matrices' shapes, and so the last bits; routing turns them into more."""
    moe = hf.MixtralConfig(
        vocab_size=997, hidden_size=512, intermediate_size=768, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=4, num_local_experts=16, num_experts_per_tok=4, initializer_range=0.05,
    )  # fmt: skip
    model = fresh(moe)
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            assert check_isolation(model).leak == 0
    AttentionInterface.register("deaf", lambda m, q, k, v, mask, **kwargs: sdpa_attention_forward(m, q, k, v, None))
    AttentionMaskInterface.register("deaf", flash_attention_mask)
    model.config._attn_implementation = "deaf"
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(LeakError, match="see each other"):
        check_isolation(model)


@pytest.mark.parametrize(
    "config",
    [
        hf.FalconConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
        hf.GPTJConfig(vocab_size=97, n_embd=32, n_layer=2, n_head=4, rotary_dim=4),
        hf.BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4),
        hf.MptConfig(vocab_size=97, d_model=32, n_layers=2, n_heads=4),
        hf.GptOssConfig(**TWO, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
        hf.DogeConfig(**TWO),
    ],
    ids=lambda config: config.model_type,
)
def test_an_architecture_that_cannot_be_packed_is_one_line(config, tmp_path) -> None:
    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"takes no packed batches.*pack\.scope=none") as caught:
        check_isolation(load_model(str(tmp_path), dtype="float32", device="cpu"))
    assert "\n" not in str(caught.value)
    # what packs nothing can use it all the same, and says why when it is asked to pack
    usable = load_model(str(tmp_path), dtype="float32", device="cpu", attention="any")
    assert usable(input_ids=torch.arange(1, 9)[None]).logits.isfinite().all()
    with pytest.raises(InputError, match="takes no packed batches"):
        check_isolation(usable)
