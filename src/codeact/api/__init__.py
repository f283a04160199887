"""The Python interface; the command line calls nothing else."""

from __future__ import annotations

from codeact.api.choosing import Selection, plan_select, select
from codeact.api.machine import doctor
from codeact.api.measuring import compare, compare_plan, differences, evaluate, result_lines
from codeact.api.reading import records
from codeact.api.running import (
    estimate_scores,
    explain,
    plan,
    report,
    run,
    run_stages,
    score_summary,
    stability,
    summary_rows,
)
from codeact.api.training import harvest, merge, padding, tokenise, train
from codeact.exporting import export

__all__ = [
    "Selection", "compare", "compare_plan", "differences", "doctor", "estimate_scores", "evaluate", "explain", "export", "harvest", "merge", "padding", "plan",
    "plan_select", "records", "report", "result_lines", "run", "run_stages", "score_summary", "select", "stability", "summary_rows", "tokenise", "train",
]  # fmt: skip
