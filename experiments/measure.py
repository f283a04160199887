"""Which cheap measure follows pass@k? Correlations over the trainings of one comparison, and how much of each measure is its seed's.

    codeact evaluate demo -o runs/measure_base --tasks humaneval --temperature 0.8 --samples-per-task 5 --max-new-tokens 64 --set seed=1000
    python -m experiments.measure tasks runs/measure_base                  # those that the base solves sometimes: into generate_tasks
    codeact compare recipes/compare_measure.yaml recipe.data.source=runs/real_records.jsonl --minutes 0.1
    python -m experiments.measure table recipes/compare_measure.yaml

`table` takes what is finished. Without a training, from the values that are kept: `python -m experiments.compare_cells restore
experiments/results/measure_cells.json.xz runs/compare_measure` first. Signs are turned so that higher is better for every measure: a good proxy
correlates at +1 with pass@k. The tasks of pass@k are left out of the proxies. Intervals: bootstrap over selections and seeds, in braces; in
brackets over items and tasks as well; 2,000 resamples. Every value of every training goes to NAME_cells.json.xz. What was expected before the
first training: docs/experiments-measures.md.

Result: experiments/results/measure.json.xz, measure_cells.json.xz; measure_second_cells.json.xz of a second study (docs/experiments-measures.md)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact.comparison import measures
from codeact.comparison.grid import HELD_OUT, Comparison, cells, load_comparison
from codeact.statistics import pass_at_k, shared_items, spearman
from experiments.compare_cells import results, save

RESULTS = Path(__file__).parent / "results"
LOWEST, HIGHEST = 0.02, 0.9
KS = (1, 10)
RESAMPLES = 2000
KINDS = ("same_items", "interval")

Values = Mapping[str, Mapping[str, float]]
Table = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


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


def problem(item: str) -> str:
    """The task that an item is of: HumanEvalPack's Python/28 is HumanEval/28."""
    return item.replace("Python/", "HumanEval/", 1) if item.startswith("Python/") else item


def table(trainings: Sequence[Values], metric: str, without: Collection[str] = ()) -> Table:
    """One row a training, one column an item that all have, turned so that higher is better: float64 [trainings, items].

    Args:
        trainings: metric -> item -> value, of each.
        metric: whose values.
        without: tasks whose items are left out, whatever their name.
    """
    items = [item for item in shared_items([one[metric] for one in trainings]) if problem(item) not in without]
    found = np.array([[one[metric][item] for item in items] for one in trainings], np.float64)
    return found if measures.higher_is_better(metric) else -found


def pass_table(shares: Table, samples: int, k: int) -> Table:
    """pass@k of each training and task, from the share of its samples that passed."""
    correct = np.rint(shares * samples).astype(int)
    known = np.array([pass_at_k(samples, c, k) for c in range(samples + 1)])
    found: Table = known[correct]
    return found


def trainings_drawn(group: Sequence[str], seed: Sequence[int], rng: np.random.Generator) -> Rows:
    """Rows of a resample: selections and seeds, both drawn with replacement and crossed, since selections share their seeds."""
    names, seeds = list(dict.fromkeys(group)), list(dict.fromkeys(seed))
    grid = np.full((len(names), len(seeds)), -1)
    for row, (name, one) in enumerate(zip(group, seed, strict=True)):
        grid[names.index(name), seeds.index(one)] = row
    picked: Rows = grid[rng.integers(0, len(names), len(names))][:, rng.integers(0, len(seeds), len(seeds))].ravel()
    return picked[picked >= 0]


def resampled(proxy: Table, target: Table, group: Sequence[str], seed: Sequence[int], resamples: int = RESAMPLES) -> dict[str, Table]:
    """Spearman's correlation of the trainings' means in each resample; NaN where a side is constant.

    `same_items` draws selections and seeds; `interval` the items of the proxy and those of the target as well. What is drawn is the same for
    every proxy, so two of them can be compared resample by resample.
    """
    of_rows, of_target, of_proxy = (np.random.default_rng([stream, 0]) for stream in range(3))
    found: dict[str, Table] = {kind: np.full(resamples, np.nan) for kind in KINDS}
    whole = proxy.mean(axis=1), target.mean(axis=1)
    for n in range(resamples):
        rows = trainings_drawn(group, seed, of_rows)
        others = [side[rows][:, rng.integers(0, side.shape[1], side.shape[1])].mean(axis=1) for side, rng in ((proxy, of_proxy), (target, of_target))]
        for kind, (left, right) in (("same_items", [side[rows] for side in whole]), ("interval", others)):
            value = spearman(left, right)
            found[kind][n] = np.nan if value is None else value
    return found


def interval(values: Table) -> list[float] | None:
    """The middle 95 % of resamples; None where fewer than half have a value."""
    known = values[~np.isnan(values)]
    return np.quantile(known, [0.025, 0.975]).tolist() if len(known) and len(known) >= len(values) / 2 else None


def correlations(proxies: Mapping[str, Table], target: Table, group: Sequence[str], seed: Sequence[int], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Of every proxy Spearman's correlation with the target over the trainings, its 95 % intervals, and those of what the nearest has more.

    `same_items` speaks of other selections and seeds on these items, `interval` of other items too.
    """
    values = {metric: spearman(proxy.mean(axis=1), target.mean(axis=1)) for metric, proxy in proxies.items()}
    drawn = {metric: resampled(proxy, target, group, seed, resamples) for metric, proxy in proxies.items()}
    nearest = max(values, key=lambda metric: -2.0 if values[metric] is None else values[metric])
    return {
        metric: {
            "value": values[metric], **{kind: interval(drawn[metric][kind]) for kind in KINDS}, "items": [proxy.shape[1], target.shape[1]],
            "nearest": {"measure": nearest, **{kind: interval(drawn[nearest][kind] - drawn[metric][kind]) for kind in KINDS}},
        }
        for metric, proxy in proxies.items()
    }  # fmt: skip


def seeds_share(values: Table, group: Sequence[str]) -> dict[str, Any]:
    """Share of a measure's variance over trainings that lies between two seeds of one selection: 0 is perfectly repeatable.

    One-way analysis of variance of the trainings' means, in groups of two or more: within / (within + between), the components of variance,
    a negative one as 0. The 95 % interval speaks of other selections and seeds on these items. For normal values it is exact, whatever
    the sizes n of the groups (Wald 1940, Annals of Mathematical Statistics 11, p. 96): at the true r = between / within,

        sum of w (group mean - their mean weighted by w)^2 / (groups - 1) / mean square within,  w = n / (1 + n r),

    has the F distribution with groups - 1 and trainings - groups degrees of freedom, and falls where r rises. Where all groups have
    n it is the textbooks' (F / quantile - 1) / n. An end of r below 0 is 0.

    Returns:
        `value`, `interval` and `groups`. Both are None with fewer than two such groups or without any variance, the interval also where
        no two seeds differ.
    """
    from scipy.stats import f

    names = [name for name in dict.fromkeys(group) if list(group).count(name) > 1]
    members = [values[[one == name for one in group]].mean(axis=1) for name in names]
    nothing = {"value": None, "interval": None, "groups": len(names)}
    if len(names) < 2:
        return nothing
    sizes, means = np.array([len(m) for m in members], np.float64), np.array([m.mean() for m in members])
    free = len(names) - 1, int(sizes.sum()) - len(names)
    within = sum(float(((m - m.mean()) ** 2).sum()) for m in members) / free[1]
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / free[0]
    between = max(0.0, between_square(sizes, means, 0.0) - within) / size
    if within + between <= 0:
        return nothing
    value = within / (within + between)
    ends = [1 / (1 + ratio_at(sizes, means, within * f.ppf(at, *free))) for at in (0.025, 0.975)] if within > 0 else None
    return {"value": value, "interval": ends, "groups": len(names)}


def between_square(sizes: Table, means: Table, ratio: float) -> float:
    """Mean square between groups, each weighted by n / (1 + n ratio)."""
    weights = sizes / (1 + sizes * ratio)
    return float((weights * (means - np.average(means, weights=weights)) ** 2).sum()) / (len(means) - 1)


def ratio_at(sizes: Table, means: Table, square: float) -> float:
    """The ratio of the variances between and within at which `between_square` is this; 0 where none is."""
    from scipy.optimize import brentq

    if between_square(sizes, means, 0.0) <= square:
        return 0.0
    high = 1.0
    while between_square(sizes, means, high) > square:
        high *= 2
    return float(brentq(lambda ratio: between_square(sizes, means, ratio) - square, 0.0, high))


def study(
    trainings: Sequence[Values], group: Sequence[str], seed: Sequence[int], samples: int, characters: Mapping[str, int], resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Of every measure: its correlation with pass@k for each k, and its seeds' share.

    Args:
        trainings: metric -> item -> value, of each training.
        group: what each training's selection is, its seed left out.
        seed: of each training; selections share seeds.
        samples: drawn of each task.
        characters: of each held-out record's answer.
        resamples: of each bootstrap.

    Returns:
        `targets` and `proxies` by name. A proxy leaves out the tasks that pass@k is of; `with_shared` is its correlation with them, None
        where it has none of them.

    Raises:
        ValueError: not exactly one metric is a pass@1.
    """
    whole: list[dict[str, Mapping[str, float]]] = []
    for one in trainings:
        banded = by_length(one[HELD_OUT], characters) if HELD_OUT in one else {}
        whole.append({**one, **banded})
    (passing,) = [metric for metric in whole[0] if metric.endswith("pass@1")]
    shares = table(whole, passing)
    solved = {problem(task) for task in shared_items([one[passing] for one in whole])}
    targets = {f"pass@{k}": pass_table(shares, samples, k) for k in KS if k <= samples}
    everything = {metric: table(whole, metric) for metric in whole[0] if not measures.is_pass(metric)}
    proxies = {metric: table(whole, metric, solved) for metric in everything}
    found = {name: correlations(proxies, target, group, seed, resamples) for name, target in targets.items()}
    for name, target in targets.items():
        for metric, values in everything.items():
            shared = values.shape[1] > proxies[metric].shape[1]
            found[name][metric]["with_shared"] = spearman(values.mean(axis=1), target.mean(axis=1)) if shared else None
    return {
        "targets": {name: {"mean": float(t.mean()), "seeds_share": seeds_share(t, group)} for name, t in targets.items()},
        "proxies": {
            metric: {"correlation": {name: found[name][metric] for name in targets}, "seeds_share": seeds_share(everything[metric], group)}
            for metric in proxies
        },
    }  # fmt: skip


def finished(comparison: Comparison) -> tuple[list[Values], list[str], list[int], dict[str, int], int]:
    """What the comparison's run directory holds: values, group and seed of each training, lengths of held-out records, trainings planned."""
    root, planned = Path(comparison.run_dir), cells(comparison)
    read = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in results(root) if path.exists()}
    done = [cell for cell in planned if Path(cell.recipe.run_dir).name in read]
    values = [read[Path(cell.recipe.run_dir).name]["values"] for cell in done]
    return values, [cell.group for cell in done], [cell.seed for cell in done], read.get("base", {}).get("held_out_characters", {}), len(planned)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Markdown: a row for each measure."""
    names = list(found["targets"])
    head = ["measure", *(f"Spearman with {name}" for name in names), "share of its variance between seeds"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for metric, one in found["proxies"].items():
        told = [spelt(one["correlation"][name]) for name in names]
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
    show.add_argument("--decimals", type=int, default=4, help="of the values that are saved")
    options = parser.parse_args()
    if options.action == "tasks":
        rates = solved_sometimes(options.folder)
        print(json.dumps([task for task, _ in sorted(rates.items(), key=lambda one: abs(one[1] - 0.4))[: options.most]]))
        return
    comparison = load_comparison(options.recipe, options.overrides)
    trainings, group, seed, characters, planned = finished(comparison)
    if len(trainings) < 3:
        parser.error(f"{comparison.run_dir}: {len(trainings)} trainings are finished; a correlation needs three")
    samples = cells(comparison)[0].recipe.evaluate.samples_per_task
    document = {
        **machine.provenance(), "trainings": {"planned": planned, "done": len(trainings), "groups": group, "seeds": seed}, "samples": samples,
        **study(trainings, group, seed, samples, characters),
    }  # fmt: skip
    result_files.write(options.output, document)
    save(Path(comparison.run_dir), options.output.with_name(f"{options.output.name.partition('.')[0]}_cells.json.xz"), options.decimals)
    print("\n".join(lines(document)))


if __name__ == "__main__":
    main()
