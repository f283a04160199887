"""Write a run's selection for another training tool."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.amounts import amount
from codeact.config import Recipe, kept_recipe
from codeact.downloads import DEMO
from codeact.errors import InputError
from codeact.exporting import tools
from codeact.exporting.card import REFUSED, TOO_LONG, card_facts, chosen_by, data_card
from codeact.exporting.differences import differences
from codeact.exporting.rows import message_rows
from codeact.exporting.tokens import FOLDER, PARQUET, TOKENISED, token_files
from codeact.exporting.tools import JINJA, ROWS, Facts
from codeact.files import at_home, make_folder, name_of, write_bytes, write_text
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
    import pyarrow as pa

    from codeact.lm.prompts import Template
    from codeact.packing.rows import Rows
    from codeact.training.data import Tokenised

TOOLS: Mapping[str, Callable[[Facts], Mapping[str, str]]] = {
    "trl": tools.trl,
    "axolotl": tools.axolotl,
    "llama-factory": tools.llama_factory,
    "torchtune": tools.torchtune,
    "datasets": tools.datasets,
}
WRITTEN = ("sft.yaml", "dataset.yaml", "dataset_info.json", JINJA, PARQUET)  # and `FOLDER`: what an export to any tool leaves, in this version or an earlier one


@one_writer("output")
def export(
    run_dir: str | Path, to: str, output: str | Path, *, model: str | PathLike[str] = "", force: bool = False
) -> dict[str, Any]:
    """Write the chosen records of a run, the tool's configuration and a data card into a folder.

    TRL, axolotl and LLaMA-Factory also get the tokens and labels that codeact would train on, and train on these. A record
    that codeact's training leaves out is left out here.

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
            holds files of these names, no record that the template takes or, under `pack.overlong=error`, one that is too long.
    """
    if to not in TOOLS:
        raise InputError(f"--to {to!r} is unknown; the tools are {', '.join(TOOLS)}")
    with reading(run_dir) as root:
        files, records, warnings = _made(Store(root), name_of(run_dir), to, Path(output), fspath(model), force)
    folder = make_folder(Path(output))
    if not force:
        _refuse_there(folder, files)
    for file, held in files.items():
        make_folder((folder / file).parent)
        if isinstance(held, str):
            write_text(folder / file, held)
        else:
            write_bytes(folder / file, held)
    return {"records": records, "files": sorted(files), "warnings": [*warnings, *_left_there(folder, files)], "output": str(folder)}


def _left_there(folder: Path, files: Iterable[str]) -> list[str]:
    """A line where files lie in the folder that an export to another tool wrote, or an earlier version."""
    left = [name for name in (*WRITTEN, FOLDER) if (folder / name).exists() and not any(file == name or file.startswith(f"{name}/") for file in files)]
    return [f"{folder} holds {', '.join(left)} too, of an earlier export: no part of this one; delete what you do not need"] if left else []


def _made(store: Store, named: str, to: str, output: Path, model: str, force: bool) -> tuple[dict[str, str | pa.Buffer], int, list[str]]:
    """The files and what they hold, the number of records in them, and the warnings."""
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
    records = selected_records(store)
    where = _from_anywhere(name) if to in TOKENISED else name
    revision = recipe.model.revision if name == recipe.model.name and not Path(where).exists() else None
    prompting, made, left_out, said = None, None, dict[str, int](), list[str]()
    if to in TOKENISED:
        prompting = _prompting(name, revision, recipe, (store.marker(table) or {}) if table else {})
        made = _tokenised(records, recipe, prompting)
        records, left_out, said = _trained(records, made, recipe)
    row_count, rows_per_step, known = _rows(store, table, recipe, records, made)
    tokens = {} if made is None else token_files(to, made.samples, _packed(made, recipe) if to == "llama-factory" else None)
    facts = Facts(
        recipe=recipe,
        model=where,
        revision=revision,
        rows=row_count,
        rows_per_step=rows_per_step,
        counted=known,
        template="" if prompting is None else _jinja(*prompting),
        template_name="" if prompting is None else prompting[1].name,
        tokens=_digest(tokens),
    )
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in message_rows(records))
    warnings = [*said, *differences(to, facts, records)]
    chosen = card_facts(store, recipe, {record.id for record in records}, rows, table)
    card = data_card(to, chosen_by(store, recipe, left_out), chosen, _ledger(store, recipe), warnings, left_out)
    return {ROWS: rows, **tokens, **TOOLS[to](facts), "README.md": card}, len(records), warnings


def _digest(files: Mapping[str, str | pa.Buffer]) -> str:
    """Eight characters that name these contents."""
    found = hashlib.sha256()
    for content in files.values():
        found.update(content.encode() if isinstance(content, str) else content)
    return found.hexdigest()[:8]


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


def _tokenised(records: list[Record], recipe: Recipe, prompting: tuple[Tokenizer, Template]) -> Tokenised:
    """What codeact's training would make of the records.

    Raises:
        InputError: none is left; under `pack.overlong=error` one is too long.
    """
    from codeact.training.data import tokenise_records

    tokenizer, template = prompting
    return tokenise_records(records, template, tokenizer, recipe.model.max_length, recipe.train.train_on_prompt, recipe.pack.overlong)


def _trained(records: list[Record], made: Tokenised, recipe: Recipe) -> tuple[list[Record], dict[str, int], list[str]]:
    """The records that have samples, how many of the others there are for each reason, and a line for each reason and note."""
    kept = {sample["id"] for sample in made.samples}
    said = list(made.notes)
    if made.refused:
        said.append(f"{amount(len(made.refused), 'record')} left out, as in codeact's training; the first: {made.refused[0][1]}")
    if made.dropped:
        said.append(
            f"{amount(made.dropped, 'record')} longer than model.max_length={recipe.model.max_length} tokens left out,"
            f" as pack.overlong={recipe.pack.overlong} has it."
        )
    left_out = {TOO_LONG: made.dropped, REFUSED: len(made.refused)}
    return [record for record in records if record.id in kept], {reason: count for reason, count in left_out.items() if count}, said


def _packed(made: Tokenised, recipe: Recipe) -> Rows | None:
    """The samples of each row of at most `model.max_length` tokens; None where the recipe packs none."""
    from codeact.packing.plan import pack_tightly

    return None if recipe.pack.scope == "none" else pack_tightly(made.lengths, recipe.model.max_length)


def _rows(store: Store, counted: str | None, recipe: Recipe, records: list[Record], made: Tokenised | None) -> tuple[int, int, bool]:
    """Rows that a tool makes of the records, how many hold the records of one optimizer step, and whether tokens were counted."""
    step = recipe.train.batch_size * recipe.train.grad_accum
    count = len(records) if made is None else len(made.samples)
    if recipe.pack.scope == "none":
        return count, step, True
    sizes = _counts(store, counted, records) if made is None else made.lengths.tolist()
    if not sizes:
        return count, step, False
    per_sample = float(sum(sizes)) / len(sizes) / recipe.model.max_length
    return max(1, math.ceil(count * per_sample)), max(1, round(step * per_sample)), True


def _counts(store: Store, counted: str | None, records: list[Record]) -> list[int]:
    """Tokens of the records, from the run's table; empty where there is none."""
    if counted is None:
        return []
    table, wanted = store.table(counted, ["id", "prompt_tokens", "response_tokens"]), {record.id for record in records}
    told = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    return [prompt + response for identity, prompt, response in told if identity in wanted and prompt is not None]


def _ledger(store: Store, recipe: Recipe) -> list[dict[str, Any]]:
    """From the tables: a run that was stopped has left no file."""
    table = ledger_table(store, finished(store, recipe))
    return [] if table is None else list(table.select(["status", "stage", "reason"]).to_pylist())
