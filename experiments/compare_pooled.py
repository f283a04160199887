"""Several comparisons together, the pool of records as the unit: does a strategy differ from a random choice in *other* pools?

    cells=$(printf "experiments/results/compare_%s_cells.json.xz " figures_first confirm figures residual)
    python -m experiments.compare_pooled $cells --output experiments/results/compare_pooled.json.xz --write docs/experiments-pooled.md

Reads what `compare_cells.py save` wrote. For every entrant that two of the files or more have at --rate: each pool's difference (mean over tasks
or held-out records) to the mean of the random draws of the same pool, a draw being compared with the other draws; the mean of the
pools with Student's 95 % interval over pools; in how many pools it is below 0. --versus longest:cdas,bands as in compare_result.py.
--bands: the held-out loss by the length of the answers too, in thirds of the records.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.marks import write_between
from codeact.comparison.grid import HELD_OUT
from codeact.statistics import crossed_interval, paired_values
from experiments.compare_cells import load
from experiments.compare_result import UNITS, with_interval
from experiments.figures import spelt
from experiments.measure import by_length

Pool = tuple[str, int]  # comparison, seed
Values = Mapping[str, Mapping[str, float]]  # metric -> item -> value


def read(file: Path, rate: float) -> dict[tuple[str, str], dict[Pool, Values]]:
    """(entrant, unit) -> pool -> values, of one comparison's file of cells."""
    found: dict[tuple[str, str], dict[Pool, Values]] = defaultdict(dict)
    kept = load(file)
    characters = kept["base"].get("held_out_characters", {})
    for result in kept.values():
        cell = result.get("cell")
        if cell and cell["rate"] == rate:
            values = result["values"]
            banded = by_length(values[HELD_OUT], characters) if characters and HELD_OUT in values else {}
            found[cell["entrant"], cell["unit"]][file.name.split(".")[0].removesuffix("_cells"), cell["seed"]] = {**values, **banded}
    return found


def difference(own: Mapping[str, float], theirs: Sequence[Mapping[str, float]]) -> float:
    """Mean over the items that all have of own minus the mean of theirs."""
    values = paired_values([own, *theirs])
    return float("nan") if values is None else float((values[0] - values[1:].mean(axis=0)).mean())


def pooled(found: Sequence[float]) -> dict[str, Any]:
    values = np.array(found)
    interval = list(crossed_interval(values[None, :]) or ()) or None  # one row: Student's
    return {"difference": float(values.mean()), "interval": interval, "pools": len(found), "below": int((values < 0).sum())}


def rows(
    cells: Mapping[tuple[str, str], Mapping[Pool, Values]],
    rivals: Sequence[str],
    shown: Sequence[str],
    metrics: Sequence[str],
) -> list[dict[str, Any]]:
    """One for each of `shown` and each unit, where it was measured in two comparisons or more."""
    lines = []
    for unit in UNITS:
        for entrant in shown:
            mine: dict[Pool, tuple[Values, list[Values]]] = {}
            for pool, values in cells.get((entrant, unit), {}).items():
                others = [cells[name, unit] for name in rivals if name != entrant and (name, unit) in cells]
                against = [one[pool] for one in others if pool in one]
                if against:
                    mine[pool] = values, against
            if len({comparison for comparison, _ in mine}) > 1:
                each = {
                    m: [difference(own[m], [one[m] for one in against]) for own, against in mine.values()]
                    for m in metrics
                }
                lines.append(
                    {
                        "entrant": entrant, "unit": unit, "pools": [f"{name} seed {seed}" for name, seed in mine],
                        "metrics": {m: {**pooled(found), "of_each_pool": [round(one, 6) for one in found]} for m, found in each.items()},
                    }
                )  # fmt: skip
    return lines


def table(found: Sequence[Mapping[str, Any]], metrics: Sequence[str], against: str) -> list[str]:
    """Markdown lines: difference, interval, and the number of pools where it is below 0."""
    lines = [
        "| strategy | unit | pools | " + " | ".join(f"{spelt(m)} minus {against}" for m in metrics) + " |",
        "|---|---|---|" + "---|" * len(metrics),
    ]
    for row in found:
        cells = [f"{with_interval(row['metrics'][m])}, {row['metrics'][m]['below']} below 0" for m in metrics]
        lines.append(f"| {row['entrant']} | {row['unit']} | {len(row['pools'])} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="+", type=Path, metavar="CELLS.json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument(
        "--against", default="random,random-2,random-3", help="random draws, of which the mean is taken"
    )
    parser.add_argument("--versus", action="append", default=[], metavar="RIVAL:NAME,...", help="further differences")
    parser.add_argument("--bands", action="store_true", help="the held-out loss by length of the answers too")
    parser.add_argument(
        "--write", type=Path, help="Markdown file with the lines <!-- compare_pooled --> and <!-- /compare_pooled -->"
    )
    options = parser.parse_args()
    cells: dict[tuple[str, str], dict[Pool, Values]] = defaultdict(dict)
    for file in options.cells:
        if not file.is_file():
            parser.error(f"{file} does not exist; make it with compare_cells.py save")
        for key, pools in read(file, options.rate).items():
            cells[key] |= pools
    if not cells:
        parser.error(f"no cell of these files has the rate {options.rate:g}")
    first = next(iter(next(iter(cells.values())).values()))
    bands = [metric for metric in first if metric.startswith(f"{HELD_OUT}, band")]
    metrics = [metric for metric in first if not metric.endswith("pass@1") and metric not in bands]
    draws, names = options.against.split(","), list(dict.fromkeys(entrant for entrant, _ in cells))
    document: dict[str, Any] = {**machine.provenance(), "rate": options.rate, "against": draws, "versus": {}}
    document["rows"] = rows(cells, draws, names, metrics)
    text = table(document["rows"], metrics, "random draws")
    short = table([row for row in document["rows"] if row["unit"] == "tokens"], metrics, "random draws")
    if options.bands:
        document["bands"] = [row for row in rows(cells, draws, names, bands) if row["unit"] == "tokens"]
        short += ["", *table(document["bands"], bands, "random draws")]
    for rival, _, shown in (pair.partition(":") for pair in options.versus):
        document["versus"][rival] = rows(cells, [rival], shown.split(","), metrics)
        text += ["", *table(document["versus"][rival], metrics, f"`{rival}`")]
    result_files.write(options.output, document)
    if options.write:
        write_between(options.write, "compare_pooled", "\n".join(short))
    print("\n".join(text))


if __name__ == "__main__":
    main()
