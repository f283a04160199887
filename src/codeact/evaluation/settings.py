"""Settings of an evaluation that cannot serve: said before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from codeact.config import EvaluateConfig
from codeact.errors import InputError, require
from codeact.evaluation.tasks import TaskSet
from codeact.sandbox import Backend
from codeact.sandbox.language_attacks import attack_language
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
    if config.temperatures:
        drawn = (config.temperature, *config.temperatures)
        if not all(0 < value <= 2 for value in drawn):
            raise InputError(
                "evaluate.temperatures are drawn at beside evaluate.temperature; set all of them above 0 and at most 2, for example 0.2 with [0.6, 0.8]"
            )
        names = [f"{value:g}" for value in drawn]  # of their files
        if len({*names}) < len(names):
            raise InputError(f"evaluate.temperatures: of {', '.join(names)} (evaluate.temperature first) two are the same; leave one of them out")
    if (config.solve_rate is None) != (not config.solve_rate_of):
        raise InputError("evaluate.solve_rate and evaluate.solve_rate_of go together: the band, and the folder of the evaluation that it is of")
    if config.solve_rate is not None and not 0 <= config.solve_rate[0] <= config.solve_rate[1] <= 1:
        raise InputError(f"evaluate.solve_rate {list(config.solve_rate)} is no band; give [least, most], from 0 to 1")
    if config.endpoint and config.backend != "transformers":
        raise InputError(f"evaluate.endpoint generates in place of evaluate.backend {config.backend}; give one of them")
    if config.endpoint and config.held_out:
        raise InputError("evaluate.held_out measures likelihoods, which evaluate.endpoint does not give; leave one of them out")
    if config.endpoint and generates:
        require("httpx2", "judge", "evaluate.endpoint")
    if config.backend == "vllm" and generates:
        require("vllm", "vllm", "evaluate.backend vllm")


def check_languages(sets: Iterable[TaskSet], backend: Backend | None = None) -> None:
    """See that the compilers and runtimes of the tasks' languages are installed; with a backend also that it withstands attacks from them.

    Raises:
        InputError: one is not; the message names the package.
        CodeactError: an attack got through.
    """
    for language in sorted({task.language for one in sets for task in one.tasks if task.rules.judge is not None and task.language != "python"}):
        toolchain(language)
        if backend is not None:
            attack_language(language, backend)
