"""The Python interface, one file a subject; the command line calls nothing else. What is stable: docs/api.md."""

from __future__ import annotations

from codeact.api.comparison import compare, compare_plan
from codeact.api.data import harvest, preview
from codeact.api.evaluation import differences, evaluate, show_task
from codeact.api.machine import doctor
from codeact.api.run_directory import cluster_lines, diff, explain, report, score_summary, stability
from codeact.api.runs import estimate_scores, plan, run, run_stages
from codeact.api.selection import Selection, plan_select, select
from codeact.api.training import merge, padding, tokenise, train
from codeact.evaluation.show import task_lines
from codeact.evaluation.summary import result_lines
from codeact.exporting import export

__all__ = [
    "Selection", "cluster_lines", "compare", "compare_plan", "diff", "differences", "doctor", "estimate_scores", "evaluate", "explain", "export", "harvest", "merge",
    "padding", "plan", "plan_select", "preview", "report", "result_lines", "run", "run_stages", "score_summary", "select", "show_task", "stability",
    "task_lines", "tokenise", "train",
]  # fmt: skip
