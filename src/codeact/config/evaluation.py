"""The recipe's section `evaluate`: what is measured, and how answers are made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from codeact.config.kinds import Address, KeyVariable, Moment
from codeact.config.sections import Section, no_secrets

OWN_KEYS = ("model", "messages", "prompt", "temperature", "max_tokens", "max_completion_tokens", "seed", "stop", "n", "stream")  # of a request


class EvaluateConfig(Section):
    enabled: bool = Field(True, description="false: `run` ends after training")
    tasks: tuple[str, ...] = Field(
        ("humaneval",), description="task sets (`codeact tasks` lists them; a `+` set reports its base set too) and .jsonl files of your own"
    )
    bits_per_byte: bool = Field(True, description="also measure bits per byte of the reference solutions")
    bits_limit: int | None = Field(
        None, ge=1, description="measure them for this many tasks, evenly spaced by number (all: null)"
    )
    generate_limit: int | None = Field(
        None, ge=0, description="generate for this many tasks, evenly spaced by number (all: null)"
    )
    generate_tasks: tuple[str, ...] = Field((), description="generate for these tasks alone, by id; none: for all, as far as generate_limit goes")
    skip_tasks: tuple[str, ...] = Field((), description="task ids to leave out, as those that settings were chosen on")
    held_out: str = Field(
        "", description="file of records to measure bits per byte of their answers on, as `harvest --held-out` writes it; none of them is trained on"
    )
    max_new_tokens: int = Field(512, ge=1, description="longest completion, in tokens")
    batch_size: int = Field(32, ge=1, description="tasks that are generated for at the same time")
    prompting: Literal["base", "instruct", "auto", "few-shot"] = Field(
        "base",
        description="`base`: the task's own text is continued; `instruct`: it is asked for in a chat turn; `auto`: instruct where the model has"
        " a chat template, else base; `few-shot`: behind the field's three examples (mbpp)",
    )
    thinking_tokens: int = Field(
        0, ge=0, description="tokens that a reasoning model may think before its answer (instruct); 0: it is told not to think (at an endpoint by `extra`)"
    )
    temperature: float = Field(0.0, ge=0, le=2, description="0: the most likely token; above: sampling, for pass@k")
    temperatures: tuple[float, ...] = Field((), description="further temperatures to draw samples at, each with figures of its own")
    solve_rate: tuple[float, float] | None = Field(
        None, description="generate only for tasks that the evaluation `solve_rate_of` solves in at least and at most this share of its samples"
    )
    solve_rate_of: str = Field("", description="folder of that evaluation: another run than the one that is compared with")
    samples_per_task: int = Field(1, ge=1, description="generations for each task; more than one need a temperature")
    backend: Literal["transformers", "vllm"] = Field(
        "transformers", description="what generates; `vllm` is an extra, for GPUs"
    )
    endpoint: Address = Field(
        "", repr=False, description="OpenAI-compatible address that generates in place of a model here; MODEL is its name there"
    )
    api_key_env: KeyVariable = Field("OPENAI_API_KEY", description="environment variable that holds the endpoint's key, if it needs one")
    concurrency: int = Field(8, ge=1, description="requests to the endpoint at the same time")
    timeout: float = Field(300, gt=0, description="seconds for one whole request to the endpoint")
    asked_since: Moment = Field(
        "", description="the endpoint's kept answers that are older than this date (and time, in UTC) are asked for anew; empty: none"
    )
    budget: float | None = Field(
        None, ge=0, description="US dollars at most for the endpoint's answers, of all temperatures and starts in a folder (no limit: null)"
    )
    price_in: float = Field(0, ge=0, description="US dollars for a million prompt tokens of the endpoint")
    price_out: float = Field(0, ge=0, description="US dollars for a million answer tokens of the endpoint")
    extra: dict[str, Any] = Field(default_factory=dict, description="further keys of the endpoint's request body, such as `{reasoning_effort: low}`")
    unsafe_no_sandbox: bool = Field(False, description="run generated code without isolation; recorded in the results")

    _no_secrets = field_validator("extra")(no_secrets)

    @field_validator("extra")
    @classmethod
    def _further(cls, value: dict[str, Any]) -> dict[str, Any]:
        own = [key for key in value if key in OWN_KEYS]
        if own:
            raise ValueError(f"{own[0]} is set by the evaluation itself, from its other settings; leave it out")
        return value
