"""Models and tokenizers as callers give them: a name in place of one is refused, and a model without weights."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from codeact.errors import InputError
from codeact.types import Tokenizer

if TYPE_CHECKING:
    import torch


def check_model_given(model: torch.nn.Module) -> None:
    """Refuse what cannot run.

    Raises:
        InputError: a name, or a model on the device "meta", which holds no weights.
    """
    if isinstance(model, str | PathLike):
        raise InputError(f"the model is the name {model!r}; load it: codeact.load_model({model!r})")
    weights = list(model.parameters())
    if weights and all(weight.is_meta for weight in weights):  # some are there in models that are loaded part by part
        raise InputError('the model is on the device "meta", which holds no weights; load it with codeact.load_model')


def check_tokenizer_given(tokenizer: Tokenizer) -> None:
    """Refuse a name in place of a tokenizer.

    Raises:
        InputError: it is one.
    """
    if isinstance(tokenizer, str | PathLike):
        raise InputError(f"the tokenizer is the name {tokenizer!r}; load it: codeact.load_tokenizer({tokenizer!r})")
