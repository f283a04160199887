"""Generation for models that keep something else than keys and values, or count positions in another way: transformers' own, prompt by prompt.

Which models these are is measured (`side_by_side`), not listed: state-space models (Mamba, RWKV) name their state otherwise, others
attend in blocks or take no notice of where a padded prompt begins, and each of them writes fluent nonsense without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from codeact.lm.forward import allowed_head_gap, log_probability_gap
from codeact.lm.isolation import REFUSALS
from codeact.types import Model

if TYPE_CHECKING:
    import torch

    Side = tuple[torch.Tensor, Callable[[list[int]], torch.Tensor]]

PROBE_TOKENS = (13, 5)
PROBE_STEPS = 3
_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def side_by_side(model: Model, read: Callable[[list[tuple[int, ...]]], Side]) -> bool:
    """Whether prompts of different lengths, read together and gone on with from the cache, get the logits of each alone without one.

    Args:
        model: a causal LM in eval mode.
        read: reads prompts and gives their logits, and a function that reads a token of each and gives the next.
    """
    import torch

    if model not in _known:
        try:
            _known[model] = _gap(model, read) <= allowed_head_gap(model, "padded")
        except (*REFUSALS, AssertionError) as error:  # of a cache of another kind
            if isinstance(error, torch.OutOfMemoryError):
                raise
            _known[model] = False
    return _known[model]


def _gap(model: Model, read: Callable[[list[tuple[int, ...]]], Side]) -> float:
    """Largest difference of log-probabilities over two random prompts and some tokens behind them."""
    import torch

    rng = np.random.default_rng(0)
    vocabulary = model.config.get_text_config().vocab_size
    rows = [rng.integers(0, vocabulary, size + PROBE_STEPS).tolist() for size in PROBE_TOKENS]
    logits, going_on = read([tuple(row[:size]) for row, size in zip(rows, PROBE_TOKENS, strict=True)])
    worst = 0.0
    for step in range(PROBE_STEPS + 1):
        sizes = [size + step for size in PROBE_TOKENS]
        with torch.inference_mode():
            alone = [
                model(input_ids=torch.tensor([row[:size]], device=model.device), use_cache=False).logits[0, -1:]
                for row, size in zip(rows, sizes, strict=True)
            ]
        mean = model.dtype != torch.float32
        worst = max(worst, *(log_probability_gap(own, found[None], mean) for own, found in zip(alone, logits, strict=True)))
        if step < PROBE_STEPS:
            logits = going_on([row[size] for row, size in zip(rows, sizes, strict=True)])
    return worst


def complete(model: Model, ids: tuple[int, ...], room: int, take: Callable[[torch.Tensor], tuple[int, bool]]) -> None:
    """Go on with one prompt by transformers' `generate`, whose caches are the model's own.

    Args:
        model: a causal LM in eval mode.
        ids: the prompt.
        room: most tokens to write.
        take: gets the logits [1, vocabulary] for the next token; gives the token, and whether the answer ends with it.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria, StoppingCriteriaList

    ended = False

    class Taken(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            nonlocal ended
            token, ended = take(scores)
            chosen = torch.full_like(scores, -torch.inf)
            chosen[0, token] = 0.0
            return chosen

    class Ended(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
            return torch.tensor([ended], device=input_ids.device)

    prompt = torch.tensor([ids], device=model.device)
    # the model's own would add its penalties, beams and forced tokens to what is not said here
    own = model.generation_config
    plain = GenerationConfig(max_new_tokens=room, do_sample=False, use_cache=True, pad_token_id=0)  # type: ignore[no-untyped-call]
    model.generation_config = plain
    try:
        with torch.inference_mode():
            model.generate(  # type: ignore[operator]
                prompt, attention_mask=torch.ones_like(prompt), generation_config=plain, logits_processor=[Taken()],
                stopping_criteria=StoppingCriteriaList([Ended()]),
            )  # fmt: skip
    finally:
        model.generation_config = own
