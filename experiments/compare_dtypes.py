"""What the dtype of training and measuring changes: the same trainings of a comparison in two dtypes, side by side.

    python -m experiments.compare_dtypes experiments/results/compare_candidates_{cells,bfloat16_cells}.json.xz

Of the cells that both files hold: per measure the mean over items of each side, how far the two are apart, and Spearman's correlation of
the cells. What strategies differ by is compared too: each cell less the mean of all cells.

Result: experiments/results/compare_dtypes.json.xz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact.statistics import shared_items, spearman
from experiments.compare_cells import load

OUT = Path(__file__).parent / "results" / "compare_dtypes.json.xz"


def side_by_side(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Metric -> cells, their means on both sides, and how far they are apart."""
    both = [name for name in first if name in second and name != "base"]
    found: dict[str, Any] = {}
    for metric in first[both[0]]["values"]:
        pairs = [(first[name]["values"][metric], second[name]["values"][metric]) for name in both]
        means = np.array([[np.mean([side[item] for item in shared_items(pair)]) for side in pair] for pair in pairs])
        centred = means - means.mean(axis=0)
        found[metric] = {
            "cells": len(both),
            "means": {name: [round(float(v), 6) for v in row] for name, row in zip(both, means, strict=True)},
            "mean_difference": float((means[:, 0] - means[:, 1]).mean()),
            "largest_difference": float(np.abs(means[:, 0] - means[:, 1]).max()),
            "sd_of_cells": [float(v) for v in means.std(axis=0, ddof=1)],
            "rms_difference_of_centred": float(np.sqrt(((centred[:, 0] - centred[:, 1]) ** 2).mean())),
            "spearman": spearman(means[:, 0], means[:, 1]),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found = side_by_side(load(options.first), load(options.second))
    for metric, row in found.items():
        print(metric, {key: value for key, value in row.items() if key != "means"})
    result_files.write(options.out, {**machine.provenance(), "metrics": found})


if __name__ == "__main__":
    main()
