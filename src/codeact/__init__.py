"""codeact: pick the part of an instruction data set that this model learns most from, train on it without padding, prove the gain."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from codeact.api import Selection, evaluate, run, select, tokenise
    from codeact.lm.models import load_model, load_tokenizer
    from codeact.packing.collate import DynamicPackCollator
    from codeact.packing.plan import plan_batch, plan_epoch
    from codeact.records import Message, Record
    from codeact.score import score_ifd

_HOME = {
    "Selection": "codeact.api",
    "evaluate": "codeact.api",
    "run": "codeact.api",
    "select": "codeact.api",
    "tokenise": "codeact.api",
    "load_model": "codeact.lm.models",
    "load_tokenizer": "codeact.lm.models",
    "DynamicPackCollator": "codeact.packing.collate",
    "plan_batch": "codeact.packing.plan",
    "plan_epoch": "codeact.packing.plan",
    "Message": "codeact.records",
    "Record": "codeact.records",
    "score_ifd": "codeact.score",
}

__all__ = [
    "DynamicPackCollator", "Message", "Record", "Selection", "__version__", "evaluate", "load_model", "load_tokenizer",
    "plan_batch", "plan_epoch", "run", "score_ifd", "select", "tokenise",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `import codeact` does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'codeact' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
