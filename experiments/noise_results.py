"""When does selection pay? What was trained on in pools of which a share is wrong, and how it went.

    python -m experiments.noise_results --write docs/experiments-noise-tables.md

Reads the comparisons that `noise.py` and `model_answers.py` name, as far as they have come: runs/noise/NN.jsonl says which records are wrong,
runs/compare_noise_NN what was chosen of them and what it gave; shares that are not there stay as the result file has them, so without any run
the same command makes the page from that file, which stays as it is. Of each share of
wrong records the median IFD of the wrong and of the others, by length; and of each entrant how much of what it was trained on is wrong
(records, and their response characters), `codeact compare`'s figures, and differences to the same training with no record wrong, to the
whole pool, and as --versus asks.
`figures.py noise_results` draws it.

Result: experiments/results/noise_results.json.xz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.marks import write_between
from codeact.comparison.grid import Cell, Comparison, cells, load_comparison, shared_recipes
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.statistics import crossed_interval, paired_values
from codeact.storage import read_json, read_jsonl
from experiments.compare_cells import load, summary_of
from experiments.compare_result import with_interval
from experiments.figures import spelt

OUT = Path(__file__).parent / "results" / "noise_results.json.xz"
RECIPE = Path(__file__).parents[1] / "recipes" / "compare_noise.yaml"
CLEAN = OUT.with_name("compare_noise_00_cells.json.xz")
WHOLE = ("full", "records")
OWN = "45% own answers"
POOLS = {"00": "0%", "15": "15%", "30": "30%", "45": "45%", "45_own": OWN}  # file of noise.py or model_answers.py -> name in the result
KEPT = ("value", "interval", "minus_base", "minus_against")
BANDS = ((1, 60), (60, 120), (120, 200), (200, 300), (300, 512))  # response tokens
Wrong = Mapping[str, tuple[bool, int]]  # id -> whether it is wrong, characters of its response


def wrong_records(file: Path) -> dict[str, tuple[bool, int]]:
    """Of a file that `noise.py` wrote."""
    return {row["id"]: (row["wrong"], len(row["output"])) for row in read_jsonl(file)}


def share_wrong(ids: Sequence[str], known: Wrong) -> dict[str, float]:
    """Share of these records that are wrong, and of their response characters."""
    wrong = np.array([known[i][0] for i in ids])
    sizes = np.array([known[i][1] for i in ids])
    return {"records": float(wrong.mean()), "characters": float(sizes[wrong].sum() / sizes.sum())}


def ifd_by_length(scored: Sequence[tuple[str, float | None, int]], known: Wrong) -> list[dict[str, Any]]:
    """Of scored records (id, IFD, response tokens) in bands of length: how many are wrong and how many are not, and the median IFD of each."""
    bands = []
    for low, high in BANDS:
        found: dict[str, list[float]] = {"wrong": [], "others": []}
        for i, ifd, tokens in scored:
            if ifd is not None and low <= tokens < high:
                found["wrong" if known[i][0] else "others"].append(ifd)
        bands.append({"tokens": [low, high], **{who: {"records": len(some), "ifd": float(np.median(some)) if some else None} for who, some in found.items()}})
    return bands


def of_cell(cell: Cell, known: Wrong) -> dict[str, Any]:
    """What a finished training was trained on; where its entrant verifies, what the checks left out of the pool too."""
    store = Store(Path(cell.recipe.run_dir))
    sampled = store.table("sample")
    pool = sampled.column("id").to_pylist()
    return {"chosen": share_wrong(tables.ids_where(sampled, "selected"), known), "pool": share_wrong(pool, known), "pool_records": len(pool)}


def has_tables(cell: Cell) -> bool:
    """Whether its run directory says what was chosen; one that `compare_cells` restored has the values alone."""
    return (Path(cell.recipe.run_dir) / "sample.parquet").is_file()


def chosen_of(done: Sequence[Cell], known: Wrong) -> dict[str, Any]:
    """What the trainings of one entrant were trained on, the mean over them."""
    mine = [of_cell(cell, known) for cell in done]
    return {
        "wrong": {part: float(np.mean([one["chosen"][part] for one in mine])) for part in ("records", "characters")},
        "pool": {"records": float(np.mean([one["pool_records"] for one in mine])), "wrong": float(np.mean([one["pool"]["records"] for one in mine]))},
    }


def of_share(comparison: Comparison, known: Wrong, before: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of one comparison, a row for each entrant and unit that has a finished training.

    Args:
        comparison: the trainings of one share.
        known: which records are wrong.
        before: the same of the result file: what restored trainings were trained on is there alone.
    """
    earlier = {(row["entrant"], row["unit"]): {part: row[part] for part in ("wrong", "pool")} for row in before.get("rows", ())}
    found = summary_of(comparison)
    done = [cell for cell in cells(comparison) if (Path(cell.recipe.run_dir) / "result.json").is_file()]
    rows = []
    for row in found["rows"]:
        key = (row["entrant"], row["unit"])
        mine = [cell for cell in done if (cell.entrant, cell.unit) == key]
        rows.append(
            {
                **{name: row[name] for name in ("entrant", "unit", "seeds", "records", "response_tokens", "training_steps")},
                **(chosen_of(mine, known) if all(map(has_tables, mine)) else earlier[key]),
                "metrics": {m: {k: figures[k] for k in KEPT} for m, figures in row["metrics"].items()},
            }
        )  # fmt: skip
    named = {(row["entrant"], row["unit"]) for row in rows}
    rows += [row for row in before.get("rows", ()) if (row["entrant"], row["unit"]) not in named]  # entrants that the recipe no longer has
    tables_scored = [Store(Path(recipe.run_dir)).table("score") for recipe in shared_recipes(comparison)]
    scored = [row for table in tables_scored for row in zip(*(table[c].to_pylist() for c in ("id", "ifd", "response_tokens")), strict=True)]
    lengths = ifd_by_length(scored, known)
    return {"ifd_by_length": lengths, "cells": found["cells"], "against": found["against"], "base": found["base"], "rows": rows}


Values = Mapping[int, Mapping[str, Mapping[str, float]]]  # seed -> metric -> item -> value


def results_of(comparison: Comparison) -> dict[tuple[str, str], Values]:
    """Every value of the finished trainings, by entrant and unit."""
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for cell in cells(comparison):
        path = Path(cell.recipe.run_dir) / "result.json"
        if path.is_file():
            found.setdefault((cell.entrant, cell.unit), {})[cell.seed] = read_json(path)["values"]
    return {**found}


def kept_results(file: Path) -> dict[tuple[str, str], Values]:
    """The same of a file that compare_cells.py saved; empty where there is none."""
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for result in load(file).values() if file.is_file() else ():
        if cell := result.get("cell"):
            found.setdefault((cell["entrant"], cell["unit"]), {})[cell["seed"]] = result["values"]
    return {**found}


def apart(own: Values, other: Values) -> dict[str, Any]:
    """What one side has minus what the other has, paired by pool and item: metric -> difference and its interval."""
    seeds = sorted(own.keys() & other.keys())
    found: dict[str, Any] = {}
    for metric in own[seeds[0]] if seeds else ():
        values = paired_values([side[seed].get(metric) for seed in seeds for side in (own, other)])
        if values is not None:
            change = values[0::2] - values[1::2]
            found[metric] = {"difference": float(change.mean()), "interval": list(crossed_interval(change) or ()) or None, "seeds": len(seeds)}
    return found


def tables_of(shares: Mapping[str, Mapping[str, Any]], metrics: Sequence[str], short: bool = False) -> list[str]:
    """Markdown: an entrant a line and a share of wrong records a column; what is wrong of the chosen records, then each metric's differences.

    `short`: of the last metric those to the random draws and to the whole pool, of the others those to the whole pool alone.
    """
    keys = list(dict.fromkeys((r["entrant"], r["unit"]) for one in shares.values() for r in one["rows"]))
    keys.sort(key=lambda key: (key[1] != "tokens" and key[0] != "full", key[0] == "full"))
    head = "| trained on | " + " | ".join(f"{share} wrong" if share.endswith("%") else share for share in shares) + " |"
    lines: list[str] = []
    parts: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("Of the records trained on, wrong:", lambda row: f"{row['wrong']['records']:.0%} of {row['records']:.0f}")
    ]
    for m in metrics:
        name = f"{spelt(m)[0].upper()}{spelt(m)[1:]}"
        draws = (f"{name}, minus the random draws of the same pools:", lambda row, m=m: with_interval(row["metrics"][m]["minus_against"]))
        clean = (f"{name}, minus the same training with no record wrong:", lambda row, m=m: with_interval(row["minus_clean"].get(m)))
        whole = (f"{name}, minus the whole pool:", lambda row, m=m: with_interval(row["minus_full"].get(m)))
        parts += [draws, clean, whole] if not short else [whole] if m != metrics[-1] else [draws, whole]
    for title, tell in parts:
        lines += [title, "", head, "|---|" + "---|" * len(shares)]
        for entrant, unit in keys:
            found = [[r for r in one["rows"] if (r["entrant"], r["unit"]) == (entrant, unit)] for one in shares.values()]
            told = [tell(some[0]) if some else "not run" for some in found]
            if any(some and text for some, text in zip(found, told, strict=True)):
                name = entrant if unit == "tokens" or entrant == "full" else f"{entrant}, equal records"
                lines.append(f"| {name} | " + " | ".join(told) + " |")
        lines.append("")
    if bands := shares.get(OWN, {}).get("ifd_by_length"):
        lines += ["Median IFD where the model itself wrote 45 %:", "", "| response tokens | its answers | the others |", "|---|---|---|"]
        for band in bands:
            told = [f"{band[who]['ifd']:.2f} ({band[who]['records']})" for who in ("wrong", "others")]
            lines.append(f"| {band['tokens'][0]} to {band['tokens'][1] - 1} | " + " | ".join(told) + " |")
    return lines


def rounded(value: Any) -> Any:
    """The same with five decimals: one more than any table has."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=Path, default=Path("runs/noise"))
    parser.add_argument("--runs", default="runs/compare_noise_", help="run directories, but for the share")
    parser.add_argument("--versus", action="append", default=[], metavar="RIVAL:NAME,...", help="further differences")
    parser.add_argument("--output", type=Path, default=OUT)
    parser.add_argument("--write", type=Path, help="Markdown file with the lines <!-- noise_results --> and <!-- /noise_results -->")
    options = parser.parse_args()
    versus = [(rival, names.split(",")) for rival, _, names in (pair.partition(":") for pair in options.versus)]
    before: Mapping[str, Any] = result_files.read(options.output)["shares"] if options.output.exists() else {}
    shares: dict[str, Any] = {}
    results: dict[str, dict[tuple[str, str], Values]] = {}
    for name, share in POOLS.items():
        file, folder = options.noise / f"{name}.jsonl", Path(f"{options.runs}{name}")
        if file.is_file() and (folder / "base" / "result.json").is_file():
            overrides = [f"recipe.data.source={file}", f"run_dir={folder}"]
            comparison = load_comparison(RECIPE, overrides)
            found = of_share(comparison, wrong_records(file), before.get(share, {}))
            if found["rows"]:
                shares[share], results[share] = found, results_of(comparison)
    if not shares and not before:
        parser.error(f"{options.runs}NN: no comparison has begun; see experiments/noise.py")
    clean = results.get("0%") or kept_results(CLEAN)
    for name, one in shares.items():
        for row in one["rows"]:
            key, mine = (row["entrant"], row["unit"]), results[name]
            if key not in mine:
                continue
            others = {"minus_clean": clean.get(key, {}) if name != "0%" else {}, "minus_full": mine.get(WHOLE, {}) if key != WHOLE else {}}
            others |= {f"minus_{rival}": mine.get((rival, row["unit"]), {}) for rival, names in versus if row["entrant"] in names}
            row |= {title: apart(mine[key], other) for title, other in others.items()}
    shares = {name: shares.get(name) or before[name] for name in POOLS.values() if name in shares or name in before}
    metrics = [m for m in next(iter(shares.values()))["base"] if m in ("held-out loss", "humaneval bits_per_byte")]
    shares = rounded(shares)  # the tables are of what is kept
    if results:
        result_files.write(options.output, {**machine.provenance(), "shares": shares})
    text = "\n".join(tables_of(shares, metrics)).rstrip()
    print(text)
    if options.write:
        write_between(options.write, "noise_results", "\n".join(tables_of(shares, metrics, short=True)).rstrip())


if __name__ == "__main__":
    main()
