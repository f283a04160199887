"""Two finished runs of one recipe side by side: which figures that the product prints differ, and by how much.

    python -m benchmarks.demo_beside BEFORE/runs/demo AFTER/runs/demo --labels d2149b1 3d40d9a

Made for the demo before the modules moved to where they belong and today. Compared are every number and text of the parts of report.json
that tell results (no times, dates, fingerprints or settings), the records by id, their IFD, and who is selected.

Result: benchmarks/results/demo_beside.json.xz
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import machine, result_files

OUT = Path(__file__).parent / "results/demo_beside.json.xz"
TOLD = ("funnel", "length", "packing", "training", "evaluation", "headline")
TIMES = ("seconds", "tokens_per_second", "peak_memory_bytes", "finished_at", "model", "sandbox")


def figures(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nest of dictionaries and lists, by their dotted names."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in TIMES:
                yield from figures(part, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from figures(part, f"{name}.{number}")
    else:
        yield name, value


def told(run: Path) -> dict[str, Any]:
    """What report.json tells of results, by name."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return dict(figures({part: report[part] for part in TOLD}))


def column(run: Path, table: str, name: str) -> dict[str, Any]:
    """One column of a table of the run, by the id of the record."""
    found = pq.read_table(run / f"{table}.parquet", columns=["id", name]).to_pydict()
    return dict(zip(found["id"], found[name], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--labels", nargs=2, required=True, help="the commits of the two")
    options = parser.parse_args()
    first, second = told(options.before), told(options.after)
    both = [name for name in first if name in second]
    scores = [column(run, "score", "ifd") for run in (options.before, options.after)]
    chosen = [{key for key, taken in column(run, "sample", "selected").items() if taken} for run in (options.before, options.after)]
    shared = scores[0].keys() & scores[1].keys()
    result = {
        **machine.provenance(),
        "command": f"python -m benchmarks.demo_beside BEFORE AFTER --labels {' '.join(options.labels)}",
        "labels": options.labels,
        "records": [len(some) for some in scores],
        "records_in_both": len(shared),
        "largest_difference_of_ifd": max(abs(scores[0][key] - scores[1][key]) for key in shared),
        "selected": [len(some) for some in chosen],
        "selected_in_both": len(chosen[0] & chosen[1]),
        "figures_in_both": len(both),
        "equal": sum(first[name] == second[name] for name in both),
        "different": {name: [first[name], second[name]] for name in both if first[name] != second[name]},
        "only_before": sorted(first.keys() - second.keys()),
        "only_after": sorted(second.keys() - first.keys()),
    }
    result_files.write(OUT, result)
    json.dump(result, sys.stdout, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
