"""What every module of a model makes of a packed batch, token by token: where a leak begins, in the module's own scale.

Logits alone hide leaks: beside a large residual stream the little that a freshly made state-space layer carries over is
rounded away. The module that mixes the tokens shows it undiminished.

Used by `codeact.lm.isolation`. Imports torch at the top; import it inside functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch import Tensor

LOGITS = "logits"
# Classes that send each token to a few of many networks. How many tokens a network gets decides its matrices' shapes, and
# so the last bits of every token's result: the only way in which sound models differ at all.
_EXPERTS = re.compile(r"(experts|moe|moeblock|moelayer|moemlp)$", re.IGNORECASE)
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-9}
HALF_ROUNDING = 2.0**-7  # two units in the last place of bfloat16


Hook = Callable[[torch.nn.Module, tuple[Any, ...], object], object]  # of `register_forward_hook`


@dataclass
class Seen:
    """Tensors [B, T, ...] of one forward pass, by module, kind and call; `logits` among them.

    Attributes:
        tensors: in the order of the calls.
        experts: outputs of mixture-of-experts modules, [B * T, ...] where they are flat.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    experts: dict[str, Tensor] = field(default_factory=dict)


def observe(
    model: torch.nn.Module, inputs: Mapping[str, Any], before: Seen | None = None, touched: Tensor | None = None
) -> Seen:
    """Run a model without gradients and keep what its modules take and give.

    Args:
        model: as it is; nothing of it is changed.
        inputs: of its forward; `input_ids` [B, T] decides which tensors count.
        before: an earlier pass over the same tokens but those `touched`. Experts' results of the others are taken from it
            where they differ by rounding alone, so that rounding does not grow from layer to layer.
        touched: bool [B, T].
    """
    shape = tuple(inputs["input_ids"].shape)
    seen, calls = Seen(), Counter[str]()

    def hook(name: str, experts: bool) -> Hook:
        def note(module: torch.nn.Module, arguments: tuple[Any, ...], output: object) -> object:
            calls[name] += 1
            call = f"{name}#{calls[name]}"
            first = arguments[0] if arguments else None
            if isinstance(first, Tensor) and _is_of(first, shape):
                seen.tensors[f"{call} in"] = first
            made: object = output[0] if isinstance(output, tuple | list) and output else output
            if experts and _is_of(made, shape, flat=True):
                if before is not None and touched is not None and call in before.experts:
                    made = _pin(made, before.experts[call], touched)
                    output = type(output)((made, *output[1:])) if isinstance(output, tuple | list) else made
                seen.experts[call] = made
            if _is_of(made, shape):
                seen.tensors[f"{call} out"] = made
            return output

        return note

    with torch.no_grad(), _hooked(model, hook):
        seen.tensors[LOGITS] = model(**inputs).logits
    return seen


def largest_change(before: Seen, after: Seen, where: Tensor) -> tuple[float, str]:
    """Largest change at the tokens `where` (bool [B, T]), relative to the largest entry of its tensor, and the module."""
    worst, name = 0.0, ""
    for key, tensor in before.tensors.items():
        if key in after.tensors and after.tensors[key].shape == tensor.shape:
            share = change(tensor[where], after.tensors[key][where], tensor)
            if share > worst:
                worst, name = share, key.partition("#")[0]
    return worst, name


def change(first: Tensor, second: Tensor, scale: Tensor) -> float:
    """Largest |second - first|, relative to the largest finite entry of `scale`; entries that are no number in both are equal."""
    same = (first == second) | (first.isnan() & second.isnan())
    if first.numel() == 0 or bool(same.all()):
        return 0.0
    finite = scale[scale.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    moved = torch.where(same, 0.0, (second.float() - first.float()).abs()).nan_to_num(torch.inf, torch.inf)
    return float(moved.max()) / largest if largest > 0 else float("inf")


def _is_of(value: object, shape: tuple[int, ...], flat: bool = False) -> TypeGuard[Tensor]:
    """Whether a value is a float tensor [B, T, ...] (or, `flat`, [B * T, ...])."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    lead = tuple(value.shape[:2])
    return (value.ndim > 2 and lead == shape) or (flat and value.ndim == 2 and lead[0] == shape[0] * shape[1])


def _pin(made: Tensor, before: Tensor, touched: Tensor) -> Tensor:
    same = ~(touched if made.ndim > 2 else touched.flatten())
    if change(before[same], made[same], before) > ROUNDING.get(made.dtype, HALF_ROUNDING):
        return made  # more than rounding: a leak
    return torch.where(same.view(*same.shape, *([1] * (made.ndim - same.ndim))), before, made)


@contextmanager
def _hooked(model: torch.nn.Module, hook: Callable[[str, bool], Hook]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(hook(name, bool(_EXPERTS.search(type(module).__name__))))
        for name, module in model.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
