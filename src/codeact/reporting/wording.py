"""Figures in words: numbers with units, evaluation results with their verdicts, the summary table of a terminal."""

from __future__ import annotations

from typing import Any

from codeact.amounts import amount
from codeact.evaluation.compare import NO_DIFFERENCE
from codeact.records import reading_lines
from codeact.score.length import length_line

PEERS = {"selection": "this selection", "random": "a random one", "complexity": "one of highest IFD"}


def main_figures(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, value) pairs for the summary table that a terminal shows at the end of a run."""
    rows = [("run", f"{figures['run']['name']}, {figures['run']['date']}")]
    rows += [("rows", line) for line in reading_lines(figures.get("reading") or {})]
    rows += [(step["name"], f"{step['records']:,}") for step in figures["funnel"] or ()]
    rows += [
        (f"source {one['name']}", f"{one['selected']:,} of {amount(one['rows'], 'row')}" + (f", quota {one['quota']:,}" if one["quota"] is not None else ""))
        for one in figures.get("sources") or ()
        if "selected" in one
    ]
    length, packing, training = figures["length"], figures["packing"], figures["training"]
    if length is not None and figures["ifd"] is not None:
        label, _, said = length_line(length["spearman"], length["interval"]).partition(": ")
        rows.append((label, said))
    if length is not None and length["token_share"] is not None:
        rows.append(("share of response tokens selected", percent(length["token_share"])))
    rows += coverage_rows(figures.get("coverage"))
    if packing is not None:
        rows += [(f"padding, {name}", percent(method["padding_rate"])) for name, method in packing["methods"].items()]
    if training is not None:
        summary = training["summary"]
        speed = f"{number(summary['tokens_per_second'], 0)} tokens/s"
        rows.append(("training", f"{amount(summary['steps'], 'step')} in {number(summary['seconds'], 0)} s, {speed}"))
        rows.append(("training loss", f"{number(summary['first_loss'], 3)} → {number(summary['final_loss'], 3)}"))
    if figures["evaluation"] is not None:
        for metric in figures["evaluation"]["metrics"]:
            rows.append((metric["title"], metric_text(metric)))
            rows += [(f"{metric['title']}, control", said)] if (said := control_text(metric)) else []
    rows += [(f"stage {stage['stage']}", stage["status"]) for stage in figures["stages"] if stage["status"] != "done"]
    return rows


def coverage_rows(coverage: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How far the pool is from what was selected, and which groups are short, as (name, value) lines."""
    if coverage is None:
        return []
    rows = [
        (f"distance to the nearest selected, {PEERS[name]}", f"mean {number(gap['mean'])}, 95 % below {number(gap['p95'])}{_sampled(gap)}")
        for name, gap in coverage["distance"].items()
        if gap is not None
    ]
    return rows + [("short in the selection", warning) for warning in coverage["warnings"]]


def _sampled(gap: dict[str, Any]) -> str:
    """Of distances that were not all computed: from how many records, and how sure the mean is."""
    if "mean_interval" not in gap:
        return ""
    low, high = gap["mean_interval"]
    bound = f", to {gap['selected_sampled']:,} selected: an upper bound" if gap["upper_bound"] else ""
    return f" (from {gap['unselected_sampled']:,} unselected{bound}; 95 % interval of the mean {number(low, 4)} to {number(high, 4)})"


def number(value: float | None, digits: int = 3) -> str:
    """`1234.5678` -> `1,234.568`; a missing figure is `n/a`, and the minus is a real one."""
    if value is None:
        return "n/a"
    text = f"{value:,.{digits}f}"
    return (text.removeprefix("-") if float(text.replace(",", "")) == 0 else text).replace("-", "\N{MINUS SIGN}")


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as `40.0 %`."""
    return "n/a" if value is None else f"{number(100 * value, digits)} %"


def metric_value(metric: dict[str, Any], value: float | None) -> str:
    """One value of an evaluation metric: bits per byte with 4 digits, pass rates in percent."""
    return number(value, 4) if metric["metric"] == "bits_per_byte" else percent(value)


def metric_interval(metric: dict[str, Any], interval: list[float] | None) -> str:
    """`[0.9120, 0.9480]`, or `[8.3, 18.9] %` for pass rates; empty without an interval."""
    if interval is None:
        return ""
    if metric["metric"] == "bits_per_byte":
        return f"[{number(interval[0], 4)}, {number(interval[1], 4)}]"
    return f"[{number(100 * interval[0], 1)}, {number(100 * interval[1], 1)}] %"


def metric_text(metric: dict[str, Any]) -> str:
    """`0.9312 [0.9120, 0.9480] → 0.8821 [...]: better, −0.0491 [...]`; without a verdict for one model alone."""
    names = sides_shown(metric)
    sides = [metric[name] for name in names]
    shown = " → ".join(
        f"{metric_value(metric, side['value'])} {metric_interval(metric, side['interval'])}".strip() for side in sides
    )
    if metric["verdict"] is None:
        return f"{shown} ({names[0]} model only)"
    difference = metric["difference"]
    if metric["verdict"] == NO_DIFFERENCE or difference is None:
        return f"{shown}: {metric['verdict']}"
    return f"{shown}: {metric['verdict']}, {metric_change(metric, difference)}"


def sides_shown(metric: dict[str, Any]) -> list[str]:
    """`base` and `tuned`, as far as they were measured; where neither was, the control alone."""
    return [side for side in ("base", "tuned") if metric[side] is not None] or ["control"]


def control_text(metric: dict[str, Any]) -> str:
    """`better than random by 2.4 points [0.6, 4.2]`; `no clear difference from random: +0.3 points [...]`; empty without a control.

    How much better or worse is always told as a positive number; the raw difference is tuned minus control.
    """
    verdict, difference = metric["control_verdict"], metric["control_difference"]
    if verdict is None:
        return ""
    if difference is None:
        return f"{verdict} than random" if verdict != NO_DIFFERENCE else f"{verdict} from random"
    if verdict == NO_DIFFERENCE:
        return f"{verdict} from random: {metric_change(metric, difference)}"
    if difference["value"] < 0:
        low, high = difference["interval"]
        difference = {"value": -difference["value"], "interval": [-high, -low]}
    return f"{verdict} than random by {metric_change(metric, difference).removeprefix('+')}"


def metric_change(metric: dict[str, Any], difference: dict[str, Any]) -> str:
    """`−0.0491 [−0.0580, −0.0402]`, or `+2.4 points [0.6, 4.2]` for pass rates: tuned minus base."""
    value, interval = difference["value"], difference["interval"]
    sign = "+" if value > 0 else ""
    if metric["metric"] == "bits_per_byte":
        return f"{sign}{metric_value(metric, value)} {metric_interval(metric, interval)}".strip()
    return f"{sign}{number(100 * value, 1)} points {metric_interval(metric, interval).removesuffix(' %')}"


def duration(seconds: float | None) -> str:
    """`0.42` -> `0.4 s`, `75` -> `1 min 15 s`, `7380` -> `2 h 3 min`; empty when it is not known."""
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def training_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, value) pairs of RUN/train/summary.json; figures that the machine cannot measure are left out."""
    memory = summary.get("peak_memory_bytes")
    parameters = f"{number(summary.get('trainable_parameters'), 0)} of {number(summary.get('parameters'), 0)}"
    rows = [
        ("Method", f"{summary.get('method')}, {summary.get('dtype')}"),
        ("Trainable parameters", parameters),
        ("Optimizer steps", number(summary.get("steps"), 0)),
        ("Tokens", number(summary.get("tokens"), 0)),
        ("Tokens a second", number(summary.get("tokens_per_second"), 0)),
        ("Padding", percent(summary.get("padding_rate"))),
        ("Time", duration(summary.get("seconds"))),
    ]
    first, last = summary.get("first_validation_loss"), summary.get("final_validation_loss")
    if last is not None:
        rows.append(("Validation loss", f"{number(first, 4)} -> {number(last, 4)}"))
    return rows + ([("Peak memory", f"{number(memory / 1e9, 2)} GB")] if memory else [])
