"""The page and the terminal's table of a comparison (`codeact compare`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from codeact.amounts import amount
from codeact.files import write_text
from codeact.reporting.page import render_page
from codeact.reporting.plot import Axis, chart, dots, line, linear, lines
from codeact.reporting.wording import number, percent

PALETTE = 10
DASHES = ("", "dot", "dash", "dashdot")
# experiments/results/measure.json.xz, measure_second.json.xz
PROXIES = (
    "how well bits per byte, margins and losses follow pass@1 is not settled: in two studies of 63 trainings each of a 135M model (7 selections, 9 seeds)"
    " the held-out loss has Spearman 0.32 and 0.62 with it, the bits per byte of the solutions of HumanEval 0.41 and 0.51; on other tasks none is shown"
    " to follow it; none is shown to follow pass@10 (codeact docs experiments-measures)"
)


def write_comparison(summary: Mapping[str, Any], root: Path) -> Path:
    """Write ROOT/compare.html from the content of compare.json; one self-contained page. Returns its path."""
    tools = {tool.__name__: tool for tool in (amount, number, percent, interval, difference, unit_title, failures)}
    page = render_page(
        "compare.html.jinja", tools, name=root.name, summary=summary, charts=figures(summary), proxies=proxies(summary), units=("records", "tokens"),
    )  # fmt: skip
    path = root / "compare.html"
    write_text(path, page)
    return path


def proxies(summary: Mapping[str, Any]) -> str:
    """What is known of the cheap measures that a comparison shows, in one line; "" where it shows pass@k alone."""
    return PROXIES if any("pass@" not in metric for metric in summary["lower_is_better"]) else ""


def figures(summary: Mapping[str, Any]) -> dict[str, Markup]:
    """Charts by "metric/unit" (value against the rate, one line per entrant, where there are several rates) and by
    "metric/unit/difference" (one point per entrant and rate: how far it is from the entrant that all are compared with).
    """
    entrants = list(dict.fromkeys(row["entrant"] for row in summary["rows"]))
    drawn = {}
    for metric in summary["lower_is_better"]:
        for unit in ("records", "tokens"):
            rows = [r for r in summary["rows"] if r["metrics"][metric] is not None]
            here = [r for r in rows if r["unit"] == unit or r["strategy"] == "full"]
            rates = {r["rate"] for r in here if r["unit"] == unit and r["strategy"] != "full"}
            if len(rates) > 1:
                title = f"{metric} by rate, {unit_title(summary, unit)}"
                drawn[f"{metric}/{unit}"] = _by_rate(metric, unit, here, entrants, summary["base"][metric], title)
            apart = [r for r in here if r["metrics"][metric]["minus_against"] is not None]
            if apart:
                title = f"{metric} minus {summary['against']}, {unit_title(summary, unit)}"
                drawn[f"{metric}/{unit}/difference"] = _differences(metric, summary["against"], apart, len(rates) > 1, title)
    return drawn


def tables(summary: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of the terminal's tables: one for each metric and unit, few enough columns for 80 characters."""
    found = []
    for metric, lower in summary["lower_is_better"].items():
        for unit in ("records", "tokens"):
            rows = [r for r in summary["rows"] if r["unit"] == unit and r["metrics"][metric] is not None]
            if not rows:
                continue
            before = summary["base"][metric]
            title = f"{metric} ({'lower' if lower else 'higher'} is better), {unit_title(summary, unit)}" + (
                f", before training {number(before, 4)}" if before is not None else ""
            )
            header = ["strategy", "rate", "seeds", "records", "value", f"minus {summary['against']} (95 %)"]
            cells = []
            for row in rows:
                own = row["metrics"][metric]
                cells.append([
                    row["entrant"], f"{row['rate']:.0%}", str(len(row["seeds"])), number(row["records"], 0), number(own["value"], 4),
                    difference(own["minus_against"], len(row["seeds"])),
                ])  # fmt: skip
            found.append((title, header, cells))
    return found


def unit_title(summary: Mapping[str, Any], unit: str) -> str:
    """`equal records`; where some strategies got more than others, `records, not equal (14 to 20)`."""
    uneven = [one for one in summary.get("uneven", ()) if one["unit"] == unit]
    if not uneven:
        return f"equal {unit}"
    if len(uneven) > 1:
        return f"{unit}, not equal at {len(uneven)} rates"
    return f"{unit}, not equal ({uneven[0]['smallest']['size']:,.0f} to {uneven[0]['largest']['size']:,.0f})"


def interval(pair: list[float] | None) -> str:
    """`[0.4521, 0.4733]`."""
    return "(no interval)" if pair is None else f"[{number(pair[0], 4)}, {number(pair[1], 4)}]"


def difference(found: Mapping[str, Any] | None, seeds: int = 0) -> str:
    """`−0.0123 [−0.0155, −0.0090]`, or nothing; with `(2 of 3 seeds)` where it is over fewer than the row's."""
    if found is None:
        return ""
    fewer = f" ({found['seeds']} of {seeds} seeds)" if seeds and found["seeds"] < seeds else ""
    return f"{number(found['difference'], 4)} {interval(found['interval'])}{fewer}"


def failures(summary: Mapping[str, Any]) -> list[str]:
    """A line for each reason for which trainings failed, with their names."""
    named: dict[str, list[str]] = {}
    for one in summary.get("failed", ()):
        named.setdefault(one["error"], []).append(one["cell"])
    return [f"failed: {', '.join(cells)}: {error}" for error, cells in named.items()]


def _differences(metric: str, against: str, rows: list[Mapping[str, Any]], rates_differ: bool, title: str) -> Markup:
    """One line of the chart per entrant and rate, with its interval; right of zero the metric is higher than the other's."""
    names = [f"{r['entrant']}, {r['rate']:.0%}" if rates_differ else r["entrant"] for r in rows]
    apart = [r["metrics"][metric]["minus_against"] for r in rows]
    ends = [end for f in apart for end in f["interval"] or (f["difference"],)]
    x = linear(min(*ends, 0.0), max(*ends, 0.0), f"{metric} minus {against}")
    y = Axis(len(rows) - 0.4, -0.6, "", [(float(n), name) for n, name in enumerate(names)])
    marks = [line(x.at(0), 0, x.at(0), 1000, "alarm")]
    for n, found in enumerate(apart):
        if found["interval"] is not None:
            low, high = (x.at(end) for end in found["interval"])
            marks.append(line(low, 1000 - y.at(n), high, 1000 - y.at(n), "c0"))
        marks.append(dots(x, y, [(found["difference"], n)], "c0"))
    return chart(x, y, marks, title, height=60 + 26 * len(rows))


def _by_rate(
    metric: str, unit: str, rows: list[Mapping[str, Any]], entrants: list[str], before: float | None, title: str
) -> Markup:
    shown = [r["metrics"][metric] for r in rows]
    values = [end for own in shown for end in own["interval"] or (own["value"],)] + ([] if before is None else [before])
    rates = [float(r["rate"]) for r in rows]
    x = linear(min(rates) - 0.02, max(rates) + 0.02, f"share of the {unit}", percent=True)
    y = linear(min(values), max(values), metric)
    marks = [] if before is None else [line(0, 1000 - y.at(before), 1000, 1000 - y.at(before), "alarm")]
    keys = [] if before is None else [("k-alarm", "before training")]
    for index, entrant in enumerate(entrants):
        own = sorted((r for r in rows if r["entrant"] == entrant), key=lambda r: float(r["rate"]))
        if not own:
            continue
        kind = f"c{index % PALETTE} {DASHES[index // PALETTE % len(DASHES)]}".strip()
        points = [(float(r["rate"]), float(r["metrics"][metric]["value"])) for r in own]
        for r in own:
            if r["metrics"][metric]["interval"] is None:
                continue
            low, high = r["metrics"][metric]["interval"]
            marks.append(line(x.at(r["rate"]), 1000 - y.at(low), x.at(r["rate"]), 1000 - y.at(high), f"thin {kind}"))
        marks += [lines(x, y, points, kind), dots(x, y, points, kind)]
        keys.append((f"k-line {kind}", entrant))
    return chart(x, y, marks, title, height=420, legend=keys)
