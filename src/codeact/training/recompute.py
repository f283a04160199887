"""Element-wise parts of a model computed again in the backward pass, instead of kept: same gradients, less memory, little time.

A gated MLP keeps four tensors of its inner width for each token, and two of them follow from the other two; an RMSNorm keeps
its input twice. Both are undone by torch's checkpoint around the cheap part alone, so that no matrix product is done twice:
the idea is selective recomputation (Korthikanti et al., arXiv 2205.05198).

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from codeact.types import Model

PROBE_TOKENS = 3


def recompute_cheap_parts(model: Model) -> int:
    """Make RMSNorms and gated MLPs of a model keep their inputs alone for the backward pass, in place.

    An MLP is changed where `down_proj(act_fn(gate_proj(x)) * up_proj(x))` gives what its own forward pass gives, bit for bit, and
    `down_proj` is a plain linear layer (no LoRA in it). Without gradients everything is as before.

    Args:
        model: a causal language model that is trained whole.

    Returns:
        How many modules were changed.
    """
    changed = 0
    for module in model.modules():
        name = type(module).__name__
        if name.endswith("RMSNorm") or _is_gated(module):
            part: Any = module
            own: Callable[..., Tensor] = part.forward
            part.forward = _gated(part, own) if _is_gated(module) else _again(part, own)
            changed += 1
    return changed


class _GatedMLP(Protocol):
    """`down_proj(act_fn(gate_proj(x)) * up_proj(x))`."""

    training: bool

    @property
    def forward(self) -> Callable[..., Tensor]: ...
    def gate_proj(self, hidden: Tensor) -> Tensor: ...
    def up_proj(self, hidden: Tensor) -> Tensor: ...
    def act_fn(self, gate: Tensor) -> Tensor: ...
    def down_proj(self, product: Tensor) -> Tensor: ...


def _again(module: torch.nn.Module, own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(*inputs: Tensor, **named: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and module.training):
            return own(*inputs, **named)
        found: Tensor = checkpoint(partial(own, **named), *inputs, use_reentrant=False, preserve_rng_state=False)
        return found

    return forward


def _gated(module: _GatedMLP, own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def product(gate: Tensor, up: Tensor) -> Tensor:
        return module.down_proj(module.act_fn(gate) * up)

    def forward(hidden: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and module.training):
            return own(hidden)
        # the recomputation stops before the matrix product, once its input is there
        found: Tensor = checkpoint(
            product, module.gate_proj(hidden), module.up_proj(hidden), use_reentrant=False, preserve_rng_state=False
        )
        return found

    return forward


def _is_gated(given: torch.nn.Module) -> bool:
    """Whether a module is a gated MLP that computes what `_gated` computes."""
    module: Any = given
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return False
    if type(module.down_proj) is not torch.nn.Linear or module.down_proj.weight.dim() != 2:
        return False
    weight = module.down_proj.weight
    probe = torch.linspace(-2, 2, PROBE_TOKENS * weight.shape[0], device=weight.device, dtype=weight.dtype)
    hidden = probe.view(1, PROBE_TOKENS, weight.shape[0])
    with torch.no_grad():
        try:
            own = module(hidden)
            ours = module.down_proj(module.act_fn(module.gate_proj(hidden)) * module.up_proj(hidden))
        except (TypeError, RuntimeError):  # it takes more than hidden states, or others
            return False
    return isinstance(own, Tensor) and torch.equal(own, ours)
