"""Stage `pack`: what padding would cost on the chosen records, and what Dynamic Pack leaves of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.records import Record
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records

VERSION = 4


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes pack.json."""

    def config() -> Mapping[str, Any]:
        return {
            "model": inputs.model(), "batch_size": recipe.train.batch_size, "overlong": recipe.pack.overlong, "seed": recipe.seed,
        }  # fmt: skip

    return Stage("pack", ("sample",), config, VERSION, lambda store: pack(store, recipe), ("pack.json",), "pack.json")


def pack(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Padding of the usual ways of batching and of Dynamic Pack, on the chosen records."""
    report = padding(selected_records(store), recipe)
    storage.write_json(store.path("pack.json"), report)
    return {"padding_rate": {name: method["padding_rate"] for name, method in report["methods"].items()}}


def padding(records: Sequence[Record], recipe: Recipe) -> dict[str, Any]:
    """The content of pack.json for these records and the recipe's model, template and batch size."""
    from codeact.lm import models, prompts
    from codeact.training.data import tokenise_records
    from codeact.training.metrics import pack_report

    m = recipe.model
    tokenizer = models.load_tokenizer(m.name, m.revision)
    template = prompts.load_template(m.template, tokenizer)
    found = tokenise_records(records, template, tokenizer, m.max_length, overlong=recipe.pack.overlong)
    lengths = [len(s["input_ids"]) for s in found.samples]
    return pack_report(lengths, m.max_length, recipe.train.batch_size, recipe.seed, found.truncated, found.dropped)
