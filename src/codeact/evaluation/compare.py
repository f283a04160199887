"""Two evaluations side by side: the one paired comparison that `evaluate --against` and the report both tell."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.errors import InputError
from codeact.evaluation.grade import NOT_RUN
from codeact.evaluation.likelihood import TWIN, margin
from codeact.statistics import (
    CONFIDENCE,
    RESAMPLES,
    mcnemar,
    paired_difference,
    paired_values,
    pass_at_k,
    pass_interval,
)

METRICS = ("bits_per_byte", "pass@1")
PASS_AT = re.compile(r"pass@(\d+)")
MARGINS = ("margin", "margin_per_token")
SAME = (
    "sandbox", "prompting", "template", "dtype", "backend", "max_new_tokens", "thinking_tokens", "temperature", "samples_per_task", "request_extra",
)  # fmt: skip
OF_GENERATION = ("max_new_tokens", "temperature", "samples_per_task")  # what nobody knows of ready generations
PASSED = "passed"
FEWEST_TASKS = 10
NOT_USED = "not used"
NO_DIFFERENCE = "no clear difference"


def compare_results(base_dir: Path, tuned_dir: Path) -> dict[str, Any]:
    """Paired differences (tuned - base) of two evaluations over the tasks that both did, with 95 % intervals and verdicts.

    Returns:
        {task set: {metric: `paired` of it, or None without per-task files of these results}} for bits_per_byte (lower is better)
        and every pass@k that both have; that of pass@1 has `changed` too, see `changed_tasks`, and where they differ `samples`, see `samples_drawn`.

    Raises:
        InputError: a folder holds no finished evaluation; the task sets' versions or the settings differ.
    """
    base, tuned = (_results(Path(folder)) for folder in (base_dir, tuned_dir))
    names = [name for name in task_sets(base) if name in task_sets(tuned)]
    if not names:
        raise InputError(f"{base_dir} and {tuned_dir} have no task set in common")
    found = mismatches(base, tuned)
    if found:
        what, first, second = found[0]
        raise InputError(
            f"{base_dir} and {tuned_dir} cannot be compared: {what} is {first!r} and {second!r}; evaluate both alike"
        )
    folders = Path(base_dir), Path(tuned_dir)
    differences: dict[str, Any] = {}
    for name in names:
        more = [metric for metric in base[name] if PASS_AT.fullmatch(metric) and metric not in METRICS]
        both = [m for m in (*METRICS, *more) if base[name].get(m) is not None and tuned[name].get(m) is not None]
        differences[name] = {metric: paired(*folders, name, metric) for metric in both}
        if differences[name].get("pass@1") is not None:
            differences[name]["pass@1"]["changed"] = changed_tasks(*folders, name)
            drawn = samples_drawn(*folders, name)
            differences[name]["pass@1"] |= {"samples": drawn} if len({*drawn}) > 1 else {}
    return differences


def samples_drawn(base_dir: Path, tuned_dir: Path, name: str) -> list[float]:
    """Mean samples of a task that both did, of each side."""
    counts = [Counter(row["task_id"] for row in _judged(Path(folder), name)) for folder in (base_dir, tuned_dir)]
    common = counts[0].keys() & counts[1].keys()
    return [round(sum(one[task] for task in common) / len(common), 2) for one in counts]


def changed_tasks(base_dir: Path, tuned_dir: Path, name: str) -> dict[str, list[str]]:
    """Tasks that both did: `gained` (none of the base's samples passes, one of the tuned's does), `lost` (the other way round), `flaky`
    (some samples of a side pass and some do not; a task can be both)."""
    before, after = (per_task(folder, name, "pass@1") for folder in (base_dir, tuned_dir))
    common = [task for task in before if task in after]
    return {
        "gained": [task for task in common if before[task] == 0 < after[task]],
        "lost": [task for task in common if before[task] > 0 == after[task]],
        "flaky": [task for task in common if 0 < before[task] < 1 or 0 < after[task] < 1],
    }


def task_table(base_dir: Path, tuned_dir: Path) -> list[dict[str, Any]]:
    """One row a task that both did and that was judged on both sides: `task_set`, `task_id`, `base` and `tuned` (shares of samples that pass), `base_samples` and
    `tuned_samples` (how many there are), `change` ("gained", "lost", "same") and `flaky` (some samples of a side pass and some do not)."""
    folders = Path(base_dir), Path(tuned_dir)
    base, tuned = (_results(folder) for folder in folders)
    rows: list[dict[str, Any]] = []
    for name in (one for one in task_sets(base) if one in task_sets(tuned)):
        before, after = (per_task(folder, name, "pass@1") for folder in folders)
        counts: list[Counter[str]] = [Counter(row["task_id"] for row in _judged(folder, name)) for folder in folders]
        changed = changed_tasks(*folders, name) if before and after else {}
        rows += [
            {
                "task_set": name, "task_id": task, "base": before[task], "tuned": after[task], "base_samples": counts[0][task],
                "tuned_samples": counts[1][task], "flaky": task in changed["flaky"],
                "change": next((what for what in ("gained", "lost") if task in changed[what]), "same"),
            }
            for task in before if task in after
        ]  # fmt: skip
    return rows


def _judged(folder: Path, name: str) -> list[Mapping[str, Any]]:
    """The samples of a task set that have a verdict: those of a task that cannot be judged here have none."""
    path, column = folder / "samples.jsonl", _status_of(name)
    rows = storage.read_jsonl(path) if path.is_file() else ()
    return [row for row in rows if task_set_of(row) == name.removesuffix("+") and row.get(column) != NOT_RUN]


def _status_of(name: str) -> str:
    return "plus_status" if name.endswith("+") else "status"


def same_answers(first: Path, second: Path) -> bool:
    """Whether two evaluations have a sample in common: the same model's answer to the same prompt, drawn with the same seed."""
    files = [Path(folder) / "samples.jsonl" for folder in (first, second)]
    kept = [{row.get("key") for row in storage.read_jsonl(file) if row.get("key")} for file in files if file.is_file()]
    return len(kept) == 2 and not kept[0].isdisjoint(kept[1])


def task_sets(results: Mapping[str, Any]) -> list[str]:
    """Names of the task sets that the content of a results.json holds."""
    return [name for name, value in results.items() if isinstance(value, dict) and "version" in value]


def mismatches(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Why two results may not be compared: (what, base, tuned) of every setting and version that differs."""
    shared = [name for name in task_sets(base) if name in task_sets(tuned)]
    ready = base.get("backend") == tuned.get("backend") == NOT_USED
    pairs = [(key, base.get(key), tuned.get(key)) for key in SAME if not (ready and key in OF_GENERATION)]
    pairs += [(f"{name} version", base[name]["version"], tuned[name]["version"]) for name in shared]
    return [(what, first, second) for what, first, second in pairs if first != second]


def check_against(base_dir: Path, sets: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Refuse before any generation what `compare_results` would refuse after it.

    Args:
        base_dir: a finished evaluation.
        sets: name of each task set to come -> its version.
        settings: those to come, of the keys of a results.json.

    Raises:
        InputError: no task set in common, another version, another setting.
    """
    base = _results(base_dir)
    shared = [name for name in task_sets(base) if name in sets]
    if sets and not shared:
        raise InputError(f"{base_dir} has {', '.join(task_sets(base))}, and none of {', '.join(sets)}: nothing could be compared with --against")
    pairs = [(f"{name} version", base[name]["version"], sets[name]) for name in shared]
    pairs += [(key, base.get(key), value) for key, value in settings.items() if key in SAME]
    for what, first, second in pairs:
        if first != second:
            raise InputError(f"{base_dir} cannot be compared with --against: its {what} is {first!r}, and it would be {second!r} here; evaluate both alike")


def paired(base_dir: Path, tuned_dir: Path, name: str, metric: str) -> dict[str, Any] | None:
    """The paired difference of one metric of one task set, over the tasks that both did.

    Tasks that pass or fail: (gained - lost) / tasks with the adjusted Wald interval for pairs and McNemar's exact test. Bits per
    byte, and shares of several samples: the mean with a paired bootstrap over tasks; below ten tasks it has no interval.

    Returns:
        `base`, `tuned` (means over these tasks), `difference`, `interval`, `tasks`, `method`, `verdict`, and for tasks that pass or
        fail `gained`, `lost` and `p_value`; None without per-task files, or where they are not those of the results beside them.
    """
    sides = [per_task(folder, name, metric) for folder in (base_dir, tuned_dir)]
    for folder, values in zip((base_dir, tuned_dir), sides, strict=True):
        told = storage.read_json(folder / "results.json")[name][metric]
        if not values or not math.isclose(sum(values.values()) / len(values), told, rel_tol=1e-6, abs_tol=1e-9):
            return None
    common = paired_values(sides)
    if common is None:
        return None
    before, after = common.tolist()
    change, tasks = (common[1] - common[0]).tolist(), len(before)
    found: dict[str, Any] = {
        "base": math.fsum(before) / tasks,
        "tuned": math.fsum(after) / tasks,
        "difference": math.fsum(change) / tasks,
        "tasks": tasks,
    }
    if metric == "pass@1" and {*before, *after} <= {0.0, 1.0}:
        gained, lost = sum(value > 0 for value in change), sum(value < 0 for value in change)
        found |= {
            "interval": pass_interval(gained, lost, tasks),
            "gained": gained,
            "lost": lost,
            "p_value": mcnemar(gained, lost),
            "method": "adjusted Wald interval for pairs (Bonett and Price 2012) and McNemar's exact test",
        }
    else:
        estimate = paired_difference(before, after)
        found |= {
            # The percentile interval of a few tasks is too narrow to support a claim.
            "interval": estimate.ends() if tasks >= FEWEST_TASKS else None,
            "method": f"mean over tasks, paired bootstrap over tasks ({RESAMPLES:,} resamples, seed 0)",
        }
    return {**found, "verdict": verdict(metric, found["interval"], found.get("p_value", 0.0))}


def verdict(metric: str, interval: list[float] | None, p_value: float = 0.0) -> str:
    """`better` or `worse` only where the interval of the difference excludes zero and the test, where there is one, rejects at 5 %."""
    if interval is None or interval[0] <= 0 <= interval[1] or p_value >= 1 - CONFIDENCE:
        return NO_DIFFERENCE
    return "better" if (interval[0] > 0) == (PASS_AT.fullmatch(metric) is not None) else "worse"


def per_task(folder: Path, name: str, metric: str) -> dict[str, float]:
    """Task id -> value, of a finished evaluation; empty without the file. A task that cannot be judged here has no pass@k.

    Args:
        folder: of the evaluation.
        name: of the task set.
        metric: "bits_per_byte", "margin" or "margin_per_token" (`likelihood.margin`), or "pass@k", the unbiased estimate from a
            task's samples (`statistics.pass_at_k`); for k = 1 the share that passed. Tasks with fewer than k samples have none.
    """
    drawn = PASS_AT.fullmatch(metric)
    if drawn is None:
        return _of_bits(Path(folder) / "bits.jsonl", name, metric)
    column, k = _status_of(name), int(drawn[1])
    outcomes: dict[str, list[bool]] = {}
    for row in _judged(Path(folder), name):
        outcomes.setdefault(row["task_id"], []).append(row.get(column) == PASSED)
    if k == 1:
        return {task: sum(passed) / len(passed) for task, passed in outcomes.items()}
    return {task: pass_at_k(len(passed), sum(passed), k) for task, passed in outcomes.items() if len(passed) >= k}


def _of_bits(path: Path, name: str, metric: str) -> dict[str, float]:
    if not path.exists():
        return {}
    if metric in MARGINS:
        return _margins(storage.read_jsonl(path), name, MARGINS.index(metric))
    rows = (row for row in storage.read_jsonl(path) if task_set_of(row) == name.removesuffix("+"))
    return {row["task_id"]: float(row[metric]) for row in rows if row.get(metric) is not None}


def _margins(rows: Iterable[Mapping[str, Any]], name: str, which: int) -> dict[str, float]:
    name = name.removesuffix("+")  # the twins are of the base set
    of = {(task_set_of(row), row["task_id"]): row for row in rows}
    found = {task: margin(row, of[name + TWIN, task + TWIN]) for (one, task), row in of.items() if one == name and (name + TWIN, task + TWIN) in of}
    return {task: both[which] for task, both in found.items() if both is not None}


def task_set_of(row: Mapping[str, Any]) -> str:
    """The task set of a line of samples.jsonl or bits.jsonl."""
    return str(row.get("task_set", str(row["task_id"]).partition("/")[0].lower()))


def _results(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").is_file():
        raise InputError(f"{folder} holds no results.json; give the output folder of a finished codeact evaluate")
    found: dict[str, Any] = storage.read_json(folder / "results.json")
    return found
