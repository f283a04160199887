"""Batched generation: left-padded rows with a KV cache; a finished row leaves at once and the next prompt takes its place.

Decoding is plain: the most likely token, or one drawn at a temperature. What a model's generation configuration adds
(repetition penalties, top-k) is left out on purpose, so that every model is measured alike.

Transformers' own ways were measured beside this one (`benchmarks/generate_speed.py`): where answers end at stop texts, its
padded batches take 1.5 to 2.5 times the work, because a finished row waits there for the longest of its batch.
Its continuous batching takes neither stop texts nor a seed for each prompt. Where all rows are equally long, nothing is won.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codeact.evaluation import one_by_one, slots
from codeact.evaluation.tasks import Task
from codeact.lm import prompts
from codeact.lm.models import context_length
from codeact.records import Message
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

log = logging.getLogger(__name__)

Finish = Literal["stop", "eos", "length", "too_long"]
Prompting = Literal["base", "instruct"]

# An untuned model goes on with the next question of the template.
ANSWER_STOPS = ("\nQuestion:", "\n### Instruction")
CONTEXT_TOKENS = 8
PADDED_FROM = 0.8  # prompts read together are at least so long, relative to the longest of them


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to complete.

    Attributes:
        ids: its tokens, special ones included; at least one.
        stops: generation ends before the first of these texts.
        seed: of this row's random numbers, where the temperature is above 0.
        ends: tokens that end an answer, beside the tokenizer's special tokens and the model's own.
        header: tokens that a template has the model write before its answer, and that are no part of it; none of them ends it.
        lead: the same as text, and blanks.
    """

    ids: tuple[int, ...]
    stops: tuple[str, ...] = ()
    seed: int = 0
    ends: frozenset[int] = frozenset()
    header: tuple[int, ...] = ()
    lead: str = ""

    @property
    def reading(self) -> tuple[Any, ...]:
        """What an answer's text depends on beside the tokens, the stops and the seed; empty for plain prompts."""
        return (sorted(self.ends), self.header, self.lead) if self.ends or self.header or self.lead else ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote.

    Attributes:
        text: cut before the stop text; special tokens left out.
        tokens: how many were generated, the stop's and the end's included.
        finish: "stop" (a stop text), "eos" (a special token), "length" (the limit), "too_long" (no room after the prompt).
        thought: what became of a reasoning model's thoughts: "closed", "cut", "none"; "" where it was not asked to think.
        thought_tokens: how many it thought.
    """

    text: str
    tokens: int
    finish: Finish
    thought: str = ""
    thought_tokens: int = 0


def task_prompt(task: Task, prompting: Prompting, template: prompts.Template | None, tokenizer: Tokenizer) -> Prompt:
    """The prompt of a task.

    "base" is the task's source text, to be continued, without the blanks at its end: most tokenizers join a newline and
    the indentation after it, so a prompt that ends in a newline is one that the model has never seen, and it breaks off
    (SmolLM2-135M-Instruct wrote no code for 8 of 8 HumanEval prompts that ended in a newline). "instruct" asks for the
    program in the template's user turn, with the tokens that stand before an answer in training.
    """
    if prompting == "instruct":
        assert template is not None
        message = Message("user", task.rules.question(task))
        asked = prompts.ask([message], template, tokenizer)
        stops = (*ANSWER_STOPS, *asked.stops)
        return Prompt(asked.ids, stops, ends=asked.ends, header=asked.header, lead=asked.lead)
    return Prompt(tuple(tokenizer(task.prompt.rstrip())["input_ids"]), task.rules.stops(task))


def sample_seed(seed: int, task_id: str, number: int) -> int:
    """Seed of one sample: it depends on the run's seed, the task and the sample's number, never on the batch."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{task_id}/{number}".encode()).digest()[:8], "big")


def rooms(requests: Sequence[Prompt], max_new_tokens: int, context: int | None) -> list[int]:
    """Most tokens to write for each prompt; 0 or less where `context` tokens end before the prompt does."""
    return [max_new_tokens if context is None else min(max_new_tokens, context - len(r.ids)) for r in requests]


def too_long(room: Sequence[int]) -> list[tuple[int, Completion]]:
    """(index, completion) of the prompts that have no room."""
    return [(i, Completion("", 0, "too_long")) for i, tokens in enumerate(room) if tokens <= 0]


def generate(
    model: Model,
    tokenizer: Tokenizer,
    requests: Sequence[Prompt],
    *,
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    step: Callable[[float], None] | None = None,
) -> Iterator[list[tuple[int, Completion]]]:
    """Complete every prompt; yields (index, completion) of the rows that are finished, as they finish.

    Prompts go in longest first. In float32 a row's completion does not depend on the rows beside it (up to the rounding
    of near-equal logits); in half precision it may.

    Args:
        model: a causal LM in eval mode. One that would answer otherwise beside others (measured, `one_by_one`) takes one prompt at a time.
        tokenizer: of the model.
        requests: the prompts.
        max_new_tokens: most tokens written for a prompt; fewer where the model's context ends before.
        batch_size: rows generated at a time.
        temperature: 0 takes the most likely token; above 0 draws with each prompt's own seed.
        step: told after each token how much more of the answers is done, in answers: one of the longest length is 1 when its last token is
            written, a shorter one when it ends.

    Raises:
        RefusedError: the model has no embedding of a prompt's token.
    """
    for request in requests:
        prompts.check_vocabulary(request.ids, tokenizer)
    room = rooms(requests, max_new_tokens, context_length(model.config))
    if blocked := too_long(room):
        yield blocked
    queue = sorted((i for i in range(len(requests)) if room[i] > 0), key=lambda i: (-len(requests[i].ids), i))
    shared = frozenset(tokenizer.all_special_ids) | _end_tokens(model)
    ends = [end_tokens(shared, request) for request in requests]
    draws = [np.random.default_rng(request.seed) for request in requests]
    written: list[list[int]] = [[] for _ in requests]

    def add(rows: Sequence[int], logits: torch.Tensor) -> tuple[list[int], dict[int, Completion]]:
        """The next token of each row, and the rows that are finished with it."""
        tokens = _pick(logits, temperature, [draws[row] for row in rows])
        finished: dict[int, Completion] = {}
        for row, token in zip(rows, tokens, strict=True):
            written[row].append(token)
            completion = _finish(tokenizer, requests[row], written[row], ends[row], room[row])
            if completion is not None:
                finished[row] = completion
        if step is not None:
            step(sum(1 - (len(written[row]) - 1) / room[row] if row in finished else 1 / room[row] for row in rows))
        return tokens, finished

    if queue and not (_has_plain_cache(model) and one_by_one.side_by_side(model, partial(_start, model, tokenizer))):
        if batch_size > 1:
            log.info("%s answers one prompt at a time: side by side its answers would be others", type(model).__name__)
        for row in queue:
            found: dict[int, Completion] = {}

            def take_one(logits: torch.Tensor, row: int = row, found: dict[int, Completion] = found) -> tuple[int, bool]:
                (token,), finished = add([row], logits)
                found.update(finished)
                return token, bool(finished)

            one_by_one.complete(model, requests[row].ids, room[row], take_one)
            yield list(found.items())
        return

    def take(live: _Live, logits: torch.Tensor) -> tuple[_Live | None, list[tuple[int, Completion]]]:
        """Give each row its next token; part the rows into those that go on and those that are finished."""
        live.tokens, finished = add(live.rows, logits)
        return _without(live, finished.keys()), list(finished.items())

    live: _Live | None = None
    while queue or live is not None:
        free = batch_size - (len(live.rows) if live else 0)
        if queue and free >= max(1, batch_size // 8):
            admitted, queue = queue[:free], queue[free:]
            for group in _alike(admitted, requests):
                fresh, done = take(*_read(model, tokenizer, requests, group, batch_size if live is None else len(group)))
                live = _joined(live, fresh)
                if done:
                    yield done
        elif live is not None:
            live, done = take(live, _step(model, live))
            if done:
                yield done


@dataclass
class _Live:
    """Rows being generated.

    Attributes:
        rows: index of each row's prompt.
        cache: keys and values, [B, heads, T, head size] in each layer (`codeact.evaluation.slots`).
        mask: int64 [B, T], 0 on the padding at the left.
        tokens: newest token of each row, which the cache does not hold yet.
    """

    rows: list[int]
    cache: DynamicCache
    mask: torch.Tensor
    tokens: list[int]


def _has_plain_cache(model: Model) -> bool:
    """Whether rows may join and leave: keys and values are all the state, and masks do not count from the row's start."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    layers = DynamicCache(config=model.config).layers
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return plain and "chunked_attention" not in kinds


def _alike(queue: Sequence[int], requests: Sequence[Prompt]) -> Iterator[list[int]]:
    """Prompts of nearly the same length together: reading a prompt is most of the work, so padding there is dear."""
    group: list[int] = []
    for row in queue:
        if group and len(requests[row].ids) < PADDED_FROM * len(requests[group[0]].ids):
            yield group
            group = []
        group.append(row)
    yield group


def _read(
    model: Model, tokenizer: Tokenizer, requests: Sequence[Prompt], group: list[int], rows: int
) -> tuple[_Live, torch.Tensor]:
    """Read some prompts into a fresh cache with room for `rows`; their logits [B, vocabulary] for the first new token.

    A prompt that several samples have is read once.
    """
    import torch
    from transformers import DynamicCache

    distinct = list(dict.fromkeys(requests[row].ids for row in group))
    width = max(map(len, distinct))
    padded = [[tokenizer.pad_token_id] * (width - len(ids)) + list(ids) for ids in distinct]
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in distinct], device=model.device)
    # Plain layers even for sliding windows (the mask sees to those), so that rows can join and leave.
    cache = DynamicCache()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = _forward(model, torch.tensor(padded, device=model.device), mask, positions, cache)
    if len(distinct) < len(group):
        number_of = {ids: number for number, ids in enumerate(distinct)}
        copies = torch.tensor([number_of[requests[row].ids] for row in group], device=model.device)
        with torch.inference_mode():
            cache.batch_select_indices(copies)
            logits, mask = logits[copies], mask[copies]
    return _Live(group, slots.hold(cache, rows), mask, []), logits


def _start(model: Model, tokenizer: Tokenizer, texts: list[tuple[int, ...]]) -> tuple[torch.Tensor, Callable[[list[int]], torch.Tensor]]:
    """The logits of some prompts read side by side, and what reads a further token of each."""
    live, logits = _read(model, tokenizer, [Prompt(ids) for ids in texts], list(range(len(texts))), len(texts))

    def going_on(tokens: list[int]) -> torch.Tensor:
        live.tokens = tokens
        return _step(model, live)

    return logits, going_on


def _step(model: Model, live: _Live) -> torch.Tensor:
    """Read the newest tokens; logits [B, vocabulary] for the next."""
    import torch

    live.mask = torch.cat([live.mask, live.mask.new_ones(len(live.rows), 1)], dim=1)
    ids = torch.tensor(live.tokens, device=model.device).unsqueeze(1)
    return _forward(model, ids, live.mask, live.mask.sum(-1, keepdim=True) - 1, live.cache)


def _forward(
    model: Model, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = model(
            input_ids=ids, attention_mask=mask, position_ids=positions,
            past_key_values=cache, use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
    return logits


def _without(live: _Live, finished: Collection[int]) -> _Live | None:
    """The rows that go on, without the columns that are padding in all of them."""
    import torch

    gone = [index for index, row in enumerate(live.rows) if row in finished]
    stay = slots.order_after(len(live.rows), gone)
    if not gone or not stay:
        return live if stay else None
    mask = live.mask[torch.tensor(stay, device=live.mask.device)]
    mask = mask[:, int(mask.any(dim=0).int().argmax()) :]
    slots.leave(live.cache, gone, mask.shape[1])
    return _Live([live.rows[p] for p in stay], live.cache, mask, [live.tokens[p] for p in stay])


def _joined(left: _Live | None, right: _Live | None) -> _Live | None:
    """Both sets of rows in one batch, the narrower padded at its left."""
    import torch
    from torch.nn.functional import pad

    if left is None or right is None:
        return left or right
    width = max(left.mask.shape[1], right.mask.shape[1])
    slots.join(left.cache, right.cache)
    mask = torch.cat([pad(part.mask, (width - part.mask.shape[1], 0)) for part in (left, right)])
    return _Live([*left.rows, *right.rows], left.cache, mask, [*left.tokens, *right.tokens])


def end_tokens(special: Collection[int], request: Prompt) -> frozenset[int]:
    """The tokens that end an answer to a prompt."""
    return frozenset(special).difference(request.header) | request.ends


def _end_tokens(model: Model) -> frozenset[int]:
    """End-of-sequence tokens that the model's generation configuration names beside the tokenizer's."""
    named = model.generation_config.eos_token_id
    return frozenset(named if isinstance(named, (list, tuple)) else () if named is None else (named,))


def _pick(logits: torch.Tensor, temperature: float, draws: Sequence[np.random.Generator]) -> list[int]:
    if temperature == 0:
        best: list[int] = logits.argmax(-1).tolist()
        return best
    # inverse transform sampling: one uniform number a row, from the row's own generator
    share = (logits.float() / temperature).softmax(-1).double().cumsum(-1).cpu().numpy()
    return [
        min(int(np.searchsorted(line, draw.random() * line[-1], side="right")), len(line) - 1)
        for line, draw in zip(share, draws, strict=True)
    ]


def _finish(
    tokenizer: Tokenizer, row: Prompt, written: list[int], ends: frozenset[int], room: int
) -> Completion | None:
    """The completion if this row is finished with its newest token, else None."""
    if written[-1] in ends:
        return cut(tokenizer, row, written, "eos")
    if row.stops:
        # a stop text that ends in the newest token spans at most as many tokens as it has bytes
        reach = max(len(stop.encode()) for stop in row.stops) + 1
        tail = _decode(tokenizer, written[-reach:])
        if any(stop in tail for stop in row.stops):
            whole = cut(tokenizer, row, written, "length")
            if whole.finish == "stop":
                return whole
    return cut(tokenizer, row, written, "length") if len(written) >= room else None


def cut(tokenizer: Tokenizer, row: Prompt, written: list[int], finish: Finish) -> Completion:
    """The completion of written tokens: their text up to the first stop; `finish` says why they end where no stop is in it."""
    # Some tokenizers drop the blank in front of the first token that they decode, so a few prompt tokens go before it.
    said, length = _after_header(written, row.header, tokenizer), len(written)
    lead, written = row.lead if said is written else "", said
    context = list(row.ids[-CONTEXT_TOKENS:])
    before, whole = _decode(tokenizer, context), _decode(tokenizer, context + written)
    text = whole[len(before) :] if whole.startswith(before) else _decode(tokenizer, written)
    text = text.removeprefix(lead)
    found = [at for at in (text.find(stop) for stop in row.stops) if at >= 0]
    return Completion(text[: min(found)], length, "stop") if found else Completion(text, length, finish)


def _after_header(written: list[int], header: tuple[int, ...], tokenizer: Tokenizer) -> list[int]:
    """The tokens behind the header; behind the last one where it holds special tokens: a model may write thoughts before it."""
    size = len(header)
    anywhere = not prompts.special_ids(tokenizer).isdisjoint(header)
    for at in range(len(written) - size if anywhere else 0, -1, -1) if size else ():
        if tuple(written[at : at + size]) == header:
            return written[at + size :]
    return written


def _decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
