"""`train.token_share`: the tokens that the base model expects least, against one sample at a time; packed and padded; refused settings."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from codeact import config
from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import CodeactError, InputError
from codeact.lm.prompts import load_template
from codeact.pipeline.forecast import forecast
from codeact.records import read_records
from codeact.training import surprise
from codeact.training.data import Tokenised, tokenise_records
from codeact.training.sft import fine_tune
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

SHARE = 0.6
TURNS = [
    {"role": "user", "content": "Add one."}, {"role": "assistant", "content": "def f(x):\n    return x + 1"},
    {"role": "user", "content": "And two?"}, {"role": "assistant", "content": "def g(x):\n    return x + 2"},
]  # fmt: skip
RECORDS = read_records([*pool_rows(11), {"messages": TURNS}]).records


@pytest.fixture
def model(tiny_model_dir: Path) -> ModelConfig:
    return ModelConfig(name=str(tiny_model_dir), template="question", dtype="float32", max_length=256, device="cpu")


@pytest.fixture
def tokenised(model: ModelConfig) -> Tokenised:
    tokenizer = AutoTokenizer.from_pretrained(model.name)
    return tokenise_records(RECORDS, load_template("question", tokenizer), tokenizer, 256)


def losses_one_by_one(folder: str, samples: list[Any]) -> list[dict[int, float]]:
    """Of each sample, position -> loss of its learnt tokens, by the model's own logits."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for sample in samples:
        ids = torch.tensor(sample["input_ids"], dtype=torch.int64)
        with torch.no_grad():
            logs = network(input_ids=ids[None]).logits[0].log_softmax(-1)
        found.append({n: -float(logs[n - 1, ids[n]]) for n in range(1, len(ids)) if sample["labels"][n] != -100})
    return found


def wanted(tokenised: Tokenised, folder: str) -> list[set[int]]:
    """The positions that stay, by the plain rule."""
    losses = losses_one_by_one(folder, list(tokenised.samples))
    ids = [sample["input_ids"] for sample in tokenised.samples]
    kept = [{n for n in some if ids[s][n] in tokenised.stops} for s, some in enumerate(losses)]
    others = [(-loss, s, n) for s, some in enumerate(losses) for n, loss in some.items() if n not in kept[s]]
    for _, s, n in sorted(others)[: int(Fraction(6, 10) * len(others) + Fraction(1, 2))]:
        kept[s].add(n)
    return [some or {max(losses[s], key=lambda n: losses[s][n])} for s, some in enumerate(kept)]


def learnt(found: Tokenised) -> list[set[int]]:
    return [set(np.flatnonzero(sample["labels"] != -100).tolist()) for sample in found.samples]


def test_the_least_expected_tokens_stay_and_every_end(tokenised: Tokenised, model: ModelConfig, tmp_path: Path) -> None:
    found = surprise.surprising_tokens(tokenised, SHARE, model, tmp_path)
    assert learnt(found) == wanted(tokenised, model.name)
    for before, after in zip(tokenised.samples, found.samples, strict=True):
        assert (before["id"], before["input_ids"].tolist()) == (after["id"], after["input_ids"].tolist())
        kept = after["labels"] != -100
        assert (after["labels"][kept] == before["labels"][kept]).all()
        assert after["labels"][-1] == before["labels"][-1] != -100


def test_what_was_chosen_is_chosen_again_and_a_damaged_choice_is_made_anew(
    tokenised: Tokenised, model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = learnt(surprise.surprising_tokens(tokenised, SHARE, model, tmp_path))
    kept = (tmp_path / surprise.LEARNT).read_bytes()
    with monkeypatch.context() as without:
        without.setattr(surprise, "token_losses", lambda *_: pytest.fail("the model was asked again"))
        assert learnt(surprise.surprising_tokens(tokenised, SHARE, model, tmp_path)) == first
    encrypted = kept.replace(b"PK\x01\x02\x2d\x03\x2d\x00\x00", b"PK\x01\x02\x2d\x03\x2d\x00\x01", 1)
    newer = kept.replace(b"PK\x01\x02\x2d\x03\x2d", b"PK\x01\x02\x2d\x03\xad")
    for damaged in (kept[: len(kept) // 2], encrypted, newer):
        assert damaged != kept
        (tmp_path / surprise.LEARNT).write_bytes(damaged)
        assert learnt(surprise.surprising_tokens(tokenised, SHARE, model, tmp_path)) == first
    assert learnt(surprise.surprising_tokens(tokenised, 0.3, model, tmp_path)) != first


LOSSES = st.lists(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.25, 7.0]), st.booleans()), min_size=1, max_size=6), min_size=1, max_size=5)


@given(LOSSES, st.sampled_from([0.1, 0.29, 0.5, 0.6, 1.0]))
@settings(max_examples=80)
def test_the_choice_is_its_plain_restatement(pool: list[list[tuple[float, bool]]], share: float) -> None:
    found = surprise.chosen(
        [np.array([loss for loss, _ in some]) for some in pool], [np.array([end for _, end in some]) for some in pool], share
    )
    flat = [(loss, end, s) for s, some in enumerate(pool) for loss, end in some]
    kept = {n for n, (_, end, _) in enumerate(flat) if end}
    others = sorted((n for n in range(len(flat)) if n not in kept), key=lambda n: (-flat[n][0], n))
    kept |= set(others[: int(Fraction(str(share)) * len(others) + Fraction(1, 2))])
    for s in range(len(pool)):
        mine = [n for n in range(len(flat)) if flat[n][2] == s]
        if not kept & set(mine):
            kept.add(min(mine, key=lambda n: (-flat[n][0], n)))
    assert set(np.flatnonzero(found).tolist()) == kept


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_learns_them_alone_packed_as_padded(tokenised: Tokenised, model: ModelConfig, tmp_path: Path, method: Any) -> None:
    train = TrainConfig(method=method, epochs=2, batch_size=12, learning_rate=1e-2, warmup_steps=0, token_share=SHARE)
    losses, kept = losses_one_by_one(model.name, list(tokenised.samples)), wanted(tokenised, model.name)
    expected = float(np.mean([losses[s][n] for s, some in enumerate(kept) for n in some]))
    weights = []
    for scope in ("batch", "epoch", "none"):
        out = tmp_path / scope
        summary = fine_tune(RECORDS, out, model=model, train=train, pack=PackConfig(scope=scope), seed=0)
        if scope != "epoch":  # there a step is some rows
            assert (summary["token_share"], summary["first_loss"]) == (SHARE, pytest.approx(expected, rel=1e-5))
            weights.append(load_file(out / "model" / "model.safetensors"))
        assert not (out / surprise.LEARNT).exists()
    packed, padded = weights
    for name, value in packed.items():
        assert torch.allclose(value, padded[name], atol=1e-5), name


def test_a_loss_that_is_no_number_names_the_record(
    tokenised: Tokenised, model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = surprise.token_losses

    def broken(*given: Any) -> list[Any]:
        found = whole(*given)
        found[2][0] = np.nan
        return found

    monkeypatch.setattr(surprise, "token_losses", broken)
    with pytest.raises(CodeactError, match=f"loss on record '{tokenised.samples[2]['id']}' is no number"):
        surprise.surprising_tokens(tokenised, SHARE, model, tmp_path)


@pytest.mark.parametrize(
    ("more", "world", "told"),
    [
        ({"train_on_prompt": True}, "1", "chooses among the tokens of answers"),
        ({"method": "lora"}, "2", "works in one process"),
        ({"method": "qlora"}, "1", "works with train.method full and lora"),
    ],
)
def test_what_it_does_not_go_with_is_refused_before_any_work(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], world: str, told: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(InputError, match=told):
        fine_tune(RECORDS, tmp_path / "out", model=model, train=TrainConfig(token_share=0.5, **more), pack=PackConfig(), seed=0)
    assert not (tmp_path / "out" / "summary.json").exists()


def test_the_plan_counts_one_pass_more_and_a_share_of_one_changes_nothing(model: ModelConfig, tmp_path: Path) -> None:
    write_lines(tmp_path / "pool.jsonl", pool_rows(20))
    given = {
        "run_dir": str(tmp_path / "run"), "model.name": model.name, "model.template": "question", "data.source": str(tmp_path / "pool.jsonl"),
        "sample.strategy": "random", "sample.unit": "records", "evaluate.enabled": False, "train.epochs": 1,
    }  # fmt: skip
    plain, less = (forecast(config.load_recipe(extra={**given, "train.token_share": share})) for share in (1.0, SHARE))
    assert less.train_flops == pytest.approx(plain.train_flops * 4 / 3)
    assert less.train_tokens == plain.train_tokens
    assert "token_share" not in TrainConfig().deciding()
    assert json.loads(json.dumps(TrainConfig(token_share=SHARE).deciding()))["token_share"] == SHARE
