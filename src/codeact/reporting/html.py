"""Renders the figures of a run as one self-contained page that asks the network for nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.evaluation.compare import NO_DIFFERENCE
from codeact.files import write_text
from codeact.reporting.charts import charts, plotly_script
from codeact.reporting.figures import gather
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

FOLDER = Path(__file__).parent


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

    A content security policy allows no connection at all and no script but the two inlined ones, so that text from
    records cannot run or load anything even if an escape were missed.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": _unbroken(percent), "setting": setting, "duration": duration}
    for function in (metric_value, metric_interval, metric_change):
        environment.globals[function.__name__] = _unbroken(function)
    environment.globals |= {"relation": relation, "training_rows": training_rows}
    drawn = charts(figures)
    plotly, script = plotly_script(), (FOLDER / "page.js").read_text(encoding="utf-8").strip()
    return environment.get_template("page.html.jinja").render(
        figures=figures,
        charts={name: safe_json(chart) for name, chart in drawn.items()},
        heights={name: chart["layout"]["height"] for name, chart in drawn.items()},
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        plotly=plotly,
        script=script,
        script_sources=" ".join(f"'sha256-{_sha256(text)}'" for text in (plotly, script)),
        status={stage["stage"]: stage["status"] for stage in figures["stages"]},
        no_difference=NO_DIFFERENCE,
    )


def safe_json(value: Any) -> str:
    """JSON that cannot end or open an element or a comment, nor break a script line, inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def setting(value: Any) -> str:
    """A recipe value or version as the YAML reader would accept it: `true`, `null`, `[a, b]`, plain text."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _unbroken(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapped(*arguments: Any) -> str:
        return function(*arguments).replace(" %", "\N{NO-BREAK SPACE}%")

    return wrapped


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()).decode("ascii")
