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
        rows = [row for row in summary["rows"] if row["budget"] == budget]
        if rows:
            lines += [f"Equal {budget}:", "", *table(rows, metrics, summary["against"]), ""]
    before = ", ".join(f"{spelt(m)} {number(summary['base'][m], 4)}" for m in metrics)
    place = document["machine"]
    lines += [
        f"Before training: {before}. Lower is better everywhere. {summary['cells']['done']} trainings,"
        f" {place['processor']}, {document['date']}; versions and every interval in `benchmarks/results/{picture.removesuffix('.svg')}.json`.",
        "",
        f"![differences to {summary['against']}](../benchmarks/results/{picture})",
    ]
    return "\n".join(lines)


def plot(summary: Mapping[str, Any], path: Path) -> None:
    """A panel for each metric: every strategy's difference to the one that all are compared with, with its interval."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": "codeact", "font.size": 9}
    metrics = list(summary["lower_is_better"])
    rows = [r for r in summary["rows"] if r["metrics"][metrics[0]]["minus_against"]]
    names = [f"{r['entrant']}, {r['rate']:.0%} of {r['budget']}" for r in rows]
    figure, axes = pyplot.subplots(
        1, len(metrics), figsize=(3.4 * len(metrics) + 1.4, 0.3 * len(rows) + 1.2), sharey=True, layout="constrained"
    )
    for axis, metric in zip([axes] if len(metrics) == 1 else axes, metrics, strict=True):
        for place, row in enumerate(rows):
            found = row["metrics"][metric]["minus_against"]
            low, high = found["interval"]
            clear = not low <= 0 <= high
            colour = "#0b6e4f" if clear and high < 0 else "#b3261e" if clear else "#5f6b7a"
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
    text = markdown(document, output.with_suffix(".svg").name)
    if options.write is None:
        print(text)
        return
    write_between(options.write, options.recipe.stem, text)


if __name__ == "__main__":
    main()
