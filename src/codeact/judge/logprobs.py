"""Log-probabilities of prompts from an OpenAI-compatible endpoint that returns them: vLLM, SGLang.

`POST /completions` with `echo` and `logprobs`, the prompt as token ids: what a model gives to each token of a text, without writing any.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError, PromptError, require
from codeact.judge.endpoint import REFUSED, RETRIED, Settings, retry_after
from codeact.redact import redact

if TYPE_CHECKING:
    from httpx2 import Client

NAMED = "score.endpoint"


def prompt_logprobs(
    prompts: Sequence[Sequence[int]], settings: Settings, finished: Callable[[int], None] | None = None
) -> list[list[float]]:
    """The log-probability of every token of each prompt but its first, given those before it, in nats.

    Args:
        prompts: token ids.
        settings: of the endpoint; what is about answers and money is not read.
        finished: called with the number of each prompt that is done, in any order, from the caller's thread.

    Raises:
        InputError: the key, the path or the model is refused, or the endpoint returns no log-probabilities of prompts.
        PromptError: a request failed for good: after all tries, or by its own prompt.
        MissingExtraError: httpx2 is not installed.
    """
    http = require("httpx2", "judge", "scoring by an endpoint")
    headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
    login = None if settings.login is None else http.BasicAuth(*settings.login)
    found: dict[int, list[float]] = {}
    stop = threading.Event()
    with (
        http.Client(headers=headers, auth=login, timeout=settings.timeout, follow_redirects=False) as client,
        ThreadPoolExecutor(settings.concurrency) as pool,
    ):
        waiting = {pool.submit(_one, http, client, settings, n, prompt, stop): n for n, prompt in enumerate(prompts)}
        try:
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                if finished is not None:
                    finished(waiting[future])
        finally:  # after an error nothing more is sent
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return [found[n] for n in range(len(prompts))]


def _one(http: ModuleType, client: Client, settings: Settings, number: int, prompt: Sequence[int], stop: threading.Event) -> list[float]:
    body = {"model": settings.model, "prompt": list(prompt), "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1, **settings.extra}
    url, status = settings.address + "/completions", "stopped"
    for attempt in range(settings.attempts):
        if stop.is_set():
            break
        pause = 0.0
        try:
            response = client.post(url, json=body)
        except http.UnsupportedProtocol as error:
            raise InputError(f"{NAMED} {settings.address!r} is not an http(s) address") from error
        except http.TimeoutException:
            status = "timeout"
        except http.TransportError as error:
            status = f"connection: {redact(str(error), *settings.secrets)}"
        else:
            if response.status_code == 200:
                return _read(response.content, len(prompt), settings)
            status = f"HTTP {response.status_code}"
            said = " ".join(redact(response.text[:400], *settings.secrets).split())[:200]
            if response.status_code in REFUSED:
                raise InputError(f"{NAMED} {url} answers {response.status_code}: {REFUSED[response.status_code]} (model {settings.model!r})")
            if response.status_code not in RETRIED:
                raise PromptError(number, f"{NAMED} {url} answers {response.status_code}: {said} (model {settings.model!r}, {len(prompt)} tokens)")
            pause = min(retry_after(response.headers.get("retry-after")), settings.max_wait)
        if attempt + 1 < settings.attempts:
            stop.wait(max(pause, settings.backoff * 2**attempt * random.uniform(0.5, 1.0)))
    raise PromptError(number, f"{NAMED} {url}: {settings.attempts} tries, the last: {status}")


def _read(content: bytes, tokens: int, settings: Settings) -> list[float]:
    try:
        values: list[Any] = json.loads(content)["choices"][0]["logprobs"]["token_logprobs"]
        found = [float(value) for value in values[1:tokens]]
    except (ValueError, LookupError, TypeError, RecursionError):
        values, found = [], []
    if len(values) not in (tokens, tokens + 1) or len(found) != tokens - 1:
        raise InputError(
            f"{NAMED} {settings.address} returns {len(values)} log-probabilities for a prompt of {tokens} tokens: it has to know `echo`"
            " with `logprobs` and prompts of token ids, as vLLM and SGLang do; and max_length may be above its context"
        )
    return found
