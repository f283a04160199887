"""Two evaluations side by side: paired differences over the tasks that both did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.errors import InputError
from codeact.evaluate.statistics import paired_difference

METRICS = ("bits_per_byte", "pass@1")
SAME = ("prompting", "template", "max_new_tokens", "temperature", "samples_per_task")
PASSED = "passed"


def compare(base_dir: Path, tuned_dir: Path) -> dict[str, Any]:
    """Paired differences (tuned - base) of two evaluations over the tasks that both did, with 95 % bootstrap intervals.

    Returns:
        {task set: {metric: {"base", "tuned", "difference", "interval", "tasks"}}} for bits_per_byte (lower is better)
        and pass@1; `base` and `tuned` are the means over the shared tasks.

    Raises:
        InputError: a folder holds no finished evaluation; the task sets' versions or the settings differ.
    """
    base, tuned = (_results(Path(folder)) for folder in (base_dir, tuned_dir))
    names = [name for name, value in base.items() if isinstance(value, dict) and name in tuned]
    if not names:
        raise InputError(f"{base_dir} and {tuned_dir} have no task set in common")
    for what, first, second in [
        *((key, base.get(key), tuned.get(key)) for key in SAME),
        *((f"the version of {name}", base[name]["version"], tuned[name]["version"]) for name in names),
    ]:
        if first != second:
            raise InputError(
                f"{base_dir} and {tuned_dir} cannot be compared: {what} is {first!r} and {second!r}; evaluate both alike"
            )
    figures: dict[str, Any] = {}
    for name in names:
        figures[name] = {}
        for metric in METRICS:
            if base[name][metric] is not None and tuned[name][metric] is not None:
                figures[name][metric] = _pair(*(per_task(folder, name, metric) for folder in (base_dir, tuned_dir)))
    return figures


def _results(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").is_file():
        raise InputError(f"{folder} holds no results.json; give the output folder of a finished codeact evaluate")
    found: dict[str, Any] = storage.read_json(folder / "results.json")
    return found


def per_task(folder: Path, name: str, metric: str) -> dict[str, float]:
    """Task id -> bits per byte, or the share of a task's samples that passed, of a finished evaluation."""
    rows = storage.read_jsonl(Path(folder) / ("bits.jsonl" if metric == "bits_per_byte" else "samples.jsonl"))
    rows = [row for row in rows if row["task_set"] == name.removesuffix("+")]
    if metric == "bits_per_byte":
        return {row["task_id"]: row["bits_per_byte"] for row in rows if row["bits_per_byte"] is not None}
    column = "plus_status" if name.endswith("+") else "status"
    outcomes: dict[str, list[bool]] = {}
    for row in rows:
        outcomes.setdefault(row["task_id"], []).append(row[column] == PASSED)
    return {task: sum(passed) / len(passed) for task, passed in outcomes.items()}


def _pair(base: Mapping[str, float], tuned: Mapping[str, float]) -> dict[str, Any] | None:
    common = [task for task in base if task in tuned]
    if not common:
        return None
    before, after = [base[task] for task in common], [tuned[task] for task in common]
    change = paired_difference(before, after)
    return {
        "base": sum(before) / len(common),
        "tuned": sum(after) / len(common),
        "difference": change.value,
        "interval": list(change.interval),
        "tasks": change.tasks,
    }
