"""Which cheap measure follows pass@k? Correlations over the trainings of one comparison, and how much of each measure is its seed's.

    codeact evaluate demo -o runs/measure_base --tasks humaneval --temperature 0.8 --samples-per-task 5 --max-new-tokens 64 --set seed=1000
    python -m experiments.measure tasks runs/measure_base                  # those that the base solves sometimes: into generate_tasks
    codeact compare recipes/compare_measure.yaml recipe.data.source=runs/real_records.jsonl --minutes 0.1
    python -m experiments.measure table recipes/compare_measure.yaml

`table` takes what is finished. Signs are turned so that higher is better for every measure: a good proxy correlates at +1 with pass@k.
Intervals: bootstrap over trainings and tasks, both drawn anew in each of 2,000 resamples; in braces over trainings alone. Every value of
every training goes to NAME_cells.json.xz. What was expected before the first training: docs/experiments-measures.md.

Result: experiments/results/measure.json.xz, measure_cells.json.xz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact.comparison import measures
from codeact.comparison.grid import HELD_OUT, Comparison, cells, load_comparison
from codeact.statistics import pass_at_k, spearman
from experiments.compare_cells import results, save

RESULTS = Path(__file__).parent / "results"
LOWEST, HIGHEST = 0.02, 0.9
KS = (1, 10)
RESAMPLES = 2000
HIGHER = ("pass@1", "margin", "margin_per_token")

Values = Mapping[str, Mapping[str, float]]
Table = np.ndarray[Any, np.dtype[np.float64]]


def solved_sometimes(folder: Path, low: float = LOWEST, high: float = HIGHEST) -> dict[str, float]:
    """Task id -> solve rate, of an evaluation with several samples a task: those from `low` to `high`."""
    outcomes: dict[str, list[bool]] = {}
    for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        outcomes.setdefault(row["task_id"], []).append(row["status"] == "passed")
    rates = {task: sum(passed) / len(passed) for task, passed in outcomes.items()}
    return {task: rate for task, rate in rates.items() if low <= rate <= high}


def by_length(values: Mapping[str, float], characters: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """The held-out loss in bands of equally many records, shortest first."""
    bands = measures.by_length(values, characters)
    return {f"{HELD_OUT}, band {n} of {measures.BANDS}": {r: values[r] for r in some} for n, some in enumerate(bands, 1)}


def table(trainings: Sequence[Values], metric: str) -> Table:
    """One row a training, one column an item that all have, turned so that higher is better: float64 [trainings, items]."""
    items = sorted(set(trainings[0][metric]).intersection(*(one[metric] for one in trainings[1:])))
    found = np.array([[one[metric][item] for item in items] for one in trainings], np.float64)
    return found if metric.endswith(HIGHER) else -found


def pass_table(shares: Table, samples: int, k: int) -> Table:
    """pass@k of each training and task, from the share of its samples that passed."""
    correct = np.rint(shares * samples).astype(int)
    known = np.array([pass_at_k(samples, c, k) for c in range(samples + 1)])
    found: Table = known[correct]
    return found


def correlation(proxy: Table, target: Table, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Pearson's and Spearman's correlation of the trainings' means, each with two 95 % bootstrap intervals.

    `interval` speaks of other trainings and other items: a resample draws trainings, items of the proxy and items of the target, each with
    replacement. `same_items` speaks of other trainings on these items: it draws trainings alone. A resample in which a side is
    constant has no correlation and is left out.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, dict[str, list[float]]] = {kind: {"pearson": [], "spearman": []} for kind in ("interval", "same_items")}
    for _ in range(resamples):
        rows = rng.integers(0, len(proxy), len(proxy))
        others = [side[rows][:, rng.integers(0, side.shape[1], side.shape[1])].mean(axis=1) for side in (proxy, target)]
        same = [side[rows].mean(axis=1) for side in (proxy, target)]
        for kind, (left, right) in (("interval", others), ("same_items", same)):
            for name, value in both(left, right).items():
                if value is not None:
                    drawn[kind][name].append(value)
    found: dict[str, Any] = {}
    for name, value in both(proxy.mean(axis=1), target.mean(axis=1)).items():
        kept = {kind: values[name] for kind, values in drawn.items()}
        found[name] = {
            "value": value,
            **{kind: np.quantile(v, [0.025, 0.975]).tolist() if len(v) >= resamples // 2 else None for kind, v in kept.items()},
        }
    return {**found, "trainings": len(proxy), "items": [proxy.shape[1], target.shape[1]]}


def both(left: Table, right: Table) -> dict[str, float | None]:
    """Pearson's and Spearman's correlation; None where a side is constant."""
    constant = np.ptp(left) < 1e-12 or np.ptp(right) < 1e-12
    pearson = None if constant else float(np.corrcoef(left, right)[0, 1])
    return {"pearson": pearson, "spearman": None if constant else spearman(left, right)}


def seeds_share(values: Table, group: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Share of a measure's variance over trainings that lies between two seeds of one selection: 0 is perfectly repeatable.

    One-way analysis of variance over groups of two or more: within / (within + between), the components of variance, negative ones
    as 0. The interval draws groups and items with replacement. None with fewer than two such groups, or without any variance.
    """
    rng = np.random.default_rng(seed)
    names = [name for name in dict.fromkeys(group) if list(group).count(name) > 1]
    members = [np.flatnonzero([one == name for one in group]) for name in names]

    def share(some: Sequence[np.ndarray[Any, Any]], items: np.ndarray[Any, Any]) -> float | None:
        means = [values[rows][:, items].mean(axis=1) for rows in some]
        within = float(np.mean([m.var(ddof=1) for m in means]))
        between = max(0.0, float(np.var([m.mean() for m in means], ddof=1)) - within / float(np.mean([len(m) for m in means])))
        return within / (within + between) if within + between > 0 else None

    if len(members) < 2:
        return {"value": None, "interval": None, "groups": len(members)}
    everything = np.arange(values.shape[1])
    drawn = []
    for _ in range(resamples):
        some = [members[n] for n in rng.integers(0, len(members), len(members))]
        value = share(some, rng.integers(0, values.shape[1], values.shape[1]))
        drawn += [] if value is None else [value]
    interval = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn else None
    return {"value": share(members, everything), "interval": interval, "groups": len(members)}


def study(trainings: Sequence[Values], group: Sequence[str], samples: int, characters: Mapping[str, int], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Of every measure: its correlation with pass@k for each k, and its seeds' share.

    Args:
        trainings: metric -> item -> value, of each training.
        group: what each training's selection is, its seed left out.
        samples: drawn of each task.
        characters: of each held-out record's answer.
        resamples: of each bootstrap.

    Raises:
        ValueError: not exactly one metric is a pass@1.
    """
    whole: list[dict[str, Mapping[str, float]]] = []
    for one in trainings:
        banded = by_length(one[HELD_OUT], characters) if HELD_OUT in one else {}
        whole.append({**one, **banded})
    (passing,) = [metric for metric in whole[0] if metric.endswith("pass@1")]
    shares = table(whole, passing)
    targets = {f"pass@{k}": pass_table(shares, samples, k) for k in KS if k <= samples}
    proxies = {metric: table(whole, metric) for metric in whole[0] if metric != passing}
    return {
        "targets": {name: {"mean": float(t.mean()), "seeds_share": seeds_share(t, group, resamples=resamples)} for name, t in targets.items()},
        "proxies": {
            metric: {
                "correlation": {name: correlation(values, target, resamples=resamples) for name, target in targets.items()},
                "seeds_share": seeds_share(values, group, resamples=resamples),
            }
            for metric, values in proxies.items()
        },
    }  # fmt: skip


def finished(comparison: Comparison) -> tuple[list[Values], list[str], dict[str, int], int]:
    """What the comparison's run directory holds: values and group of each training, lengths of held-out records, trainings planned."""
    root, planned = Path(comparison.run_dir), cells(comparison)
    read = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in results(root) if path.exists()}
    done = [cell for cell in planned if Path(cell.recipe.run_dir).name in read]
    values = [read[Path(cell.recipe.run_dir).name]["values"] for cell in done]
    return values, [cell.group for cell in done], read.get("base", {}).get("held_out_characters", {}), len(planned)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Markdown: a row for each measure."""
    names = list(found["targets"])
    head = ["measure", *(f"Spearman with {name}" for name in names), "share of its variance between seeds"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for metric, one in found["proxies"].items():
        told = [spelt(one["correlation"][name]["spearman"]) for name in names]
        rows.append("| " + " | ".join([metric, *told, spelt(one["seeds_share"])]) + " |")
    for name, one in found["targets"].items():
        rows.append("| " + " | ".join([name, *("" for _ in names), spelt(one["seeds_share"])]) + " |")
    return rows


def spelt(one: Mapping[str, Any]) -> str:
    """`0.63 [0.10, 0.91] {0.41, 0.77}`."""
    if one["value"] is None:
        return "none"
    between = "" if one["interval"] is None else " [{:.2f}, {:.2f}]".format(*one["interval"])
    same = "" if one.get("same_items") is None else " {{{:.2f}, {:.2f}}}".format(*one["same_items"])
    return f"{one['value']:.2f}{between}{same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="action", required=True)
    choose = commands.add_parser("tasks", help="tasks that an evaluation solves sometimes")
    choose.add_argument("folder", type=Path)
    choose.add_argument("--most", type=int, default=20)
    show = commands.add_parser("table", help="correlations over the trainings that are done")
    show.add_argument("recipe", type=Path)
    show.add_argument("overrides", nargs="*")
    show.add_argument("--output", type=Path, default=RESULTS / "measure.json.xz")
    options = parser.parse_args()
    if options.action == "tasks":
        rates = solved_sometimes(options.folder)
        print(json.dumps([task for task, _ in sorted(rates.items(), key=lambda one: abs(one[1] - 0.4))[: options.most]]))
        return
    comparison = load_comparison(options.recipe, options.overrides)
    trainings, group, characters, planned = finished(comparison)
    if len(trainings) < 3:
        parser.error(f"{comparison.run_dir}: {len(trainings)} trainings are finished; a correlation needs three")
    samples = cells(comparison)[0].recipe.evaluate.samples_per_task
    document = {
        **machine.provenance(), "trainings": {"planned": planned, "done": len(trainings), "groups": group}, "samples": samples,
        **study(trainings, group, samples, characters),
    }  # fmt: skip
    result_files.write(options.output, document)
    save(Path(comparison.run_dir), options.output.with_name(f"{options.output.name.partition('.')[0]}_cells.json.xz"), decimals=4)
    print("\n".join(lines(document)))


if __name__ == "__main__":
    main()
