"""Packing a whole epoch: rows, padding and time of other tools' packers on the same lengths."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import row, told, tools
from benchmarks.turns import Turn, in_turns, timed
from codeact.packing import padding_rate, plan_epoch

LENGTHS = Path(__file__).parents[1] / "configs" / "evol_instruct_lengths.json"
OURS = "codeact plan_epoch"
TOOLS = {
    "TRL bfd, all at once": ("trl", "trl", 0),
    "TRL bfd, 1,000 at a time (its default)": ("trl", "trl", 1000),
    "LLaMA-Factory knapsack, 1,000 at a time (its default)": ("llama-factory", "llama-factory", 1000),
    "axolotl multipack, groups of 100,000 (its default)": ("axolotl", "axolotl", 100_000),
    "seqpacker obfd": ("seqpacker", "seqpacker", 0),
}


def measure(samples: int, capacity: int, rounds: int, peers: bool = True) -> dict[str, Any]:
    known = np.minimum(np.array(json.loads(LENGTHS.read_text(encoding="utf-8"))).sum(axis=1), capacity)
    lengths = np.random.default_rng(0).choice(known, samples)

    def ours(_: int) -> Turn:
        plan, turn = timed(lambda: plan_epoch(lengths, capacity))
        return {**turn, "work": samples, "rows": len(plan), "padding": padding_rate(plan, lengths, capacity)}

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "lengths.bin")
        file.write_bytes(lengths.astype(np.int64).tobytes())
        given = {"lengths": str(file), "capacity": capacity}
        wanted: dict[str, tuple[str, str, dict[str, Any]]] = {
            name: (environment, "planning", {**given, "tool": tool, "group": group})
            for name, (environment, tool, group) in TOOLS.items()
            if peers
        }
        with tools(wanted) as (ready, missing):

            def of(name: str, number: int) -> Turn:
                turn = ready[name](number)
                turn |= {"work": samples, "padding": 1 - int(lengths.sum()) / (turn["rows"] * capacity)}
                return turn

            ways = {OURS: ours, **{name: lambda number, name=name: of(name, number) for name in ready}}
            turns = in_turns(ways, rounds, missing)
        return row(
            f"Packing {samples:,} samples into rows of {capacity:,} tokens", "samples", turns, OURS, missing,
            versions=told(wanted, missing),
            note="Lengths of Evol-Instruct, drawn with replacement. Each tool packs as in its own training, in one thread; TRL copies"
            " the tokens too (one byte each).",
        )  # fmt: skip
