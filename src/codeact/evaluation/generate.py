"""Batched generation: left-padded rows with a KV cache; a finished row leaves at once and the next prompt takes its place.

Where a text repeats itself, its next tokens are guessed and read together (`codeact.evaluation.repeats`): most of what an
untuned model writes up to the limit is a loop.

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

from codeact.evaluation import live_rows, one_by_one, repeats
from codeact.evaluation.live_rows import LiveRows
from codeact.evaluation.tasks import Task
from codeact.lm import prompts
from codeact.lm.models import context_length
from codeact.records import Message
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    import torch

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

    def add(
        rows: Sequence[int], logits: torch.Tensor, guesses: Sequence[Sequence[int]]
    ) -> tuple[list[int], dict[int, Completion]]:
        """The next tokens of each row, as far as its guess was right and one further; how many, and the rows that are finished with them."""
        counts, finished, going, done = [0] * len(rows), {}, list(range(len(rows))), 0.0
        for place in range(logits.shape[1]):
            here = logits[:, place] if len(going) == len(rows) else logits[going, place]
            picked = _pick(here, temperature, [draws[rows[index]] for index in going])
            right = []
            for index, token in zip(going, picked, strict=True):
                row = rows[index]
                written[row].append(token)
                counts[index] += 1
                completion = _finish(tokenizer, requests[row], written[row], ends[row], room[row])
                done += 1 / room[row] if completion is None else 1 - (len(written[row]) - 1) / room[row]
                if completion is not None:
                    finished[row] = completion
                elif place < len(guesses[index]) and guesses[index][place] == token:
                    right.append(index)
            going = right
            if not going:
                break
        if step is not None:
            step(done)
        return counts, finished

    pad = tokenizer.pad_token_id
    way = one_by_one.way(model, partial(live_rows.start, model, pad)) if queue and _has_plain_cache(model) else "alone"
    if way == "alone":
        if queue and batch_size > 1:
            log.info("%s answers one prompt at a time: side by side its answers would be others", type(model).__name__)
        for row in queue:
            found: dict[int, Completion] = {}

            def take_one(logits: torch.Tensor, row: int = row, found: dict[int, Completion] = found) -> tuple[int, bool]:
                _, finished = add([row], logits[:, None], [()])
                found.update(finished)
                return written[row][-1], bool(finished)

            one_by_one.complete(model, requests[row].ids, room[row], take_one)
            yield list(found.items())
        return
    guessing = way == "guesses" and _may_guess(model)
    texts: dict[int, repeats.Repeats] = {}

    def guess(rows: Sequence[int]) -> list[list[int]]:
        """What the rows may write next."""
        if not guessing:
            return [[] for _ in rows]
        found = [texts[row].guess(room[row] - len(written[row]) - 1) for row in rows]
        size = repeats.worth(found)
        return [tokens[:size] for tokens in found]

    def take(live: LiveRows, logits: torch.Tensor, guesses: Sequence[Sequence[int]]) -> tuple[LiveRows | None, list[tuple[int, Completion]]]:
        """Give each row its next tokens; part the rows into those that go on and those that are finished."""
        counts, finished = add(live.rows, logits, guesses)
        live.tokens = [written[row][-1] for row in live.rows]
        if logits.shape[1] > 1:
            live_rows.hold(live, counts, logits.shape[1])
        for row, count in zip(live.rows, counts, strict=True) if guessing else ():
            for token in written[row][-count:]:
                texts[row].add(token)
        for row in finished:
            texts.pop(row, None)
        return live_rows.without(live, finished.keys()), list(finished.items())

    live: LiveRows | None = None
    while queue or live is not None:
        free = batch_size - (len(live.rows) if live else 0)
        if queue and free >= max(1, batch_size // 8):
            admitted, queue = queue[:free], queue[free:]
            for group in _alike(admitted, requests):
                some = [requests[row].ids for row in group]
                texts |= {row: repeats.Repeats(ids) for row, ids in zip(group, some, strict=True) if guessing}
                read = live_rows.read(model, some, group, pad, batch_size if live is None else len(group))
                fresh, done = take(*read, [()] * len(group))
                live = live_rows.joined(live, fresh)
                if done:
                    yield done
        elif live is not None:
            guesses = guess(live.rows)
            live, done = take(live, live_rows.go_on(model, live, guesses), guesses)
            if done:
                yield done


def _has_plain_cache(model: Model) -> bool:
    """Whether rows may join and leave: keys and values are all the state, and masks do not count from the row's start."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    layers = DynamicCache(config=model.config).layers
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return plain and "chunked_attention" not in kinds


def _may_guess(model: Model) -> bool:
    """Whether guesses change nothing and pay: in half precision a pass over more tokens rounds otherwise, and on CPUs it takes longer.

    Not where a token sees only the columns near it: those of guesses that did not hold would count.
    """
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    whole = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return whole and model.dtype == torch.float32


def _alike(queue: Sequence[int], requests: Sequence[Prompt]) -> Iterator[list[int]]:
    """Prompts of nearly the same length together: reading a prompt is most of the work, so padding there is dear."""
    group: list[int] = []
    for row in queue:
        if group and len(requests[row].ids) < PADDED_FROM * len(requests[group[0]].ids):
            yield group
            group = []
        group.append(row)
    yield group


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
