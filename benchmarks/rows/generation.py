"""Greedy generation on prompts of HumanEval: ours, padded batches, continuous batching, one by one."""

from __future__ import annotations

from typing import Any

from benchmarks import generate_speed
from benchmarks.rows import row
from benchmarks.turns import Turn, in_turns, timed

OURS = "codeact, as `evaluate` generates"


def measure(tasks: int, batch_size: int, new_tokens: int, rounds: int, model: str = "demo", dtype: str = "float32", continuous: bool = True) -> dict[str, Any]:
    from transformers.utils import logging

    from codeact.lm import models

    logging.set_verbosity_error()
    tokenizer = models.load_tokenizer(model)
    network = models.load_model(model, dtype=dtype)
    prompts = generate_speed.prompts_of("free", tasks, tokenizer)
    rows, stops = [prompt.ids for prompt in prompts], [prompt.stops for prompt in prompts]
    works: dict[str, tuple[str, Any]] = {
        OURS: ("codeact", lambda: [n for n, _ in generate_speed.slots_way(network, tokenizer, prompts, batch_size, new_tokens)]),
        "transformers, padded batches": (
            "sdpa", lambda: list(map(len, generate_speed.padded_way(network, tokenizer, rows, stops, batch_size, new_tokens))),
        ),
        "transformers, one by one": (
            "sdpa", lambda: [len(generate_speed.transformers_way(network, tokenizer, [prompt], new_tokens)[0]) for prompt in rows],
        ),
    }  # fmt: skip
    if continuous:
        works["transformers, continuous batching"] = (
            "sdpa", lambda: list(map(len, generate_speed.continuous_way(network, tokenizer, rows, stops, batch_size, new_tokens))),
        )  # fmt: skip

    def turn_of(name: str) -> Turn:
        attention, work = works[name]
        network.set_attn_implementation(attention)
        written, turn = timed(work)
        return {**turn, "work": sum(written)}

    generate_speed.transformers_way(network, tokenizer, [rows[0]], 2)  # first-call costs belong to nobody
    turns = in_turns({name: lambda _, name=name: turn_of(name) for name in works}, rounds)
    return row(
        f"Greedy generation, {tasks} prompts, {batch_size} at a time, {new_tokens} new tokens", "tokens", turns, OURS,
        note=f"SmolLM2-135M, {dtype}, prompts of HumanEval, no stop texts. With stop texts, as `codeact evaluate` runs: generate_speed.json.xz.",
    )  # fmt: skip
