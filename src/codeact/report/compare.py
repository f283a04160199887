"""The page and the terminal's table of a comparison (`codeact compare`)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.errors import require
from codeact.report.charts import PALETTE, plotly_script
from codeact.report.html import safe_json
from codeact.report.words import number, percent

FOLDER = Path(__file__).parent
HEIGHT = 420
DASHES = ("solid", "dot", "dash", "dashdot")


def write_comparison(summary: Mapping[str, Any], root: Path) -> Path:
    """Write ROOT/compare.html from the content of compare.json; one self-contained page. Returns its path.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters |= {"number": number, "percent": percent}
    environment.globals |= {"interval": interval, "difference": difference}
    drawn = figures(summary)
    plotly, script = plotly_script(), (FOLDER / "page.js").read_text(encoding="utf-8").strip()
    page = environment.get_template("compare.html.jinja").render(
        name=root.name, summary=summary, charts={name: safe_json(chart) for name, chart in drawn.items()},
        names={name: f"c{place}" for place, name in enumerate(drawn)}, height=HEIGHT, budgets=("records", "tokens"),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"), plotly=plotly, script=script,
        script_sources=" ".join(f"'sha256-{_sha256(text)}'" for text in (plotly, script)),
    )  # fmt: skip
    path = root / "compare.html"
    storage.write_text(path, page)
    return path


def figures(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Plotly figures by "metric/budget": value against the rate, one line per entrant, with intervals.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    go = require("plotly.graph_objects", "report", "compare.html")
    entrants = list(dict.fromkeys(row["entrant"] for row in summary["rows"]))
    drawn = {}
    for metric in summary["lower_is_better"]:
        for budget in ("records", "tokens"):
            rows = [r for r in summary["rows"] if r["metrics"][metric] is not None]
            here = [r for r in rows if r["budget"] == budget or r["strategy"] == "full"]
            if any(r["budget"] == budget and r["strategy"] != "full" for r in here):
                drawn[f"{metric}/{budget}"] = _figure(go, metric, budget, here, entrants, summary["base"][metric])
    return {name: json.loads(figure.to_json()) for name, figure in drawn.items()}


def table_rows(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the terminal's table."""
    metrics = list(summary["lower_is_better"])
    header = ["strategy", "rate", "seeds", "records", "tokens"]
    header += [text for metric in metrics for text in (metric, f"minus {summary['against']}")]
    rows = []
    for row in summary["rows"]:
        cells = [row["entrant"], f"{row['rate']:.0%} {row['budget']}", str(len(row["seeds"])), number(row["records"], 0),
                 number(row["response_tokens"], 0)]  # fmt: skip
        for metric in metrics:
            found = row["metrics"][metric]
            cells += ["n/a", ""] if found is None else [
                f"{number(found['value'], 4)} {interval(found['interval'])}", difference(found["minus_against"])
            ]  # fmt: skip
        rows.append(cells)
    return header, rows


def interval(pair: list[float]) -> str:
    """`[0.4521, 0.4733]`."""
    return f"[{number(pair[0], 4)}, {number(pair[1], 4)}]"


def difference(found: Mapping[str, Any] | None) -> str:
    """`−0.0123 [−0.0155, −0.0090]`, or nothing."""
    return "" if found is None else f"{number(found['difference'], 4)} {interval(found['interval'])}"


def _figure(
    go: Any, metric: str, budget: str, rows: list[Mapping[str, Any]], entrants: list[str], before: float | None
) -> Any:
    axis = {"gridcolor": "var(--grid)", "linecolor": "var(--line)", "automargin": True}
    ink = {"color": "var(--ink)", "size": 13}
    drawn = go.Figure(
        layout=go.Layout(
            template=go.layout.Template(), height=HEIGHT, margin={"l": 8, "r": 8, "t": 44, "b": 8}, paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)", font={"color": "var(--muted)", "family": "system-ui, sans-serif", "size": 13},
            legend={"font": ink}, xaxis={**axis, "title": {"text": f"share of the {budget}"}, "tickformat": ".0%"},
            yaxis={**axis, "title": {"text": metric}}, hovermode="closest", dragmode=False,
        )
    )  # fmt: skip
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


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
