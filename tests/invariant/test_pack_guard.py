"""The guard passes what is isolated and catches each planted leak, saying why."""

from __future__ import annotations

import pytest
import torch
from packing_models import FAMILIES, PAD, build, random_samples, reference_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask

from codeact.errors import InputError
from codeact.packing import DynamicPackCollator
from codeact.packing.attention import attend
from codeact.packing.guard import LeakError, check_isolation, probe_batch


@pytest.mark.parametrize("family", FAMILIES)
def test_codeact_attention_passes(family):
    model = build(family)
    measured = check_isolation(model)
    assert measured.leak <= measured.tolerance < measured.effect
    assert model.training


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
