"""Task by task: what the base, the tuned and the control model made of each, which tasks were gained and lost, and the programs of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.evaluation import held_out
from codeact.evaluation.compare import PASSED, changed_tasks, per_task, task_set_of
from codeact.reporting.results import set_title
from codeact.reporting.selection import excerpt

PROGRAMS = 60  # tasks of a set whose programs are shown
CHARS, MESSAGE = 2_000, 300  # of a program, of a message
GAINED, LOST, FLAKY = "gained", "lost", "flaky"
Samples = Mapping[str, Sequence[Mapping[str, Any]]]


def task_matrix(folder: Path, models: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each task set that has per-task results; held-out records are no tasks.

    Args:
        folder: RUN/evaluate.
        models: side ("base", "tuned", "control") -> content of its results.json.

    Returns:
        `title`; `sides`; `rows`, of each task its `cells` by side (`said`, `share` of its samples that passed, `bits` per byte) and `change`
        ("gained" and "lost" as `changed_tasks` has them, else "more" or "fewer" of several samples pass, or ""); `counts` of gained, lost and
        flaky against base and, where there is a control, against it; `programs` of the tasks gained or lost, at most 60 of a set, with
        `left_out`.
    """
    names: dict[str, str] = {}  # of a set and its `+` set the latter, whose tests are the stricter
    for result in models.values():
        for name, value in result.items():
            if isinstance(value, Mapping) and "version" in value and name != held_out.NAME:
                base = name.removesuffix("+")
                names[base] = name if name.endswith("+") else names.get(base, name)
    found = [_one_set(folder, list(models), name) for name in names.values()]
    return [one for one in found if one["rows"]]


def _one_set(folder: Path, sides: list[str], name: str) -> dict[str, Any]:
    shares = {side: per_task(folder / side, name, "pass@1") for side in sides}
    bits = {side: per_task(folder / side, name, "bits_per_byte") for side in sides}
    samples = {side: _samples(folder / side, name) for side in sides}
    tasks = list(dict.fromkeys(task for side in sides for task in (*shares[side], *bits[side])))
    others = [other for other in sides if other != "tuned" and "tuned" in sides]
    changed = {other: changed_tasks(folder / other, folder / "tuned", name) for other in others}
    rows: list[dict[str, Any]] = []
    for task in tasks:
        cells = {
            side: {"said": _said(samples[side].get(task, ()), name), "share": shares[side].get(task), "bits": bits[side].get(task)}
            for side in sides
        }
        rows.append({"task": task, "cells": cells, "change": _change(shares, changed, "base", task), "control": _change(shares, changed, "control", task)})
    in_turn = sorted(rows, key=lambda row: (row["change"] != LOST, row["change"] != GAINED))
    moved: list[str] = [row["task"] for row in in_turn if {row["change"], row["control"]} & {GAINED, LOST}]
    return {
        "name": name,
        "title": set_title(name),
        "sides": sides,
        "rows": rows,
        "graded": any(shares.values()),
        "measured": any(bits.values()),
        "counts": {other: {what: len(some[what]) for what in (GAINED, LOST, FLAKY)} for other, some in changed.items()},
        "programs": [_programs(samples, task, name) for task in moved[:PROGRAMS]],
        "left_out": max(0, len(moved) - PROGRAMS),
    }


def _change(shares: Mapping[str, Mapping[str, float]], changed: Mapping[str, Mapping[str, Sequence[str]]], other: str, task: str) -> str:
    before, after = shares.get(other, {}).get(task), shares.get("tuned", {}).get(task)
    if other not in changed or before is None or after is None or before == after:
        return ""
    told = next((what for what in (GAINED, LOST) if task in changed[other][what]), "")
    return told or ("more" if after > before else "fewer")


def _samples(folder: Path, name: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    path = folder / "samples.jsonl"
    for row in storage.read_jsonl(path) if path.exists() else ():
        if task_set_of(row) == name.removesuffix("+"):
            found.setdefault(row["task_id"], []).append(row)
    return found


def _status(row: Mapping[str, Any], name: str) -> str:
    return str(row.get("plus_status" if name.endswith("+") else "status") or row.get("status") or "")


def _said(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """`passed`, `failed`, `timeout`; `passed, not +` where the further tests fail; `3 of 10` of several samples."""
    states = [_status(row, name) for row in rows]
    if len(states) > 1:
        return f"{states.count(PASSED)} of {len(states)}"
    if not states:
        return ""
    base = str(rows[0].get("status"))
    return f"{base}, {states[0]} on +" if name.endswith("+") and base == PASSED != states[0] else states[0]


def _programs(samples: Mapping[str, Samples], task: str, name: str) -> dict[str, Any]:
    """Of each side one program: the first that passed, else the first."""
    shown = []
    for side, of_side in samples.items():
        rows = of_side.get(task, ())
        if not rows:
            continue
        row = next((one for one in rows if _status(one, name) == PASSED), rows[0])
        shown.append({
            "side": side, "said": _said(rows, name), "message": excerpt(str(row.get("detail") or ""), MESSAGE),
            "program": excerpt(str(row.get("solution") or row.get("completion") or ""), CHARS),
        })  # fmt: skip
    return {"task": task, "sides": shown}
