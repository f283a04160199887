"""Near copies among instruction records: ours beside the MinHash of other tools, on the same texts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import row, told, tools
from benchmarks.rows.data import instruction_records
from benchmarks.turns import Turn, in_turns, timed
from codeact.curate.near_copies import find_near
from codeact.records import Message, Record

OURS = "codeact near"
TOOLS = ("rensa", "text-dedup", "datatrove", "data-juicer")


def planted(records: list[Record], every: int) -> list[Record]:
    """The records, and of each `every`-th a copy that asks with other punctuation."""
    copies = [
        Record(f"{r.id}-copy", (Message("user", f"{r.instruction.rstrip('.')} !"), *r.messages[1:]), {"row": len(records) + n})
        for n, r in enumerate(records[::every])
        if [m.role for m in r.messages] == ["user", "assistant"]
    ]
    return records + copies


def measure(records: int, rounds: int, peers: bool = True) -> dict[str, Any]:
    some = planted(instruction_records(records), 20)
    find_near(some[:60], 0.8)  # imports are no part of the work

    def ours(_: int) -> Turn:
        found, turn = timed(lambda: find_near(some, 0.8))
        return {**turn, "work": len(some), "dropped": len(found)}

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.jsonl")
        lines = [json.dumps({"id": r.id, "text": f"{r.instruction}\n{r.response}"}) for r in some]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        wanted: dict[str, tuple[str, str, dict[str, Any]]] = {
            f"{tool} MinHash": (tool, "near_copies", {"tool": tool, "texts": str(file)}) for tool in TOOLS if peers
        }
        with tools(wanted) as (ready, missing):
            ways = {OURS: ours, **{name: lambda number, name=name: {**ready[name](number), "work": len(some)} for name in ready}}
            turns = in_turns(ways, rounds, missing)
        return row(
            f"Near copies among {len(some):,} records", "records", turns, OURS, missing, versions=told(wanted, missing),
            planted=len(some) - records,
            note=f"Jaccard 0.8 of runs of 5 words, 128 hashes, one process; {len(some) - records} copies with other punctuation were planted. Ours"
            " then compares instruction and answer sentence by sentence, code and numbers, so that it leaves out copies alone: not equal work.",
        )  # fmt: skip
