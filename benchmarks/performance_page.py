"""docs/performance.md from the result file of `benchmarks.run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.turns import BUSY, ratios

EXTRAS = {
    "share_of_limit": ("share of the limit", "{:.2f}"), "peak_memory_MiB": ("peak, MiB", "{:,.0f}"), "rows": ("rows", "{:,.0f}"),
    "padding": ("padding", "{:.2%}"), "loss": ("loss", "{:.5f}"), "dropped": ("left out", "{:,.0f}"), "passed": ("passed", "{:,.0f}"),
    "chosen": ("chosen", "{:,.0f}"),
}  # fmt: skip
HEAD = """# Performance

Every comparison of speed, in turns on one machine. One command runs all of it and writes this page:

```bash
make bench
```

`python -m benchmarks.run --only planning` runs one row; what was interrupted goes on. Other tools are installed into
environments of their own ([result](../benchmarks/results/performance.json.xz)).

- **seconds**: by the clock, the middle of the turns. **processor**: seconds of all cores, which other programs on the
  machine hardly change.
- **times ours**: seconds divided by ours in the same round, the middle one and (least to most). Above 1 ours is faster.
- **share of the limit**: work that had to be done by what the processor can do at most.
- **busy**: other programs took more than a tenth of the machine; believe the processor seconds then.
"""


def markdown(document: Mapping[str, Any], order: Sequence[str]) -> str:
    """The whole page.

    Args:
        document: the result file.
        order: names of all rows, in their order; those that were not run are named.
    """
    entries = document["slices"]
    parts = [HEAD, *_machine(document, entries)]
    absent = [name for name in order if name not in entries]
    for name in [one for one in order if one in entries]:
        entry = entries[name]
        if "failed" in entry["result"]:
            parts.append(f"## {name}\n\n" + wrapped(f"Failed: {entry['result']['failed']}") + "\n")
        else:
            parts.append(section(entry))
    if absent:
        parts.append("## Not run\n\n" + wrapped(f"On this machine: {', '.join(absent)}.") + "\n")
    return "\n".join(parts)


def section(entry: Mapping[str, Any]) -> str:
    """One row: its question, table, what it says beside, tools that are missing."""
    found = entry["result"]
    lines = [f"## {found['question']}", "", *table(found), ""]
    told = [found["note"]] if found.get("note") else []
    if found.get("limit"):
        told.append(f"Limit: {found['limit']}.")
    if differences := found.get("differences"):
        told.append("Largest difference of an IFD from the reference: " + ", ".join(f"{v:.1e} ({k})" for k, v in differences.items()) + ".")
    if versions := found.get("versions"):
        told.append("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    lines += [wrapped(" ".join(told)), ""] if told else []
    for name, reason in found["missing"].items():
        lines += [wrapped(f"**{name}** took no part: {reason.rstrip('.')}."), ""]
    others = found.get("others", 0.0)
    lines += [f"{entry['date']}, {entry['seconds']:.0f} s; others took {others:.0%} of the machine" + (": **busy**." if others > BUSY else "."), ""]
    return "\n".join(lines)


def table(found: Mapping[str, Any]) -> list[str]:
    """Lines of the table: one way a line, ours first."""
    turns, ours = found["turns"], found["ours"]
    extras = [key for key in EXTRAS if any(key in some[0] for some in turns.values())]
    rated = bool(found["unit"])
    keys = ["seconds"] if found.get("clock_only") else ["seconds", "cpu_seconds"]
    kinds = [] if found.get("alone") else [ratios(turns, ours, key) for key in keys]
    head = ["", *["seconds", "processor"][: len(keys)], *([f"{found['unit']}/s"] if rated else [])]
    head += ["times ours", "times ours, processor"][: len(kinds)]
    head += [EXTRAS[key][0] for key in extras]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, some in turns.items():
        cells = [name, *(figure(median(turn[key] for turn in some)) for key in keys)]
        if rated:
            cells.append(figure(sum(turn["work"] for turn in some) / sum(turn["seconds"] for turn in some)))
        cells += [spread(kind.get(name)) for kind in kinds]
        cells += [EXTRAS[key][1].format(median(turn[key] for turn in some)) if key in some[0] else "" for key in extras]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def spread(values: Sequence[float] | None) -> str:
    if values is None:
        return "1"
    return f"{figure(values[0])} ({figure(values[1])} to {figure(values[2])})" if values[1] != values[2] else figure(values[0])


def figure(value: float) -> str:
    """Three significant figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def wrapped(text: str, width: int = 118) -> str:
    import textwrap

    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _machine(document: Mapping[str, Any], entries: Mapping[str, Any]) -> list[str]:
    machine, versions = document["machine"], document["versions"]
    threads = sorted({entry["result"]["threads"] for entry in entries.values() if "threads" in entry["result"]})
    said = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_GiB']} GiB; "
    said += ", ".join(f"{name} {version}" for name, version in versions.items())
    if threads:
        said += f"; {' or '.join(map(str, threads))} thread" + ("s" if threads != [1] else "")
    return [wrapped(f"Machine: {said}."), ""]
