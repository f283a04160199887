"""Training samples, the chunked loss, the metrics, and what training refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import CodeactError, InputError
from codeact.lm.prompts import Template, load_template
from codeact.packing import DynamicPackCollator
from codeact.records import Message, Record
from codeact.training.data import tokenise_records
from codeact.training.losses import use_chunked_loss
from codeact.training.metrics import pack_report, peak_memory_bytes, reset_peak_memory, summarise
from codeact.training.objective import use_sample_mean
from codeact.training.sft import PaddingCollator, fine_tune
from tests.helpers.tiny_models import byte_level

CHAT = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def record(*texts: str, identity: str = "r") -> Record:
    """Turns of user and assistant in alternation."""
    return Record(identity, tuple(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = ["Question:\nAdd a and b.\n\nAnswer:\nreturn a + b\n"] * 9
    raw = byte_level(texts, 320, ["<|pad|>", "<|end|>", "<|start|>"])
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|end|>", pad_token="<|pad|>", extra_special_tokens=["<|start|>"]
    )
    made.chat_template = CHAT
    return made


@pytest.fixture(params=["question", "chat"])
def template(request: pytest.FixtureRequest, tokenizer: Any) -> Template:
    return load_template(request.param, tokenizer)


def learnt(sample: Any, tokenizer: Any) -> str:
    return str(tokenizer.decode(sample["labels"][sample["labels"] != -100]))


class TestTokenise:
    def test_learns_answers_and_their_ends_of_all_turns(self, tokenizer: Any, template: Template) -> None:
        turns = record("Add a and b.", "return a + b", "And now c?", "return a + b + c")
        (sample,) = tokenise_records([turns], template, tokenizer, 512).samples
        assert learnt(sample, tokenizer) == "return a + b<|end|>return a + b + c<|end|>"
        kept = sample["labels"] != -100
        assert (sample["labels"][kept] == sample["input_ids"][kept]).all()
        assert sample["input_ids"][-1] == tokenizer.eos_token_id
        assert sample["id"] == "r"

    def test_learns_everything_but_the_first_token_with_the_prompt(self, tokenizer: Any, template: Template) -> None:
        (sample,) = tokenise_records([record("Add.", "a + b")], template, tokenizer, 512, train_on_prompt=True).samples
        assert sample["labels"][0] == -100
        assert (sample["labels"][1:] == sample["input_ids"][1:]).all()

    def test_truncation_keeps_the_end_marker(self, tokenizer: Any, template: Template) -> None:
        whole = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 512).samples[0]
        made = tokenise_records([record("Add.", "abc " * 50), record("Add.", "a")], template, tokenizer, 40)
        cut = made.samples[0]
        assert (made.truncated, made.dropped, made.split) == (1, 0, 0)
        assert len(cut["input_ids"]) == 40
        assert (cut["input_ids"][:-1] == whole["input_ids"][:39]).all()
        assert cut["input_ids"][-1] == cut["labels"][-1] == tokenizer.eos_token_id

    def test_a_prompt_that_fills_the_length_is_dropped_and_counted(self, tokenizer: Any, template: Template) -> None:
        made = tokenise_records([record("abc " * 50, "a"), record("Add.", "a")], template, tokenizer, 40)
        assert (made.truncated, made.dropped, len(made.samples)) == (0, 1, 1)

    def test_split_loses_no_token(self, tokenizer: Any, template: Template) -> None:
        whole = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 512).samples[0]
        made = tokenise_records([record("Add.", "abc " * 50)], template, tokenizer, 40, overlong="split")
        assert made.split == 1
        assert (np.concatenate([s["input_ids"] for s in made.samples]) == whole["input_ids"]).all()
        assert all(len(s["input_ids"]) <= 40 and s["labels"][0] == -100 and s["id"] == "r" for s in made.samples)
        # each further piece starts afresh, so that its first token is not learnt
        assert (
            sum((s["labels"] != -100).sum() for s in made.samples)
            == (whole["labels"] != -100).sum() - len(made.samples) + 1
        )

    def test_drop_and_error(self, tokenizer: Any, template: Template) -> None:
        data = [record("Add.", "abc " * 50, identity="long"), record("Add.", "a")]
        made = tokenise_records(data, template, tokenizer, 40, overlong="drop")
        assert (made.dropped, [s["id"] for s in made.samples]) == (1, ["r"])
        with pytest.raises(InputError, match=r"'long' has \d+ tokens, more than model.max_length = 40"):
            tokenise_records(data, template, tokenizer, 40, overlong="error")
        with pytest.raises(InputError, match="the only record is longer"):
            tokenise_records(data[:1], template, tokenizer, 40, overlong="drop")

    def test_refuses_nothing_to_learn(self, tokenizer: Any, template: Template) -> None:
        with pytest.raises(InputError, match="the data set is empty"):
            tokenise_records([], template, tokenizer, 40)
        with pytest.raises(InputError, match="record 'r' has no assistant tokens"):
            tokenise_records([record("Add.", "")], template, tokenizer, 40)

    def test_refuses_a_tokenizer_that_cannot_end(self, tokenizer: Any) -> None:
        endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
        open_ended = Template("open", "{% for m in messages %}{{ m.content }}\n{% endfor %}", adds_special=True)
        with pytest.raises(InputError, match="no EOS token"):
            tokenise_records([record("Add.", "a")], open_ended, endless, 40)


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

    def test_a_model_with_an_auxiliary_loss_keeps_its_own(self) -> None:
        torch.manual_seed(0)
        model = MixtralForCausalLM(
            MixtralConfig(**SIZES, num_local_experts=2, output_router_logits=True, router_aux_loss_coef=0.5)
        )
        ids = torch.arange(12)[None]
        before = model.eval()(input_ids=ids, labels=ids).loss
        assert not use_chunked_loss(model)
        assert torch.equal(model(input_ids=ids, labels=ids).loss, before)


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
        if chunked:
            assert use_chunked_loss(model, "sample-mean")
        else:
            use_sample_mean(model, packed=True)
        for batch in (packed, padded):
            loss, found = gradients(model, batch)
            torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
            for key, gradient in wanted.items():
                assert (found[key] - gradient).norm() <= 1e-5 * gradient.norm(), key
            doubled = model(**batch, num_items_in_batch=2).loss
            assert float(doubled.detach()) == pytest.approx(2 * float(loss), rel=1e-5)  # 4 samples have something learnt

    def test_an_auxiliary_loss_stays(self) -> None:
        torch.manual_seed(0)
        routed = MixtralConfig(**SIZES, num_local_experts=2, output_router_logits=True, router_aux_loss_coef=0.5)
        model = MixtralForCausalLM(routed).eval()
        samples, _, padded = self.batches()
        with torch.no_grad():
            extra = 0.5 * model(**padded).aux_loss
            expected = mean_of_samples(model, samples) + extra
        assert not use_chunked_loss(model, "sample-mean")
        use_sample_mean(model, packed=False)
        torch.testing.assert_close(model(**padded).loss.detach(), expected, rtol=1e-5, atol=0)

    def test_a_model_with_a_loss_of_its_own_is_refused(self) -> None:
        model = network("llama", lora=False)
        own = type(model).forward

        def alone(input_ids: torch.Tensor, labels: Any = None, **inputs: Any) -> Any:
            return own(model, input_ids=input_ids)

        model.forward = alone
        with pytest.raises(InputError, match="LlamaForCausalLM computes its own loss, which cannot be weighed by samples"):
            use_sample_mean(model, packed=False)


class TestMetrics:
    def test_summary_weighs_steps_by_their_tokens(self) -> None:
        rows = [
            {"step": 1, "loss": 4.0, "tokens": 100, "padding_rate": 0.5, "seconds": 1.0, "peak_memory_bytes": 7},
            {"step": 2, "loss": 2.0, "tokens": 300, "padding_rate": 0.0, "seconds": 3.0, "peak_memory_bytes": 9},
        ]
        summary = summarise(rows)
        assert summary["padding_rate"] == pytest.approx(100 / 500)
        assert (summary["steps"], summary["tokens"], summary["seconds"], summary["tokens_per_second"]) == (
            2,
            400,
            4,
            100,
        )
        assert (summary["first_loss"], summary["final_loss"], summary["peak_memory_bytes"]) == (4.0, 2.0, 9)

    def test_peak_memory_sees_what_was_freed(self) -> None:
        device = torch.device("cpu")
        reset_peak_memory(device)
        before = peak_memory_bytes(device)
        block = np.ones(30_000_000)
        del block
        assert peak_memory_bytes(device) >= before + 200_000_000

    def test_pack_report_against_plain_sums(self) -> None:
        lengths = np.random.default_rng(0).integers(5, 200, 64).tolist()
        report = pack_report(lengths, 256, 64, seed=3, truncated=2, dropped=1)
        tokens, methods = sum(lengths), report["methods"]
        assert (report["capacity"], report["records"], report["tokens"], report["batch_size"]) == (256, 64, tokens, 64)
        assert (report["truncated"], report["dropped"]) == (2, 1)
        assert methods["pad to max"] == {"padding_rate": 1 - tokens / (64 * 256), "rows": 64, "row_tokens": 64 * 256}
        assert methods["dynamic padding"]["row_tokens"] == 64 * max(lengths)
        rates = [
            methods[name]["padding_rate"]
            for name in ("pad to max", "dynamic padding", "reference Dynamic Pack", "Dynamic Pack")
        ]
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] < 0.1
        json.dumps(report, allow_nan=False)


POOL = [record(f"Add {n} and b.", f"return {n} + b" * (1 + n % 5), identity=f"r{n}") for n in range(16)]


def run(folder: Path, out: Path, records: list[Record] = POOL, **changes: Any) -> dict[str, Any]:
    model = {"name": str(folder), "max_length": 128, "template": "question", "dtype": "float32"} | changes.pop(
        "model", {}
    )
    pack = changes.pop("pack", {})
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 0} | changes
    return fine_tune(
        records,
        out,
        model=ModelConfig(**model),
        train=TrainConfig(**settings),
        pack=PackConfig(**pack),
        seed=0,
    )


class TestTrain:
    @pytest.mark.parametrize("method", ["full", "lora"])
    def test_writes_a_model_that_loads_and_what_it_measured(
        self, tiny_model_dir: Path, tmp_path: Path, method: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        summary = run(tiny_model_dir, tmp_path, method=method, grad_accum=2, gradient_checkpointing=True)
        assert capfd.readouterr() == ("", "")
        rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 2, 3, 4] == list(range(1, summary["steps"] + 1))
        assert json.loads((tmp_path / "summary.json").read_text()) == summary
        assert summary["final_loss"] < summary["first_loss"]
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
        lengths = tokenise_records(POOL, load_template("question", tokenizer), tokenizer, 128).lengths
        assert summary["tokens"] == 2 * lengths.sum() == sum(row["tokens"] for row in rows)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
        tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        assert tuned.config.use_cache
        assert tuned.generation_config.eos_token_id == tokenizer.eos_token_id
        assert not torch.equal(base.model.layers[0].mlp.up_proj.weight, tuned.model.layers[0].mlp.up_proj.weight)
        count = sum(p.numel() for p in base.parameters())
        assert summary["parameters"] - summary["trainable_parameters"] == (count if method == "lora" else 0)
        names = {"metrics.jsonl", "model", "summary.json"} | ({"adapter"} if method == "lora" else set())
        assert {path.name for path in tmp_path.iterdir()} == names

    def test_merged_model_equals_base_plus_adapter(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        from peft import PeftModel

        run(tiny_model_dir, tmp_path, method="lora")
        ids = torch.arange(20)[None]
        with torch.no_grad():
            base = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
            plain = base(ids).logits
            apart = PeftModel.from_pretrained(base, tmp_path / "adapter")(ids).logits
            merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")(ids).logits
        torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-4)
        assert (merged - plain).abs().max() > 0.01

    def test_the_same_seed_gives_the_same_model_and_another_does_not(
        self, tiny_model_dir: Path, tmp_path: Path
    ) -> None:
        first = run(tiny_model_dir, tmp_path / "a")["final_loss"]
        assert run(tiny_model_dir, tmp_path / "b")["final_loss"] == first
        other = fine_tune(
            POOL, tmp_path / "c", model=ModelConfig(name=str(tiny_model_dir), max_length=128, template="question", dtype="float32"),
            train=TrainConfig(epochs=2, batch_size=4, learning_rate=3e-3, warmup_steps=0), pack=PackConfig(), seed=1,
        )  # fmt: skip
        assert other["final_loss"] != first

    def test_packing_pads_less_than_padding(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        data = [record("Add.", "x = 1\n" * (1 + 5 * (n % 4)), identity=f"r{n}") for n in range(16)]
        rates = {
            scope: run(tiny_model_dir, tmp_path / scope, data, epochs=1, batch_size=8, pack={"scope": scope})[
                "padding_rate"
            ]
            for scope in ("none", "batch")
        }
        assert rates["batch"] < 0.5 * rates["none"]

    def test_counts_what_was_too_long(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        data = [*POOL, record("Add.", "x = 1\n" * 200, identity="long"), record("abc " * 200, "x", identity="prompt")]
        summary = run(tiny_model_dir, tmp_path, data, epochs=1)
        assert (summary["records"], summary["truncated"], summary["dropped"]) == (17, 1, 1)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"model": {"max_length": 10**6}},
                r"max_length = 1000000 is beyond the context of .*, which is \d+ tokens; set",
            ),
            ({"scheduler": "cosin"}, r"train.scheduler = 'cosin' is unknown; did you mean 'cosine'\?; use one of cosine"),
            ({"model": {"dtype": "float16", "device": "cpu"}}, "float16 trains on CUDA GPUs only"),
            ({"model": {"max_length": 16}, "pack": {"overlong": "error"}}, "more than model.max_length = 16"),
            ({"model": {"name": "./nowhere"}}, "no such folder"),
        ],
    )
    def test_refuses_bad_settings_in_one_line(
        self, tiny_model_dir: Path, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message) as caught:
            run(tiny_model_dir, tmp_path, **changes)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "summary.json").exists()

    def test_refuses_a_full_disk_before_training(
        self, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
        with pytest.raises(InputError, match=r"has 0\.0 GB free; the model and its checkpoints may need"):
            run(tiny_model_dir, tmp_path)
        assert not (tmp_path / "metrics.jsonl").exists()

    def test_refuses_no_records(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="the data set is empty"):
            run(tiny_model_dir, tmp_path, [])

    def test_stops_when_the_loss_is_no_number(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        with pytest.raises(CodeactError, match=r"the training loss became nan at step \d; lower train.learning_rate"):
            run(tiny_model_dir, tmp_path, learning_rate=1e30)
        assert not (tmp_path / "model").exists()

    def test_refuses_to_train_on_a_leak(
        self, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        def leaky(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Any:
            return sdpa_attention_forward(
                module, query, key, value, None, is_causal=True, scaling=kwargs.get("scaling")
            )

        monkeypatch.setattr("codeact.lm.attention.attend", leaky)
        with pytest.raises(CodeactError, match="packed samples see each other"):
            run(tiny_model_dir, tmp_path)
        assert not (tmp_path / "metrics.jsonl").exists()
