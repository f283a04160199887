"""The charts of a run's report, from its figures."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from codeact.amounts import amount
from codeact.reporting.plot import Axis, bar, chart, dots, line, linear, lines, logarithmic, rings, steps, tag
from codeact.reporting.wording import number
from codeact.stages.cluster import cluster_name

PALETTE = 10
MOST_LABELS = 40


def charts(figures: dict[str, Any]) -> dict[str, Markup]:
    """HTML of each chart by name; those without data are left out."""
    drawn: dict[str, Markup] = {}
    if figures["ifd"] is not None:
        drawn["ifd"] = _ifd(figures["ifd"])
    if figures["clusters"] is not None:
        points = figures["clusters"]["points"]
        if any(x is not None for x in points["x"]):
            drawn["clusters"] = _clusters(figures["clusters"])
        if figures["length"] is not None and any(ifd is not None for ifd in points["ifd"]):
            drawn["length"] = _length(points)
    if figures["training"] is not None and len(figures["training"]["curve"]["loss"]) > 1:
        drawn["loss"] = _loss(figures["training"]["curve"])
    return drawn


def _ifd(ifd: dict[str, Any]) -> Markup:
    edges = ifd["edges"]
    bins = steps(edges)
    counts = list(zip(ifd["selected"], ifd["not_selected"], strict=True))
    x = linear(edges[0], max(edges[-1], 1.0) + (edges[1] - edges[0]), "IFD")
    y = linear(0, max(a + b for a, b in counts) * 1.08, "records", whole=True)
    marks = []
    for at, ((low, high), (chosen, rest)) in enumerate(zip(bins, counts, strict=True)):
        where = f"IFD {low:.3f} to {high:.3f}{' and above' if ifd['above'] and at == len(bins) - 1 else ''}"
        title = f"{where}: {chosen:,} selected, {rest:,} not"
        marks += [bar(x, y, low, high, 0, chosen, "b-selected", title)] if chosen else []
        marks += [bar(x, y, low, high, chosen, chosen + rest, "b-rest", title)] if rest else []
    marks += [line(x.at(min(cut["cutoff"], edges[-1])), 0, x.at(min(cut["cutoff"], edges[-1])), 40, "cut") for cut in ifd["cutoffs"]]
    marks.append(line(x.at(1), 0, x.at(1), 1000, "alarm"))
    label = (
        f"Stacked histogram of IFD for {amount(ifd['records'], 'record')}, selected and not selected, with a line at 1 and a tick for the cutoff"
        f" of each cluster. Median {number(ifd['median'])}. The numbers are in the table below."
    )
    keys = [("b-selected", "selected"), ("b-rest", "not selected"), ("k-alarm", "IFD = 1")]
    keys += [("k-cut", "cutoff of a cluster")] if ifd["cutoffs"] else []
    return chart(x, y, marks, label, legend=keys)


def _clusters(clusters: dict[str, Any]) -> Markup:
    points = clusters["points"]
    usable = [i for i, x in enumerate(points["x"]) if x is not None]
    x, y = _plane(points)
    members: dict[int, list[int]] = {}
    for i in usable:
        members.setdefault(points["cluster"][i], []).append(i)
    marks, over = [], []
    for cluster, rows in sorted(members.items()):
        colour = f"c{cluster % PALETTE}"
        sides = [[(points["x"][i], points["y"][i]) for i in rows if points["selected"][i] is chosen] for chosen in (False, True)]
        marks.append(
            Markup('<g data-cluster="{}">{}{}</g>').format(cluster, rings(x, y, sides[0], colour), dots(x, y, sides[1], colour))
        )
        if len(members) <= MOST_LABELS:
            middle = (_middle([points["x"][i] for i in rows]), _middle([points["y"][i] for i in rows]))
            words = {cluster: clusters["words"].get(str(cluster), ())}
            said = f"cluster {cluster_name(cluster, words)}: {amount(len(rows), 'record')} shown, {len(sides[1])} of them selected"
            over.append(tag(x, y, *middle, str(cluster), f"t-{colour}", role="button", tabindex="0", data_cluster=str(cluster),
                            aria_label=said, title=said))  # fmt: skip
    label = (
        f"Map of {amount(points['shown'], 'record')} in the plane of the first two principal components of their embeddings, coloured and"
        " labelled by cluster; discs are selected, rings are not. The table below holds the figures of each cluster."
    )
    keys = [("k-disc", "selected (disc)"), ("k-ring", "not selected (ring)")]
    return chart(x, y, marks, label, height=500, legend=keys, role="group", over=over, name="clusters")


def _plane(points: dict[str, Any]) -> tuple[Axis, Axis]:
    xs, ys = ([value for value in points[axis] if value is not None] for axis in "xy")
    return _around(xs, "first principal component"), _around(ys, "second principal component")


def positions(points: dict[str, Any]) -> tuple[list[float | None], list[float | None]]:
    """Where each point of the map lies: percent from the left, and from the top."""
    x, y = _plane(points)
    left = [None if v is None else round(x.at(v) / 10, 2) for v in points["x"]]
    return left, [None if v is None else round(100 - y.at(v) / 10, 2) for v in points["y"]]


def _length(points: dict[str, Any]) -> Markup:
    tokens, ifd = points["response_tokens"], points["ifd"]
    usable = [i for i in range(len(tokens)) if ifd[i] is not None and tokens[i] > 0]
    if not usable:
        return Markup("")
    x = logarithmic(min(tokens[i] for i in usable), max(tokens[i] for i in usable), "response tokens (logarithmic)")
    y = linear(min(*(ifd[i] for i in usable), 0.9), max(*(ifd[i] for i in usable), 1.05), "IFD")
    sides = [[(tokens[i], ifd[i]) for i in usable if points["selected"][i] is chosen] for chosen in (False, True)]
    marks = [rings(x, y, sides[0], "s-rest"), dots(x, y, sides[1], "s-selected"), line(0, 1000 - y.at(1), 1000, 1000 - y.at(1), "alarm")]
    label = "IFD against response tokens on a logarithmic axis, selected and not selected records. The table below holds the figures."
    keys = [("k-disc s-selected", "selected"), ("k-ring s-rest", "not selected"), ("k-alarm", "IFD = 1")]
    return chart(x, y, marks, label, height=380, legend=keys)


def _loss(curve: dict[str, Any]) -> Markup:
    step, loss = curve["step"], curve["loss"]
    x, y = linear(min(step), max(step), "optimizer step", whole=True), _around(loss, "training loss (nats per token)")
    points = list(zip(step, loss, strict=True))
    marks = [lines(x, y, points, "s-selected"), *([dots(x, y, points, "small s-selected")] if len(points) <= 80 else [])]
    return chart(x, y, marks, f"Training loss by optimizer step, from {number(loss[0])} to {number(loss[-1])}.", height=320)


def _around(values: list[float], title: str) -> Axis:
    room = (max(values) - min(values)) * 0.06
    return linear(min(values) - room, max(values) + room, title)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
