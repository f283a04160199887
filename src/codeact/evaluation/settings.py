"""Settings of an evaluation that cannot serve: said before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from codeact.config import EvaluateConfig
from codeact.errors import InputError, require
from codeact.evaluation.tasks import TaskSet
from codeact.sandbox.toolchains import toolchain


def check_evaluation(config: EvaluateConfig, generates: bool) -> None:
    """Refuse settings that do not go together, and a generation backend that is not installed.

    Args:
        config: of the evaluation.
        generates: whether anything is generated.

    Raises:
        InputError: several samples of each task without a temperature.
        MissingExtraError: the backend is not installed.
    """
    if config.samples_per_task > 1 and config.temperature == 0:
        raise InputError(
            f"evaluate.samples_per_task = {config.samples_per_task} at temperature 0 would draw the same answer each time; "
            "set evaluate.temperature, for example to 0.8"
        )
    if config.backend == "vllm" and generates:
        require("vllm", "vllm", "evaluate.backend vllm")


def check_languages(sets: Iterable[TaskSet]) -> None:
    """See that the compilers and runtimes of the tasks' languages are installed.

    Raises:
        InputError: one is not; the message names the package.
    """
    for language in sorted({task.language for one in sets for task in one.tasks if task.rules.judge is not None and task.language != "python"}):
        toolchain(language)
