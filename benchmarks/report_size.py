"""Sizes of report.html and its load time in headless Chromium, for runs of 1,000, 10,000 and 100,000 made-up records.

    python -m benchmarks.report_size

Instructions have 40 words, answers 1,200 characters. Needs the extra dev (playwright, axe-core) and chromium.
Result: benchmarks/results/report_size.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.reporting import gather, write_report
from codeact.reporting.html import render, tasks_of
from scripts.look_at_page import look, packaged_axe
from tests.helpers.report_run import make_run

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--output", type=Path, default=RESULTS / "report_size.json")
    args = parser.parse_args()
    told, rows = provenance(), []
    for count in args.records:
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng(0)
            words = [f"word{n}" for n in range(5_000)]
            asked = [" ".join(rng.choice(words, 40)) for _ in range(count)]
            run = make_run(Path(folder) / "run", asked, ["x = 1  # " + "y" * 1_191] * count, k=10)
            started = time.perf_counter()
            page = write_report(run)
            seconds = time.perf_counter() - started
            seen, figures = look(page), gather(run)
            rows.append({
                "records": count, "bytes": page.stat().st_size, "bytes_without_records": len(render(figures, None, tasks_of(run, figures)).encode()),
                "seconds_to_write": round(seconds, 1),
            } | {key: seen[key] for key in ("load_seconds", "errors", "requests", "wide", "serious", "disordered")})  # fmt: skip
            print(rows[-1])
    result_files.write(args.output, {**told, "axe": packaged_axe() is not None, "pages": rows})


if __name__ == "__main__":
    main()
