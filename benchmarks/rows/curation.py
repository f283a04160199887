"""The checks of `curate` on real records, beside data-juicer's own cleaning of instruction data."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import row, told, tools
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import Turn, in_turns, timed
from codeact.curate.dedup import find_duplicates
from codeact.curate.mismatch import find_mismatches
from codeact.curate.single_record import check_record

OURS, WORDS = "codeact checks", "splitting into words"
CHECKS = ("syntax", "grammars", "complete", "language", "names")


def measure(records: int, rounds: int, peers: bool = True) -> dict[str, Any]:
    some = spread(instruction_records(), records)

    def checks() -> int:
        dropped = sum(check_record(r, CHECKS).status == "failed" for r in some)
        return dropped + len(find_duplicates(some)) + len(find_mismatches(some, 0.02))

    def ours(_: int) -> Turn:
        dropped, turn = timed(checks)
        return {**turn, "work": len(some), "dropped": dropped}

    def words(_: int) -> Turn:
        return {**timed(lambda: [r.instruction.split() + r.response.split() for r in some])[1], "work": len(some)}

    checks()  # imports and compiled patterns are no part of the work
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.jsonl")
        file.write_text("\n".join(json.dumps({"text": f"{r.instruction}\n{r.response}"}) for r in some) + "\n", encoding="utf-8")
        name = "data-juicer, its text filters and exact copies"
        wanted: dict[str, tuple[str, str, dict[str, Any]]] = {name: ("data-juicer", "cleaning", {"texts": str(file)})} if peers else {}
        with tools(wanted) as (ready, missing):
            ways = {OURS: ours, WORDS: words, **{n: lambda number, n=n: {**ready[n](number), "work": len(some)} for n in ready}}
            turns = in_turns(ways, rounds, missing)
        return row(
            f"Curation of {len(some):,} records", "records", turns, OURS, missing, versions=told(wanted, missing),
            note="Ours: syntax, grammars, completeness, language, names, exact copies, wrong answers. data-juicer looks at other things: lengths,"
            " repetitions, special and alphanumeric characters (by its defaults, which leave out most code), exact copies. Not equal work; what"
            " ours catches is in docs/curate-measured.md.",
        )  # fmt: skip
