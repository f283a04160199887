"""Slices of a measurement that takes long: each in a process of its own, kept at once, gone on with by the next call.

Used by `benchmarks.gpu` (everything that needs CUDA) and `benchmarks.run` (every comparison on this machine).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files


@dataclass(frozen=True)
class Slice:
    """One measurement: what does it, with what, and the minutes that it is taken to need."""

    name: str
    work: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    minutes: float = 3.0


def run_apart(module: str, arguments: Sequence[str], limit: float) -> dict[str, Any]:
    """`python -m MODULE ARGUMENTS --result FILE`, ended after `limit` seconds: what it wrote, or `failed` with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", module, *arguments, "--result", str(result)]
        try:
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return {"failed": f"ended after {limit:.0f} s"}
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return {"failed": lines[-1][:300] if lines else f"exit status {done.returncode}"}
        return dict(json.loads(result.read_text(encoding="utf-8")))


def run(
    chosen: Sequence[Slice], output: Path, seconds: float, again: bool, measure: Callable[[Slice, float], dict[str, Any]]
) -> list[str]:
    """Run what the output file lacks until the time is used, and keep each result at once.

    Returns:
        The names of the slices that are left.
    """
    kept: dict[str, Any] = result_files.read(output) if output.exists() else {**machine.provenance(), "slices": {}}
    here = machine.gpu() or machine.processor()
    begun, started = time.monotonic(), False
    left = []
    for one in chosen:
        entry = kept["slices"].get(one.name, {})
        same = entry.get("settings") == dict(one.settings) and entry.get("device") == here
        if same and ("failed" not in entry["result"] or not again):
            continue
        remaining = seconds - (time.monotonic() - begun)
        if started and remaining < 60 * one.minutes:
            left.append(one.name)
            continue
        started = True
        clock = time.monotonic()
        result = measure(one, remaining)
        told = machine.provenance()
        if output.exists():  # another call may have written meanwhile
            kept = result_files.read(output)
        kept["slices"][one.name] = {
            "settings": dict(one.settings), "device": here, "date": told["date"], "versions": told["versions"],
            "seconds": round(time.monotonic() - clock, 1), "result": result,
        }  # fmt: skip
        result_files.write(output, kept)
    return left
