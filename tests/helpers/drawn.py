"""A chart of a page read back as a reader would: places of marks by the labels of the axes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html import unescape

CHART = re.compile(r'<div class="chart" role="\w+" aria-label="([^"]*)".*?<div class="labels" aria-hidden="true">.*?</div>', re.S)
TICK = r'<span class="{}" style="{}:([\d.]+)%">([^<]*)</span>'
DOT = re.compile(r'<path class="dot ([^"]*)" d="([^"]*)"/>')
STROKE = re.compile(r'<path class="stroke ([^"]*)" d="M([\d.-]+) ([\d.-]+)L([\d.-]+) ([\d.-]+)"/>')
Points = list[tuple[str, float, float]]


def charts(page: str) -> dict[str, str]:
    """Label -> the chart's HTML."""
    return {unescape(found.group(1)): found.group() for found in CHART.finditer(page)}


def scale(chart: str, axis: str, side: str, log: bool = False) -> Callable[[float], float]:
    """Value at a place of 0 to 1000, by the first and the last label of the axis."""
    ticks = [(float(at) * 10, number(text)) for at, text in re.findall(TICK.format(axis, side), chart)]
    (a, low), (b, high) = ticks[0], ticks[-1]
    if log:
        return lambda at: math.exp(math.log(low) + (at - a) / (b - a) * math.log(high / low))
    return lambda at: low + (at - a) / (b - a) * (high - low)


def number(text: str) -> float:
    """`40 %` -> 0.4, `−0.0125` -> -0.0125."""
    value = float(text.replace("\N{MINUS SIGN}", "-").replace(",", "").removesuffix(" %"))
    return value / 100 if text.endswith("%") else value


def dots(chart: str, log: bool = False) -> Points:
    """(CSS class, x, y) of every round mark."""
    x, y = scale(chart, "xt", "left", log), scale(chart, "yt", "bottom")
    return [
        (kind, x(float(a)), y(1000 - float(b)))
        for kind, path in DOT.findall(chart) if kind != "hole"
        for a, b in re.findall(r"M([\d.-]+) ([\d.-]+)h", path)
    ]  # fmt: skip
