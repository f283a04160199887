"""The stages that use the selection and prove it: pack, train, evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.pipeline import selection
from codeact.pipeline.inputs import Inputs
from codeact.pipeline.store import Store
from codeact.records import Record

Summary = Mapping[str, Any]


def own_seed(seed: int | None, recipe: Recipe) -> int:
    """A stage's own seed, or the recipe's."""
    return recipe.seed if seed is None else seed


def pack(store: Store, recipe: Recipe, inputs: Inputs) -> Summary:
    """Padding of the usual ways of batching and of Dynamic Pack, on the chosen records."""
    report = padding(selection.selected_records(store), recipe)
    storage.write_json(store.path("pack.json"), report)
    return {"padding_rate": {name: method["padding_rate"] for name, method in report["methods"].items()}}


def padding(records: Sequence[Record], recipe: Recipe) -> dict[str, Any]:
    """The content of pack.json for these records and the recipe's model, template and batch size."""
    from codeact import models, prompts
    from codeact.train.data import tokenise
    from codeact.train.metrics import pack_report

    m = recipe.model
    tokenizer = models.load_tokenizer(m.name, m.revision)
    template = prompts.load_template(m.template, tokenizer)
    found = tokenise(records, template, tokenizer, m.max_length, overlong=recipe.pack.overlong)
    lengths = [len(s["input_ids"]) for s in found.samples]
    return pack_report(lengths, m.max_length, recipe.train.batch_size, recipe.seed, found.truncated, found.dropped)


def train(store: Store, recipe: Recipe, inputs: Inputs) -> Summary:
    """Fine-tune on the chosen records; a killed training goes on from its last checkpoint."""
    from codeact.train.sft import train as fit

    return fit(
        selection.selected_records(store), store.path("train"),
        model=recipe.model, train=recipe.train, pack=recipe.pack, seed=own_seed(recipe.train.seed, recipe), quiet=inputs.quiet,
    )  # fmt: skip


def evaluate(store: Store, recipe: Recipe, inputs: Inputs, tuned: bool) -> Summary:
    """Benchmark the base or the tuned model."""
    from codeact.evaluate.run import evaluate as measure
    from codeact.train.sft import tuned_model

    m = recipe.model
    name = str(tuned_model(store.path("train"))) if tuned else m.name
    results = measure(
        name, store.path("evaluate/tuned" if tuned else "evaluate/base"),
        model=m.model_copy(update={"revision": None}) if tuned else m, config=recipe.evaluate, seed=recipe.seed, quiet=inputs.quiet,
    )  # fmt: skip
    keys = ("pass@1", "bits_per_byte")
    return {
        task: {k: value.get(k) for k in keys}
        for task, value in results.items()
        if isinstance(value, dict) and "version" in value
    }
