"""Figures of the evaluation: base and tuned model, their intervals, and the paired difference over the same tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact import storage
from codeact.evaluate.statistics import CONFIDENCE, RESAMPLES, paired_difference

PASSED = "passed"
NORMAL_QUANTILE = 1.959964
FEWEST_TASKS = 10
NO_DIFFERENCE = "no clear difference"
_TITLES = {"humaneval": "HumanEval", "humaneval+": "HumanEval+", "mbpp": "MBPP", "mbpp+": "MBPP+"}
_SAME = ("sandbox", "prompting", "dtype")

Floats = NDArray[np.float64]


def evaluation_figures(folder: Path, sides: Sequence[str]) -> dict[str, Any]:
    """One entry per task set and metric of the models in `sides` ("base", "tuned"): values, intervals, verdict.

    A verdict is `better` or `worse` only when the interval of the paired difference excludes zero (for pass rates: and
    McNemar's exact test rejects at 5 %; without per-task files: when the two intervals do not overlap) and both models
    were measured alike; otherwise it is `no clear difference`.
    """
    models = {side: storage.read_json(folder / side / "results.json") for side in sides}
    mismatches = _mismatches(models)
    metrics = [
        _metric(folder, models, name, metric, bool(mismatches))
        for name in _task_sets(models)
        for metric in ("bits_per_byte", "pass@1")
        if any(result.get(name, {}).get(metric) is not None for result in models.values())
    ]
    shown = ("model", "sandbox", "prompting", "dtype", "seconds")
    return {
        "models": {side: {key: result.get(key) for key in shown} for side, result in models.items()},
        "confidence": CONFIDENCE,
        "metrics": metrics,
        "mismatches": mismatches,
    }


def _task_sets(models: dict[str, Any]) -> list[str]:
    names = [
        key
        for result in models.values()
        for key, value in result.items()
        if isinstance(value, dict) and "tasks" in value
    ]
    return list(dict.fromkeys(names))


def _mismatches(models: dict[str, Any]) -> list[str]:
    """Why the two models' figures may not be compared: a setting or a task set's version differs."""
    if len(models) < 2:
        return []
    base, tuned = models["base"], models["tuned"]
    pairs = [(key, base.get(key), tuned.get(key)) for key in _SAME]
    pairs += [
        (f"{name} version", base[name].get("version"), tuned[name].get("version"))
        for name in _task_sets(models)
        if name in base and name in tuned
    ]
    return [
        f"{what}: {first} for the base model, {second} for the tuned model"
        for what, first, second in pairs
        if first != second
    ]


def _metric(folder: Path, models: dict[str, Any], name: str, metric: str, mismatched: bool) -> dict[str, Any]:
    bits = metric == "bits_per_byte"
    interval_key, tasks_key = ("bits_per_byte_interval", "bits_per_byte_tasks") if bits else ("interval", "tasks")
    sides = {
        side: {
            "value": result[name][metric],
            "interval": result[name].get(interval_key),
            "tasks": result[name].get(tasks_key),
        }
        for side, result in models.items()
        if result.get(name, {}).get(metric) is not None
    }
    figures: dict[str, Any] = {
        "set": name,
        "metric": metric,
        "title": f"{_TITLES.get(name, name)} {'bits per byte' if bits else 'pass@1'}",
        "better": "lower" if bits else "higher",
        "base": sides.get("base"),
        "tuned": sides.get("tuned"),
        "difference": None,
        "verdict": None,
    }
    if len(sides) == 2:
        figures["difference"] = None if name.endswith("+") else _paired(folder, models, name, bits)
        figures["verdict"] = NO_DIFFERENCE if mismatched else _verdict(figures)
    return figures


def _verdict(figures: dict[str, Any]) -> str:
    difference, base, tuned = figures["difference"], figures["base"]["interval"], figures["tuned"]["interval"]
    if difference is not None:
        low, high = difference["interval"] or (0.0, 0.0)
    elif base is not None and tuned is not None:
        low, high = tuned[0] - base[1], tuned[1] - base[0]
    else:
        return NO_DIFFERENCE
    if low <= 0 <= high or (difference is not None and difference.get("p_value", 0) >= 1 - CONFIDENCE):
        return NO_DIFFERENCE
    return "better" if (low > 0) == (figures["better"] == "higher") else "worse"


def _paired(folder: Path, models: dict[str, Any], name: str, bits: bool) -> dict[str, Any] | None:
    base, tuned = (_per_task(folder / side, name, bits) for side in ("base", "tuned"))
    passed = [models[side][name].get("passed") for side in ("base", "tuned")]
    if not bits and [sum(base.values()), sum(tuned.values())] != passed:
        return None  # the per-task files are not those of these results
    common = sorted(base.keys() & tuned.keys())
    if not common:
        return None
    change = np.array([tuned[task] - base[task] for task in common])
    if bits:
        estimate = paired_difference([base[task] for task in common], [tuned[task] for task in common])
        return {
            "value": estimate.value,
            # The percentile interval of a few tasks is too narrow to support a claim.
            "interval": estimate.interval if len(common) >= FEWEST_TASKS else None,
            "tasks": len(common),
            "method": f"mean over tasks, paired bootstrap over tasks ({RESAMPLES:,} resamples, seed 0)",
        }
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    return {
        "value": float(change.mean()),
        "interval": pass_interval(gained, lost, len(common)),
        "p_value": mcnemar(gained, lost),
        "tasks": len(common),
        "gained": gained,
        "lost": lost,
        "method": "adjusted Wald interval for pairs (Bonett and Price 2012) and McNemar's exact test",
    }


def _per_task(folder: Path, name: str, bits: bool) -> dict[str, float]:
    path = folder / ("bits.jsonl" if bits else "samples.jsonl")
    if not path.exists():
        return {}
    rows = storage.read_jsonl(path)
    rows = [row for row in rows if row.get("task_set", str(row["task_id"]).partition("/")[0].lower()) == name]
    if bits:
        return {row["task_id"]: float(row["bits_per_byte"]) for row in rows if row.get("bits_per_byte") is not None}
    return {row["task_id"]: float(row.get("status") == PASSED) for row in rows}


def pass_interval(gained: int, lost: int, tasks: int) -> list[float]:
    """95 % interval of a paired difference of pass rates, (gained - lost) / tasks.

    The adjusted Wald interval of Bonett and Price (2012, doi:10.3102/1076998611411915), which adds one task gained and
    one lost; it has a width even when no task changed.
    """
    up, down, size = (gained + 1) / (tasks + 2), (lost + 1) / (tasks + 2), tasks + 2
    half = NORMAL_QUANTILE * math.sqrt((up + down - (up - down) ** 2) / size)
    return [max(-1.0, up - down - half), min(1.0, up - down + half)]


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947): were as many tasks gained as lost?"""
    changed = gained + lost
    tail = sum(math.comb(changed, count) for count in range(max(gained, lost), changed + 1))
    return min(1.0, 2 * tail / int(2**changed))
