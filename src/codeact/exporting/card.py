"""The data card: how the records were chosen, by which model, and what became of the others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from codeact import __version__
from codeact.amounts import amount
from codeact.config import DEFAULTS, Recipe
from codeact.lm.identity import model_title
from codeact.pipeline.ready import SECTIONS, is_read
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.rundir.versions import in_words, joint_versions
from codeact.score.length import lengths_held
from codeact.stages.columns import LENGTHS, SCORES

RUN = {
    "trl": "trl sft --config sft.yaml",
    "axolotl": "axolotl train sft.yaml",
    "llama-factory": "llamafactory-cli train sft.yaml",
    "torchtune": "copy the keys of dataset.yaml into your model's configuration, then: tune run ... --config ...",
    "datasets": 'datasets.load_dataset("json", data_files="train.jsonl", split="train")',
}
BY_MODEL = {SCORES, LENGTHS, "proxy", "hidden", "learn"}  # the stages that section `model` decides
TOO_LONG, REFUSED = "longer than model.max_length", "not taken by the template"  # why a chosen record is left out of an export
DECIDES = {TOO_LONG: ("model.max_length", "pack.overlong"), REFUSED: ("model.template",)}
NAMED_FILES = 8  # of a source of more files the card gives the number


def data_card(
    tool: str, settings: Sequence[str], facts: Mapping[str, Any], ledger: Sequence[Mapping[str, Any]], warnings: Sequence[str], left_out: Mapping[str, int]
) -> str:
    """README.md of an export, with the header that data set pages read.

    Args:
        tool: what it is for.
        settings: what chose: as `chosen_by`.
        facts: name -> value, a line each.
        ledger: `status, stage, reason` of every input row.
        warnings: what the tool will do otherwise than codeact.
        left_out: reason -> records that were chosen and are not exported.
    """
    left = Counter((row["stage"], row["reason"]) for row in ledger if row["status"] == "dropped")
    rows = [*sorted(left.items()), *((("export", reason), count) for reason, count in left_out.items())]
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
        *(f"| {stage} | {_cell(reason)} | {count} |" for (stage, reason), count in rows),
        "",
        "## The settings that chose",
        "",
        "```yaml",
        *settings,
        "```",
        "",
    ]
    return "\n".join(lines)


def card_facts(store: Store, recipe: Recipe, exported: Collection[str], rows: str, counted: str | None) -> dict[str, Any]:
    """The lines of a card: name -> value.

    Args:
        store: the run directory.
        recipe: of the run.
        exported: ids of the records.
        rows: the text of train.jsonl.
        counted: the table that holds the response tokens; None: there is none.
    """
    summary = (store.marker("sample") or {}).get("summary", {})
    share, read = summary.get("token_share"), _read(store)
    if share is not None and counted is not None and len(exported) < summary["selected"]:
        share = _share(store, exported, counted)
    model = model_title(recipe.model.name)
    return {
        "records": len(exported),
        "pool": summary.get("pool"),
        "source": ", ".join(recipe.data.names),
        "SHA-256 of the source": _source_digest(store),
        "SHA-256 of train.jsonl": hashlib.sha256(rows.encode("utf-8", "backslashreplace")).hexdigest(),
        "strategy": recipe.sample.strategy,
        "ratio": f"{recipe.sample.ratio} of the {recipe.sample.unit}",
        "share of the response tokens": "not counted" if share is None else f"{share:.3f}",
        "scored by": model if SCORES in read else model_title(recipe.score.proxy) if "proxy" in read else "not scored",
        **({"tokens counted by": model} if LENGTHS in read else {}),
        "embedded by": model_title(recipe.embed.model, embedder=True) if "embed" in read else "not embedded",
        **({"judged by": model_title(recipe.judge.model)} if read & {"judge", "tags"} else {}),
        "codeact": _chosen_with(store, read),
        "exported by": f"codeact {__version__}",
    }


def _share(store: Store, exported: Collection[str], counted: str) -> float | None:
    """Share of the response tokens that the exported records hold: that of `sample`'s summary, had it chosen these alone."""
    pool = store.table("sample", ["id", "ifd"])
    lengths = tables.in_order(store.table(counted, ["id", "response_tokens"]), pool["id"].combine_chunks(), lenient=True)
    ifd = np.array(pool["ifd"].to_pylist(), np.float64)
    tokens = [-1 if count is None else count for count in lengths["response_tokens"].to_pylist()]
    held = lengths_held(ifd, tokens, [identity in exported for identity in pool["id"].to_pylist()])
    return held["token_share"] if held else None


def _chosen_with(store: Store, read: Collection[str]) -> str:
    """The version of codeact that chose, and not the one that exports; where the stages differ, each with its stages."""
    found = joint_versions({name: marker for name in (*sorted(read), "sample") if (marker := store.marker(name)) is not None})
    said = [in_words(found["differ"]["codeact"])] if "codeact" in found["differ"] else [found["codeact"]] if "codeact" in found else []
    unknown = [f"not known of {', '.join(found['unknown'])}"] if found["unknown"] else []
    return "; ".join([*said, *unknown])


def _source_digest(store: Store) -> str:
    """Of the files as they were when they were read: they may have changed since."""
    files = (store.marker("records") or {}).get("source")
    if files is None:
        return "unknown: the run is older than this note of it"
    if len(files) > NAMED_FILES:
        return f"{len(files)} files, each in markers/records.json of the run"
    return ", ".join(file["sha256"] for file in files) or "none: not a file"


def _read(store: Store) -> set[str]:
    """The stages whose results the selection was made from, directly or not; others may lie in the directory too."""
    found, left = set[str](), ["sample"]
    while left:
        names = (store.marker(left.pop()) or {}).get("inputs", {})
        left += [name for name in names if name not in found]
        found |= {*names}
    return found


def chosen_by(store: Store, recipe: Recipe, left_out: Collection[str]) -> list[str]:
    """The settings that differ from their defaults and that the choosing stages read, a line each.

    Args:
        store: the run directory.
        recipe: of the run.
        left_out: why records that were chosen are not exported: the settings that left them out are told too.
    """
    read = {*_read(store), "sample"}
    changed = {} if recipe.seed == DEFAULTS.seed else {"seed": recipe.seed}
    for section in ("model", "data", "curate", "embed", "cluster", "score", "judge", "sample"):
        for key, value in getattr(recipe, section).model_dump().items():
            name = f"{section}.{key}"
            used = is_read(name, read) if section in SECTIONS else section == "data" or bool(read & BY_MODEL)
            if used and value != getattr(DEFAULTS, section).model_dump()[key]:
                changed[name] = value
    deciding = [name for reason in left_out for name in DECIDES[reason]]
    changed |= {name: getattr(getattr(recipe, name.partition(".")[0]), name.partition(".")[2]) for name in deciding}
    return [f"{name}: {value!r}" for name, value in changed.items()] or ["# all defaults"]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
