"""Bits per byte against plain transformers, one task at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from codeact.evaluation.likelihood import Likelihood, bits_per_byte, solution_stream
from codeact.evaluation.tasks import Task
from codeact.lm.attention import register
from tests.helpers.tiny_models import byte_level

TASKS = [
    Task("T/0", "def add(a, b):\n", "add", "    return a + b\n"),
    Task(
        "T/1",
        'def mean(values):\n    """Mean of numbers."""\n',
        "mean",
        "    total = sum(values)\n    return total / len(values)\n",
    ),
    Task("T/2", '"""\nGreet.\n"""\n', "greet", "\ndef greet(name):\n    return f'héllo {name} ∑'\n"),
    Task("T/3", "def area(w, h): ", "area", "return w * h"),
    Task("T/4", "x = ", "x", "\t[1,\n\n\n  2]"),
]


def make_tokenizer(trim: bool, bos: bool = False) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    core = byte_level([t.reference for t in TASKS] * 30, 330, ["<s>", "</s>"])
    core.post_processor = processors.ByteLevel(trim_offsets=trim)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


@pytest.fixture(scope="module", params=["plain", "trimmed offsets", "BOS and EOS"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return make_tokenizer(request.param == "trimmed offsets", request.param == "BOS and EOS")


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=96, initializer_range=0.2,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, attn_implementation=register()).float().eval()


def alone(model: Any, tokenizer: Any, task: Task) -> tuple[float, int]:
    """Bits and number of the tokens whose removal leaves nothing of the solution: no offsets, no packing."""
    ids = [i for i in tokenizer(task.reference)["input_ids"] if i != tokenizer.eos_token_id]
    kept = len(ids)
    while not task.prompt.encode().startswith(
        tokenizer.decode(ids[:kept], skip_special_tokens=True).encode("utf-8", "replace")
    ):
        kept -= 1
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    model.set_attn_implementation("codeact")
    logs = logits.log_softmax(-1)
    return -sum(float(logs[i - 1, ids[i]]) for i in range(max(kept, 1), len(ids))) / math.log(2), len(ids) - max(
        kept, 1
    )


def measured(model: Any, tokenizer: Any, tasks: list[Task], **options: Any) -> dict[str, Likelihood]:
    return {like.task_id: like for group in bits_per_byte(model, tokenizer, tasks, **options) for like in group}


@pytest.mark.parametrize("batch_tokens", [1, 70, 4096])
def test_packed_equals_one_by_one(model: Any, tokenizer: Any, batch_tokens: int) -> None:
    found = measured(model, tokenizer, TASKS, batch_tokens=batch_tokens)
    for task in TASKS:
        bits, tokens = alone(model, tokenizer, task)
        like = found[task.id]
        assert like.tokens == tokens
        assert like.bits == pytest.approx(bits, rel=1e-5)
        assert like.bytes == len(task.canonical_solution.encode("utf-8"))
        assert like.bits_per_byte == pytest.approx(bits / like.bytes, rel=1e-5)


def test_the_scored_tokens_cover_the_solution_and_no_whole_token_more(tokenizer: Any) -> None:
    for task in TASKS:
        stream = solution_stream(task, tokenizer)
        (span,) = stream.spans
        assert span.end == len(stream.ids)
        scored = tokenizer.decode(stream.ids[span.start :], skip_special_tokens=True)
        assert scored.endswith(task.canonical_solution)
        later = tokenizer.decode(stream.ids[span.start + 1 :], skip_special_tokens=True)
        assert len(later.encode()) < len(task.canonical_solution.encode())


def test_a_model_without_knowledge_pays_log2_of_its_vocabulary(model: Any) -> None:
    tokenizer = make_tokenizer(trim=False)
    weight = model.get_output_embeddings().weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
    try:
        found = measured(model, tokenizer, TASKS)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    for like in found.values():
        assert like.bits == pytest.approx(like.tokens * math.log2(400), rel=1e-5)


def test_what_the_model_cannot_read_has_no_figure(model: Any) -> None:
    tokenizer = make_tokenizer(trim=False)
    long = Task("T/9", "def f():\n", "f", "    x = 1 # zzqqjj\n" * 40)
    found = measured(model, tokenizer, [TASKS[0], long, TASKS[1]])
    assert found["T/9"].bits is None
    assert found["T/9"].bits_per_byte is None
    assert found["T/0"] == measured(model, tokenizer, [TASKS[0]])["T/0"]


def test_a_number_that_is_not_finite_is_no_figure(model: Any) -> None:
    tokenizer = make_tokenizer(trim=False)
    weight = model.get_output_embeddings().weight
    before = weight.detach().clone()
    list(bits_per_byte(model, tokenizer, TASKS[:1]))  # the model is checked while it is sound
    with torch.no_grad():
        weight[5] = float("nan")
    try:
        found = measured(model, tokenizer, TASKS[:2])
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert all(like.bits is None and like.bits_per_byte is None for like in found.values())


def test_progress_counts_every_task(model: Any) -> None:
    class Counter:
        total = 0.0

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.total += amount

    long = Task("T/9", "def f():\n", "f", "    x = 1 # zzqqjj\n" * 40)
    counter = Counter()
    measured(model, make_tokenizer(trim=False), [*TASKS, long], progress=counter)
    assert counter.total == len(TASKS) + 1
