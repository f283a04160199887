"""The rows of a batch that is being generated: left-padded, with a KV cache of slots; rows join, go on and leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codeact.evaluation import slots
from codeact.types import Model

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

HOLES = 32  # columns beyond the longest row before they are closed; a quarter of that row where it is more


@dataclass
class LiveRows:
    """Rows being generated.

    Attributes:
        rows: index of each row's prompt.
        cache: keys and values, [B, heads, T, head size] in each layer (`codeact.evaluation.slots`).
        mask: int64 [B, T], 0 on the padding at the left and on guesses that did not hold.
        tokens: newest token of each row, which the cache does not hold yet.
    """

    rows: list[int]
    cache: DynamicCache
    mask: torch.Tensor
    tokens: list[int]


def read(
    model: Model, prompts: Sequence[tuple[int, ...]], rows: list[int], pad: int, slots_for: int
) -> tuple[LiveRows, torch.Tensor]:
    """Read some prompts into a fresh cache with room for `slots_for` rows; their logits [B, 1, vocabulary] for the first new token.

    A prompt that several rows have is read once.
    """
    import torch
    from transformers import DynamicCache

    distinct = list(dict.fromkeys(prompts))
    width = max(map(len, distinct))
    padded = [[pad] * (width - len(ids)) + list(ids) for ids in distinct]
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in distinct], device=model.device)
    # Plain layers even for sliding windows (the mask sees to those), so that rows can join and leave.
    cache = DynamicCache()
    logits = _forward(model, torch.tensor(padded, device=model.device), mask, cache, 1)
    if len(distinct) < len(rows):
        number_of = {ids: number for number, ids in enumerate(distinct)}
        copies = torch.tensor([number_of[ids] for ids in prompts], device=model.device)
        with torch.inference_mode():
            cache.batch_select_indices(copies)
            logits, mask = logits[copies], mask[copies]
    return LiveRows(rows, slots.hold(cache, slots_for), mask, []), logits


def go_on(model: Model, live: LiveRows, guesses: Sequence[Sequence[int]]) -> torch.Tensor:
    """Read the newest token of each row and the tokens guessed behind it.

    Returns:
        Logits [B, Q, vocabulary] for the token behind each of them; Q is one more than the longest guess. Where a row's guess is
        shorter, its last ones mean nothing. `hold` says afterwards how many tokens were right.
    """
    import torch

    width = 1 + max(map(len, guesses))
    lines = [[token, *guess] for token, guess in zip(live.tokens, guesses, strict=True)]
    ids = torch.tensor([line + [0] * (width - len(line)) for line in lines], device=model.device)
    fresh = live.mask.new_tensor([[1] * len(line) + [0] * (width - len(line)) for line in lines])
    live.mask = torch.cat([live.mask, fresh], dim=1)
    return _forward(model, ids, live.mask, live.cache, width)


def hold(live: LiveRows, counts: Sequence[int], width: int) -> None:
    """Of the newest `width` columns keep the first `counts[i]` of row i; the others are never seen again."""
    import torch

    kept = live.mask.new_tensor(counts)[:, None] > torch.arange(width, device=live.mask.device)
    live.mask[:, -width:] *= kept
    spare = width - max(counts)
    if spare:
        live.mask = live.mask[:, :-spare]
        slots.drop_last(live.cache, spare)
    longest = int(live.mask.sum(-1).max())
    if live.mask.shape[1] > longest + max(HOLES, longest // 4):
        slots.close(live.cache, [line.nonzero().flatten() for line in live.mask], longest)
        live.mask = live.mask.sort(dim=1).values[:, -longest:]


def without(live: LiveRows, finished: Collection[int]) -> LiveRows | None:
    """The rows that go on, without the columns that are padding in all of them."""
    import torch

    gone = [index for index, row in enumerate(live.rows) if row in finished]
    stay = slots.order_after(len(live.rows), gone)
    if not gone or not stay:
        return live if stay else None
    mask = live.mask[torch.tensor(stay, device=live.mask.device)]
    mask = mask[:, int(mask.any(dim=0).int().argmax()) :]
    slots.leave(live.cache, gone, mask.shape[1])
    return LiveRows([live.rows[p] for p in stay], live.cache, mask, [live.tokens[p] for p in stay])


def joined(left: LiveRows | None, right: LiveRows | None) -> LiveRows | None:
    """Both sets of rows in one batch, the narrower padded at its left."""
    import torch
    from torch.nn.functional import pad

    if left is None or right is None:
        return left or right
    width = max(left.mask.shape[1], right.mask.shape[1])
    slots.join(left.cache, right.cache)
    mask = torch.cat([pad(part.mask, (width - part.mask.shape[1], 0)) for part in (left, right)])
    return LiveRows([*left.rows, *right.rows], left.cache, mask, [*left.tokens, *right.tokens])


def start(
    model: Model, pad: int, texts: list[tuple[int, ...]]
) -> tuple[torch.Tensor, Callable[[list[int], list[list[int]], list[int]], torch.Tensor]]:
    """The logits [B, 1, vocabulary] of some prompts read side by side, and what reads a further token of each and guesses behind it.

    That one takes the tokens, the guesses and how many of both hold, and gives the logits of `go_on`.
    """
    live, logits = read(model, texts, list(range(len(texts))), pad, len(texts))

    def going_on(tokens: list[int], guesses: list[list[int]], counts: list[int]) -> torch.Tensor:
        live.tokens = tokens
        found = go_on(model, live, guesses)
        hold(live, counts, found.shape[1])
        return found

    return logits, going_on


def _forward(model: Model, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, keep: int) -> torch.Tensor:
    """Read the last columns of `mask`, whose tokens are `ids`; the logits of the last `keep`."""
    import torch

    # the padding in front and what stands behind a short guess take any place that there is
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    with torch.inference_mode():
        logits: torch.Tensor = model(
            input_ids=ids, attention_mask=mask, position_ids=positions,
            past_key_values=cache, use_cache=True, logits_to_keep=keep,
        ).logits[:, -keep:]  # fmt: skip
    return logits
