"""Models that compute a text otherwise beside a longer one, or far on in a packed row: texts go apart, or are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from codeact import train
from codeact.config import ModelConfig, Recipe
from codeact.errors import InputError
from codeact.lm.isolation import LeakError, check_isolation
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.passes import PassLimits, pass_limits
from codeact.lm.pooling import pooled_states
from codeact.packing import DynamicPackCollator
from codeact.records import Message, Record
from codeact.rundir.inputs import Inputs
from codeact.score import Scorer
from codeact.score.adaptive.run import score_adaptive
from tests.helpers.tiny_models import byte_level, ended

SHAPE = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
ENDS = {"pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "original_max_position_embeddings": 48}
MADE: dict[str, dict[str, Any]] = {
    "Phi3": {"max_position_embeddings": 400, "original_max_position_embeddings": 48, "rope_parameters": LONGROPE},
    "Llama4Text": {
        "max_position_embeddings": 400, "floor_scale": 48, "attn_scale": 2.0, "attn_temperature_tuning": True, "head_dim": 8, "intermediate_size_mlp": 48,
        "num_local_experts": 2, "attention_chunk_size": 400, "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0],
    },
    "Llama": {"max_position_embeddings": 48, "rope_parameters": {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 10000.0}},
}  # fmt: skip
SHORT, LONG = "b" * 12, "def f(x):\n    return x\n" * 8
RECORDS = [Record(str(n), (Message("user", "Say it"), Message("assistant", text))) for n, text in enumerate([SHORT, LONG, SHORT + "c", LONG + "d", "e" * 20])]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    tokenizer = ended(byte_level(["Say it"], 300, ["<end>"]))
    for kind, settings in MADE.items():
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**SHAPE, **ENDS, **settings)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weights in model.parameters():
                if weights.dim() > 1:
                    weights.normal_(0, 0.2)
        found[kind] = tmp_path_factory.mktemp(kind)
        model.save_pretrained(found[kind])
        tokenizer.save_pretrained(found[kind])
    return found


@pytest.mark.parametrize("attention", ["codeact", None])
@pytest.mark.parametrize("kind", ["Phi3", "Llama4Text"])
def test_a_short_text_beside_a_long_one_is_computed_as_alone(folders: dict[str, Path], kind: str, attention: str | None) -> None:
    name = str(folders[kind])
    own = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, attn_implementation="eager").eval()
    model, tokenizer = load_model(name, dtype="float32", device="cpu", attention=attention), load_tokenizer(name)
    scorer = Scorer(model, tokenizer, max_length=400, batch_tokens=1000)
    prepared = scorer.prepare(RECORDS)
    for item, score in zip(prepared, scorer.score(RECORDS), strict=True):
        for (stream,), found in ((item.conditional, score.nll_cond), (item.unconditional, score.nll_uncond)):
            with torch.no_grad():
                logits = own(input_ids=torch.tensor([stream.ids]), use_cache=False).logits[0].log_softmax(-1)
            (span,) = stream.spans
            assert found == pytest.approx(np.mean([-logits[at - 1, stream.ids[at]].item() for at in range(span.start, span.end)]), rel=1e-5)
    texts = [item.conditional[0].ids for item in prepared]
    alone = np.concatenate([pooled_states(model, [text], 1000) for text in texts])
    np.testing.assert_allclose(pooled_states(model, texts, 1000), alone, rtol=1e-4, atol=1e-5)


def test_factors_that_follow_the_texts_before_are_refused(folders: dict[str, Path]) -> None:
    name = str(folders["Llama"])
    model, tokenizer = load_model(name, dtype="float32", device="cpu"), load_tokenizer(name)
    assert pooled_states(model, [[5] * 48, [6] * 9], 1000).shape == (2, 32)
    with pytest.raises(InputError, match=r"a text of 49 tokens: beyond 48 .*dynamic.*set model\.max_length=48"):
        pooled_states(model, [[5] * 49, [6] * 9], 1000)
    assert Scorer(model, tokenizer, max_length=400).max_length == 48


def test_adaptive_scoring_is_refused_where_a_record_goes_on_beyond_the_limit(folders: dict[str, Path]) -> None:
    name = str(folders["Phi3"])
    model, tokenizer = load_model(name, dtype="float32", device="cpu"), load_tokenizer(name)
    score_adaptive(RECORDS, Scorer(model, tokenizer, max_length=48), np.isfinite, np.zeros(len(RECORDS), np.int64))
    with pytest.raises(InputError, match=r"beyond 48 .*\(longrope\).*leave score\.adaptive off, or set model\.max_length=48"):
        score_adaptive(RECORDS, Scorer(model, tokenizer, max_length=400), np.isfinite, np.zeros(len(RECORDS), np.int64))


def first_step(folder: Path, out: Path, **settings: object) -> tuple[float, float]:
    """First loss and gradient norm of a training on a short and a long answer."""
    rows = [{"instruction": "Say it", "output": text} for text in (SHORT, LONG)]
    common = {"model.dtype": "float32", "model.template": "question", "train.epochs": 1, "train.learning_rate": 1e-9, "train.warmup_steps": 0}
    train(rows, out, model=str(folder), settings={**common, **settings})
    row = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return row["loss"], row["grad_norm"]


@pytest.mark.parametrize("scope", ["batch", "epoch", "none"])
def test_training_is_refused_where_a_long_sample_would_move_the_others(folders: dict[str, Path], tmp_path: Path, scope: str) -> None:
    settings = {"pack.scope": scope, "train.batch_size": 2}
    longrope = r"max_length = 400: a sample of more than 48 tokens .*\(longrope\).*set model\.max_length=48, or .*train\.batch_size=1 and train\.grad_accum=2"
    with pytest.raises(InputError, match=longrope):
        first_step(folders["Phi3"], tmp_path / "phi", **settings, **{"model.max_length": 400})
    first_step(folders["Phi3"], tmp_path / "short", **settings, **{"model.max_length": 48})
    if scope == "none":
        padded = first_step(folders["Llama4Text"], tmp_path / "padded", **settings, **{"model.max_length": 400})
        alone = {"pack.scope": "none", "train.batch_size": 1, "train.grad_accum": 2, "model.max_length": 400}
        assert padded == pytest.approx(first_step(folders["Llama4Text"], tmp_path / "alone", **alone), rel=1e-5)
    else:
        with pytest.raises(InputError, match=r"max_length = 400: .* beyond 47 tokens \(floor_scale\); set model\.max_length=47, or pack\.scope=none"):
            first_step(folders["Llama4Text"], tmp_path / "llama4", **settings, **{"model.max_length": 400})


def test_training_each_sample_alone_is_what_is_asked_for(folders: dict[str, Path], tmp_path: Path) -> None:
    alone = {"train.batch_size": 1, "train.grad_accum": 2, "model.max_length": 400}
    padded, packed = (first_step(folders["Phi3"], tmp_path / scope, **alone, **{"pack.scope": scope}) for scope in ("none", "batch"))
    assert padded == pytest.approx(packed, rel=1e-5)


@pytest.mark.parametrize(("kind", "reason"), [("Phi3", "both sides of 48 tokens"), ("Llama4Text", "beyond 47"), ("Llama", "beyond 48")])
def test_the_guard_sees_it_in_a_batch(folders: dict[str, Path], kind: str, reason: str) -> None:
    model = load_model(str(folders[kind]), dtype="float32", device="cpu")
    collate = DynamicPackCollator(capacity=100, pad_token_id=0)
    check_isolation(model, collate([{"input_ids": np.arange(1, 21)}, {"input_ids": np.arange(1, 24)}]))
    with pytest.raises(LeakError, match=reason):
        check_isolation(model, collate([{"input_ids": np.arange(1, 21)}, {"input_ids": np.arange(1, 71)}]))


def test_limits_are_read_in_every_spelling(folders: dict[str, Path], tmp_path: Path) -> None:
    written = json.loads((folders["Phi3"] / "config.json").read_text(encoding="utf-8"))
    earlier = {"type" if key == "rope_type" else key: value for key, value in written.pop("rope_parameters").items()}
    (tmp_path / "config.json").write_text(json.dumps(written | {"rope_scaling": earlier, "rope_theta": 1e4}), encoding="utf-8")
    assert pass_limits(AutoConfig.from_pretrained(tmp_path)) == PassLimits(switches=(48,))
    layers = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}, "full_attention": LONGROPE}
    nested = transformers.Gemma3TextConfig(**SHAPE, head_dim=8, rope_parameters=layers, max_position_embeddings=400)
    assert pass_limits(nested) == PassLimits(switches=(48,))
    yarn = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 16}
    assert pass_limits(transformers.LlamaConfig(**SHAPE, rope_parameters=yarn, max_position_embeddings=64)) == PassLimits()


def test_only_fingerprints_of_such_runs_say_so(folders: dict[str, Path], tiny_model_dir: Path) -> None:
    said = [
        "passes" in Inputs(Recipe(model=ModelConfig(name=str(folder), max_length=length))).model()
        for folder, length in ((folders["Phi3"], 48), (tiny_model_dir, 2048), (folders["Phi3"], 49), (folders["Llama4Text"], 8))
    ]
    assert said == [False, False, True, True]
