"""Settings of an evaluation that cannot serve: said before anything is loaded."""

from __future__ import annotations

from codeact.config import EvaluateConfig
from codeact.errors import InputError, require


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
