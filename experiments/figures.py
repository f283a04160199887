"""Figures of the studies, drawn from their result files when wanted; five of them are kept in docs/images.

    python -m experiments.figures compare_figures compare_rates                  into runs/figures, as SVG
    python -m experiments.figures compare_pooled compare_figures adaptive_frontier noise_results --format png --folder docs/images

Of a comparison: differences to one strategy (Figure 2 of the paper) and, with several rates, the effect of the rate (NAME_rates,
Figure 3). Of several comparisons together: the differences over their pools; of those with wrong records, the effect of
their share. Needs matplotlib: pip install 'codeact[bench]'.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import result_files

RESULTS = Path(__file__).parent / "results"

COLOURS = ("#5f6b7a", "#0b6e4f", "#b3261e", "#1f4e9c", "#9a6700", "#7b3fa0", "#00838f", "#111111", "#b0568a")


def spelt(metric: str) -> str:
    return metric.replace("bits_per_byte", "bits per byte")


def by_direction(summary: Mapping[str, Any]) -> list[list[str]]:
    """The metrics that are better when lower, then those that are better when higher; a group without any is left out."""
    lower = summary["lower_is_better"]
    groups = [[m for m in lower if lower[m]], [m for m in lower if not lower[m]]]
    return [group for group in groups if group]


def main_rate(summary: Mapping[str, Any]) -> float:
    """The rate that most rows have; of equals the first."""
    return float(Counter(r["rate"] for r in summary["rows"] if r["strategy"] != "full").most_common(1)[0][0])


def several_rates(summary: Mapping[str, Any]) -> bool:
    return len({row["rate"] for row in summary["rows"] if row["strategy"] != "full"}) > 1


def differences(summary: Mapping[str, Any], path: Path) -> None:
    """A panel for each metric: every strategy's difference, at the main rate, to the one that all are compared with, with its
    interval; green where it is clearly better, red where it is clearly worse."""
    pyplot = drawing()
    metrics = [metric for group in by_direction(summary) for metric in group]
    columns = min(3, len(metrics))
    lines = -(-len(metrics) // columns)
    rate = main_rate(summary)
    rows = [r for r in summary["rows"] if r["rate"] == rate and r["metrics"][metrics[0]]["minus_against"]]
    rows.sort(key=lambda row: row["unit"] != "tokens")
    names = [f"{r['entrant']}, {r['rate']:.0%} of {r['unit']}" for r in rows]
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(3.4 * columns + 1.4, (0.26 * len(rows) + 1.2) * lines), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(metrics) :]:
        axis.set_visible(False)
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for place, row in enumerate(rows):
            found = row["metrics"][metric]["minus_against"]
            low, high = found["interval"] or (found["difference"], found["difference"])
            better = (high < 0) == summary["lower_is_better"][metric]
            colour = "#5f6b7a" if low <= 0 <= high or found["interval"] is None else "#0b6e4f" if better else "#b3261e"
            axis.plot([low, high], [place, place], color=colour, linewidth=1.5)
            axis.plot(found["difference"], place, "o", color=colour, markersize=5)
        axis.axvline(0, color="#888888", linestyle="--", linewidth=1)
        axis.set_yticks(range(len(rows)), names)
        axis.set_xlabel(f"{spelt(metric)} minus {summary['against']}")
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x", color="#dddddd")
        plain(axis)
    figure.axes[0].invert_yaxis()
    save(figure, path)


def rates(summary: Mapping[str, Any], path: Path) -> None:
    """A panel for each metric and unit: what training changed against the share of the pool, one line for each strategy that
    has several rates, and the whole pool."""
    pyplot = drawing()
    metrics = list(summary["lower_is_better"])
    parts = [row for row in summary["rows"] if row["strategy"] != "full"]
    units = sorted({row["unit"] for row in parts}, reverse=True)
    counts = Counter(name for name, _ in {(row["entrant"], row["rate"]) for row in parts})
    shown = [name for name in dict.fromkeys(row["entrant"] for row in parts) if counts[name] > 1]
    shown += [row["entrant"] for row in summary["rows"] if row["strategy"] == "full"]
    figure, axes = pyplot.subplots(
        len(units), len(metrics), figsize=(3.6 * len(metrics), 3 * len(units)), squeeze=False, layout="constrained"
    )
    for line, unit in zip(axes, units, strict=True):
        for axis, metric in zip(line, metrics, strict=True):
            for place, entrant in enumerate(shown):
                rows = [r for r in summary["rows"] if r["entrant"] == entrant]
                rows = sorted((r for r in rows if r["unit"] == unit or r["strategy"] == "full"), key=lambda r: r["rate"])  # fmt: skip
                found = [row["metrics"][metric]["minus_base"] for row in rows]
                middle = [f["difference"] for f in found]
                ends = [f["interval"] or (f["difference"], f["difference"]) for f in found]
                bars = [[m - low for m, (low, _) in zip(middle, ends, strict=True)], [high - m for m, (_, high) in zip(middle, ends, strict=True)]]
                shift = 1.2 * (place - (len(shown) - 1) / 2)  # so that intervals do not cover each other
                axis.errorbar([100 * r["rate"] + shift for r in rows], middle, bars, fmt="o-", markersize=4, linewidth=1.2,
                              elinewidth=1, capsize=2, color=COLOURS[place % len(COLOURS)], label=entrant)  # fmt: skip
            axis.axhline(0, color="#888888", linestyle="--", linewidth=1)
            axis.set_xlabel(f"% of the pool's {'response tokens' if unit == 'tokens' else 'records'}")
            axis.set_ylabel(f"{spelt(metric)} minus before")
            axis.grid(color="#eeeeee")
            plain(axis)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(shown), frameon=False)
    save(figure, path)


def frontier(result: Mapping[str, Any], path: Path) -> None:
    """Adaptive scoring: model tokens against Jaccard, one line per ratio."""
    pyplot = drawing()
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for ratio, rows in result["frontier"].items():
        points = [(100 * row["token_share"]["mean"], row["jaccard"]["mean"]) for row in rows.values()]
        axes.plot(*zip(*points, strict=True), marker="o", label=f"adaptive, m = {100 * float(ratio):g} %")
    for name, row in result["guides"].items():
        axes.scatter(100 * row["token_share"], row["jaccard"]["0.4"], marker="x", color="grey")
        axes.annotate(
            name + ", m = 40 %",
            (100 * row["token_share"], row["jaccard"]["0.4"]),
            fontsize=7,
            xytext=(4, 3),
            textcoords="offset points",
        )
    axes.set(
        xlabel="model tokens computed, % of full scoring",
        ylabel="Jaccard with the selection of full scoring",
        xlim=(0, 100),
        ylim=(0, 1.02),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save(figure, path)


def over_pools(result: Mapping[str, Any], path: Path) -> None:
    """Several comparisons: each strategy's difference to random draws at equal tokens; a grey dot for each pool, their mean with its
    interval in green where it is clearly better (all metrics are better when lower), in red where it is clearly worse."""
    pyplot = drawing()
    rows = [r for r in result["rows"] if r["unit"] == "tokens" and not r["entrant"].startswith("random")]
    metrics = list(rows[0]["metrics"])
    rows.sort(key=lambda row: row["metrics"][metrics[-1]]["difference"])
    figure, axes = pyplot.subplots(1, len(metrics), figsize=(10, 0.3 * len(rows) + 1), sharey=True, layout="constrained")
    for axis, metric in zip(axes, metrics, strict=True):
        for place, found in enumerate(row["metrics"][metric] for row in rows):
            low, high = found["interval"]
            colour = "#5f6b7a" if low <= 0 <= high else "#0b6e4f" if high < 0 else "#b3261e"
            axis.plot(found["of_each_pool"], [place] * found["pools"], ".", color="#b9c0c8", markersize=4)
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot(found["difference"], place, "o", color=colour, markersize=6)
        axis.axvline(0, color="#888888", linestyle="--", linewidth=1)
        axis.set_yticks(range(len(rows)), [f"{row['entrant']} ({len(row['pools'])} pools)" for row in rows])
        axis.set_xlabel(f"{spelt(metric)} minus random draws")
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x", color="#dddddd")
        plain(axis)
    axes[0].invert_yaxis()
    save(figure, path)


def noise(result: Mapping[str, Any], path: Path) -> None:
    """Pools of which a share is wrong, at equal tokens: how much of what each entrant trained on is wrong, and what training changed of the
    held-out loss, against that share; the pool with answers of the model stands apart."""
    pyplot = drawing()
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    shares, apart = {share: one for share, one in result["shares"].items() if share.endswith("%")}, result["shares"].get("45% own answers")
    names = dict.fromkeys(r["entrant"] for one in shares.values() for r in one["rows"] if r["unit"] == "tokens" or r["entrant"] == "full")
    for place, entrant in enumerate(names):
        rows = {}
        for share, one in shares.items():
            found = [r for r in one["rows"] if r["entrant"] == entrant and (r["unit"] == "tokens" or entrant == "full")]
            rows |= {float(share.rstrip("%")): row for row in found}
        beside = [r for r in (apart or {"rows": []})["rows"] if r["entrant"] == entrant and (r["unit"] == "tokens" or entrant == "full")]
        for axis, of in zip(axes, (lambda r: 100 * r["wrong"]["records"], lambda r: r["metrics"]["held-out loss"]["minus_base"]["difference"]), strict=True):
            mark = "osD^vPX*h"[place % 9]
            axis.plot(list(rows), [of(row) for row in rows.values()], f"{mark}-", markersize=5, linewidth=1.2, color=COLOURS[place % len(COLOURS)], label=entrant)
            axis.plot([57.0] * len(beside), [of(row) for row in beside], mark, markersize=5, color=COLOURS[place % len(COLOURS)])
    for axis, what in zip(axes, ("% of the records trained on that are wrong", "held-out loss minus before training"), strict=True):
        axis.set_xlabel("% of the pool that is wrong")
        ticks = [float(share.rstrip("%")) for share in shares]
        axis.set_xticks(ticks + [57.0] * bool(apart), [f"{tick:.0f}" for tick in ticks] + ["45, answers\nof the model"] * bool(apart))
        axis.set_ylabel(what)
        axis.grid(color="#eeeeee")
        plain(axis)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(5, len(names)), frameon=False)
    save(figure, path)


def plain(axis: Any) -> None:
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def drawing() -> Any:
    """Pyplot, set up so that the same figures give the same file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": "codeact", "svg.fonttype": "none", "font.size": 9}
    return pyplot


def save(figure: Any, path: Path) -> None:
    """SVG, or PNG of 32 colours: a fifth of the size, and nothing to see of it in lines and text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, facecolor="white", dpi=80)
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            few = image.convert("RGB").quantize(32)
        few.save(path, optimize=True)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="of result files: compare_..., adaptive_frontier, noise_results")
    parser.add_argument("--folder", type=Path, default=Path("runs/figures"))
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    for name in options.names:
        source = RESULTS / f"{name}.json.xz"
        if not source.exists():
            parser.error(f"{source} does not exist")
        document, path = result_files.read(source), options.folder / f"{name}.{options.format}"
        if "summary" in document:
            differences(document["summary"], path)
            if several_rates(document["summary"]):
                rates(document["summary"], path.with_stem(f"{name}_rates"))
        elif "frontier" in document:
            frontier(document, path)
        elif "against" in document and "rows" in document:
            over_pools(document, path)
        elif "shares" in document:
            noise(document, path)
        else:
            parser.error(f"{source} holds nothing that is drawn")


if __name__ == "__main__":
    main()
