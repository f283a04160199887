"""Executing HumanEval+'s canonical solutions: ours in its sandbox, EvalPlus without one."""

from __future__ import annotations

import os
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.data_folder import DATA
from benchmarks.rows import row, told, tools
from benchmarks.turns import Turn, in_turns, timed
from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import detect_backend

EVALPLUS = "EvalPlus"


def measure(tasks: int, rounds: int, workers: int = 0, peers: bool = True) -> dict[str, Any]:
    whole = load_tasks("humaneval+", DATA)
    chosen = whole.tasks[:: max(1, len(whole.tasks) // tasks)][:tasks]
    samples = {task.id: task.reference for task in chosen}
    backend, several = detect_backend(), workers or (os.cpu_count() or 1)
    some = replace(whole, tasks=chosen)
    grade(some, samples.items(), backend=backend, workers=several)  # fills the cache of canonical answers
    ours_name = f"codeact, {backend.name}"

    def ours(_: int) -> Turn:
        verdicts, turn = timed(lambda: grade(some, samples.items(), backend=backend, workers=several))
        return {**turn, "work": len(verdicts), "passed": sum(v.base_status == v.plus_status == "passed" for v in verdicts)}

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tasks.pickle")
        plain = [
            {"set": whole.base_name, "reference": task.reference, "entry_point": task.entry_point, "atol": task.atol, "solution": task.reference,
             "inputs": [[list(values) for values in inputs] for inputs in (task.base_inputs, task.plus_inputs)]}
            for task in chosen
        ]  # fmt: skip
        file.write_bytes(pickle.dumps(plain))
        given = {"tasks": str(file), "workers": several}
        wanted: dict[str, tuple[str, str, dict[str, Any]]] = {EVALPLUS: ("evalplus", "grading", given)} if peers else {}
        with tools(wanted) as (ready, missing):
            ways = {ours_name: ours, **{name: lambda number, name=name: {**ready[name](number), "work": len(chosen)} for name in ready}}
            turns = in_turns(ways, rounds, missing)
        return row(
            f"Grading {len(chosen)} solutions of HumanEval+, {several} at a time", "solutions", turns, ours_name, missing,
            versions=told(wanted, missing), clock_only=True,
            note="Canonical solutions, canonical answers known beforehand on both sides. EvalPlus runs them without a sandbox."
            " Processor seconds inside a sandbox cannot be told from outside, so the clock alone is shown.",
        )  # fmt: skip
