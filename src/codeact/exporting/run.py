"""Write a run's selection for another training tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from codeact.amounts import amount
from codeact.config import Recipe, kept_recipe
from codeact.downloads import DEMO
from codeact.errors import InputError
from codeact.exporting import tools
from codeact.exporting.card import card_facts, data_card
from codeact.exporting.rows import message_rows
from codeact.exporting.tools import ROWS, Facts
from codeact.files import make_folder, write_text
from codeact.lm.identity import resolve
from codeact.locks import one_writer
from codeact.mirror import reading_copy
from codeact.pipeline.ledger import check_selection, finished, ledger_table
from codeact.records import Record
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.stages.columns import counted_in
from codeact.stages.pool import selected_records

TOOLS: Mapping[str, Callable[[Facts], Mapping[str, str]]] = {
    "trl": tools.trl,
    "axolotl": tools.axolotl,
    "llama-factory": tools.llama_factory,
    "torchtune": tools.torchtune,
    "datasets": tools.datasets,
}
LEARN_KEY = {"axolotl": "train"}  # the field by which the tool leaves a turn unlearnt; the others have none


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
        InputError: no finished selection, an unknown tool, no model named, a folder that holds files of these names, or a
            record that the tool cannot train on as it is.
    """
    if to not in TOOLS:
        raise InputError(f"--to {to!r} is unknown; the tools are {', '.join(TOOLS)}")
    store = Store(reading_copy(run_dir))
    if not store.path("recipe.yaml").exists():
        raise InputError(f"{run_dir} holds no finished selection; give the folder that `codeact select` or `run` printed")
    recipe = kept_recipe(store.root)
    check_selection(store, recipe)
    name = model or recipe.model.name
    if not name and to != "datasets":
        raise InputError(f"the run in {run_dir} names no model; say which one will be trained with --model")
    if not force:
        _refuse_there(Path(output), (ROWS, "README.md"))  # before the tokenizer is loaded
    records = selected_records(store)
    source, template_name = ("", "") if to in ("datasets", "torchtune") else _template(name, recipe)
    facts = Facts(
        recipe=recipe,
        model=name if to in ("datasets", "torchtune") else _from_anywhere(name),
        rows_per_step=_rows_per_step(store, recipe),
        template=source,
        template_name=template_name,
        tools=any(record.tools for record in records),
        marked=any(not m.learn for record in records for m in record.messages),
    )
    rows = "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in message_rows(records, LEARN_KEY.get(to, ""))
    )
    warnings = _warnings(to, facts, records)
    card = data_card(to, recipe, card_facts(store, recipe, len(records), rows), _ledger(store, recipe), warnings)
    files = {ROWS: rows, **TOOLS[to](facts), "README.md": card}
    folder = make_folder(Path(output))
    if not force:
        _refuse_there(folder, files)
    for file, text in files.items():
        write_text(folder / file, text)
    return {"records": len(records), "files": sorted(files), "warnings": warnings, "output": str(folder)}


def _refuse_there(folder: Path, files: Iterable[str]) -> None:
    there = [file for file in files if (folder / file).exists()]
    if there:
        raise InputError(f"{folder} holds {', '.join(there)} already; name another folder, or replace them with --force")


def _from_anywhere(name: str) -> str:
    """The whole path of a folder, for the tool runs inside the export and knows neither `demo` nor a GGUF file; hub names as they are."""
    path = Path(name).expanduser()
    if name == DEMO or path.suffix == ".gguf":
        return resolve(name)
    return str(path.resolve()) if name and path.exists() else name


def _template(name: str, recipe: Recipe) -> tuple[str, str]:
    """The jinja text that is not the tokenizer's own ("" where it is), and the template's name."""
    from codeact.lm import models, prompts

    tokenizer = models.load_tokenizer(name, recipe.model.revision)
    template = prompts.load_template(recipe.model.template, tokenizer)
    if template.name == "chat":
        return "", "chat"
    ids = tokenizer("a")["input_ids"]
    bos = "{{ bos_token }}" if template.adds_special and ids[0] == tokenizer.bos_token_id else ""
    return bos + template.source, template.name


def _rows_per_step(store: Store, recipe: Recipe) -> int:
    """How many full rows hold the records of one optimizer step; without token counts, as many as records."""
    records = recipe.train.batch_size * recipe.train.grad_accum
    counted = counted_in(store)
    if counted is None or recipe.pack.scope == "none":
        return records
    scores = store.table(counted, ["id", "prompt_tokens", "response_tokens"])
    chosen = set(tables.ids_where(store.table("sample"), "selected"))
    sizes = [
        prompt + response
        for identity, prompt, response in zip(
            scores["id"].to_pylist(), scores["prompt_tokens"].to_pylist(), scores["response_tokens"].to_pylist(), strict=True
        )
        if identity in chosen and prompt is not None
    ]
    if not sizes:
        return records
    tokens = records * float(sum(sizes)) / len(sizes)
    return max(1, round(tokens / recipe.model.max_length))


def _warnings(to: str, facts: Facts, records: list[Record]) -> list[str]:
    found = []
    if facts.marked and to not in LEARN_KEY and to != "datasets":
        count = sum(any(not m.learn for m in record.messages) for record in records)
        found.append(f"{amount(count, 'record has', 'records have')} turns that are context only; {to} has no word for that and learns them too.")
    if to == "llama-factory" and facts.template_name not in ("", "chat", "alpaca"):
        found.append(
            f"LLaMA-Factory has no template like {facts.template_name!r}, under which the records were chosen; "
            "without `template` in sft.yaml it reads the tokenizer's own."
        )
    if facts.recipe.train.token_share < 1 and to != "datasets":
        found.append(f"train.token_share={facts.recipe.train.token_share:g} has no word in {to}: it learns all tokens of the answers.")
    if to == "torchtune":
        found.append("torchtune takes its prompt template from the model's tokenizer class, not from the records' template.")
    return found


def _ledger(store: Store, recipe: Recipe) -> list[dict[str, Any]]:
    """From the tables: where a later run was stopped, the file is older than they are."""
    table = ledger_table(store, finished(store, recipe))
    return [] if table is None else list(table.select(["status", "stage", "reason"]).to_pylist())
