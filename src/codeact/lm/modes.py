"""A model in eval mode for a while, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module has the mode that it had, such as a part that is frozen in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    whole = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(whole)  # by its own method, which some models have more to do in
        for module, training in modes:
            module.training = training
