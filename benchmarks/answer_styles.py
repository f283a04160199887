"""Right answers that are lost and wrong ones that pass, by sanitiser. Writes benchmarks/results/answer_styles.json.xz.

    python -m benchmarks.answer_styles               our sanitiser on tests/data/answers.jsonl
    python -m benchmarks.answer_styles --evalplus    also EvalPlus 0.3.1's (pip install 'codeact[parity]', see docs/evaluation.md)

Every program runs against the task's own tests in the sandbox. EvalPlus' sanitiser is given each answer twice, alone and
behind the prompt as its own tool does with completions; a right answer counts as lost where both fail, a wrong one as passed
where both pass.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.errors import require
from codeact.evaluation.grade import grade
from codeact.evaluation.sanitize import sanitize
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.tasks import Task
from codeact.sandbox import Backend, detect_backend

ANSWERS = Path(__file__).parents[1] / "tests" / "data" / "answers.jsonl"
RESULT = Path(__file__).parent / "results" / "answer_styles.json.xz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evalplus", action="store_true")
    arguments = parser.parse_args()
    answers = [json.loads(line) for line in ANSWERS.open(encoding="utf-8")]
    backend = detect_backend()
    found = {"ours": misjudged(answers, graded(answers, backend, ours))}
    if arguments.evalplus:
        theirs = require("evalplus.sanitize", "parity", "a comparison with EvalPlus' sanitiser").sanitize
        alone = graded(answers, backend, lambda text, task: str(theirs(text, task.entry_point)))
        behind = graded(answers, backend, lambda text, task: str(theirs(task.prompt + "\n" + text, task.entry_point)))
        found["evalplus, answer alone"] = misjudged(answers, alone)
        pairs = zip(answers, alone, behind, strict=True)
        found["evalplus"] = misjudged(answers, [a or b if row["right"] else a and b for row, a, b in pairs])
    right = [answer for answer in answers if answer["right"]]
    report = provenance() | {
        "sandbox": backend.name,
        "right": len(right),
        "wrong": len(answers) - len(right),
        "styles of right answers": len({answer["style"] for answer in right}),
        **found,
    }
    result_files.write(RESULT, report)
    print(json.dumps(report, indent=1, ensure_ascii=False))


def ours(text: str, task: Task) -> str:
    return sanitize(text, task.entry_point, task.prompt)


def graded(answers: list[Any], backend: Backend, program: Callable[[str, Task], str]) -> list[bool]:
    """Whether each answer's program passes its task's tests."""
    task_set = load_tasks("humaneval")
    tasks = {task.id: task for task in task_set.tasks}
    programs = [(row["task_id"], program(row["completion"], tasks[row["task_id"]])) for row in answers]
    return [verdict.base_status == "passed" for verdict in grade(task_set, programs, backend=backend)]


def misjudged(answers: list[Any], passed: list[bool]) -> dict[str, Any]:
    """Counts and the styles of right answers that failed and of wrong ones that passed."""
    named = [(row["right"], f"{row['style']} ({row['task_id']})", ok) for row, ok in zip(answers, passed, strict=True)]
    lost = [name for right, name, ok in named if right and not ok]
    rescued = [name for right, name, ok in named if not right and ok]
    return {"right lost": len(lost), "wrong passed": len(rescued), "lost": lost, "passed": rescued}


if __name__ == "__main__":
    main()
