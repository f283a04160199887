"""The chunked loss and the mean of samples against the models' own loss and the formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    BartConfig,
    BartForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    WhisperConfig,
    WhisperForCausalLM,
)

from codeact.packing import DynamicPackCollator
from codeact.training.losses import use_chunked_loss
from codeact.training.sft import PaddingCollator
from tests.helpers.log import logged

SIZES: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
NETWORKS: dict[str, Any] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "gemma2, soft-capped": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=0.5)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2)
    ),
}

DECODER: dict[str, Any] = {
    "vocab_size": 97, "d_model": 32, "decoder_ffn_dim": 48, "decoder_layers": 2, "decoder_attention_heads": 4,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "init_std": 0.2,
}  # fmt: skip
UNSHIFTED: dict[str, Any] = {
    "bart": lambda: BartForCausalLM(BartConfig(**DECODER, max_position_embeddings=96)),
    "whisper": lambda: WhisperForCausalLM(WhisperConfig(**DECODER, max_target_positions=96)),
}


def network(name: str, lora: bool) -> Any:
    torch.manual_seed(0)
    made = NETWORKS[name]().eval()
    if not lora:
        return made
    from peft import LoraConfig, get_peft_model

    targets = ["c_attn", "c_fc"] if name == "gpt2" else "all-linear"
    return get_peft_model(
        made, LoraConfig(r=4, target_modules=targets, init_lora_weights=False, fan_in_fan_out=name == "gpt2")
    )


def gradients(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


class TestChunkedLoss:
    @pytest.mark.parametrize("items", [None, 150])
    @pytest.mark.parametrize("lora", [False, True])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_equals_the_models_own(
        self, name: str, lora: bool, items: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = network(name, lora)
        ids = torch.randint(3, 97, (2, 40), generator=torch.Generator().manual_seed(1))
        labels = ids.clone()
        labels[:, :7] = labels[1, 30:] = -100
        batch: dict[str, Any] = {"input_ids": ids, "labels": labels}
        if items:
            batch["num_items_in_batch"] = items
        expected, wanted = gradients(model, batch)
        monkeypatch.setattr("codeact.lm.forward.LOGITS_PER_CHUNK", 17 * 97)
        assert use_chunked_loss(model)
        seen: list[int] = []
        model.get_output_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out.shape[0]))
        loss, found = gradients(model, batch)
        assert seen == [17, 17, 17, 5]  # the learnt positions only, never more than a chunk of them
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
        assert found.keys() == wanted.keys()
        for key, gradient in wanted.items():
            assert (found[key] - gradient).norm() <= 1e-5 * gradient.norm(), key
        with torch.no_grad():
            torch.testing.assert_close(model(**batch).loss, expected, rtol=1e-5, atol=0)

    def test_leaves_calls_without_labels_alone(self) -> None:
        model = network("llama", lora=False)
        ids = torch.arange(12)[None]
        before = model(input_ids=ids).logits
        assert use_chunked_loss(model)
        assert torch.equal(model(input_ids=ids).logits, before)

    def test_a_batch_with_nothing_learnt_gives_zero(self) -> None:
        model = network("llama", lora=False)
        use_chunked_loss(model)
        loss = model(input_ids=torch.arange(6)[None], labels=torch.full((1, 6), -100), num_items_in_batch=5).loss
        loss.backward()
        assert loss == 0

    @pytest.mark.parametrize("coefficient", [0.5, 1e-3])
    def test_the_loss_that_balances_experts_is_added_in_training(self, coefficient: float) -> None:
        """A coefficient as published ones are (0.001) makes so small a part that it was taken for rounding, and lost."""
        model = routed(coefficient)
        ids = torch.randint(3, 97, (2, 20), generator=torch.Generator().manual_seed(1))
        labels = ids.clone()
        labels[:, :7] = -100
        expected, wanted = gradients(model.train(), {"input_ids": ids, "labels": labels})
        with torch.no_grad():
            logits = model(input_ids=ids).logits[:, :-1]
        plain = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        assert expected.item() > plain.item() * (1 + coefficient / 10)
        assert use_chunked_loss(model)
        loss, found = gradients(model, {"input_ids": ids, "labels": labels})
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
        assert found.keys() == wanted.keys()
        for key, gradient in wanted.items():
            assert (found[key] - gradient).norm() <= 1e-5 * gradient.norm(), key
        assert model.eval()(input_ids=ids, labels=labels).loss.item() == pytest.approx(plain.item(), rel=1e-6)

    def test_accumulated_passes_do_not_add_it_up(self) -> None:
        """Two passes of a step: each counts by its learnt tokens, while transformers adds it whole in every pass."""
        model = routed(0.5).train()
        parts = [torch.randint(3, 97, (1, size), generator=torch.Generator().manual_seed(size)) for size in (9, 21)]
        items = sum(part.shape[1] - 1 for part in parts)
        with torch.no_grad():
            outputs = [model(input_ids=part) for part in parts]
            sums = [cross_entropy(o.logits[0, :-1], part[0, 1:], reduction="sum") for o, part in zip(outputs, parts, strict=True)]
            balance = sum(0.5 * float(o.aux_loss) * (part.shape[1] - 1) / items for o, part in zip(outputs, parts, strict=True))
        use_chunked_loss(model)
        with torch.no_grad():
            found = sum(float(model(input_ids=part, labels=part, num_items_in_batch=items).loss) for part in parts)
        assert found == pytest.approx(float(sum(sums)) / items + balance, rel=1e-6)

    def test_another_addition_is_told_and_left_out(self) -> None:
        model = network("llama", lora=False)
        own = model.forward

        def added(*args: Any, **kwargs: Any) -> Any:
            found = own(*args, **kwargs)
            if kwargs.get("labels") is not None:
                found.loss = found.loss + 0.01
            return found

        model.forward = added
        ids = torch.arange(12)[None]
        plain = cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
        with logged() as lines:
            assert use_chunked_loss(model)
        assert [line.partition(", ")[0] for line in lines] == ["LlamaForCausalLM adds 0.01 to the loss of the next tokens"]
        assert model(input_ids=ids, labels=ids).loss.item() == pytest.approx(plain.item(), rel=1e-6)

    @pytest.mark.parametrize("name", ["bart", "whisper"])
    def test_labels_that_the_models_own_loss_does_not_shift(self, name: str) -> None:
        """A decoder of BART's kind compares each token with itself: trained so it would learn to repeat what it reads."""
        torch.manual_seed(0)
        model = UNSHIFTED[name]().eval()
        ids = torch.randint(3, 97, (2, 20), generator=torch.Generator().manual_seed(1))
        labels = ids.clone()
        labels[:, :7] = -100
        logits = model(input_ids=ids).logits
        following = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        assert model(input_ids=ids, labels=labels).loss.item() != pytest.approx(following.item(), rel=1e-3)
        assert use_chunked_loss(model)
        assert model(input_ids=ids, labels=labels).loss.item() == pytest.approx(following.item(), rel=1e-5)

    @pytest.mark.parametrize("items", [None, 50])
    def test_logits_that_are_more_than_the_heads_are_taken_as_they_are(self, items: int | None) -> None:
        torch.manual_seed(0)
        model = UNSHIFTED["bart"]().eval()
        own = model.forward

        def scaled(*args: Any, **kwargs: Any) -> Any:
            found = own(*args, **{key: value for key, value in kwargs.items() if key != "labels"})
            found.logits = found.logits * 3.0
            if "labels" in kwargs:
                found.loss = cross_entropy(found.logits.flatten(0, 1), kwargs["labels"].flatten())
            return found

        model.forward = scaled
        ids = torch.randint(3, 97, (2, 20), generator=torch.Generator().manual_seed(1))
        labels = ids.clone()
        labels[:, :7] = -100
        model.zero_grad()
        expected = cross_entropy(model(input_ids=ids).logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
        expected = expected / (items or int((labels[:, 1:] != -100).sum()))
        expected.backward()
        wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        assert not use_chunked_loss(model)
        loss, found = gradients(model, {"input_ids": ids, "labels": labels, "num_items_in_batch": items})
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
        for key, gradient in wanted.items():
            assert (found[key] - gradient).norm() <= 1e-5 * max(gradient.norm(), 0.1), key  # a key's bias has none but rounding


def routed(coefficient: float) -> Any:
    """A mixture of experts that balances them."""
    torch.manual_seed(0)
    return MixtralForCausalLM(
        MixtralConfig(**SIZES, num_local_experts=2, output_router_logits=True, router_aux_loss_coef=coefficient, initializer_range=0.2)
    )


def mean_of_samples(model: Any, samples: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The formula, one sample at a time."""
    means = []
    for ids, labels in samples:
        logits = model(input_ids=ids[None]).logits[0, :-1].float()
        if (labels[1:] != -100).any():
            means.append(torch.nn.functional.cross_entropy(logits, labels[1:]))
    return torch.stack(means).mean()


class TestSampleMean:
    def batches(self) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], dict[str, Any], dict[str, Any]]:
        """Samples (the last with nothing learnt), packed and padded."""
        generator = torch.Generator().manual_seed(3)
        samples = []
        for size, prompt in [(23, 3), (5, 4), (11, 1), (17, 9), (8, 8)]:
            ids = torch.randint(3, 97, (size,), generator=generator)
            labels = ids.clone()
            labels[:prompt] = -100
            samples.append((ids, labels))
        items = [{"input_ids": ids.numpy(), "labels": labels.numpy()} for ids, labels in samples]
        packed = DynamicPackCollator(capacity=32, pad_token_id=0)(items)
        return samples, packed, PaddingCollator(pad_token_id=0)(items)

    @pytest.mark.parametrize("chunked", [True, False])
    @pytest.mark.parametrize("lora", [False, True])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_equals_the_formula(self, name: str, lora: bool, chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        model = network(name, lora)
        model.config.use_cache = False  # with a cache packed samples would see each other
        samples, packed, padded = self.batches()
        model.zero_grad()
        expected = mean_of_samples(model, samples)
        expected.backward()
        wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        monkeypatch.setattr("codeact.lm.forward.LOGITS_PER_CHUNK", 17 * 97)
        if not chunked:
            monkeypatch.setattr("codeact.training.losses._head_is_all", lambda _: False)
        assert use_chunked_loss(model, "sample-mean") == chunked
        for batch in (packed, padded):
            loss, found = gradients(model, batch)
            torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
            for key, gradient in wanted.items():
                assert (found[key] - gradient).norm() <= 1e-5 * gradient.norm(), key
            doubled = model(**batch, num_items_in_batch=2).loss
            assert float(doubled.detach()) == pytest.approx(2 * float(loss), rel=1e-5)  # 4 samples have something learnt

    def test_the_balance_of_experts_is_added(self) -> None:
        model = routed(0.5).eval()
        samples, _, padded = self.batches()
        with torch.no_grad():
            extra = 0.5 * model(**padded).aux_loss
            expected = mean_of_samples(model, samples) + extra
        assert use_chunked_loss(model, "sample-mean")
        torch.testing.assert_close(model.train()(**padded).loss.detach(), expected, rtol=1e-5, atol=0)
