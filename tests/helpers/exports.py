"""Runs that are exported, and what their exports hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import yaml
from pyarrow import parquet

from codeact import api
from codeact.config import load_recipe
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.data import tokenise_records
from tests.helpers.command import codeact_command

CHAT = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)  # without marks of what is generated, as most published templates are


def with_chat_template(model: Path, folder: Path) -> Path:
    """A copy of a model with a chat template of its own."""
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    return folder


def chosen_by_command(pool_file: Path, model: Path, template: str) -> Path:
    """The run directory of a draw of 12 records."""
    out = pool_file.with_name("chosen.jsonl")
    done = codeact_command(
        "select", str(pool_file), "--model", str(model), "--strategy", "random", "--unit", "records", "--ratio", "0.25", "-o", str(out),
        "--set", f"model.template={template}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out.with_name("chosen.codeact")


def exported(run_dir: Path, tool: str) -> Path:
    """The folder that the command wrote for a tool."""
    folder = run_dir.with_name(f"for {tool}")
    done = codeact_command("export", str(run_dir), "--to", tool, "-o", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 12
    return folder


TOKENISED = ("trl", "axolotl", "llama-factory")


def tokens_of(folder: Path, tool: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The tokens and labels of an export as its tool's documents say that it reads them, in order of their tokens: rows may be packed."""
    if tool == "llama-factory":
        rows = datasets.load_from_disk(str(folder / "tokens")).to_list()
    else:
        rows = parquet.read_table(folder / "tokens.parquet").to_pylist()
    found = []
    for row in rows:
        ids, places = row["input_ids"], row.get("attention_mask", [1] * len(row["input_ids"]))
        labels = row["labels"] if "labels" in row else [i if mask else -100 for i, mask in zip(ids, row["assistant_masks"], strict=True)]
        for place in range(1, max(places) + 1):
            where = [n for n, other in enumerate(places) if other == place]
            found.append((tuple(ids[n] for n in where), tuple(labels[n] for n in where)))
            assert [row["position_ids"][n] for n in where] == [*range(len(where))] if "position_ids" in row else len(places) == len(where)
    return sorted(found)


def own_tokens(run_dir: Path) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What codeact's training makes of the same records."""
    recipe = load_recipe(run_dir / "recipe.yaml")
    tokenizer = load_tokenizer(recipe.model.name)
    made = tokenise_records(
        selected_records(Store(run_dir)), load_template(recipe.model.template, tokenizer), tokenizer, recipe.model.max_length,
        recipe.train.train_on_prompt, recipe.pack.overlong,
    )  # fmt: skip
    return sorted((tuple(s["input_ids"].tolist()), tuple(s["labels"].tolist())) for s in made.samples)


def chosen_at_random(data: Path, model: Path, *settings: str) -> Path:
    out = data.with_name("chosen.jsonl")
    usual = {"sample.strategy": "random", "sample.unit": "records", "sample.ratio": "0.25", "model.template": "question"}
    every = usual | dict(one.split("=", 1) for one in settings)
    sets = (part for key, value in every.items() for part in ("--set", f"{key}={value}"))
    done = codeact_command("select", str(data), "--model", str(model), "-o", str(out), *sets)
    assert done.returncode == 0, done.stderr
    return out.with_name("chosen.codeact")


def card_of(run_dir: Path, folder: Path, tool: str = "datasets") -> str:
    api.export(run_dir, tool, folder, force=True)
    return (folder / "README.md").read_text(encoding="utf-8")


def configuration(run_dir: Path, tool: str, folder: Path, **more: Any) -> tuple[dict[str, Any], list[str]]:
    """The tool's settings and the warnings of an export."""
    made = api.export(run_dir, tool, folder, force=True, **more)
    (file,) = folder.glob("*.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8")), made["warnings"]


def bad(*arguments: Any) -> str:
    done = codeact_command("export", *(str(a) for a in arguments))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr
