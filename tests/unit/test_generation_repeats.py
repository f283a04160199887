"""Guessed tokens change nothing but the number of passes: against transformers alone, and against sampling without a cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from codeact.evaluation import live_rows, repeats, slots
from codeact.evaluation.generate import Completion, Prompt, generate
from codeact.evaluation.repeats import BATCH_TOKENS, LEAST, MOST, PASS_TOKENS, Repeats, worth
from tests.helpers.tiny_models import byte_level, ended, greedy_alone

TEXT = "def f(x):\n    return x + 1\n" * 4
CONTEXT = 96


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return ended(byte_level([TEXT], 300, ["<end>"]))


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=CONTEXT, initializer_range=0.12,
    ) if request.param == "llama" else GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=0.12
    )  # fmt: skip
    made = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()
    made.generation_config.eos_token_id = None
    return made


def prompts(tokenizer: Any) -> list[Prompt]:
    texts = ["def f(x):\n", "x", TEXT[:60], "return x + 1\n    return", "def", "(x)", "1\n"]
    return [Prompt(tuple(tokenizer(text)["input_ids"]), seed=number) for number, text in enumerate(texts)]


def run(model: Any, tokenizer: Any, requests: list[Prompt], **options: Any) -> tuple[list[Completion], list[int]]:
    """The completions, and how many tokens of a row each pass behind the prompts read."""
    widths: list[int] = []
    real = live_rows.go_on

    def counting(*arguments: Any) -> torch.Tensor:
        logits = real(*arguments)
        widths.append(logits.shape[1])
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_rows, "go_on", counting)
        found = dict(one for some in generate(model, tokenizer, requests, **options) for one in some)
    return [found[i] for i in range(len(requests))], widths


@pytest.mark.parametrize(("holes", "batch_size"), [(0, 3), (live_rows.HOLES, 1), (live_rows.HOLES, 7)])
def test_loops_are_written_in_fewer_passes_and_as_transformers_writes_them(
    model: Any, tokenizer: Any, batch_size: int, holes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rows, "HOLES", holes)
    closed: list[int] = []
    real = slots.close
    monkeypatch.setattr(slots, "close", lambda held, columns, width: (closed.append(width), real(held, columns, width))[1])
    requests = prompts(tokenizer)
    # to the end of the context, where a guess must not reach beyond it
    found, widths = run(model, tokenizer, requests, max_new_tokens=500, batch_size=batch_size)
    for prompt, completion in zip(requests, found, strict=True):
        expected = greedy_alone(model, prompt.ids, CONTEXT - len(prompt.ids), 0)
        assert completion.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert (completion.tokens, completion.finish) == (len(expected), "eos" if expected[-1] == 0 else "length")
    assert max(widths) > 4
    assert len(widths) < 0.9 * sum(c.tokens for c in found) / min(batch_size, len(found))
    assert closed or holes or batch_size == 1


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_samples_are_those_drawn_without_a_cache_and_without_guesses(model: Any, tokenizer: Any, temperature: float) -> None:
    requests = prompts(tokenizer)
    steps: list[float] = []
    found, widths = run(model, tokenizer, requests, max_new_tokens=50, batch_size=3, temperature=temperature, step=steps.append)
    for prompt, completion in zip(requests, found, strict=True):
        ids, draw = list(prompt.ids), np.random.default_rng(prompt.seed)
        while len(ids) < len(prompt.ids) + 50 and (len(ids) == len(prompt.ids) or ids[-1] != 0):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double().numpy()
            share = np.exp((logits - logits.max()) / temperature).cumsum()
            ids.append(int(np.searchsorted(share / share[-1], draw.random(), side="right")))
        assert completion.tokens == len(ids) - len(prompt.ids)
        assert completion.text == tokenizer.decode(ids[len(prompt.ids) :], skip_special_tokens=True)
    assert max(widths) > 1 or temperature == 1
    assert sum(steps) == pytest.approx(len(requests))


def test_a_guess_is_what_followed_the_last_time() -> None:
    """Against a search through the whole text, on texts of few different tokens."""
    rng = np.random.default_rng(0)
    lengths = set()
    for _ in range(300):
        ids = rng.integers(0, int(rng.integers(1, 4)), int(rng.integers(1, 60))).tolist()
        most = int(rng.integers(0, 20))
        text = Repeats(ids)
        ends = [at for at in range(LEAST, len(ids)) if ids[at - LEAST : at] == ids[-LEAST:]]
        expected: list[int] = []
        if ends and most:
            at = ends[-1]
            same = next((n for n in range(at) if ids[at - 1 - n] != ids[-1 - n]), at)
            whole = list(ids)
            for place in range(at, at + min(same, most, MOST)):
                whole.append(whole[place])
            expected = whole[len(ids) :]
        assert text.guess(most) == expected
        lengths.add(len(expected))
    assert lengths >= {0, LEAST, MOST}


def test_as_many_guesses_are_read_as_pay() -> None:
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        rows = int(rng.integers(1, 80))
        guesses = [[7] * int(n) for n in rng.integers(0, MOST + 1, rows) * (rng.random(rows) < rng.random())]
        rates = {
            size: sum(min(len(guess), size) + 1 for guess in guesses) / (PASS_TOKENS + rows * (size + 1))
            for size in range(MOST + 1)
            if size == 0 or (size <= max(map(len, guesses)) and rows * (size + 1) <= BATCH_TOKENS)
        }
        found = worth(guesses)
        assert rates[found] == pytest.approx(max(rates.values()))
        seen.add(found)
    assert len(seen) > 5
    assert repeats.worth([[]]) == 0
