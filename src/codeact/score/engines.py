"""The scorer over an engine that is not transformers: whatever gives the log-probabilities of prompts. The same streams, figures and statuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from codeact.config import DEFAULTS
from codeact.errors import CodeactError, PromptError, require
from codeact.lm.prompts import Template
from codeact.lm.streams import Stream
from codeact.lm.vllm_model import load_vllm
from codeact.progress import SILENT, Progress
from codeact.records import Record
from codeact.score.ifd import Score, to_score
from codeact.score.sequences import build_sequences, check_variant, default_template
from codeact.types import Floats, Tokenizer

WINDOW_RECORDS = 256
LogProbs = Callable[[Sequence[Sequence[int]]], Sequence[Sequence[float]]]
"""Token ids of prompts -> of each the log-probabilities of all its tokens but the first, in nats."""


class PromptScorer:
    """Scores records as `codeact.score.Scorer` does, by an engine of its own.

    Args:
        log_probs: the engine.
        tokenizer: the model's, fast.
        template: how records become text; default: `default_template(variant, tokenizer)`.
        variant: as `Scorer`.
        max_length: most tokens of a sequence; the engine's context must hold one more.
    """

    def __init__(
        self, log_probs: LogProbs, tokenizer: Tokenizer, *, template: Template | None = None, variant: str = DEFAULTS.score.variant,
        max_length: int = DEFAULTS.model.max_length,
    ) -> None:  # fmt: skip
        self.log_probs, self.tokenizer, self.variant = log_probs, tokenizer, check_variant(variant)
        self.template = template or default_template(variant, tokenizer)
        self.max_length = max_length

    def score(self, records: Sequence[Record], progress: Progress = SILENT) -> list[Score]:
        """One `Score` per record, in their order.

        Raises:
            InputError: a template with a fault in it; or what the engine raises.
            CodeactError: the engine fails over a record, which is named.
        """
        scores: list[Score] = []
        for at in range(0, len(records), WINDOW_RECORDS):
            window = [
                build_sequences(record, self.template, self.tokenizer, self.variant, self.max_length)
                for record in records[at : at + WINDOW_RECORDS]
            ]
            streams = [stream for one in window for stream in one.streams]
            try:
                given = self.log_probs([s.ids for s in streams])
            except PromptError as error:
                owner = [one.id for one in window for _ in one.streams][error.number]
                raise CodeactError(f"record {owner!r}: {error}") from error
            losses = iter([scored(s, found) for s, found in zip(streams, given, strict=True)])
            scores += [to_score(one, [next(losses) for _ in one.streams]) for one in window]
            progress.advance(len(window))
        return scores


def scored(stream: Stream, log_probs: Sequence[float]) -> Floats:
    """Negative log-likelihood of the scored tokens of a stream, span after span: float64, nats."""
    return np.array([-log_probs[n - 1] for span in stream.spans for n in range(span.start, span.end)], np.float64)


def vllm_log_probs(model: str, revision: str | None, dtype: str, max_length: int) -> LogProbs:
    """A model in vLLM, in this process, on all GPUs that are visible (tensor parallel).

    Raises:
        MissingExtraError: vLLM is not installed.
        InputError: no such model, or an adapter of a kind that vLLM does not apply.
        CodeactError: vLLM could not start with it.
    """
    loaded = load_vllm(model, revision, dtype, "score.backend vllm", longest=max_length + 1, prefix_caching=False)
    vllm = require("vllm", "vllm", "score.backend vllm")
    params = vllm.SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)

    def log_probs(prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        asked: list[Any] = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        answers = loaded.llm.generate(asked, params, use_tqdm=False, lora_request=loaded.adapter)
        return [
            [float(answer.prompt_logprobs[n][prompt[n]].logprob) for n in range(1, len(prompt))]
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    return log_probs
