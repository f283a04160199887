"""BigCodeBench (arXiv 2406.15877): functions that call many libraries, tested by `unittest` cases.

Tasks whose libraries the sandbox does not show are not run, and say so.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.evaluation.sets import in_process, published
from codeact.evaluation.sets.files import Family
from codeact.evaluation.tasks import Rules, Task, TaskSet, python_question
from codeact.sandbox import Backend, Outcome

SOURCE = "https://huggingface.co/datasets/bigcode/bigcodebench (or the releases of https://github.com/bigcode-project/bigcodebench-annotation)"
PATTERNS = ("[Bb]ig[Cc]ode[Bb]ench*.jsonl*", "[Bb]ig[Cc]ode[Bb]ench*.parquet", "data/v0.1*.parquet", "v0.1*.parquet")
KEYS = ("task_id", "complete_prompt", "instruct_prompt", "canonical_solution", "code_prompt", "test", "entry_point")
# What the published harness gives the module of a program.
MODULE = "__name__, __file__ = '__test__', '__test__.py'\nimport os, sys\nfrom os import environ\nsys.modules['__test__'] = sys.modules['__main__']\n"
RUNNER = """
import io as codeact_io, re as codeact_re, unittest as codeact_unittest
codeact_done = codeact_unittest.TextTestRunner(stream=codeact_io.StringIO(), resultclass=codeact_result(codeact_unittest.TextTestResult)).run(
    codeact_unittest.defaultTestLoader.loadTestsFromTestCase(TestCases))
for codeact_case, codeact_why in [*codeact_done.errors, *codeact_done.failures]:
    codeact_said = codeact_re.findall(r"^[\\w.]+(?:Error|Exception|Exit|Interrupt|SkipTest)\\b.*", codeact_why, codeact_re.M) or [codeact_why.strip()]
    raise AssertionError(f"{codeact_case.id().rpartition('.')[2]}: {codeact_said[-1]}")
if codeact_done.testsRun == 0:
    raise AssertionError("no test ran")
"""


def files(name: str, data_dir: Path | None) -> list[Path]:
    """As `published.find`."""
    return published.find(name, PATTERNS, data_dir, SOURCE)


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """"bigcodebench-complete" continues the documented head; "bigcodebench-instruct" asks with the published instruction."""
    return published.read(name, version, files(name, data_dir), KEYS, lambda row, _: _task(row, name == "bigcodebench-instruct"))


def _task(row: Mapping[str, Any], instruct: bool) -> Task:
    code, solution, test = (published.text(row, key) for key in ("code_prompt", "canonical_solution", "test"))
    prompt = code if instruct else published.text(row, "complete_prompt")
    libraries = ast.literal_eval(row["libs"]) if isinstance(row.get("libs"), str) else row.get("libs") or []
    reason = published.lacking((f"{code}    pass\n", code + solution, test), libraries)
    return Task(
        id=str(row["task_id"]) + ("#instruct" if instruct else ""),
        prompt=prompt,
        entry_point=published.text(row, "entry_point"),
        canonical_solution=solution,
        test=test,
        setup=code,
        instruction=published.text(row, "instruct_prompt") if instruct else "",
        not_run=reason,
        rules=RULES,
    )


def question(task: Task) -> str:
    """The published instruction, or the documented head to be completed."""
    return task.instruction or python_question(task)


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Run the published test cases; imports of the head that an answer has left out are there ("calibrated")."""
    head = f"{MODULE}{task.setup}\n    pass\n\n"
    return in_process.judge(f"{head}{source}\n{task.test}\n{in_process.RESULT}{RUNNER}", backend)


RULES = Rules(question=question, judge=judge, proven=True)
FAMILY = Family(("bigcodebench-complete", "bigcodebench-instruct"), published.VERSIONS, "Apache-2.0", SOURCE, load, files=files)
