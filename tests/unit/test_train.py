"""What training writes and measures, and what it refuses."""

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
)

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import CodeactError, InputError
from codeact.lm.prompts import load_template
from codeact.records import Message, Record
from codeact.training.data import tokenise_records
from codeact.training.metrics import pack_report, peak_memory_bytes, reset_peak_memory, summarise
from codeact.training.sft import fine_tune


def record(*texts: str, identity: str = "r") -> Record:
    """Turns of user and assistant in alternation."""
    return Record(identity, tuple(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)))


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

    def test_a_constant_rate_has_no_warm_up_and_says_so(self, tiny_model_dir: Path, tmp_path: Path) -> None:
        for scheduler, steps, first, warned in (("constant", 0, 3e-3, True), ("constant_with_warmup", 3, 0.0, False)):
            summary = run(tiny_model_dir, tmp_path / scheduler, scheduler=scheduler, warmup_steps=3)
            rates = [json.loads(line)["learning_rate"] for line in (tmp_path / scheduler / "metrics.jsonl").read_text().splitlines()]
            assert (rates[0], rates[-1], summary["warmup_steps"]) == (first, 3e-3, steps)
            assert any("train.warmup_steps means nothing under train.scheduler=constant" in line for line in summary["warnings"]) == warned

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
