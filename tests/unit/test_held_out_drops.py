"""The pages' sums of what curation drops are those of the committed verdicts."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

ROOT = Path(__file__).parents[2]
BY_DEFAULT = {"exact copy", "benchmark overlap", "syntax error", "truncated fence"}  # `syntax error` is of `grammars` too, which is off


def test_pages_tell_the_sums_of_the_result() -> None:
    found = json.loads(lzma.decompress((ROOT / "experiments/results/held_out_drops.json.xz").read_bytes()))

    def right(rules: set[str]) -> str:
        verdicts = [drop["verdict"] for drop in found["drops"] if drop["rule"] in rules]
        return f"{verdicts.count('right'):,} of {len(verdicts):,}"

    rules = {drop["rule"] for drop in found["drops"]}
    curate = " ".join((ROOT / "docs/curate.md").read_text(encoding="utf-8").split())
    assert f"among {found['total']['records']:,} public records" in curate
    assert f"are right in {right(BY_DEFAULT)} (" in curate
    assert f"are right in {right(rules - BY_DEFAULT)} (" in curate
    measured = (ROOT / "docs/curate-measured.md").read_text(encoding="utf-8")
    assert f"{found['total']['records']:,} records, every drop read" in measured
    rows = {
        "exact copies, a benchmark's task": {"exact copy", "benchmark overlap"}, "`syntax`, `grammars`": {"syntax error", "truncated fence"},
        "`complete`": {"cut off", "empty answer"}, "`names`": {"undefined name"}, "`examples`": {"examples raise", "wrong output"},
        "`near`": {"near copy"}, "`renamed`": {"renamed copy"},
    }  # fmt: skip
    assert set().union(*rows.values()) == rules
    assert [name for name, own in rows.items() if f"| {name} | {right(own)}" not in measured] == []
