"""Every value that a comparison measured, in one file, and the run directory made again from it.

    python -m experiments.compare_cells save runs/compare_figures experiments/results/compare_figures_cells.json.xz
    python -m experiments.compare_cells restore experiments/results/compare_figures_cells.json.xz runs/compare_figures

After `restore`, `codeact compare` with the same recipe, data and versions of the stages trains only what the file lacks (more seeds,
rates, strategies).
Values are kept to six decimals, or as many as --decimals says: four in the committed files, by which no mean moves by more than 0.00002;
three in measure_second_cells.json.xz (0.0002).
The file holds them as whole numbers of the last decimal, item by item: the base's first, then what each cell has more. 6,543 of 4 decimals is
0.6543. That packs best.

Result: experiments/results/compare_*_cells.json.xz
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import result_files
from codeact.comparison.grid import Comparison
from codeact.comparison.run import gather
from codeact.comparison.split import POOL_FILE
from codeact.errors import InputError


def save(run_dir: Path, file: Path, decimals: int = 6) -> None:
    """Write the results of base and cells."""
    found = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in results(run_dir)}
    for result in found.values():
        result.pop("check", None)  # of the file as it was written
    result_files.write(file, packed(found, decimals))


def packed(found: dict[str, dict[str, Any]], decimals: int) -> dict[str, Any]:
    """Results by name as the file holds them; their `values` are taken out of them."""
    by_result = [result.pop("values") for result in found.values()]
    metrics = dict.fromkeys(metric for values in by_result for metric in values)
    items: dict[str, dict[str, list[int | None]]] = {}
    for metric in metrics:
        sides = [values.get(metric, {}) for values in by_result]
        items[metric] = {}
        for item in sorted({item for side in sides for item in side}):
            first, *others = (round(side[item] * 10**decimals) if item in side else None for side in sides)
            items[metric][item] = [first, *(value if value is None else value - (first or 0) for value in others)]
    return {"decimals": decimals, "items": items, "results": found}


def load(file: Path) -> dict[str, dict[str, Any]]:
    """`base` and the cells by name: their results as they were, `values` metric -> item -> value."""
    kept: dict[str, Any] = result_files.read(file)
    found: dict[str, dict[str, Any]] = kept["results"]
    unit = 10 ** kept["decimals"]
    for result in found.values():
        result["values"] = {}
    for metric, items in kept["items"].items():
        for item, (first, *others) in items.items():
            row = [first, *(value if value is None else value + (first or 0) for value in others)]
            for result, value in zip(found.values(), row, strict=True):
                if value is not None:
                    result["values"].setdefault(metric, {})[item] = value / unit
    return found


def restore(file: Path, run_dir: Path) -> int:
    """Write the result files that the run directory lacks; says how many."""
    written = 0
    for name, result in load(file).items():
        path = (run_dir if name == "base" else run_dir / "cells") / name / "result.json"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        written += 1
    return written


def summary_of(comparison: Comparison) -> dict[str, Any]:
    """`gather` for a script: ends it with one line where the run directory is not as it needs, as straight after `restore`."""
    pool = Path(comparison.run_dir) / POOL_FILE
    if not pool.exists() and (pool.parent / "base" / "result.json").exists():
        sys.exit(f"{pool} is not there: the run directory was restored and holds results alone; run `codeact compare` with this recipe and its data first")
    try:
        return gather(comparison)
    except InputError as error:
        sys.exit(str(error))


def results(run_dir: Path) -> list[Path]:
    """Base first, then the cells by name."""
    return [run_dir / "base" / "result.json", *sorted(run_dir.glob("cells/*/result.json"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("save", "restore"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--decimals", type=int, default=6, help="of the values that are saved")
    options = parser.parse_args()
    if options.action == "save":
        save(options.source, options.target, options.decimals)
    else:
        print(f"{restore(options.source, options.target)} results restored in {options.target}")


if __name__ == "__main__":
    main()
