"""The efficiency table as Markdown, from the result file of benchmarks/efficiency.py.

    python -m benchmarks.efficiency_table
    python -m benchmarks.efficiency_table --write docs/training-measured.md

The second writes it between the lines <!-- efficiency --> and <!-- /efficiency --> of the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.marks import write_between


def markdown(document: Mapping[str, Any]) -> str:
    """The table, and one line that says where it was measured."""
    results, ratios = document["results"], document["ratios"]
    bases = [name for name in ("pad to max", "dynamic padding") if name in ratios[next(iter(ratios))]]
    head = [
        "",
        "records",
        "padding",
        "seconds",
        "tokens/s",
        "peak GB",
        *(f"{k} / {b}" for k in ("time", "memory") for b in bases),
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for way, r in results.items():
        cells = [
            r["name"], str(r["records"]), f"{r['padding_rate']:.1%}", f"{r['seconds']:.0f}", f"{r['tokens_per_second']:,.0f}",
            f"{r['peak_memory_bytes'] / 1e9:.2f}", *(f"{ratios[way][b][k]:.2f}" for k in ("time", "memory") for b in bases),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    settings, place = document["settings"], document["machine"]
    model = settings["config"] or settings["model"]
    text = (
        f"`{document['command']}`: one epoch, model {model}, rows of {settings['max_length']} tokens, batches of {settings['batch_size']} records,"
        f" {next(iter(results.values()))['dtype']}, {place['gpu'] or place['processor']}, {document['date']}."
    )
    if apart := document.get("packed_against_padded"):
        text += (
            f" Packed loss against {apart['baseline']}: relative difference {apart['first_step_relative_difference']:.0e} at the first step,"
            f" at most {apart['largest_relative_difference']:.0e} over {apart['steps']} steps."
        )
    return "\n".join([*lines, "", text])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, nargs="?", default=Path(__file__).parent / "results" / "efficiency.json.xz")
    parser.add_argument("--write", type=Path, help="put the table into this file")
    options = parser.parse_args()
    table = markdown(result_files.read(options.result))
    if options.write is None:
        print(table)
        return
    write_between(options.write, "efficiency", table)


if __name__ == "__main__":
    main()
