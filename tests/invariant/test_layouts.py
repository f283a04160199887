"""Architectures that take no packed rows, or no cache of slots: scores, hidden states, ratings and answers are those of one text at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaConfig

from benchmarks import pack_leaks
from codeact.errors import CodeactError, InputError
from codeact.evaluation import live_rows, one_by_one
from codeact.evaluation.generate import Prompt, generate
from codeact.judge.ratings import local_ratings
from codeact.lm import models
from codeact.lm.pooling import pooled_states
from codeact.lm.prompts import load_template
from codeact.lm.rows import plan_rows
from codeact.lm.streams import check_model
from codeact.records import Message, Record
from codeact.score.adaptive.resume import Continued
from codeact.score.ifd import Scorer
from tests.helpers.tiny_models import byte_level, ended, greedy_alone

TEXTS = ["def f(x):\n    return x + y\n" * 3, "Write a function that adds one to x."]  # no digit: each stays a token of its own
PAIRS = [
    ("Write a function.", "def f(x):\n    return x"), ("Add one to x", "x+1"), ("Sum", "def g(a, b): return a+b # sum of two"), ("q", "return 1"),
]  # fmt: skip
# every causal architecture: python -m benchmarks.architectures. Here: state spaces, linear attention, attention sinks, an attention of its
# own, positions that are not asked for or counted in columns, logits scaled in another way
LAYOUTS = {
    "llama": "packed", "mamba": "padded", "qwen3_5_text": "padded", "gpt_oss": "padded", "bloom": "padded", "bart": "padded", "rwkv": "padded",
    "inkling_text": "padded", "mpt": "padded",
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A tiny random model as the product loads it, and by transformers' own attention."""

    name: str
    tokenizer: Any
    model: Any
    own: Any


def stronger(model: Any) -> Any:
    """Larger weights, so that answers and losses differ."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() >= 2:
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.15)
    return model


@pytest.fixture(scope="module", params=LAYOUTS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = ended(byte_level(TEXTS, 300, ["<end>"]))
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {"vocab_size": 300, "eos_token_id": 0, "bos_token_id": 0}.items():
            patch.setitem(pack_leaks.SMALL, key, value)
        model = stronger(pack_leaks.tiny(CONFIG_MAPPING[request.param], "eager"))
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    own.generation_config.update(num_beams=1, forced_eos_token_id=None, forced_bos_token_id=None, no_repeat_ngram_size=0)
    return Made(request.param, tokenizer, models.load_model(str(folder), dtype="float32", device="cpu", attention="any"), own)


@pytest.mark.parametrize("batch_tokens", [1, 200])
def test_scores_are_those_of_one_text_at_a_time(made: Made, batch_tokens: int) -> None:
    tokenizer, model, own = made.tokenizer, made.model, made.own
    assert check_model(model) == LAYOUTS[made.name]
    scorer = Scorer(model, tokenizer, max_length=90, batch_tokens=batch_tokens)
    records = [Record(str(n), (Message("user", q), Message("assistant", a)), {"row": n}) for n, (q, a) in enumerate(PAIRS)]
    for prepared, score in zip(scorer.prepare(records), scorer.score(records), strict=True):
        for streams, found in ((prepared.conditional, score.nll_cond), (prepared.unconditional, score.nll_uncond)):
            losses = []
            for stream in streams:
                with torch.no_grad():
                    logits = own(input_ids=torch.tensor([stream.ids]), use_cache=False).logits[0].log_softmax(-1)
                losses += [-logits[at - 1, stream.ids[at]].item() for span in stream.spans for at in range(span.start, span.end)]
            assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_hidden_states_and_ratings_are_those_of_one_text_at_a_time(made: Made) -> None:
    tokenizer, model = made.tokenizer, made.model
    texts = [tokenizer(text)["input_ids"] for pair in PAIRS for text in pair]
    together = pooled_states(model, texts, 64)
    alone = np.concatenate([pooled_states(model, [text], 64) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    questions, template = [question for question, _ in PAIRS], load_template("question", tokenizer)
    rated = local_ratings(questions, model, tokenizer, template, low=1, high=5, min_mass=0.0, batch_tokens=200)
    for question, rating in zip(questions, rated, strict=True):
        (single,) = local_ratings([question], model, tokenizer, template, low=1, high=5, min_mass=0.0, batch_tokens=200)
        assert rating.value == pytest.approx(single.value, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_are_those_of_transformers_one_prompt_at_a_time(made: Made, batch_size: int) -> None:
    tokenizer, model, own = made.tokenizer, made.model, made.own
    prompts = [Prompt(tuple(tokenizer(text)["input_ids"])) for text in ("def f(x):", "Write a function that", "x", "return x + 1 def")]
    found = dict(one for some in generate(model, tokenizer, prompts, max_new_tokens=30, batch_size=batch_size) for one in some)
    for number, prompt in enumerate(prompts):
        written = greedy_alone(own, prompt.ids, 30, 0)
        assert found[number].text == tokenizer.decode([t for t in written if t != 0])
        assert (found[number].tokens, found[number].finish) == (len(written), "eos" if written[-1] == 0 else "length")


def test_samples_and_stops_do_not_depend_on_the_batch(made: Made) -> None:
    tokenizer, model = made.tokenizer, made.model
    prompts = [Prompt(tuple(tokenizer(text)["input_ids"]), ("e", " "), seed=n) for n, text in enumerate(["def f(x):", "x", "x", "return x + 1"])]
    steps: list[float] = []
    runs = [
        dict(one for some in generate(model, tokenizer, prompts, max_new_tokens=12, batch_size=size, temperature=0.8, step=steps.append) for one in some)
        for size in (1, 4)
    ]
    assert runs[0] == runs[1]
    assert sum(steps) == pytest.approx(2 * len(prompts))


def test_adaptive_scoring_says_that_it_packs(made: Made) -> None:
    if LAYOUTS[made.name] == "packed":
        Continued(made.model, [])
    else:
        with pytest.raises(InputError, match=r"takes no packed rows.*leave score\.adaptive off"):
            Continued(made.model, [])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_plain_model_packs_in_every_precision(tiny_model_dir: Path, dtype: str) -> None:
    model = models.load_model(str(tiny_model_dir), dtype=dtype, device="cpu", attention="any")
    assert (model.config._attn_implementation, check_model(model)) == ("codeact", "packed")
    tokenizer = models.load_tokenizer(str(tiny_model_dir))
    assert one_by_one.way(model, partial(live_rows.start, model, tokenizer.pad_token_id)) == "guesses"


def test_a_model_whose_tokens_see_what_is_behind_them_is_no_language_model(tmp_path: Path) -> None:
    config = CONFIG_MAPPING["bert-generation"](
        vocab_size=97, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, is_decoder=False
    )
    stronger(AutoModelForCausalLM.from_config(config)).save_pretrained(tmp_path)
    model = models.load_model(str(tmp_path), dtype="float32", device="cpu", attention="any")
    with pytest.raises(CodeactError, match="no causal language model"):
        check_model(model)


def test_padded_rows_hold_every_text_once_within_their_limit() -> None:
    lengths = np.array([5, 9, 2, 9, 1, 30, 4, 4])
    for layout in ("packed", "padded", "alone"):
        rows = plan_rows(lengths, 20, layout, LlamaConfig())
        assert sorted(np.concatenate(rows).tolist()) == list(range(8))
        if layout == "padded":
            assert all(len(row) * lengths[row].max() <= 20 or len(row) == 1 for row in rows)
            assert [len(row) for row in rows] == [1, 2, 4, 1]
