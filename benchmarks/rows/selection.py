"""`codeact select` from end to end: a file in, the chosen rows out."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import row
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import Turn, in_turns, timed

RANDOM, CDAS = "--strategy random", "--strategy cdas"
RECORDS = ["--unit", "records"]


def measure(records: int, rounds: int, scored: int, dtype: str, model: str = "demo", embedder: str = "demo") -> dict[str, Any]:
    """`scored`: records of the run with CDAS, which needs a model; 0 leaves it out."""
    every = instruction_records()

    def select(count: int, words: list[str]) -> Turn:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "data.jsonl")
            lines = [json.dumps({"instruction": r.instruction, "output": r.response}) for r in spread(every, count)]
            data.write_text("\n".join(lines) + "\n", encoding="utf-8")
            command = [sys.executable, "-m", "codeact", "select", str(data), "--ratio", "0.4", "-o", f"{folder}/chosen.jsonl", "--json"]
            done, turn = timed(lambda: subprocess.run([*command, *words], capture_output=True, text=True, check=False))
            if done.returncode:
                raise SystemExit(f"select failed: {done.stderr.strip().splitlines()[-1]}")
            chosen = len(Path(folder, "chosen.jsonl").read_text(encoding="utf-8").splitlines())
            return {**turn, "work": count, "chosen": chosen}

    ways = {RANDOM: lambda _: select(records, ["--strategy", "random", *RECORDS])}
    turns = in_turns(ways, rounds)
    if scored:
        words = ["--strategy", "cdas", *RECORDS, "--model", model, "--embedder", embedder, "--set", f"model.dtype={dtype}", "--set", "score.cache=false"]
        turns |= in_turns({CDAS: lambda _: select(scored, words)}, 1)
    return row(
        f"`codeact select` from end to end: {records:,} records at random, {scored:,} by CDAS", "records", turns, RANDOM, alone=True,
        note="Reading, default checks, (clusters, scores in two passes of SmolLM2-135M,) selection, writing; start-up and loading count.",
    )  # fmt: skip
