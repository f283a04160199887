"""Write a run's selection for another training tool."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.config import Recipe, kept_recipe
from codeact.downloads import DEMO
from codeact.errors import InputError
from codeact.exporting import tools
from codeact.exporting.card import card_facts, chosen_by, data_card
from codeact.exporting.differences import LEARN_KEY, OWN_DROP, differences
from codeact.exporting.rows import message_rows
from codeact.exporting.tools import ROWS, Facts
from codeact.files import at_home, make_folder, name_of, write_text
from codeact.lm.identity import resolve
from codeact.locks import one_writer
from codeact.pipeline.ledger import check_selection, finished, ledger_table
from codeact.records import Record
from codeact.rundir.reading import reading
from codeact.rundir.store import Store, file_digest
from codeact.stages.columns import counted_in
from codeact.stages.pool import selected_records
from codeact.types import Tokenizer

if TYPE_CHECKING:
    from codeact.lm.prompts import Template

TOOLS: Mapping[str, Callable[[Facts], Mapping[str, str]]] = {
    "trl": tools.trl,
    "axolotl": tools.axolotl,
    "llama-factory": tools.llama_factory,
    "torchtune": tools.torchtune,
    "datasets": tools.datasets,
}


@one_writer("output")
def export(
    run_dir: str | Path, to: str, output: str | Path, *, model: str = "", force: bool = False
) -> dict[str, Any]:
    """Write the chosen records of a run, the tool's configuration and a data card into a folder.

    Args:
        run_dir: of `select` or `run`.
        to: trl, axolotl, llama-factory, torchtune or datasets.
        output: the folder; made if needed.
        model: the model to train, where it is not the one that the run names.
        force: replace files of these names that are there already.

    Returns:
        `records, files, warnings, output`.

    Raises:
        InputError: no finished selection, or one that was changed while it was read, an unknown tool, no model named, a folder that
            holds files of these names, or a record that the tool cannot train on as it is or, under `pack.overlong=error`, one that is
            too long.
    """
    if to not in TOOLS:
        raise InputError(f"--to {to!r} is unknown; the tools are {', '.join(TOOLS)}")
    with reading(run_dir) as root:
        files, records, warnings = _made(Store(root), name_of(run_dir), to, Path(output), model, force)
    folder = make_folder(Path(output))
    if not force:
        _refuse_there(folder, files)
    for file, text in files.items():
        write_text(folder / file, text)
    return {"records": records, "files": sorted(files), "warnings": warnings, "output": str(folder)}


def _made(store: Store, named: str, to: str, output: Path, model: str, force: bool) -> tuple[dict[str, str], int, list[str]]:
    """The files and their texts, the number of records in them, and the warnings."""
    if not store.path("recipe.yaml").exists():
        raise InputError(f"{named} holds no finished selection; give the folder that `codeact select` or `run` printed")
    recipe = kept_recipe(store.root)
    done = check_selection(store, recipe)
    counted = counted_in(store)
    table = counted if counted in done else None
    name = model or recipe.model.name
    if not name and to != "datasets":
        raise InputError(f"the run in {named} names no model; say which one will be trained with --model")
    if not force:
        _refuse_there(output, (ROWS, "README.md"))  # before the tokenizer is loaded
    records, left_out = selected_records(store), 0
    where = name if to in ("datasets", "torchtune") else _from_anywhere(name)
    revision = recipe.model.revision if name == recipe.model.name and not Path(where).exists() else None
    prompting = None if to in ("datasets", "torchtune") else _prompting(name, revision, recipe, (store.marker(table) or {}) if table else {})
    fitting = records
    if prompting is not None and recipe.pack.overlong in ("drop", "error"):
        fitting = _without_overlong(records, recipe, prompting)
    row_count, rows_per_step, known = _rows(store, table, recipe, fitting, prompting)
    if to not in OWN_DROP:
        records, left_out = fitting, len(records) - len(fitting)
    facts = Facts(
        recipe=recipe,
        model=where,
        revision=revision,
        rows=row_count,
        rows_per_step=rows_per_step,
        counted=known,
        template="" if prompting is None else _jinja(*prompting),
        template_name="" if prompting is None else prompting[1].name,
        tools=any(record.tools for record in records),
        marked=any(not m.learn for record in records for m in record.messages),
    )
    rows = "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in message_rows(records, LEARN_KEY.get(to, ""))
    )
    warnings = differences(to, facts, records, left_out)
    chosen = card_facts(store, recipe, {record.id for record in records}, rows, table)
    card = data_card(to, chosen_by(store, recipe, left_out), chosen, _ledger(store, recipe), warnings, left_out)
    return {ROWS: rows, **TOOLS[to](facts), "README.md": card}, len(records), warnings


def _refuse_there(folder: Path, files: Iterable[str]) -> None:
    there = [file for file in files if (folder / file).exists()]
    if there:
        raise InputError(f"{folder} holds {', '.join(there)} already; name another folder, or replace them with --force")


def _from_anywhere(name: str) -> str:
    """The whole path of a folder, for the tool runs inside the export and knows neither `demo` nor a GGUF file; hub names as they are."""
    path = at_home(name)
    if name == DEMO or path.suffix == ".gguf":
        return resolve(name)
    return str(path.resolve()) if name and path.exists() else name


def _prompting(name: str, revision: str | None, recipe: Recipe, counted: Mapping[str, Any]) -> tuple[Tokenizer, Template]:
    """The tokenizer of the model, and the template under which the records were chosen: `counted` is the marker of the stage that used it.

    Raises:
        InputError: the template is a file that is another one now.
    """
    from codeact.lm import models, prompts

    file, read = Path(recipe.model.template), counted.get("config", {}).get("model", {}).get("template")
    if read not in (None, recipe.model.template) and file.is_file() and file_digest(file) != read:
        raise InputError(
            f"model.template: {file} is not the file under which the run's tokens were counted; put that file back, or run `codeact select` again"
        )
    tokenizer = models.load_tokenizer(name, revision)
    return tokenizer, prompts.load_template(recipe.model.template, tokenizer)


def _jinja(tokenizer: Tokenizer, template: Template) -> str:
    """The jinja text that is not the tokenizer's own; "" where it is."""
    if template.name == "chat":
        return ""
    ids = tokenizer("a")["input_ids"]
    bos = "{{ bos_token }}" if template.adds_special and ids[0] == tokenizer.bos_token_id else ""
    return bos + template.source


def _without_overlong(records: list[Record], recipe: Recipe, prompting: tuple[Tokenizer, Template]) -> list[Record]:
    """The records that `pack.overlong`, drop or error, leaves to a tool that has no word for it.

    Raises:
        InputError: under error one is too long; under drop all are.
    """
    from codeact.training.data import tokenise_records

    tokenizer, template = prompting
    found = tokenise_records(records, template, tokenizer, recipe.model.max_length, overlong=recipe.pack.overlong)
    kept = {*(sample["id"] for sample in found.samples), *(identity for identity, _ in found.refused)}
    return [record for record in records if record.id in kept]


def _rows(
    store: Store, counted: str | None, recipe: Recipe, records: list[Record], prompting: tuple[Tokenizer, Template] | None
) -> tuple[int, int, bool]:
    """Rows that a tool makes of the records, how many hold the records of one optimizer step, and whether tokens were counted."""
    step = recipe.train.batch_size * recipe.train.grad_accum
    if recipe.pack.scope == "none":
        return len(records), step, True
    sizes = _sizes(store, counted, recipe, records, prompting)
    if not sizes:
        return len(records), step, False
    per_record = float(sum(sizes)) / len(sizes) / recipe.model.max_length
    return max(1, math.ceil(len(records) * per_record)), max(1, round(step * per_record)), True


def _sizes(
    store: Store, counted: str | None, recipe: Recipe, records: list[Record], prompting: tuple[Tokenizer, Template] | None
) -> list[int]:
    """Tokens of the records, from the run's table or else by the tokenizer; empty where there is neither."""
    if counted is not None:
        table, wanted = store.table(counted, ["id", "prompt_tokens", "response_tokens"]), {record.id for record in records}
        told = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        return [prompt + response for identity, prompt, response in told if identity in wanted and prompt is not None]
    if prompting is None:
        return []
    from codeact.training.data import tokenise_records

    tokenizer, template = prompting
    return [int(size) for size in tokenise_records(records, template, tokenizer, recipe.model.max_length, required=False).lengths]


def _ledger(store: Store, recipe: Recipe) -> list[dict[str, Any]]:
    """From the tables: a run that was stopped has left no file."""
    table = ledger_table(store, finished(store, recipe))
    return [] if table is None else list(table.select(["status", "stage", "reason"]).to_pylist())
