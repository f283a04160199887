"""The CUDA kernels: what can be seen of them on a CPU. Which one is chosen, and that each is given the right batch.

FlashAttention itself runs on GPUs only; here its function is written out, with flash-attn's own signature, so that what is
tested is every argument that codeact and transformers hand to it. Flex attention runs uncompiled, forward.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash_utils

from codeact.lm import kernels
from codeact.lm.attention import attend
from codeact.lm.isolation import LeakError, check_isolation, probe_batch
from codeact.packing import DynamicPackCollator
from tests.helpers.packing_models import PAD, build, random_samples

OPTIONS = [
    {},
    {"scaling": 0.3},
    {"sliding_window": 3},
    {"softcap": 2.0},
    {"sliding_window": 3, "softcap": 2.0},
    {"is_causal": False},
]
NAMES = ["plain", "scaling", "window", "softcap", "window-softcap", "bidirectional"]


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None, causal=False,
    window_size=(-1, -1), softcap=0.0, alibi_slopes=None, deterministic=False, return_attn_probs=False, block_table=None,
):  # fmt: skip
    """flash-attn's interface, written out: q, k, v [tokens, heads, size]; windows are inclusive bounds left and right, -1: none."""
    assert dropout_p == 0.0
    assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
    assert int(cu_seqlens_q[-1]) == len(q)
    assert max_seqlen_q == int(cu_seqlens_q.diff().max())
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    out = []
    for start, stop in pairwise(cu_seqlens_q.tolist()):
        scores = torch.einsum("qhd,khd->hqk", q[start:stop], k[start:stop]) * softmax_scale
        if softcap > 0:
            scores = softcap * torch.tanh(scores / softcap)
        behind = torch.arange(stop - start)[:, None] - torch.arange(stop - start)[None, :]
        hidden = torch.zeros_like(behind, dtype=torch.bool)
        if causal:
            hidden |= behind < 0
        if window_size[0] >= 0:
            hidden |= behind > window_size[0]
        if window_size[1] >= 0:
            hidden |= -behind > window_size[1]
        out.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v[start:stop]))
    return torch.cat(out)


def packed_parts(key_heads=2):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 10, 8, generator=generator)
    key, value = (torch.randn(2, key_heads, 10, 8, generator=generator) for _ in range(2))
    bounds = torch.tensor([0, 4, 5, 10, 17, 20], dtype=torch.int32)
    return (query, key, value), bounds


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "varlen"),
        ({"dtype": torch.float16}, "varlen"),
        ({"device": "cpu"}, "segments"),
        ({"device": "mps"}, "segments"),
        ({"dtype": torch.float32}, "segments"),
        ({"modern": False}, "segments"),
        ({"size": 512, "value_size": 512}, "segments"),
        ({"value_size": 32}, "segments"),
        ({"size": 60, "value_size": 60}, "segments"),
        ({"varlen": False}, "flash"),
        ({"varlen": False, "flash": False}, "segments"),
        ({"dropout": 0.1}, "flash"),
        ({"dropout": 0.1, "flash": False}, "segments"),
        ({"softcap": 50.0}, "flash"),
        ({"softcap": 50.0, "flash": False}, "flex"),
        ({"softcap": 50.0, "flash": False, "dropout": 0.1}, "segments"),
        ({"softcap": 50.0, "dtype": torch.float32}, "segments"),
    ],
)
def test_the_choice_of_kernel(facts, expected):
    usual = {
        "device": "cuda", "dtype": torch.bfloat16, "size": 64, "value_size": 64, "dropout": 0.0, "softcap": None,
        "modern": True, "varlen": True, "flash": True,
    }  # fmt: skip
    assert kernels.choose_kernel(**{**usual, **facts}) == expected


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_flash_attn_is_given_what_the_segments_compute(options, key_heads):
    parts, bounds = packed_parts(key_heads)
    expected, _ = attend(torch.nn.Identity(), *parts, None, cu_seq_lens_q=bounds, max_length_q=7, **options)
    flat = [part.transpose(1, 2).flatten(0, 1) for part in parts]
    found = kernels.flash(
        flash_attn_varlen_func, *flat, (bounds, bounds), (7, 7), options.get("scaling", 8**-0.5), options.get("is_causal", True),
        options.get("sliding_window"), 0.0, options.get("softcap"),
    )  # fmt: skip
    torch.testing.assert_close(found.view(2, 10, 4, 8), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_flex_attention_computes_what_the_segments_compute(options, key_heads):
    from torch.nn.attention.flex_attention import flex_attention

    parts, bounds = packed_parts(key_heads)
    expected, _ = attend(torch.nn.Identity(), *parts, None, cu_seq_lens_q=bounds, max_length_q=7, **options)
    settings = (options.get("scaling", 8**-0.5), options.get("is_causal", True), options.get("sliding_window"))
    for _ in range(2):  # the second time with the block mask kept from the first
        found = kernels.flex(flex_attention, *parts, bounds, *settings, options.get("softcap"))
        torch.testing.assert_close(found.view(2, 10, 4, 8), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def flash_attention_2(monkeypatch):
    """transformers' own flash_attention_2 path, over the written-out function in place of the GPU's."""

    def flash_attn_func(
        q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, deterministic=False
    ):
        sizes = torch.arange(len(q) + 1, dtype=torch.int32) * q.shape[1]
        flat = (part.flatten(0, 1) for part in (q, k, v))
        length = q.shape[1]
        return flash_attn_varlen_func(
            *flat, sizes, sizes, length, length, dropout_p, softmax_scale, causal, window_size, softcap
        ).view_as(q)

    functions = (flash_attn_func, flash_attn_varlen_func, None, flash_utils._pad_input, flash_utils._unpad_input)
    monkeypatch.setattr(flash_utils, "_lazy_imports", lambda *_, **__: functions)
    monkeypatch.setattr(flash_utils, "_loaded_implementation", None)

    def with_flash(family):
        model = build(family).eval()
        model.config._attn_implementation_internal = "flash_attention_2"
        return model

    yield with_flash
    flash_utils._loaded_implementation = None


@pytest.mark.parametrize("family", ["llama", "mistral-window", "gemma2-softcap", "qwen3"])
def test_transformers_flash_attention_2_takes_the_batch(flash_attention_2, family):
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(random_samples(6, 30, seed=2))
    assert len(batch["input_ids"]) > 1
    model = flash_attention_2(family)
    assert check_isolation(model).leak <= 1e-6
    assert check_isolation(model, batch).leak <= 1e-6
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, build(family).eval()(**batch).logits, rtol=1e-4, atol=1e-4)


def test_transformers_flash_attention_2_leaks_on_two_rows_without_bounds(flash_attention_2):
    bare = {key: value for key, value in probe_batch(97).items() if "seq_lens" not in key}
    with pytest.raises(LeakError, match=r"see each other.*no cu_seq_lens_q"):
        check_isolation(flash_attention_2("llama"), bare)


@pytest.mark.parametrize("family", ["llama", "mistral-window", "gemma2-softcap"])
def test_transformers_flex_attention_takes_the_batch(monkeypatch, family):
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations.flex_attention import WrappedFlexAttention

    # without its compiled form, which would need a compiler for CPUs
    monkeypatch.setattr(WrappedFlexAttention, "__call__", lambda _: flex_attention)
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(random_samples(6, 30, seed=2))
    model = build(family, "flex_attention").eval()
    # transformers compiles its block mask too
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        assert check_isolation(model).leak <= 1e-6
        torch.testing.assert_close(model(**batch).logits, build(family).eval()(**batch).logits, rtol=1e-4, atol=1e-4)
