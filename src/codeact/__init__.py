"""codeact: choose a clean, smaller part of an instruction data set, train a code LLM on it without padding, prove the gain."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who wants its lines asks for them: docs/api.md

if TYPE_CHECKING:
    from codeact.api import (
        Selection,
        compare,
        diff,
        differences,
        evaluate,
        explain,
        export,
        harvest,
        merge,
        padding,
        plan,
        preview,
        report,
        run,
        select,
        stability,
        tokenise,
        train,
    )
    from codeact.cluster import cluster_embeddings, project_2d
    from codeact.config import CurateConfig, Recipe, load_recipe
    from codeact.curate import BenchmarkItem, curate_records
    from codeact.embed import embed_texts, load_embedder
    from codeact.errors import CodeactError, InputError
    from codeact.lm.isolation import check_isolation
    from codeact.lm.models import load_model, load_tokenizer
    from codeact.packing import (
        DynamicPackCollator,
        PackedDataset,
        PackedStream,
        apply_overlong,
        balance_ratio,
        balance_steps,
        collate_rows,
        crossover_tokens,
        fit_crossover,
        padding_rate,
        plan_batch,
        plan_epoch,
        plan_ranks,
        row_costs,
    )
    from codeact.records import Message, Record, read_data, read_records
    from codeact.score import score_ifd

__all__ = [
    "BenchmarkItem",
    "CodeactError",
    "CurateConfig",
    "DynamicPackCollator",
    "InputError",
    "Message",
    "PackedDataset",
    "PackedStream",
    "Recipe",
    "Record",
    "Selection",
    "__version__",
    "apply_overlong",
    "balance_ratio",
    "balance_steps",
    "check_isolation",
    "cluster_embeddings",
    "collate_rows",
    "compare",
    "crossover_tokens",
    "curate_records",
    "diff",
    "differences",
    "embed_texts",
    "evaluate",
    "explain",
    "export",
    "fit_crossover",
    "harvest",
    "load_embedder",
    "load_model",
    "load_recipe",
    "load_tokenizer",
    "merge",
    "padding",
    "padding_rate",
    "plan",
    "plan_batch",
    "plan_epoch",
    "plan_ranks",
    "preview",
    "project_2d",
    "read_data",
    "read_records",
    "report",
    "row_costs",
    "run",
    "score_ifd",
    "select",
    "stability",
    "tokenise",
    "train",
]  # fmt: skip

_PUBLIC = {
    "codeact.api": ("Selection", "compare", "diff", "differences", "evaluate", "explain", "export", "harvest", "merge",
        "padding", "plan", "preview", "report", "run", "select", "stability", "tokenise", "train"),
    "codeact.cluster": ("cluster_embeddings", "project_2d"),
    "codeact.config": ("CurateConfig", "Recipe", "load_recipe"),
    "codeact.curate": ("BenchmarkItem", "curate_records"),
    "codeact.embed": ("embed_texts", "load_embedder"),
    "codeact.errors": ("CodeactError", "InputError"),
    "codeact.lm.isolation": ("check_isolation",),
    "codeact.lm.models": ("load_model", "load_tokenizer"),
    "codeact.packing": ("DynamicPackCollator", "PackedDataset", "PackedStream", "apply_overlong", "balance_ratio",
        "balance_steps", "collate_rows", "crossover_tokens", "fit_crossover", "padding_rate", "plan_batch", "plan_epoch", "plan_ranks", "row_costs"),
    "codeact.records": ("Message", "Record", "read_data", "read_records"),
    "codeact.score": ("score_ifd",),
}  # fmt: skip
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> object:
    """Import public names on first use, so that `import codeact` does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'codeact' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
