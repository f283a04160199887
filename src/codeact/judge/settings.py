"""How an OpenAI-compatible endpoint is asked: its address, its key, limits, and what a request body says."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from codeact.config import DEFAULTS
from codeact.redact import split_userinfo

# The other name of `max_tokens`, which OpenAI's reasoning models want, and say so when they refuse.
OTHER_LIMIT = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with further keys of its own request body, such as its seed and its stop texts."""

    prompt: str
    more: Mapping[str, Any] = field(default_factory=dict)


class Prompts(Protocol):
    """Requests, or prompts alone, that can be gone through several times, in the same order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str | Request]: ...


def as_request(prompt: str | Request) -> Request:
    """A prompt alone is a request without further keys."""
    return Request(prompt) if isinstance(prompt, str) else prompt


@dataclass(frozen=True, slots=True)
class Settings:
    """How an endpoint is asked.

    Attributes:
        url: base address, such as http://localhost:8000/v1; user:password@ in it is sent as basic authentication, and never shown.
        model: its name there.
        key: bearer token; empty: none is sent.
        concurrency: requests at the same time.
        timeout: seconds for one whole request, however slowly its answer arrives.
        attempts: tries for each prompt.
        backoff: seconds before the second try; doubled for each further one, with jitter.
        max_wait: longest wait in seconds; a prompt whose server asks for more with Retry-After is given up.
        max_tokens: of an answer.
        budget: US dollars at most, with what the ledger says was spent before; None: no limit.
        price_in, price_out: US dollars for a million tokens.
        extra: further keys of the request body.
        whole: an answer that the server ended at `max_tokens` is the failure "cut off", and is not kept.
        completion: ask for the continuation of a text, not for the answer to a chat turn.
        since: kept answers that are older than this moment (UTC, ISO 8601) are asked for anew; empty: none.
        served: what the server has loaded under the model's name, as `endpoint.identified` finds it; empty: it does not say; None: not asked yet.
        section: of the recipe, that messages name.
    """

    url: str = field(repr=False)
    model: str
    key: str = field(default="", repr=False)
    concurrency: int = DEFAULTS.judge.concurrency
    timeout: float = DEFAULTS.judge.timeout
    attempts: int = DEFAULTS.judge.attempts
    backoff: float = DEFAULTS.judge.backoff
    max_wait: float = 120.0
    max_tokens: int = DEFAULTS.judge.max_tokens
    budget: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    completion: bool = False
    since: str = ""
    served: str | None = None
    section: str = "judge"

    @property
    def address(self) -> str:
        """The base address without user and password: what is shown, and what answers are kept under."""
        return split_userinfo(self.url)[0].rstrip("/")

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password of the address."""
        return split_userinfo(self.url)[1]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the key, the password, and both as they are sent."""
        found = [self.key]
        if self.login is not None:
            found += [self.login[1], base64.b64encode(":".join(self.login).encode()).decode()]
        return tuple(one for one in found if len(one) >= 4)

    def payload(self, request: Request) -> dict[str, Any]:
        """The request body; greedy decoding where `extra` and the request say nothing else."""
        limit = {} if OTHER_LIMIT in self.extra else {"max_tokens": self.max_tokens}
        if self.completion:
            return {"model": self.model, "prompt": request.prompt, "temperature": 0, **limit, **self.extra, **request.more}
        messages = [{"role": "user", "content": request.prompt}]
        return {"model": self.model, "messages": messages, "temperature": 0, **limit, **self.extra, **request.more}

    def price(self, prompt_tokens: int, answer_tokens: int) -> float:
        """US dollars."""
        return (prompt_tokens * self.price_in + answer_tokens * self.price_out) / 1e6


def api_key(variable: str) -> str:
    """The key in this environment variable, or none: local servers need none. Blanks and a newline around it are a file's, not the key's."""
    return os.environ.get(variable, "").strip() if variable else ""
