"""Keep the figures of a finished run as a small result file.

    make demo && .venv/bin/python -m benchmarks.demo_result runs/demo --command "make demo"

Reads RUN/report.json and writes benchmarks/results/<run name>.json: everything but the points of the scatter plot. Start it on the
machine of the run, with the run's packages: both are written down.

Result: benchmarks/results/demo.json.xz
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import result_files
from benchmarks.machine import provenance

KEPT = ("stages", "funnel", "length", "packing", "training", "evaluation", "settings", "headline")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", required=True, help="the command that made the run")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures = json.loads((options.run / "report.json").read_text(encoding="utf-8"))
    out = options.out or Path(__file__).parent / "results" / f"{figures['run']['name']}.json"
    about = {**provenance(), "command": options.command, "date": figures["run"]["date"]}
    kept = {**about, **{key: figures[key] for key in KEPT}}
    result_files.write(out, kept)
    seconds = sum(stage["seconds"] or 0 for stage in figures["stages"])
    print(f"{out}: {len(kept)} sections, {seconds:.0f} s in the stages")


if __name__ == "__main__":
    main()
