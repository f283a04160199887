"""The report of a run: every figure in `report.json`, and one self-contained page, `report.html`."""

from __future__ import annotations

from codeact.reporting.figures import gather
from codeact.reporting.html import write_report
from codeact.reporting.wording import main_figures

__all__ = ["gather", "main_figures", "write_report"]
