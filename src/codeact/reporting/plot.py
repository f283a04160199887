"""Charts as plain HTML and SVG, without a script: they follow the page's width and colours, and are printed as they are seen.

Marks lie in an SVG of 1000 x 1000 units that is stretched to its place; strokes keep their width. Labels are text beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

UNITS = 1000
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` (logarithmic: both above 0; downwards where `high` is less), its title, and values with their labels."""

    low: float
    high: float
    title: str
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def at(self, value: float) -> float:
        """Place of a value, 0 to 1000."""
        low, high, here = self.low, self.high, value
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(value)
        return round(UNITS * (here - low) / (high - low), 1) if high != low else UNITS / 2


def linear(low: float, high: float, title: str, percent: bool = False, whole: bool = False) -> Axis:
    """A scale with about five round ticks, of things that are counted whole ones, that holds both values."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999 and not (whole and power * m % 1))
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if f"{step / power:.1f}" == "2.5" else 0))
    values = [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    shown = [f"{100 * v:.{max(0, digits - 2)}f} %" if percent else f"{v:,.{digits}f}" for v in values]
    return Axis(low, high, title, [(v, s.replace("-", "\N{MINUS SIGN}")) for v, s in zip(values, shown, strict=True)])


def logarithmic(low: float, high: float, title: str) -> Axis:
    """A logarithmic scale with ticks at 1 and 3 times the powers of ten, or at the powers alone where there are many."""
    low, high = max(low, 0.1) / 1.15, max(high, low * 1.01, 0.1) * 1.15
    steps = (1, 3) if math.log10(high / low) < 3 else (1,)
    values = [s * 10**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for s in steps]
    ticks = [(float(v), f"{v:,g}") for v in values if low <= v <= high]
    return Axis(low, high, title, ticks or [(low, f"{low:,.0f}"), (high, f"{high:,.0f}")], log=True)


def chart(
    x: Axis, y: Axis, marks: Iterable[Markup], label: str, *, height: int = 360, legend: Sequence[tuple[str, str]] = (), role: str = "img",
    over: Iterable[Markup] = (), name: str = "",
) -> Markup:  # fmt: skip
    """A chart with its axes.

    Args:
        x: from left to right.
        y: from below to above.
        marks: SVG.
        label: says what is seen; also for those who do not see it.
        height: pixels.
        legend: (CSS class of the key, text).
        role: `img`, or `group` where parts of it can be focused.
        over: HTML laid over the marks, see `tag`.
        name: for the page's script.
    """
    grid = [line(x.at(v), 0, x.at(v), UNITS, "grid") for v, _ in x.ticks]
    grid += [line(0, _down(y.at(v)), UNITS, _down(y.at(v)), "grid") for v, _ in y.ticks]
    labels = [Markup('<span class="xt" style="left:{}%">{}</span>').format(x.at(v) / 10, t) for v, t in x.ticks]
    labels += [Markup('<span class="yt" style="bottom:{}%">{}</span>').format(y.at(v) / 10, t) for v, t in y.ticks]
    keys = Markup("").join(Markup('<li><i class="{}"></i>{}</li>').format(kind, text) for kind, text in legend)
    return Markup(
        '<div class="chart" role="{role}" aria-label="{label}"{name}>{legend}<p class="yl" aria-hidden="true">{yl}</p>'
        '<div class="plot" style="height:{height}px;--pad:{pad}ch"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" '
        'focusable="false">{marks}</svg><div class="labels" aria-hidden="true">{labels}</div>{over}</div>'
        '<p class="xl" aria-hidden="true">{xl}</p></div>'
    ).format(
        role=role, label=label, height=height, yl=y.title, xl=x.title, name=Markup(' data-chart="{}"').format(name) if name else "",
        legend=Markup('<ul class="legend" aria-hidden="true">{}</ul>').format(keys) if keys else "",
        pad=max((len(t) for _, t in y.ticks), default=2) + 1,
        marks=Markup("").join([*grid, *marks]), labels=Markup("").join(labels), over=Markup("").join(over),
    )  # fmt: skip


def dots(x: Axis, y: Axis, points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Round marks, all of one CSS class: one path, whatever their number."""
    path = "".join(f"M{_short(x.at(a))} {_short(_down(y.at(b)))}h.1" for a, b in points)
    return Markup('<path class="dot {}" d="{}"/>').format(kind, path) if path else Markup("")


def rings(x: Axis, y: Axis, points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """The same with a hole."""
    return dots(x, y, points, kind) + dots(x, y, points, "hole")


def lines(x: Axis, y: Axis, points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """One line through the points."""
    path = "L".join(f"{_short(x.at(a))} {_short(_down(y.at(b)))}" for a, b in points)
    return Markup('<path class="stroke {}" d="M{}"/>').format(kind, path)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line, in units from the upper left."""
    return Markup('<path class="stroke {}" d="M{} {}L{} {}"/>').format(kind, *(_short(v) for v in (x1, y1, x2, y2)))


def bar(x: Axis, y: Axis, left: float, right: float, low: float, high: float, kind: str, title: str) -> Markup:
    """A bar from `low` to `high`, with a title under the pointer."""
    a, b, top, base = x.at(left), x.at(right), _down(y.at(high)), _down(y.at(low))
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        kind, _short(a), _short(top), _short(b - a), _short(base - top), title
    )


def tag(x: Axis, y: Axis, a: float, b: float, text: str, kind: str = "", **more: str) -> Markup:
    """A text over the marks, in the middle of its place; further attributes make it a part that can be focused."""
    extra = Markup("").join(Markup(' {}="{}"').format(key.replace("_", "-"), value) for key, value in more.items())
    return Markup('<span class="tag {}" style="left:{}%;bottom:{}%"{}>{}</span>').format(kind, x.at(a) / 10, y.at(b) / 10, extra, text)


def steps(edges: Sequence[float]) -> list[tuple[float, float]]:
    """Neighbouring edges as pairs."""
    return list(pairwise(edges))


def _down(value: float) -> float:
    return round(UNITS - value, 1)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
