"""Generation for models that keep something else than keys and values, or count positions in another way: transformers' own, prompt by prompt.

Which models these are is measured (`way`), not listed: state-space models (Mamba, RWKV) name their state otherwise, others
attend in blocks or take no notice of where a padded prompt begins, and each of them writes fluent nonsense without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from codeact.lm.forward import PROBE_TOKENS, allowed_head_gap, log_probability_gap
from codeact.lm.isolation import REFUSALS
from codeact.types import Model

if TYPE_CHECKING:
    import torch

    Start = Callable[[list[tuple[int, ...]]], tuple[torch.Tensor, Callable[[list[int], list[list[int]], list[int]], torch.Tensor]]]

Way = Literal["guesses", "rows", "alone"]
# for each step, of each prompt: how many tokens behind the newest are guessed rightly, and how many wrongly
PROBE_GUESSES = (((0, 2), (1, 1)), ((2, 0), (0, 0)), ((0, 0), (0, 1)))
_known: WeakKeyDictionary[Any, Way] = WeakKeyDictionary()


def way(model: Model, start: Start) -> Way:
    """How prompts of different lengths, gone on with from the cache, get the logits of each alone without one.

    "guesses": side by side, also where several tokens are read at once and some of them taken back. "rows": side by side, a token at a time.
    "alone": neither.

    Args:
        model: a causal LM in eval mode.
        start: reads prompts and gives their logits, and a function that goes on with them (`codeact.evaluation.live_rows.start`).
    """
    if model not in _known:
        plain = [[(0, 0)] * len(PROBE_TOKENS)] * len(PROBE_GUESSES)
        _known[model] = "guesses" if _agrees(model, start, PROBE_GUESSES) else "rows" if _agrees(model, start, plain) else "alone"
    return _known[model]


def _agrees(model: Model, start: Start, guesses: Sequence[Sequence[tuple[int, int]]]) -> bool:
    import torch

    try:
        return _gap(model, start, guesses) <= allowed_head_gap(model, "padded")
    except (*REFUSALS, AssertionError) as error:  # of a cache of another kind
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False


def _gap(model: Model, start: Start, guesses: Sequence[Sequence[tuple[int, int]]]) -> float:
    """Largest difference of log-probabilities over two random prompts and some tokens behind them."""
    import torch

    rng = np.random.default_rng(0)
    vocabulary = model.config.get_text_config().vocab_size
    sizes = list(PROBE_TOKENS)
    rows = [rng.integers(0, vocabulary, size + 3 * len(guesses)).tolist() for size in sizes]
    mean = model.dtype != torch.float32

    def apart(row: list[int], size: int, found: torch.Tensor) -> float:
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([row[:size]], device=model.device), use_cache=False).logits[0, -1:]
        return log_probability_gap(alone, found[None], mean)

    logits, going_on = start([tuple(row[:size]) for row, size in zip(rows, sizes, strict=True)])
    worst = max(apart(row, size, found[-1]) for row, size, found in zip(rows, sizes, logits, strict=True))
    for step in guesses:
        some = [
            row[size + 1 : size + 1 + right] + [(row[size + 1 + right] + 1) % vocabulary] * wrong
            for row, size, (right, wrong) in zip(rows, sizes, step, strict=True)
        ]
        counts = [1 + right for right, _ in step]
        logits = going_on([row[size] for row, size in zip(rows, sizes, strict=True)], some, counts)
        for number, (row, count) in enumerate(zip(rows, counts, strict=True)):
            worst = max(worst, *(apart(row, sizes[number] + place + 1, logits[number, place]) for place in range(count)))
            sizes[number] += count
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
