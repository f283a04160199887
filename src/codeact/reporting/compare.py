"""The page and the terminal's table of a comparison (`codeact compare`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import require
from codeact.files import write_text
from codeact.reporting.charts import PALETTE
from codeact.reporting.page import render_page
from codeact.reporting.wording import number, percent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HEIGHT = 420
DASHES = ("solid", "dot", "dash", "dashdot")


def write_comparison(summary: Mapping[str, Any], root: Path) -> Path:
    """Write ROOT/compare.html from the content of compare.json; one self-contained page. Returns its path.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    drawn = figures(summary)
    ids = {name: f"c{n}" for n, name in enumerate(drawn)}
    tools = {tool.__name__: tool for tool in (number, percent, interval, difference, unit_title)}
    page = render_page(
        "compare.html.jinja", {ids[name]: chart for name, chart in drawn.items()}, tools,
        name=root.name, summary=summary, ids=ids, height=HEIGHT, units=("records", "tokens"),
    )  # fmt: skip
    path = root / "compare.html"
    write_text(path, page)
    return path


def figures(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Plotly figures by "metric/unit" (value against the rate, one line per entrant, where there are several rates) and by
    "metric/unit/difference" (one point per entrant and rate: how far it is from the entrant that all are compared with).

    Raises:
        MissingExtraError: plotly is not installed.
    """
    go = require("plotly.graph_objects", "report", "compare.html")
    entrants = list(dict.fromkeys(row["entrant"] for row in summary["rows"]))
    drawn = {}
    for metric in summary["lower_is_better"]:
        for unit in ("records", "tokens"):
            rows = [r for r in summary["rows"] if r["metrics"][metric] is not None]
            here = [r for r in rows if r["unit"] == unit or r["strategy"] == "full"]
            rates = {r["rate"] for r in here if r["unit"] == unit and r["strategy"] != "full"}
            if len(rates) > 1:
                drawn[f"{metric}/{unit}"] = _figure(go, metric, unit, here, entrants, summary["base"][metric])
            apart = [r for r in here if r["metrics"][metric]["minus_against"] is not None]
            if apart:
                drawn[f"{metric}/{unit}/difference"] = _differences(
                    go, metric, summary["against"], apart, len(rates) > 1
                )
    return {name: json.loads(figure.to_json()) for name, figure in drawn.items()}


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
                    difference(own["minus_against"]),
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


def interval(pair: list[float]) -> str:
    """`[0.4521, 0.4733]`."""
    return f"[{number(pair[0], 4)}, {number(pair[1], 4)}]"


def difference(found: Mapping[str, Any] | None) -> str:
    """`−0.0123 [−0.0155, −0.0090]`, or nothing."""
    return "" if found is None else f"{number(found['difference'], 4)} {interval(found['interval'])}"


def _differences(
    go: ModuleType, metric: str, against: str, rows: list[Mapping[str, Any]], rates_differ: bool
) -> Figure:
    """One line of the figure per entrant and rate, with its interval; right of zero the metric is higher than the other's."""
    names = [f"{r['entrant']}, {r['rate']:.0%}" if rates_differ else r["entrant"] for r in rows]
    apart = [r["metrics"][metric]["minus_against"] for r in rows]
    figure = _canvas(go, {"title": {"text": f"{metric} minus {against}"}}, {"autorange": "reversed"})
    figure.add_scatter(
        x=[f["difference"] for f in apart], y=names, mode="markers", showlegend=False,
        marker={"color": "var(--c0)", "size": 9},
        error_x={"type": "data", "symmetric": False, "color": "var(--c0)", "thickness": 1.5,
                 "array": [f["interval"][1] - f["difference"] for f in apart],
                 "arrayminus": [f["difference"] - f["interval"][0] for f in apart]},
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": "var(--alarm)", "dash": "dash", "width": 1.5})
    return figure


def _canvas(go: ModuleType, xaxis: Mapping[str, Any], yaxis: Mapping[str, Any]) -> Figure:
    axis = {"gridcolor": "var(--grid)", "linecolor": "var(--line)", "automargin": True}
    return go.Figure(
        layout=go.Layout(
            template=go.layout.Template(), height=HEIGHT, margin={"l": 8, "r": 8, "t": 44, "b": 8}, paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)", font={"color": "var(--muted)", "family": "system-ui, sans-serif", "size": 13},
            legend={"font": {"color": "var(--ink)", "size": 13}}, xaxis={**axis, **xaxis}, yaxis={**axis, **yaxis},
            hovermode="closest", dragmode=False,
        )
    )  # fmt: skip


def _figure(
    go: ModuleType, metric: str, unit: str, rows: list[Mapping[str, Any]], entrants: list[str], before: float | None
) -> Figure:
    drawn = _canvas(go, {"title": {"text": f"share of the {unit}"}, "tickformat": ".0%"}, {"title": {"text": metric}})
    for place, entrant in enumerate(entrants):
        own = sorted((r for r in rows if r["entrant"] == entrant), key=lambda r: float(r["rate"]))
        found = [r["metrics"][metric] for r in own]
        if not own:
            continue
        colour = f"var(--c{place % PALETTE})"
        drawn.add_scatter(
            x=[r["rate"] for r in own], y=[f["value"] for f in found], name=entrant, mode="lines+markers",
            error_y={"type": "data", "symmetric": False, "color": colour, "thickness": 1.2,
                     "array": [f["interval"][1] - f["value"] for f in found],
                     "arrayminus": [f["value"] - f["interval"][0] for f in found]},
            line={"color": colour, "dash": DASHES[place // PALETTE % len(DASHES)]},
        )  # fmt: skip
    if before is not None:
        drawn.add_hline(y=before, line={"color": "var(--alarm)", "dash": "dash", "width": 1.5})
    return drawn
