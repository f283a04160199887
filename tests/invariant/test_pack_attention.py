"""The attention implementation by itself: against a written-out reference, and in ordinary, unpacked use."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from transformers.masking_utils import (
    create_causal_mask,
    create_chunked_causal_mask,
    create_sliding_window_causal_mask,
)

from codeact.errors import CodeactError
from codeact.lm import forward
from codeact.lm.attention import DeferredMask, attend, register
from codeact.lm.forward import chunk_positions, head_gap, head_logits, hidden_states, losses_of_logits, write_losses
from codeact.lm.streams import check_model
from codeact.packing import DynamicPackCollator, collate_rows
from codeact.training.losses import use_chunked_loss
from tests.helpers.packing_models import COMMON, FAMILIES, PAD, build, pad, random_samples, reference_attention


def written_out(query, key, value, sizes, scale, causal=True, window=None, softcap=None):
    """Softmax attention with an explicit mask over all tokens: [tokens, heads, size] in, the same out."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    segment = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    place = torch.cat([torch.arange(size) for size in sizes])
    allowed = segment[:, None] == segment[None, :]
    if causal:
        allowed &= place[:, None] >= place[None, :]
        if window is not None:
            allowed &= place[:, None] - place[None, :] < window
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~allowed, -torch.inf).softmax(-1), value)


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling": 0.3},
        {"sliding_window": 3},
        {"softcap": 2.0},
        {"sliding_window": 3, "softcap": 2.0},
        {"is_causal": False},
    ],
    ids=["plain", "scaling", "window", "softcap", "window-softcap", "bidirectional"],
)
def test_segments_against_the_written_out_formula(key_heads, options):
    generator = torch.Generator().manual_seed(0)
    rows, tokens, sizes = 2, 10, [4, 1, 5, 7, 3]
    query = torch.randn(rows, 4, tokens, 8, generator=generator, requires_grad=True)
    key, value = (torch.randn(rows, key_heads, tokens, 8, generator=generator, requires_grad=True) for _ in range(2))
    bounds = torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32)
    out, weights = attend(torch.nn.Identity(), query, key, value, None, cu_seq_lens_q=bounds, max_length_q=7, **options)
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    expected = written_out(
        *flat, sizes, options.get("scaling", 8**-0.5), options.get("is_causal", True),
        options.get("sliding_window"), options.get("softcap"),
    ).view(rows, tokens, 4, 8)  # fmt: skip
    assert weights is None
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    seed = torch.randn(out.shape, generator=generator)
    got = torch.autograd.grad(out, (query, key, value), seed)
    wanted = torch.autograd.grad(expected, (query, key, value), seed)
    for one, two in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("window", [None, 3])
def test_cuda_half_precision_against_the_written_out_formula(window):
    torch.manual_seed(0)
    sizes = [4, 1, 5, 7, 3]
    parts = [torch.randn(2, heads, 10, 16, device="cuda", dtype=torch.bfloat16) for heads in (4, 2, 2)]
    bounds = torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32, device="cuda")
    out, _ = attend(torch.nn.Identity(), *parts, None, cu_seq_lens_q=bounds, max_length_q=7, sliding_window=window)
    flat = [part.float().cpu().transpose(1, 2).flatten(0, 1) for part in parts]
    expected = written_out(*flat, sizes, 16**-0.5, window=window).view(2, 10, 4, 16)
    torch.testing.assert_close(out.float().cpu(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_padding_and_generation_are_the_ordinary_ones(family):
    batch = pad(random_samples(4, 20, seed=3), left=True)
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    ours, reference = build(family).eval(), build(family, reference_attention(family)).eval()
    with torch.no_grad():
        seen = inputs["attention_mask"].bool()
        torch.testing.assert_close(ours(**inputs).logits[seen], reference(**inputs).logits[seen], rtol=1e-4, atol=1e-4)
        settings = {"max_new_tokens": 12, "do_sample": False, "use_cache": True, "pad_token_id": PAD}
        assert torch.equal(ours.generate(**inputs, **settings), reference.generate(**inputs, **settings))
        uncached = ours.generate(**inputs, **{**settings, "use_cache": False})
        assert torch.equal(ours.generate(**inputs, **settings), uncached)


def test_static_cache_generation_is_the_ordinary_one():
    inputs = {key: value for key, value in pad(random_samples(3, 12, seed=4), left=True).items() if key != "labels"}
    settings = {
        "max_new_tokens": 8,
        "do_sample": False,
        "cache_implementation": "static",
        "pad_token_id": PAD,
        "disable_compile": True,
    }
    ours, reference = build("llama").eval(), build("llama", "sdpa").eval()
    assert torch.equal(ours.generate(**inputs, **settings), reference.generate(**inputs, **settings))


def test_a_callers_own_4d_mask_is_used():
    ids = torch.randint(1, 90, (1, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 1, 6, 6, dtype=torch.bool)  # everything sees everything
    ours, reference = build("llama").eval(), build("llama", "sdpa").eval()
    with torch.no_grad():
        got, wanted = (model(input_ids=ids, attention_mask=mask).logits for model in (ours, reference))
        plain = ours(input_ids=ids).logits
    torch.testing.assert_close(got, wanted)
    assert float((got - plain).abs().max()) > 0.01


def test_chunked_attention_is_packed_too():
    config = hf.Llama4TextConfig(
        **COMMON, head_dim=8, attention_chunk_size=4, intermediate_size_mlp=48, num_local_experts=2,
        layer_types=["chunked_attention", "full_attention"], moe_layers=[], no_rope_layers=[1, 1],
    )  # fmt: skip
    torch.manual_seed(0)
    model = hf.Llama4ForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    samples = random_samples(3, 12, seed=5)
    with torch.no_grad():
        model.set_attn_implementation("sdpa")
        alone = torch.cat([model(input_ids=torch.tensor([s["input_ids"]]), use_cache=False).logits[0] for s in samples])
        model.set_attn_implementation(register())
        batch = collate_rows(samples, [list(range(3))], pad_token_id=PAD)
        packed = model(**batch, use_cache=False).logits[0]
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_packed_rows_build_no_dense_mask():
    positions = torch.cat([torch.arange(5), torch.arange(7)]).unsqueeze(0)
    arguments = {
        "inputs_embeds": torch.zeros(1, 12, 32), "attention_mask": None, "past_key_values": None, "position_ids": positions,
    }  # fmt: skip
    config = build("gemma3").config
    full = create_causal_mask(config, **arguments)
    sliding = create_sliding_window_causal_mask(config, **arguments)
    assert isinstance(full, DeferredMask)
    assert isinstance(sliding, DeferredMask)
    assert (full.causal, full.window) == (True, None)
    assert (sliding.causal, sliding.window) == (True, 6)
    config.attention_chunk_size = 4
    assert not create_chunked_causal_mask(config, **arguments).causal
    overlay = create_causal_mask(config, **arguments, or_mask_function=lambda b, h, q, k: k < 2)
    assert not overlay.causal
    assert full.tensor().shape == (1, 1, 12, 12)
    assert not full.tensor()[0, 0, 5:, :5].any()


def test_broken_packed_batches_are_refused():
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(random_samples(6, 30, seed=1))
    model = build("llama")
    mask = torch.ones_like(batch["input_ids"])
    mask[:, -3:] = 0
    with pytest.raises(ValueError, match="carries no attention_mask"):
        model(**batch, attention_mask=mask)
    with pytest.raises(ValueError, match="must span all rows"):
        model(
            **{
                key: value[:1] if key in ("input_ids", "labels", "position_ids") else value
                for key, value in batch.items()
            }
        )
    first = model(input_ids=batch["input_ids"], use_cache=True)
    with pytest.raises(ValueError, match="KV cache"):
        model(**batch, past_key_values=first.past_key_values)
    sinks = torch.zeros(4)
    part = torch.zeros(1, 4, 3, 8)
    with pytest.raises(ValueError, match="sinks"):
        attend(model, part, part, part, None, s_aux=sinks)


def test_bfloat16_autocast_runs_packed():
    batch = DynamicPackCollator(capacity=24, pad_token_id=PAD)(random_samples(3, 12, seed=1))
    model = build("llama")
    exact = float(model(**batch).loss.detach())
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(exact, rel=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_through_the_head_give_the_models_loss_and_gradient(family):
    samples = random_samples(6, 30, seed=8, prompt=True)
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(samples)
    model = build(family)
    loss = model(**batch).loss
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    targets = batch["labels"][:, 1:]
    hidden = hidden_states(model, batch)[:, :-1][targets != -100]
    total = losses_of_logits(head_logits(model, hidden), targets[targets != -100], "sum")
    mean = total / (targets != -100).sum()
    assert float(mean.detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
    mean.backward()
    got = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float((got - expected).norm() / expected.norm()) <= 1e-5
    found = torch.empty(len(hidden))
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "CPU_LOGITS", 17 * model.config.vocab_size)
        write_losses(model, hidden, targets[targets != -100], found)
        logits = model(**batch).logits[:, :-1][targets != -100]
        wanted = torch.nn.functional.cross_entropy(logits, targets[targets != -100], reduction="none")
    assert len(hidden) > 2 * 17
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["alone", "packed", "padded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_of_known_models_gives_their_own_logits(family, layout):
    model = build(family)
    assert head_gap(model, layout) <= (0.0 if layout == "alone" else 1e-5)
    assert model.training


@pytest.mark.parametrize(
    "config",
    [hf.CohereConfig(**COMMON, logit_scale=0.25), hf.GraniteConfig(**COMMON, logits_scaling=3.0)],
    ids=["cohere", "granite"],
)
def test_head_logits_know_the_models_scaling(config):
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation=register()).eval()
    batch = DynamicPackCollator(capacity=40, pad_token_id=PAD)(random_samples(4, 20, seed=8))
    with torch.no_grad():
        torch.testing.assert_close(head_logits(model, hidden_states(model, batch)), model(**batch).logits)
    assert head_gap(model) == 0


@pytest.mark.parametrize(
    "own",
    [
        lambda logits: 2 * logits,
        lambda logits: logits[..., :-1],
        lambda logits: logits.index_fill(-1, torch.tensor([7]), float("-inf")),
        lambda logits: logits.index_fill(-1, torch.tensor([7]), float("nan")),
        lambda logits: logits.index_add(-1, torch.tensor([7]), torch.ones(*logits.shape[:-1], 1)),
    ],
    ids=["scaled", "shorter", "masked entry", "not a number", "biased entry"],
)
@pytest.mark.parametrize("layout", ["alone", "packed", "padded"])
def test_what_a_model_does_to_its_logits_is_seen(own, layout):
    model = build("llama")

    def change(module, arguments, output):
        output.logits = own(output.logits)
        return output

    model.register_forward_hook(change)
    assert head_gap(model, layout) > 5e-2
    with pytest.raises(CodeactError, match=r"cannot be scored|not finite"):
        check_model(model)
    assert not use_chunked_loss(model)


def test_rounding_of_another_kernel_in_half_precision_is_no_difference(monkeypatch):
    # a trained model may be nats apart at single entries (0.13 of the largest was seen); a scale of 1.1 is everywhere
    model = build("llama").to(torch.bfloat16)
    plain = forward.head_logits

    def rounded(model, hidden):
        logits = plain(model, hidden)
        return logits.index_add(-1, torch.tensor([3, 90]), torch.full((*logits.shape[:-1], 2), 1.5, dtype=logits.dtype))

    monkeypatch.setattr(forward, "head_logits", rounded)
    assert head_gap(model) > forward.allowed_head_gap(model)
    assert head_gap(model, "packed") <= forward.allowed_head_gap(model, "packed")
    monkeypatch.setattr(forward, "head_logits", lambda model, hidden: 30 * plain(model, hidden))
    assert head_gap(model, "packed") > forward.allowed_head_gap(model, "packed")


def test_a_constant_on_all_logits_changes_no_loss_and_is_let_pass():
    model = build("llama")

    def change(module, arguments, output):
        output.logits = output.logits + 3.0
        return output

    model.register_forward_hook(change)
    assert head_gap(model) <= 1e-6
    check_model(model)
    assert use_chunked_loss(model)


def test_one_rule_says_how_many_logits_exist():
    model = build("llama")
    cpu, device = torch.device("cpu"), torch.device("meta")
    assert chunk_positions(model, cpu) == forward.CPU_LOGITS // model.config.vocab_size
    assert chunk_positions(model, cpu, learning=True) == forward.LOGITS_PER_CHUNK // model.config.vocab_size
    assert chunk_positions(model, device) == chunk_positions(model, device, learning=True)
