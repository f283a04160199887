"""Figures of the evaluation: base, tuned and control model, their intervals, and the paired differences over the same tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.evaluation import held_out
from codeact.evaluation.compare import METRICS, NO_DIFFERENCE, PASS_AT, mismatches, paired, task_sets, verdict
from codeact.statistics import CONFIDENCE

_TITLES = {held_out.NAME: "Held-out records", "humaneval": "HumanEval", "humaneval+": "HumanEval+", "mbpp": "MBPP", "mbpp+": "MBPP+"}


def set_title(name: str) -> str:
    """The name of a task set for people."""
    return _TITLES.get(name, name)


def evaluation_figures(folder: Path, sides: Sequence[str]) -> dict[str, Any]:
    """One entry per task set and metric of the models in `sides` ("base", "tuned", "control"): values, intervals, verdicts.

    Differences (tuned minus base, and tuned minus control) and verdicts are those of `evaluation.compare.paired`. Without per-task
    files a verdict needs two intervals that do not overlap; where two models were not measured alike it is `no clear difference`.
    `further` has the pass@k that have no verdict: of more samples (k > 1), and at further temperatures (`evaluate.temperatures`).
    """
    models = {side: storage.read_json(folder / side / "results.json") for side in sides}
    unlike = {
        other: mismatches(models[other], models["tuned"]) if other in models and "tuned" in models else []
        for other in ("base", "control")
    }
    names = list(dict.fromkeys(name for result in models.values() for name in task_sets(result)))
    metrics = [
        _metric(folder, models, name, metric, {other for other, found in unlike.items() if found})
        for name in names
        for metric in METRICS
        if any(result.get(name, {}).get(metric) is not None for result in models.values())
    ]
    shown = ("model", "sandbox", "prompting", "dtype", "temperature", "samples_per_task", "seconds")
    return {
        "models": {side: {key: result.get(key) for key in shown} for side, result in models.items()},
        "confidence": CONFIDENCE,
        "metrics": metrics,
        "further": _further(models, names),
        "mismatches": [
            f"{what}: {a} for the {other} model, {b} for the tuned model" for other, found in unlike.items() for what, a, b in found
        ],
    }


def _further(models: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per task set, temperature and k: `set, metric, temperature, title`, and of each side its value, interval and tasks, or None."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for side, result in models.items():
        for name in (one for one in names if one in result):
            own = {key: value for key, value in result[name].items() if key != "pass@1"}
            drawn = {_degrees(result.get("temperature")): own, **result[name].get("temperatures", {})}
            for temperature, figures in drawn.items():
                for metric in (key for key in figures if PASS_AT.fullmatch(key) and figures[key] is not None):
                    interval = figures.get("interval" if metric == "pass@1" else f"{metric}_interval")
                    found.setdefault((name, temperature, metric), {})[side] = {"value": figures[metric], "interval": interval, "tasks": figures.get("tasks")}
    return [
        {
            "set": name, "metric": metric, "temperature": float(temperature) if temperature else None,
            "title": f"{set_title(name)} {metric}" + (f" at temperature {temperature}" if temperature else ""),
            **{side: sides.get(side) for side in ("base", "tuned", "control")},
        }
        for (name, temperature, metric), sides in found.items()
    ]  # fmt: skip


def _degrees(temperature: object) -> str:
    """As results.json names the further ones; of ready generations nobody knows it."""
    return f"{temperature:g}" if isinstance(temperature, int | float) else ""


def _metric(folder: Path, models: dict[str, Any], name: str, metric: str, mismatched: set[str]) -> dict[str, Any]:
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
        "title": f"{set_title(name)} {'bits per byte' if bits else 'pass@1'}",
        "better": "lower" if bits else "higher",
        "base": sides.get("base"),
        "tuned": sides.get("tuned"),
        "control": sides.get("control"),
        "difference": None,
        "verdict": None,
        "control_difference": None,
        "control_verdict": None,
    }
    for other, prefix in (("base", ""), ("control", "control_")):
        if other in sides and "tuned" in sides:
            found = paired(folder / other, folder / "tuned", name, metric)
            if found is not None:
                own = ("interval", "tasks", "method", "gained", "lost", "p_value")
                figures[f"{prefix}difference"] = {"value": found["difference"], **{k: found[k] for k in own if k in found}}
                told = found["verdict"]
            else:
                told = verdict(metric, _apart(sides[other]["interval"], sides["tuned"]["interval"]))
            figures[f"{prefix}verdict"] = NO_DIFFERENCE if other in mismatched else told
    return figures


def _apart(base: list[float] | None, tuned: list[float] | None) -> list[float] | None:
    """How far two intervals are apart at least and at most; it excludes zero where they do not overlap."""
    return None if base is None or tuned is None else [tuned[0] - base[1], tuned[1] - base[0]]
