"""The tasks that decontamination looks for: of the known benchmarks, and of a user's files."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.config import CurateConfig
from codeact.errors import InputError

PROMPT_COLUMNS = ("prompt", "instruction", "question", "text", "problem")
SOLUTION_COLUMNS = ("canonical_solution", "solution", "code", "answer", "output")
MBPP_FILES = ("mbpp_974.jsonl.gz", "mbpp.jsonl.gz", "mbpp.jsonl")
MBPP_SOURCE = "https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl"
MBPP_TASKS = 974


def benchmark_items(config: CurateConfig) -> dict[str, list[Any]]:
    """Name -> tasks, for every benchmark and file that the configuration names.

    Raises:
        InputError: a file is missing, or a row of it holds neither a prompt nor a solution.
    """
    from codeact.curate import BenchmarkItem
    from codeact.evaluate.tasks import load_tasks

    found: dict[str, list[Any]] = {
        name: [BenchmarkItem(name, t.id, t.prompt, t.canonical_solution) for t in load_tasks(name).tasks]
        for name in config.decontaminate
        if name != "mbpp-all"
    }
    if "mbpp-all" in config.decontaminate:
        found["mbpp-all"] = mbpp_all()
    return {**found, **{name: _read_items(name) for name in config.benchmark_files}}


def mbpp_all() -> list[Any]:
    """The 974 tasks of all splits of MBPP, read from the folder that CODEACT_DATA names or from the user's cache.

    Raises:
        InputError: the file is not there, or is not the whole of MBPP.
    """
    from codeact.curate import BenchmarkItem
    from codeact.downloads import cache_dir

    folders = [Path(folder) for folder in (os.environ.get("CODEACT_DATA", ""), str(cache_dir())) if folder]
    path = next((f / name for f in folders for name in MBPP_FILES if (f / name).is_file()), None)
    if path is None:
        raise InputError(
            f"curate.decontaminate: mbpp-all needs mbpp.jsonl in the folder that CODEACT_DATA names or in {cache_dir()};"
            f" fetch it from {MBPP_SOURCE}"
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [json.loads(line) for line in raw.decode("utf-8").splitlines() if line.strip()]
        items = [BenchmarkItem("mbpp-all", str(row["task_id"]), str(row["text"]), str(row["code"])) for row in rows]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as MBPP ({error}); fetch it anew from {MBPP_SOURCE}") from error
    if len(items) != MBPP_TASKS:
        raise InputError(f"{path} holds {len(items)} tasks, MBPP has {MBPP_TASKS}; fetch it anew from {MBPP_SOURCE}")
    return items


def _read_items(path: str) -> list[Any]:
    """The tasks of a user's benchmark file."""
    from codeact.curate import BenchmarkItem

    name = Path(path).stem
    items = []
    for number, row in enumerate(storage.read_rows(path).rows):
        prompt = next((str(row[key]) for key in PROMPT_COLUMNS if row.get(key)), "")
        solution = next((str(row[key]) for key in SOLUTION_COLUMNS if row.get(key)), "")
        if not prompt and not solution:
            raise InputError(
                f"{path}: row {number + 1} has neither a prompt ({', '.join(PROMPT_COLUMNS)}) nor a solution ({', '.join(SOLUTION_COLUMNS)})"
            )
        identity = next((str(row[key]) for key in ("task_id", "id") if row.get(key) is not None), str(number))
        items.append(BenchmarkItem(name, identity, prompt, solution))
    return items
