"""Training on records: `padding`, `tokenise`, `train`, `merge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from codeact import config, storage
from codeact.api.data import Data, open_data
from codeact.config import Recipe
from codeact.errors import InputError
from codeact.files import local, utf8_path
from codeact.locks import one_writer
from codeact.outputs import Run, claim_folder, claimed
from codeact.pipeline import ready
from codeact.records import read_records
from codeact.rundir.inputs import Inputs
from codeact.storage import Source
from codeact.types import Tokenizer

if TYPE_CHECKING:
    from codeact.packing.overlong import Overlong
    from codeact.training.data import Sample

TRAINED = ("model", "adapter", "checkpoints", "learnt_tokens.npz", "metrics.jsonl", "summary.json", "tensorboard")


def padding(
    data: Data, recipe: Recipe | None = None, *, model: str | PathLike[str] = "", settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Padding rates of the usual ways of batching and of Dynamic Pack for these records and a model's tokenizer.

    Args:
        data: as `select`.
        recipe, model, settings: as `train`.

    Returns:
        The content of pack.json, and `reading`: what was read and what was refused.

    Raises:
        InputError: bad data or configuration.
    """
    from codeact.stages import pack

    rows, name = open_data(data)
    recipe = settle(recipe, {"model.name": model or None, "data.source": name}, settings)
    ready.check(recipe, {"pack"})
    records, reading = _inputs(rows, name, recipe).records()
    return {**pack.padding(records, recipe), "reading": reading.summary()}


def settle(recipe: Recipe | None, own: Mapping[str, Any], settings: Mapping[str, Any] | None) -> Recipe:
    """The recipe that was given, or the one of single keys: those that the call's own arguments stand for, where not None, and settings.

    Raises:
        InputError: a recipe and settings or another model, an unknown key, one given twice, or a value out of range.
    """
    own = config.given(own)
    if recipe is None:
        return config.load_recipe(extra=config.joined(own, settings or {}))
    if not isinstance(recipe, Recipe):
        raise InputError(f"the recipe is {type(recipe).__name__}; give one of codeact.load_recipe, or its keys as settings={{...}}")
    if settings:
        raise InputError("give a recipe or settings, not both; codeact.load_recipe(file, extra=settings) joins them")
    if own.get("model.name") not in (None, recipe.model.name):
        raise InputError(
            f"model = {own['model.name']!r} beside a recipe, whose model.name is {recipe.model.name!r}; leave one of them out"
        )
    return recipe


def _inputs(rows: Source | None, name: str | tuple[str, ...], recipe: Recipe) -> Inputs:
    return Inputs(recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": name})}), rows)


def tokenise(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Tokenizer,
    *,
    template: str | PathLike[str] = config.DEFAULTS.model.template,
    max_length: int = config.DEFAULTS.model.max_length,
    mapping: Mapping[str, str] | None = None,
    overlong: Overlong = config.DEFAULTS.pack.overlong,
) -> list[Sample]:
    """Rows of any known form as training samples, for a Trainer of your own with `DynamicPackCollator`.

    Learnt is every answer from where the generation prompt ends, with its end-of-turn marker. Rows that cannot be read or
    that the template refuses are left out; `codeact records` and `codeact train` say which and why.

    Args:
        rows: dictionaries, as read from a file or a data set.
        tokenizer: a fast Hugging Face tokenizer.
        template: auto, chat, question, alpaca or a jinja file.
        max_length: most tokens of a sample, at least 1.
        mapping: field -> column, as `--map`.
        overlong: what becomes of longer records: truncate, split, drop or error.

    Returns:
        `id`, and `input_ids` and `labels` as int32 [n] each; labels are -100 where nothing is learnt.

    Raises:
        InputError: no usable row, an unknown template or policy, a record too long under `error`, or names in place of rows or tokenizer.
    """
    from codeact.lm.given import check_tokenizer_given
    from codeact.lm.prompts import load_template
    from codeact.packing.overlong import check_capacity, check_policy
    from codeact.training.data import tokenise_records

    check_tokenizer_given(tokenizer)
    check_policy(overlong)
    check_capacity(max_length)
    records = read_records(rows, mapping, "the rows").usable()
    return tokenise_records(
        records, load_template(template, tokenizer), tokenizer, max_length, overlong=overlong
    ).samples


def train(
    data: Data,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    model: str | PathLike[str] = "",
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Fine-tune on every usable record, with Dynamic Pack; called again after a kill, it goes on.

    Args:
        data: as `select`: paths, a data set name, a list of dictionaries (such as `selection.rows`) or a `datasets.Dataset`.
        output: the folder of the model.
        recipe: its sections model, train and pack hold the settings.
        model: in place of a recipe: hub name, folder, GGUF file or `demo`.
        settings: in place of a recipe: its keys, for example `{"train.method": "lora", "train.epochs": 1}`.
        force: replace the files of another run in `output`.

    Returns:
        The content of summary.json, `model` (the folder to load), `rejected` and `reading`.

    Raises:
        InputError: bad data or configuration.
    """
    from codeact.training.sft import fine_tune

    output = local(output)
    rows, name = open_data(data)
    recipe = settle(recipe, {"model.name": model or None, "data.source": name, "run_dir": str(output)}, settings)
    if rows is None:
        storage.check_source(name)
    ready.check(recipe, {"train"})
    inputs = _inputs(rows, name, recipe)
    with claimed(output, TRAINED, Run("train", inputs.name, inputs.paths(), force)):
        records, reading = inputs.records()
        result = fine_tune(
            records, output, model=recipe.model, train=recipe.train, pack=recipe.pack, seed=recipe.seed_of("train")
        )
    # by name: of several processes, only the first has written by now
    made = "model" if recipe.train.method == "full" or recipe.train.merge else "adapter"
    refused = {"rejected": len(reading.rejected), "reading": reading.summary()}
    return {**result, **refused, "model": str(output / made)}


@one_writer("output")
def merge(adapter: str | Path, output: str | Path, *, dtype: str = "auto", force: bool = False) -> dict[str, Any]:
    """Merge a LoRA adapter into its base model and write it as a `from_pretrained` folder with the tokenizer.

    Args:
        adapter: a folder written by `codeact train` or by PEFT.
        output: the new folder.
        dtype: of the merged weights: float32, bfloat16, float16, or auto for the base model's own.

    Raises:
        InputError: no adapter there, its base model cannot be loaded, an unknown dtype, or the output cannot be written.
    """
    from codeact.lm import models
    from codeact.training.merge import base_of, merge_adapter

    if dtype not in get_args(config.Dtype):
        raise InputError(f"dtype {dtype!r} is unknown; use {', '.join(get_args(config.Dtype))}")
    source, target = Path(adapter), utf8_path(Path(output), "output folder")
    base, revision = base_of(source)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a folder for the merged model")
    writer = Run("merge", str(source), (str(source), base), force)
    with claimed(target, (), writer):
        own = (source / "tokenizer.json").is_file()
        tokenizer = models.load_tokenizer(str(source)) if own else models.load_tokenizer(base, revision)
        written = merge_adapter(source, tokenizer, target, dtype)
    claim_folder(target, (), writer, mine=True)  # the folder was replaced whole, and its note with it
    return {"adapter": str(source), "base": base, "model": str(target), "dtype": written}
