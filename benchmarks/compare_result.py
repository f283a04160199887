"""A finished `codeact compare` as a result file, a figure and the tables of docs/experiments.md.

    codeact compare recipes/compare_small.yaml recipe.data.source=evol_instruct_code_1966.json
    python benchmarks/compare_result.py recipes/compare_small.yaml --write docs/experiments.md

Takes what is finished in the comparison's run directory: compare.json with where and how it was made goes to --output, the differences
to a figure of the same name, and the tables between the lines <!-- NAME --> and <!-- /NAME --> of --write, NAME being the recipe's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import machine
import yaml
from marks import write_between

from codeact.report.words import number

RESULTS = Path(__file__).parent / "results"
COLOURS = ("#5f6b7a", "#0b6e4f", "#b3261e", "#1f4e9c", "#9a6700", "#7b3fa0")
SHORT = {"bits_per_byte": "bits per byte", "held-out loss": "held-out loss"}


def spelt(metric: str) -> str:
    for name, text in SHORT.items():
        metric = metric.replace(name, text)
    return metric


def with_interval(found: Mapping[str, Any] | None, value: str) -> str:
    """`−0.0123 [−0.0155, −0.0090]`, in bold where the interval leaves 0 out."""
    if found is None:
        return ""
    low, high = found["interval"]
    text = f"{number(found[value], 4)} [{number(low, 4)}, {number(high, 4)}]"
    return f"**{text}**" if value == "difference" and not low <= 0 <= high else text


def table(rows: list[Mapping[str, Any]], metrics: list[str], against: str) -> list[str]:
    head = ["strategy", "rate", "seeds", "records", "response tokens"]
    head += [text for m in metrics for text in (spelt(m), f"minus {against}")]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["entrant"], f"{row['rate']:.0%}", str(len(row["seeds"])), number(row["records"], 0)]
        cells.append(number(row["response_tokens"], 0))
        for metric in metrics:
            found = row["metrics"][metric]
            cells += [number(found["value"], 4), with_interval(found["minus_against"], "difference")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def markdown(document: Mapping[str, Any], picture: str) -> str:
    """One table for each budget, the figure, and one line that says where it was measured."""
    summary = document["summary"]
    metrics = list(summary["lower_is_better"])
    lines = []
    for budget in ("tokens", "records"):
        rows = [row for row in summary["rows"] if row["budget"] == budget or row["strategy"] == "full"]
        rows.sort(key=lambda row: row["strategy"] == "full")
        if any(row["strategy"] != "full" for row in rows):
            lines += [f"Equal {budget}:", ""]
            for some in by_direction(summary):
                lines += [*table(rows, some, summary["against"]), ""]
    before = ", ".join(f"{spelt(m)} {number(summary['base'][m], 4)}" for m in metrics)
    place = document["machine"]
    lines += [
        f"Before training: {before}. Lower is better{', but for pass@1' if len(by_direction(summary)) > 1 else ' everywhere'}. {summary['cells']['done']} trainings,"
        f" {place['processor']}, {document['date']}; versions and every interval in `benchmarks/results/{picture.removesuffix('.svg')}.json`.",
        "",
        f"![differences to {summary['against']}](../benchmarks/results/{picture})",
    ]
    if several_rates(summary):
        rates = picture.replace(".svg", "_rates.svg")
        lines += ["", f"![differences to the model before training, by rate](../benchmarks/results/{rates})"]
    return "\n".join(lines)


def by_direction(summary: Mapping[str, Any]) -> list[list[str]]:
    """The metrics that are better when lower, then those that are better when higher; a group without any is left out."""
    lower = summary["lower_is_better"]
    groups = [[m for m in lower if lower[m]], [m for m in lower if not lower[m]]]
    return [group for group in groups if group]


def several_rates(summary: Mapping[str, Any]) -> bool:
    return len({row["rate"] for row in summary["rows"] if row["strategy"] != "full"}) > 1


def plot_rates(summary: Mapping[str, Any], path: Path) -> None:
    """A panel for each metric and budget: what training changed against the share of the pool, one line per strategy (Figure 3 of
    the paper)."""
    pyplot = drawing()
    metrics = list(summary["lower_is_better"])
    budgets = sorted({row["budget"] for row in summary["rows"] if row["strategy"] != "full"})
    entrants = list(dict.fromkeys(row["entrant"] for row in summary["rows"]))
    figure, axes = pyplot.subplots(
        len(budgets), len(metrics), figsize=(3.6 * len(metrics), 3 * len(budgets)), squeeze=False, layout="constrained"
    )
    for line, budget in zip(axes, budgets, strict=True):
        for axis, metric in zip(line, metrics, strict=True):
            for place, entrant in enumerate(entrants):
                rows = [
                    r
                    for r in summary["rows"]
                    if r["entrant"] == entrant and (r["budget"] == budget or r["strategy"] == "full")
                ]
                rows.sort(key=lambda row: row["rate"])
                found = [row["metrics"][metric]["minus_base"] for row in rows]
                middle = [f["difference"] for f in found]
                bars = [[m - f["interval"][0] for m, f in zip(middle, found, strict=True)],
                        [f["interval"][1] - m for m, f in zip(middle, found, strict=True)]]  # fmt: skip
                shift = 1.2 * (place - (len(entrants) - 1) / 2)  # so that intervals do not cover each other
                axis.errorbar([100 * r["rate"] + shift for r in rows], middle, bars, fmt="o-", markersize=4, linewidth=1.2,
                              elinewidth=1, capsize=2, color=COLOURS[place % len(COLOURS)], label=entrant)  # fmt: skip
            axis.axhline(0, color="#888888", linestyle="--", linewidth=1)
            axis.set_xlabel(f"% of the pool's {'response tokens' if budget == 'tokens' else 'records'}")
            axis.set_ylabel(f"{spelt(metric)} minus before")
            axis.grid(color="#eeeeee")
            axis.set_axisbelow(True)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(entrants), frameon=False
    )
    figure.savefig(path, metadata={"Date": None}, facecolor="white")


def drawing() -> Any:
    """Pyplot, set up so that the same figures give the same file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": "codeact", "font.size": 9}
    return pyplot


def plot(summary: Mapping[str, Any], path: Path) -> None:
    """A panel for each metric: every strategy's difference to the one that all are compared with, with its interval; green
    where it is clearly better, red where it is clearly worse."""
    pyplot = drawing()
    metrics = [metric for group in by_direction(summary) for metric in group]
    columns = min(3, len(metrics))
    lines = -(-len(metrics) // columns)
    rows = [r for r in summary["rows"] if r["metrics"][metrics[0]]["minus_against"]]
    names = [f"{r['entrant']}, {r['rate']:.0%} of {r['budget']}" for r in rows]
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(3.4 * columns + 1.4, (0.3 * len(rows) + 1.2) * lines), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(metrics) :]:
        axis.set_visible(False)
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for place, row in enumerate(rows):
            found = row["metrics"][metric]["minus_against"]
            low, high = found["interval"]
            clear = not low <= 0 <= high
            better = (high < 0) == summary["lower_is_better"][metric]
            colour = ("#0b6e4f" if better else "#b3261e") if clear else "#5f6b7a"
            axis.plot([low, high], [place, place], color=colour, linewidth=1.5)
            axis.plot(found["difference"], place, "o", color=colour, markersize=5)
        axis.axvline(0, color="#888888", linestyle="--", linewidth=1)
        axis.set_yticks(range(len(rows)), names)
        axis.set_xlabel(f"{spelt(metric)} minus {summary['against']}")
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x", color="#dddddd")
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None}, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run-dir", type=Path, help="where it ran; default: the recipe's run_dir")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/<recipe>.json")
    parser.add_argument("--write", type=Path, help="Markdown file that holds the marks")
    options = parser.parse_args()
    recipe = yaml.safe_load(options.recipe.read_text(encoding="utf-8"))
    output = options.output or RESULTS / f"{options.recipe.stem}.json"
    run_dir = options.run_dir or Path(recipe["run_dir"])
    summary = json.loads((run_dir / "compare.json").read_text(encoding="utf-8"))
    if summary["cells"]["done"] == 0:
        parser.error(f"{run_dir}: no training is finished")
    document = {
        **machine.provenance(),
        "made_by": f"codeact compare recipes/{options.recipe.name} recipe.data.source=DATA",
        "recipe": recipe,
        "summary": summary,
    }
    output.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    plot(summary, output.with_suffix(".svg"))
    if several_rates(summary):
        plot_rates(summary, output.with_name(f"{output.stem}_rates.svg"))
    text = markdown(document, output.with_suffix(".svg").name)
    if options.write is None:
        print(text)
        return
    write_between(options.write, options.recipe.stem, text)


if __name__ == "__main__":
    main()
