"""The report of a run: every figure in `report.json`, and one self-contained page, `report.html`."""

from __future__ import annotations

from codeact.report.figures import gather
from codeact.report.html import write_report
from codeact.report.words import summary_rows

__all__ = ["gather", "summary_rows", "write_report"]
