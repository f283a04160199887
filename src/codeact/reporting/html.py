"""Writes the report of a run: its figures, `report.json`, and the page that shows them, `report.html`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.evaluation.compare import NO_DIFFERENCE
from codeact.files import write_text
from codeact.reporting.charts import charts
from codeact.reporting.figures import gather
from codeact.reporting.page import render_page
from codeact.reporting.wording import (
    duration,
    metric_change,
    metric_interval,
    metric_value,
    number,
    percent,
    training_rows,
)
from codeact.score.length import relation


def write_report(run_dir: Path) -> Path:
    """Write RUN/report.json, then RUN/report.html, each atomically; returns the path of the page.

    Raises:
        InputError: `run_dir` is no run directory, or one of its files cannot be read.
        MissingExtraError: plotly is not installed; report.json has been written by then.
        CodeactError: the files cannot be written.
    """
    run_dir = Path(run_dir)
    figures = gather(run_dir)
    storage.write_json(run_dir / "report.json", figures)
    page = run_dir / "report.html"
    write_text(page, render(figures))
    return page


def render(figures: dict[str, Any]) -> str:
    """The page for the figures that `gather` returned.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    unbroken = {tool.__name__: _unbroken(tool) for tool in (percent, metric_value, metric_interval, metric_change)}
    tools: dict[str, Callable[..., Any]] = {
        "number": number, "setting": setting, "duration": duration, "relation": relation, "training_rows": training_rows, **unbroken,
    }  # fmt: skip
    drawn = charts(figures)
    return render_page(
        "report.html.jinja",
        drawn,
        tools,
        figures=figures,
        heights={name: chart["layout"]["height"] for name, chart in drawn.items()},
        status={stage["stage"]: stage["status"] for stage in figures["stages"]},
        no_difference=NO_DIFFERENCE,
    )


def setting(value: object) -> str:
    """A recipe value or version as the YAML reader would accept it: `true`, `null`, `[a, b]`, plain text."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _unbroken(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapped(*arguments: object) -> str:
        return function(*arguments).replace(" %", "\N{NO-BREAK SPACE}%")

    return wrapped
