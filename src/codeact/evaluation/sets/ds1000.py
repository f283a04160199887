"""DS-1000 (arXiv 2211.11501): data science questions on seven libraries, tested by the published `code_context`.

Tasks whose libraries the sandbox does not show are not run, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.evaluation.sets import in_process, published
from codeact.evaluation.sets.files import Family
from codeact.evaluation.tasks import Rules, Task, TaskSet
from codeact.sandbox import Backend, Outcome
from codeact.spoken import spoken

SOURCE = "https://huggingface.co/datasets/xlangai/DS-1000 (or data/ds1000.jsonl.gz of https://github.com/xlang-ai/DS-1000)"
PATTERNS = ("ds1000*.jsonl*", "DS-1000*.jsonl*", "data/ds1000.jsonl*", "test.jsonl*", "ds1000*.parquet", "DS-1000*.parquet", "test-*.parquet")
KEYS = ("prompt", "reference_code", "metadata", "code_context")
STOPS = ("</code>", "# SOLUTION END", "\nEND SOLUTION", "\n```")
FENCE = re.compile(r"```(?:python)?[^\n]*\n(.*?)(?:```|\Z)", re.S)
SYSTEM = (
    "Write a short code following the given format and indentation. Place the executable code between <code> and </code> tags, "
    "without any other non-executable things.\n\n"
)
LIBRARIES = {"Pandas": "pandas", "Scipy": "scipy", "Sklearn": "sklearn", "Matplotlib": "matplotlib", "Tensorflow": "tensorflow", "Pytorch": "torch"}


def files(name: str, data_dir: Path | None) -> list[Path]:
    """As `published.find`."""
    return published.find(name, PATTERNS, data_dir, SOURCE)


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The tasks of the simplified release (one JSON object a line)."""
    return published.read(name, version, files(name, data_dir), KEYS, _task)


def _task(row: Mapping[str, Any], number: int) -> Task:
    told = row["metadata"] if isinstance(row["metadata"], Mapping) else {}
    context, reference = published.text(row, "code_context"), published.text(row, "reference_code")
    library = [LIBRARIES[told["library"]]] if told.get("library") in LIBRARIES else []
    return Task(
        id=f"DS-1000/{told.get('problem_id', number)}",
        prompt=published.text(row, "prompt"),
        entry_point="test_execution",
        canonical_solution=reference,
        test=context,
        not_run=published.lacking((context, reference, *_inner(context)), library),
        rules=RULES,
    )


def _inner(context: str) -> list[str]:
    """The program around an answer, which `code_context` holds as a text."""
    return re.findall(r'exec_context\s*=\s*r?"""(.*?)"""', context, re.S)


def question(task: Task) -> str:
    """The published question, with its instruction for chat models."""
    return SYSTEM + task.prompt


def program(answer: str, task: Task, prompt: str) -> str:
    """The code in an answer: between the tags, in a fenced block, or all of it."""
    answer = spoken(answer)
    before, tag, after = answer.partition("<code>")
    if tag and "</code>" not in before:
        answer = after
    answer = answer.split("</code>", 1)[0]
    if found := FENCE.findall(answer):
        answer = str(found[0])
    for stop in ("# SOLUTION END", "\nEND SOLUTION", "BEGIN SOLUTION", "```"):
        answer = answer.split(stop, 1)[0]
    return answer.strip("\n") + "\n"


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Run the published tests on the code."""
    run = "test_execution(codeact_answer)\nif 'test_string' in globals():\n    test_string(codeact_answer)\n"
    return in_process.judge(f"{task.test}\ncodeact_answer = {source!r}\n{run}", backend)


RULES = Rules(lambda task: STOPS, question, program, judge=judge, always_cut=True, proven=True)
FAMILY = Family(("ds-1000",), published.VERSIONS, "CC BY-SA 4.0", SOURCE, load, files=files)
