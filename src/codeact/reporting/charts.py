"""Plotly figures of the report. Colours are names of the page's CSS variables, so one figure serves light and dark."""

from __future__ import annotations

import html
import itertools
import json
import textwrap
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import require

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Layout

PALETTE = 10
MOST_LABELS = 40
HOVER_WIDTH = 56
SIDES = (("selected", "selected", "var(--selected)"), ("not_selected", "not selected", "var(--rest)"))
LINE_AT_ONE = {"color": "var(--alarm)", "width": 2, "dash": "dash"}
LABEL_AT_ONE = {"text": "IFD = 1", "showarrow": False, "font": {"color": "var(--alarm)"}, "bgcolor": "var(--page)"}


def charts(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Plotly figures (`data` and `layout` as plain JSON values) by name; those without data are left out.

    Texts from records are escaped here: Plotly renders a part of HTML in hover labels.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    go = require("plotly.graph_objects", "report", "report.html")
    drawn: dict[str, Any] = {}
    if figures["ifd"] is not None:
        drawn["ifd"] = _ifd(go, figures["ifd"])
    if figures["clusters"] is not None:
        points = figures["clusters"]["points"]
        if any(x is not None for x in points["x"]):
            drawn["clusters"] = _clusters(go, points)
        if figures["length"] is not None:
            drawn["length"] = _length(go, points)
    if figures["training"] is not None and len(figures["training"]["curve"]["loss"]) > 1:
        drawn["loss"] = _loss(go, figures["training"]["curve"])
    return {name: json.loads(figure.to_json()) for name, figure in drawn.items()}


def plotly_script() -> str:
    """The text of plotly.js, safe inside a script element.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    script: str = require("plotly.offline", "report", "report.html").get_plotlyjs()
    return script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script").strip()


def hover(text: str) -> str:
    """Plain text as lines of a Plotly hover label: markup is escaped, long words are broken."""
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(text, HOVER_WIDTH))


def _layout(go: ModuleType, height: int, x: str, y: str, **more: object) -> Layout:
    ink = {"color": "var(--ink)", "size": 13}
    axis = {
        "gridcolor": "var(--grid)",
        "zerolinecolor": "var(--grid)",
        "linecolor": "var(--line)",
        "tickcolor": "var(--line)",
        "automargin": True,
    }
    layout = go.Layout(
        template=go.layout.Template(),
        height=height,
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "var(--muted)", "family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"bgcolor": "var(--card)", "bordercolor": "var(--line)", "font": ink, "align": "left"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal", "font": ink},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "var(--muted)", "activecolor": "var(--ink)"},
        xaxis={**axis, "title": {"text": x, "font": {"size": 13}}},
        yaxis={**axis, "title": {"text": y, "font": {"size": 13}}},
        dragmode=False,
        hovermode="closest",
    )
    layout.update(more)
    return layout


def _ifd(go: ModuleType, ifd: dict[str, Any]) -> Figure:
    edges = ifd["edges"]
    bins = list(itertools.pairwise(edges))
    ranges = [f"{low:.3f} to {high:.3f}" for low, high in bins]
    ranges[-1] += " and above" if ifd["above"] else ""
    figure = go.Figure(layout=_layout(go, 380, "IFD", "records", barmode="stack", bargap=0))
    for key, name, colour in SIDES:
        figure.add_bar(
            x=[(low + high) / 2 for low, high in bins],
            y=ifd[key],
            width=[high - low for low, high in bins],
            customdata=ranges,
            name=name,
            marker={"color": colour, "line": {"color": "var(--page)", "width": 1}},
            hovertemplate="IFD %{customdata}: %{y:,} " + name + "<extra></extra>",
        )
    if ifd["cutoffs"]:
        tick = {"symbol": "line-ns", "size": 16, "color": "var(--ink)", "line": {"width": 2, "color": "var(--ink)"}}
        figure.add_scatter(
            x=[min(cut["cutoff"], edges[-1]) for cut in ifd["cutoffs"]],
            y=[0] * len(ifd["cutoffs"]),
            yaxis="y2",
            mode="markers",
            marker=tick,
            text=[f"cluster {cut['cluster']}: cutoff {cut['cutoff']:.4f}" for cut in ifd["cutoffs"]],
            hovertemplate="%{text}<extra></extra>",
            name="cutoff of a cluster",
        )
        figure.update_layout(
            yaxis={"domain": [0.13, 1]},
            yaxis2={"domain": [0, 0.09], "visible": False, "range": [-1, 1], "fixedrange": True},
            xaxis={"anchor": "y2"},
        )
    figure.update_layout(xaxis={"range": [edges[0], max(edges[-1], 1.0) + (edges[1] - edges[0])]})
    figure.add_shape(type="line", x0=1, x1=1, y0=0, y1=1, yref="paper", line=LINE_AT_ONE)
    figure.add_annotation(x=1, y=1, yref="paper", xanchor="right", yanchor="top", xshift=-4, **LABEL_AT_ONE)
    return figure


def _clusters(go: ModuleType, points: dict[str, Any]) -> Figure:
    figure = go.Figure(layout=_layout(go, 540, "first principal component", "second principal component"))
    for chosen, name in ((True, "selected (disc)"), (False, "not selected (ring)")):
        rows = [i for i, flag in enumerate(points["selected"]) if flag is chosen]
        symbol = "circle" if chosen else "circle-open"
        figure.add_scatter(  # the key in the legend: the points themselves have many colours
            x=[None],
            y=[None],
            mode="markers",
            name=name,
            legendgroup=name,
            marker={"color": "var(--muted)", "symbol": symbol, "size": 8},
        )
        figure.add_scatter(
            x=[points["x"][i] for i in rows],
            y=[points["y"][i] for i in rows],
            mode="markers",
            name=name,
            legendgroup=name,
            showlegend=False,
            marker={
                "color": [f"var(--c{points['cluster'][i] % PALETTE})" for i in rows],
                "symbol": symbol,
                "size": 7,
                "opacity": 0.85 if chosen else 0.7,
            },
            text=[_point(points, i) for i in rows],
            hovertemplate="%{text}<extra></extra>",
        )
    members: dict[int, list[int]] = {}
    for i, cluster in enumerate(points["cluster"]):
        members.setdefault(cluster, []).append(i)
    if len(members) <= MOST_LABELS:
        for cluster, rows in members.items():
            figure.add_annotation(
                x=_middle([points["x"][i] for i in rows]),
                y=_middle([points["y"][i] for i in rows]),
                text=f"<b>{cluster}</b>",
                showarrow=False,
                font={"color": "var(--ink)", "size": 14},
                bgcolor="var(--page)",
                bordercolor=f"var(--c{cluster % PALETTE})",
                borderwidth=2,
                borderpad=3,
                opacity=0.92,
            )
    return figure


def _point(points: dict[str, Any], i: int) -> str:
    ifd = points["ifd"][i]
    shown = "no IFD" if ifd is None else f"IFD {ifd:.3f}"
    state = "selected" if points["selected"][i] else "not selected"
    return f"<b>cluster {points['cluster'][i]}, {shown}, {state}</b><br>{hover(points['instruction'][i])}"


def _middle(values: list[float | None]) -> float:
    present = sorted(value for value in values if value is not None)
    return present[len(present) // 2] if present else 0.0


def _length(go: ModuleType, points: dict[str, Any]) -> Figure:
    figure = go.Figure(layout=_layout(go, 400, "response tokens (logarithmic)", "IFD"))
    tokens, ifd = points["response_tokens"], points["ifd"]
    usable = [i for i in range(len(tokens)) if ifd[i] is not None and tokens[i] > 0]
    for key, name, _ in reversed(SIDES):  # the selected ones on top
        chosen = key == "selected"
        rows = [i for i in usable if points["selected"][i] is chosen]
        figure.add_scatter(
            x=[tokens[i] for i in rows],
            y=[ifd[i] for i in rows],
            mode="markers",
            name=name,
            marker={
                "color": "var(--selected)" if chosen else "var(--rest-point)",
                "symbol": "circle" if chosen else "circle-open",
                "size": 6,
                "opacity": 0.8,
            },
            hovertemplate="%{x:,} response tokens, IFD %{y:.3f}, " + name + "<extra></extra>",
        )
    ticks = [step * 10**power for power in range(7) for step in (1, 3)]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks])
    figure.update_layout(legend={"traceorder": "reversed"})
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=1, y1=1, line=LINE_AT_ONE)
    figure.add_annotation(x=0, xref="paper", y=1, xanchor="left", yanchor="bottom", xshift=4, **LABEL_AT_ONE)
    return figure


def _loss(go: ModuleType, curve: dict[str, Any]) -> Figure:
    figure = go.Figure(layout=_layout(go, 340, "optimizer step", "training loss (nats per token)", showlegend=False))
    figure.update_layout(margin={"t": 28})
    figure.add_scatter(
        x=curve["step"],
        y=curve["loss"],
        mode="lines+markers" if len(curve["loss"]) <= 80 else "lines",
        line={"color": "var(--selected)", "width": 2},
        marker={"size": 5, "color": "var(--selected)"},
        hovertemplate="step %{x}: loss %{y:.4f}<extra></extra>",
        name="loss",
    )
    return figure
