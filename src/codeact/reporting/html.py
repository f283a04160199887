"""Writes the report of a run: its figures, `report.json`, and the page that shows them, `report.html`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.amounts import amount
from codeact.evaluation.compare import NO_DIFFERENCE
from codeact.files import write_text
from codeact.lm.identity import model_title
from codeact.reporting.batches import pictures
from codeact.reporting.browser import browser
from codeact.reporting.charts import charts, positions
from codeact.reporting.figures import gather
from codeact.reporting.page import render_page
from codeact.reporting.tasks import task_matrix
from codeact.reporting.wording import (
    control_text,
    coverage_rows,
    duration,
    metric_change,
    metric_interval,
    metric_value,
    number,
    percent,
    sides_shown,
    training_rows,
)
from codeact.score.length import relation
from codeact.stages.cluster import cluster_name


def write_report(run_dir: Path) -> Path:
    """Write RUN/report.json, then RUN/report.html, each atomically; returns the path of the page.

    Raises:
        InputError: `run_dir` is no run directory, or one of its files cannot be read.
        CodeactError: the files cannot be written.
    """
    run_dir = Path(run_dir)
    figures = gather(run_dir)
    storage.write_json(run_dir / "report.json", figures)
    page = run_dir / "report.html"
    write_text(page, render(figures, browser(run_dir), tasks_of(run_dir, figures)))
    return page


def tasks_of(run_dir: Path, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """`tasks.task_matrix` of the models that the figures tell of."""
    sides = (figures["evaluation"] or {"models": ()})["models"]
    return task_matrix(run_dir / "evaluate", {side: storage.read_json(run_dir / "evaluate" / side / "results.json") for side in sides})


def render(figures: dict[str, Any], records: dict[str, Any] | None = None, tasks: Sequence[dict[str, Any]] = ()) -> str:
    """The page for the figures that `gather` returned, the records of `browser` and the tasks of `tasks_of`."""
    unbroken = {tool.__name__: _unbroken(tool) for tool in (percent, metric_value, metric_interval, metric_change, control_text)}
    tools: dict[str, Callable[..., Any]] = {
        "number": number, "amount": amount, "setting": setting, "duration": duration, "relation": relation, "coverage_rows": coverage_rows,
        "cluster_name": cluster_name, "model_title": model_title, "training_rows": training_rows, "pictures": pictures, "sides_shown": sides_shown, **unbroken,
    }  # fmt: skip
    return render_page(
        "report.html.jinja",
        tools,
        page_data(figures, records),
        figures=figures,
        charts=charts(figures),
        records=records,
        tasks=tasks,
        status={stage["stage"]: stage["status"] for stage in figures["stages"]},
        no_difference=NO_DIFFERENCE,
    )


def page_data(figures: dict[str, Any], records: dict[str, Any] | None) -> dict[str, Any]:
    """What the page's script reads: the points of the map with their places in percent, and the records."""
    data = {} if records is None else {"records": {key: records[key] for key in ("columns", "rows")}}
    if figures["clusters"] is None:
        return data
    points = figures["clusters"]["points"]
    if not any(x is not None for x in points["x"]):
        return data
    left, top = positions(points)
    return data | {"clusters": {"left": left, "top": top} | {k: points[k] for k in ("cluster", "ifd", "selected", "instruction")}}


def setting(value: object) -> str:
    """A recipe value or version as the YAML reader would accept it: `true`, `null`, `[a, b]`, plain text."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _unbroken(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapped(*arguments: object) -> str:
        return function(*arguments).replace(" %", "\N{NO-BREAK SPACE}%")

    return wrapped
