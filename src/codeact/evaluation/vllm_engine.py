"""Generation by vLLM (the extra `vllm`): the same prompts, stops and end tokens as `codeact.evaluation.generate`.

Beside transformers on CPUs: `benchmarks/engine_parity.py`. It was not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from codeact.errors import require
from codeact.evaluation.generate import Completion, Prompt, cut, end_tokens, rooms, too_long
from codeact.lm.vllm_model import Loaded, load_vllm
from codeact.types import Tokenizer

# Handed over at a time: enough to fill a GPU, few enough that a killed evaluation loses little.
CHUNK = 256
SEEDS = 1 << 63  # vLLM's seeds are signed 64-bit integers


class Written(Protocol):
    """What is read of vLLM's `CompletionOutput`."""

    @property
    def token_ids(self) -> Sequence[int]: ...
    @property
    def finish_reason(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """A started vLLM, and the longest sequence that it takes, in tokens."""

    model: Loaded
    context: int


def start(name: str, revision: str | None, dtype: str, longest: int) -> Engine:
    """Load a model into vLLM with room for sequences of `longest` tokens, or of the model's own context where that is less.

    Raises:
        MissingExtraError: vLLM is not installed.
        InputError: no such model, or an adapter of a kind that vLLM does not apply.
        CodeactError: vLLM could not start with it.
    """
    loaded = load_vllm(name, revision, dtype, "evaluate.backend vllm", longest=longest)
    return Engine(loaded, int(loaded.llm.llm_engine.model_config.max_model_len))


def generate(
    engine: Engine, tokenizer: Tokenizer, requests: Sequence[Prompt], *, max_new_tokens: int, temperature: float = 0.0
) -> Iterator[list[tuple[int, Completion]]]:
    """Complete every prompt; yields (index, completion), some prompts at a time, longest first.

    Args:
        engine: from `start`.
        tokenizer: of the model, from `codeact.lm.models.load_tokenizer`.
        requests: the prompts.
        max_new_tokens: most tokens written for a prompt; fewer where the model's context ends before.
        temperature: 0 takes the most likely token; above 0 draws with each prompt's own seed.
    """
    params = require("vllm", "vllm", "evaluate.backend vllm").SamplingParams
    room = rooms(requests, max_new_tokens, engine.context)
    if blocked := too_long(room):
        yield blocked
    queue = sorted((i for i in range(len(requests)) if room[i] > 0), key=lambda i: (-len(requests[i].ids), i))
    special = tokenizer.all_special_ids
    for at in range(0, len(queue), CHUNK):
        chunk = queue[at : at + CHUNK]
        answers = engine.model.llm.generate(
            [{"prompt_token_ids": list(requests[i].ids)} for i in chunk],
            [
                params(**sampling(requests[i], room[i], sorted(end_tokens(special, requests[i])), temperature))
                for i in chunk
            ],
            use_tqdm=False,
            lora_request=engine.model.adapter,
        )
        yield [(i, completion(tokenizer, requests[i], a.outputs[0])) for i, a in zip(chunk, answers, strict=True)]


def sampling(request: Prompt, room: int, ends: Sequence[int], temperature: float) -> Mapping[str, Any]:
    """The arguments of vLLM's `SamplingParams` that make it decode as `codeact.evaluation.generate` does.

    Passing them at all keeps vLLM from taking a model's generation configuration (top-k, repetition penalties) for defaults.
    """
    return {
        "temperature": temperature,
        "seed": request.seed % SEEDS if temperature > 0 else None,
        "max_tokens": room,
        "stop": list(request.stops),
        "stop_token_ids": list(ends),
    }


def completion(tokenizer: Tokenizer, request: Prompt, written: Written) -> Completion:
    """vLLM's answer as a `Completion`: its tokens, decoded and cut as everywhere else here.

    "stop" is what vLLM calls both a stop text and an end token; which of them it was shows in the text.
    """
    return cut(tokenizer, request, list(written.token_ids), "eos" if written.finish_reason == "stop" else "length")
