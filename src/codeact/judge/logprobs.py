"""Log-probabilities of prompts from an OpenAI-compatible endpoint that returns them: vLLM, SGLang.

`POST /completions` with `echo` and `logprobs`, the prompt as token ids: what a model gives to each token of a text, without writing any.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError, PromptError, require
from codeact.judge import connections
from codeact.judge.responses import REFUSED, RETRIED, retry_after
from codeact.judge.settings import Settings

if TYPE_CHECKING:
    from httpx2 import Client

log = logging.getLogger(__name__)
NAMED = "score.endpoint"
LARGEST_RESPONSE = 2**28
ROUNDING = 1e-3  # nats above 0 that the arithmetic of a server may give to a certain token


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
    found: dict[int, list[float]] = {}
    stop = threading.Event()
    with connections.open_client(http, settings, NAMED) as client, ThreadPoolExecutor(settings.concurrency) as pool:
        waiting = {pool.submit(_one, http, client, settings, n, prompt, stop): n for n, prompt in enumerate(prompts)}
        try:
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                if finished is not None:
                    finished(waiting[future])
        except KeyboardInterrupt:
            stop.set()
            if under_way := sum(future.running() for future in waiting):
                log.warning("%s", connections.waits(under_way, settings))
            raise
        finally:  # after an error nothing more is sent
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return [found[n] for n in range(len(prompts))]


def loaded(settings: Settings) -> str:
    """What the server has loaded under the model's name, as `connections.served` finds it; empty: it does not say.

    Raises:
        InputError: the key, the address or a proxy cannot be used.
        MissingExtraError: httpx2 is not installed.
    """
    http = require("httpx2", "judge", "scoring by an endpoint")
    with connections.open_client(http, settings, NAMED) as client:
        return connections.served(http, client, settings, NAMED)


def _one(http: ModuleType, client: Client, settings: Settings, number: int, prompt: Sequence[int], stop: threading.Event) -> list[float]:
    body = {"model": settings.model, "prompt": list(prompt), "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1, **settings.extra}
    url, status = settings.address + "/completions", "stopped"
    for attempt in range(settings.attempts):
        if stop.is_set():
            break
        reply = connections.post(http, client, settings, "/completions", body, LARGEST_RESPONSE, NAMED)
        if reply.code == 200 and not reply.failure:
            return _read(reply.body, len(prompt), settings)
        said = reply.said if reply.failure else connections.excerpt(reply.body[: 2**16].decode("utf-8", "replace"), settings)
        status = ": ".join(filter(None, (reply.failure or f"HTTP {reply.code}", said)))
        if reply.code in REFUSED:
            told = "" if reply.code == 401 else f"; {said}"
            raise InputError(f"{NAMED} {url} answers {reply.code}: {REFUSED[reply.code]} (model {settings.model!r}){told}")
        if not reply.failure and reply.code not in RETRIED:
            raise PromptError(number, f"{NAMED} {url} answers {reply.code}: {said} (model {settings.model!r}, {len(prompt)} tokens)")
        if not reply.again:
            break
        pause = min(retry_after(reply.header("retry-after")), settings.max_wait)
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
    if above := [value for value in found if value > ROUNDING]:
        raise InputError(
            f"{NAMED} {settings.address} returns {above[0]:g} as the log-probability of a token, and none is above 0; its `logprobs` are something else"
            " (probabilities, or raw logits): serve the model with vLLM or SGLang as they are"
        )
    return found
