"""A KV cache of slots: rows join and leave in place, and a new token is written, not appended.

Transformers' own cache appends by copying all of it for every token: with 32 rows on a CPU, a third of a step's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

LEAST_ROOM = 64  # tokens of room ahead; a quarter of what is held where that is more


def hold(read: DynamicCache, slots: int) -> DynamicCache:
    """A cache with the rows of `read`, a `DynamicCache` of plain layers, and room for `slots` rows in all."""
    from transformers import DynamicCache

    held = DynamicCache()
    held.layers = [_layer_class()(slots) for _ in read.layers]
    join(held, read)
    return held


def join(held: DynamicCache, read: DynamicCache) -> None:
    """Add the rows of `read` behind those of `held`; the last columns of both are the newest tokens."""
    import torch

    with torch.inference_mode():
        layers: Iterable[tuple[Any, Any]] = zip(held.layers, read.layers, strict=True)
        for mine, other in layers:
            if other.is_initialized:  # layers that share another's keys hold none
                mine.join(other.keys, other.values)


def leave(held: DynamicCache, gone: Sequence[int], width: int) -> None:
    """Take the rows at the places `gone` away, and all columns but the last `width`; `order_after` says who moves where."""
    import torch

    used = _used(held)
    stay = order_after(used[0].rows, gone)
    with torch.inference_mode():
        for layer in used:
            layer.leave(stay, width)


def drop_last(held: DynamicCache, count: int) -> None:
    """Take the newest `count` columns away."""
    for layer in _used(held):
        layer.drop_last(count)


def close(held: DynamicCache, columns: Sequence[torch.Tensor], width: int) -> None:
    """Keep of each row the tokens in `columns` (int64, ascending, at most `width`), moved to its end, and `width` columns in all."""
    import torch

    with torch.inference_mode():
        for layer in _used(held):
            layer.close(columns, width)


def _used(held: DynamicCache) -> list[Any]:
    """The layers that hold something: those that share another's keys hold none."""
    layers: list[Any] = held.layers
    return [layer for layer in layers if layer.is_initialized]


def order_after(rows: int, gone: Sequence[int]) -> list[int]:
    """The old place of each row that stays: those at the end fill the gaps, so few rows are copied.

    order_after(5, [1]) == [0, 4, 2, 3]
    """
    missing = set(gone)
    left = rows - len(missing)
    movers = iter(index for index in range(rows - 1, left - 1, -1) if index not in missing)
    return [next(movers) if index in missing else index for index in range(left)]


@cache
def _layer_class() -> Callable[[int], DynamicLayer]:
    from transformers.cache_utils import DynamicLayer

    class SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
        """`keys` and `values` [rows, heads, T, head size] are windows of buffers with more rows and columns."""

        def __init__(self, slots: int) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.slots, self.rows, self.first, self.end = slots, 0, 0, 0
            self.buffers: tuple[torch.Tensor, ...] = ()

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            more = key_states.shape[-2]
            if self.end + more > self.buffers[0].shape[-2]:
                self._move(self.end - self.first, more, (key_states, value_states))
            for buffer, part in zip(self.buffers, (key_states, value_states), strict=True):
                buffer[: self.rows, :, self.end : self.end + more] = part
            self.end += more
            return self._show()

        def join(self, keys: torch.Tensor, values: torch.Tensor) -> None:
            """Add rows, zeros at the left of the shorter ones (masked, but what is there must be finite)."""
            count, width = keys.shape[0], keys.shape[-2]
            if not self.buffers or self.rows + count > self.slots or width > self.end - self.first:
                self.slots = max(self.slots, self.rows + count)
                self._move(max(width, self.end - self.first), 0, (keys, values))
            index = slice(self.rows, self.rows + count)
            for buffer, part in zip(self.buffers, (keys, values), strict=True):
                buffer[index, :, self.first : self.end - width] = 0
                buffer[index, :, self.end - width : self.end] = part
            self.rows += count
            self._show()

        def leave(self, stay: Sequence[int], width: int) -> None:
            """Keep the rows at the places `stay`, in this order, and the last `width` columns."""
            self.first = self.end - width
            moved = [(new, old) for new, old in enumerate(stay) if new != old]
            for buffer in self.buffers:
                for new, old in moved:
                    buffer[new, :, self.first : self.end] = buffer[old, :, self.first : self.end]
            self.rows = len(stay)
            self._show()

        def drop_last(self, count: int) -> None:
            self.end -= count
            self._show()

        def close(self, columns: Sequence[torch.Tensor], width: int) -> None:
            """Move the tokens at `columns` of each row to its end; the last `width` columns are kept."""
            held = self.end - self.first
            for row, own in enumerate(columns):
                if int(own[0]) < held - len(own):
                    for buffer in self.buffers:
                        buffer[row, :, self.end - len(own) : self.end] = buffer[row, :, self.first + own]
            self.first = self.end - width
            self._show()

        def _move(self, width: int, more: int, like: tuple[torch.Tensor, torch.Tensor]) -> None:
            """New buffers of `width` columns, `more` and some room; what is held goes to the end of the first `width`."""
            held = self.end - self.first
            room = width + more + max(LEAST_ROOM, width // 4)
            fresh = tuple(part.new_zeros(self.slots, part.shape[1], room, part.shape[3]) for part in like)
            for new, old in zip(fresh, self.buffers, strict=False):
                new[: self.rows, :, width - held : width] = old[: self.rows, :, self.first : self.end]
            self.buffers, self.first, self.end = fresh, 0, width

        def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
            keys, values = (buffer[: self.rows, :, self.first : self.end] for buffer in self.buffers)
            self.keys, self.values, self.is_initialized = keys, values, True
            return keys, values

    return SlotLayer
