"""The data card: how the records were chosen, by which model, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codeact.amounts import amount
from codeact.config import Recipe

RUN = {
    "trl": "trl sft --config sft.yaml",
    "axolotl": "axolotl train sft.yaml",
    "llama-factory": "llamafactory-cli train sft.yaml",
    "torchtune": "copy the keys of dataset.yaml into your model's configuration, then: tune run ... --config ...",
    "datasets": 'datasets.load_dataset("json", data_files="train.jsonl", split="train")',
}


def data_card(
    tool: str, recipe: Recipe, facts: Mapping[str, Any], ledger: Sequence[Mapping[str, Any]], warnings: Sequence[str]
) -> str:
    """README.md of an export, with the header that data set pages read.

    Args:
        tool: what it is for.
        recipe: of the run.
        facts: name -> value, a line each.
        ledger: `status, stage, reason` of every input row.
        warnings: what the tool will do otherwise than codeact.
    """
    left = Counter((row["stage"], row["reason"]) for row in ledger if row["status"] == "dropped")
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files: train.jsonl",
        "tags:",
        "- codeact",
        "- instruction-tuning",
        "---",
        "",
        f"# {amount(facts['records'], 'record')} chosen by codeact",
        "",
        f"Train on them, inside this folder: `{RUN[tool]}`",
        "",
        *(f"**Mind:** {warning}\n" for warning in warnings),
        "## How they were chosen",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in facts.items()),
        "",
        "The licence is that of the source. codeact does not know it and has not changed it.",
        "",
        "## What was left out, and why",
        "",
        "| stage | reason | rows |",
        "|---|---|---|",
        *(f"| {stage} | {_cell(reason)} | {count} |" for (stage, reason), count in sorted(left.items())),
        "",
        "## The settings that chose",
        "",
        "```yaml",
        *_settings(recipe),
        "```",
        "",
    ]
    return "\n".join(lines)


def _settings(recipe: Recipe) -> list[str]:
    """Keys of the choosing stages that differ from their defaults."""
    plain = Recipe()
    changed = []
    for section in ("data", "curate", "embed", "cluster", "score", "sample"):
        given, usual = getattr(recipe, section).model_dump(), getattr(plain, section).model_dump()
        changed += [f"{section}.{key}: {value!r}" for key, value in given.items() if value != usual[key]]
    return changed or ["# all defaults"]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
