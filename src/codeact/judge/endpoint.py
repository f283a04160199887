"""Many prompts to an OpenAI-compatible endpoint (vLLM, llama.cpp's server, Ollama, OpenAI): concurrent, retried, cached, within a budget."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import os
import random
import re
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from codeact.amounts import amount
from codeact.config import DEFAULTS
from codeact.errors import CodeactError, InputError, require
from codeact.judge.kept import Cache
from codeact.progress import SILENT, Progress
from codeact.redact import HIDDEN, SHORTEST, redact, split_userinfo

if TYPE_CHECKING:
    from httpx2 import Client

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED = {401: "the key is refused", 403: "access is refused", 404: "no such path or model", 405: "no such path"}
LARGEST_ANSWER = 8 * 2**20
LARGEST_EXCERPT = 2**16
CHARACTERS_PER_TOKEN = 4  # for the estimate alone
CONNECT_S = 10.0
LOWERED = {"judge": "judge.max_tokens or data.limit", "evaluate": "evaluate.max_new_tokens or evaluate.generate_limit"}
CUT_OFF = "cut off"
# The other name of `max_tokens`, which OpenAI's reasoning models want, and say so when they refuse.
OTHER_LIMIT = "max_completion_tokens"
# Why an answer without a text ends: it is one, and empty. All tokens went into thoughts, or a filter took it away.
EMPTY = ("stop", "length", "content_filter")
LEAST_UNHEARD = 4  # requests given up before an endpoint that never said anything is taken to be down
AHEAD = 4  # prompts for each request at the same time that are ready to be sent


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with further keys of its own request body, such as its seed and its stop texts."""

    prompt: str
    more: Mapping[str, Any] = field(default_factory=dict)


class Prompts(Protocol):
    """Requests, or prompts alone, that can be gone through several times, in the same order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str | Request]: ...


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
        budget: US dollars at most; None: no limit.
        price_in, price_out: US dollars for a million tokens.
        extra: further keys of the request body.
        whole: an answer that the server ended at `max_tokens` is the failure "cut off", and is not kept.
        completion: ask for the continuation of a text, not for the answer to a chat turn.
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one prompt.

    Attributes:
        text: the answer; None unless the status is ok.
        status: ok, or the last failure: "timeout", "connection", "malformed", "cut off", "HTTP 500", "HTTP 400", ...
        usd: what it cost; 0 from the cache.
        cached: no request was made.
        finish: why the answer ends, as the server says ("stop", "length"); of a status of its own what it said of it; "" where it says nothing.
    """

    text: str | None
    status: str
    usd: float = 0.0
    cached: bool = False
    finish: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it failed by what was asked, so that the server would say the same again."""
        code = self.status.removeprefix("HTTP ")
        return self.status == CUT_OFF or (code.isdigit() and int(code) not in RETRIED)


@dataclass(frozen=True, slots=True)
class Cost:
    """What prompts will cost: requests that the cache cannot answer, and at most how many tokens and dollars (4 characters a token)."""

    requests: int
    cached: int
    prompt_tokens: int
    answer_tokens: int
    usd: float

    def line(self) -> str:
        """One line for people."""
        return (
            f"{amount(self.requests, 'request')} ({amount(self.cached, 'answer')} known), about {self.prompt_tokens:,} prompt tokens and at most"
            f" {self.answer_tokens:,} answer tokens, at most about ${self.usd:.2f}"
        )


def estimate_cost(prompts: Prompts, settings: Settings, cache: Cache) -> Cost:
    """What asking will cost at most, before anything is sent; tokens are counted as a fourth of the characters."""
    seen: set[bytes] = set()
    requests = asked = 0
    for request in map(_request, prompts):
        mark = _mark(request)
        if mark in seen:
            continue
        seen.add(mark)
        if cache.get(Cache.key(settings.address, settings.payload(request))) is None:
            requests += 1
            asked += _tokens(request.prompt)
    answered = settings.max_tokens * requests
    return Cost(requests, len(prompts) - requests, asked, answered, settings.price(asked, answered))


def ask(prompts: Prompts, settings: Settings, cache_file: Path, progress: Progress = SILENT) -> list[Answer]:
    """The endpoint's answer to every prompt, in their order.

    Timeouts, broken connections, answers that are no JSON and the statuses 408, 409, 425, 429 and 5xx of overload are tried
    again, after the longer of Retry-After and an exponential backoff with jitter. Every answer is in the cache before the next
    is counted, so that a run that was killed pays for nothing twice. The prompts are gone through twice, and a few are held at a time.

    Raises:
        InputError: the key, the path or the model is refused, or the estimate exceeds the budget (nothing is sent then).
        CodeactError: the budget is spent (the answers so far are kept), or nothing was ever heard of the endpoint: as many requests as run
            at the same time were given up, and the others are not tried.
        MissingExtraError: httpx2 is not installed.
    """
    http = require("httpx2", "judge", "asking a judge endpoint")
    with closing(Cache(cache_file)) as cache:
        cost = estimate_cost(prompts, settings, cache)
        if settings.budget is not None and cost.usd > settings.budget:
            raise InputError(
                f"{settings.section}.budget = {settings.budget}: {cost.line()}; raise it, or lower {LOWERED[settings.section]}"
            )
        progress.advance(0.0, cost.line())
        limits = http.Limits(max_connections=settings.concurrency)
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        timeout = http.Timeout(settings.timeout, connect=min(CONNECT_S, settings.timeout))
        login = None if settings.login is None else http.BasicAuth(*settings.login)
        # a redirect is a failure, not followed: it could lead the key to another host
        with http.Client(
            limits=limits, headers=headers, auth=login, timeout=timeout, follow_redirects=False
        ) as client:
            return _Asker(http, client, settings, cache, progress).run(prompts)


class _Asker:
    def __init__(self, http: ModuleType, client: Client, settings: Settings, cache: Cache, progress: Progress) -> None:
        self.http, self.client, self.settings, self.cache, self.progress = http, client, settings, cache, progress
        self.url = settings.address + ("/completions" if settings.completion else "/chat/completions")
        self.stop = threading.Event()
        self.money = threading.Lock()
        self.spent = self.reserved = 0.0
        self.given_up: list[str] = []  # statuses, before anything was heard
        self.heard = False  # whether any request was answered, by whatever
        self.renamed = False  # whether the server wants the other name of `max_tokens`

    def run(self, prompts: Prompts) -> list[Answer]:
        """Ask every distinct prompt once."""
        numbers: dict[bytes, int] = {}  # of the distinct prompts
        order = array("q")
        answers: dict[int, Answer] = {}
        waiting: dict[Future[Answer], int] = {}
        copies: Counter[int] = Counter()  # of those that wait
        with ThreadPoolExecutor(self.settings.concurrency) as pool:

            def take(most: int) -> None:
                """Wait until no more than so many are under way."""
                while len(waiting) > most:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        number = waiting.pop(future)
                        answers[number] = future.result()
                        self._refuse_silence(answers[number])
                        note = f"${self.spent:.2f}" if self.spent else ""
                        self.progress.advance(copies.pop(number), note)

            try:
                for request in map(_request, prompts):
                    number = numbers.setdefault(_mark(request), len(numbers))
                    order.append(number)
                    if number in answers:
                        self.progress.advance(1)
                        continue
                    copies[number] += 1
                    if copies[number] == 1:
                        waiting[pool.submit(self._one, request)] = number
                        take(AHEAD * self.settings.concurrency)
                take(0)
            finally:  # after an error: nothing more is sent
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        return [answers[number] for number in order]

    def _refuse_silence(self, answer: Answer) -> None:
        if self.heard:
            return
        if answer.text is None:
            self.given_up.append(answer.status)
        if len(self.given_up) < max(LEAST_UNHEARD, self.settings.concurrency):
            return
        section, how = self.settings.section, sorted({*self.given_up})
        slow = f", or raise {section}.timeout" if "timeout" in how else ""
        raise CodeactError(
            f"{section}.endpoint {self.settings.address} answers nothing ({len(self.given_up)} requests, {self.settings.attempts} tries each: {', '.join(how)});"
            f" start the server or mend the address{slow}, and run again: what was answered before is kept"
        )

    def _one(self, request: Request) -> Answer:
        s, prompt = self.settings, request.prompt
        payload = s.payload(request)
        key = Cache.key(s.address, payload)
        known = self.cache.get(key)
        if known is not None:
            return Answer(known, "ok", cached=True, finish=self.cache.get(f"{key}#finish") or "")
        status, usd, finish = "stopped", 0.0, ""
        for attempt in range(s.attempts):
            if self.stop.is_set():
                return Answer(None, "stopped")
            price = s.price(_tokens(prompt), s.max_tokens)
            self._reserve(price)
            renamed = self.renamed
            try:
                text, usd, status, pause, finish = self._send(payload, prompt)
            finally:
                with self.money:
                    self.reserved -= price
            with self.money:
                self.spent += usd
            if status == "HTTP 400" and OTHER_LIMIT in finish and not renamed:
                self.renamed = True
                continue
            if text is not None:
                if finish:
                    self.cache.put(f"{key}#finish", finish)
                self.cache.put(key, text)
                return Answer(text, "ok", usd, finish=finish)
            if pause is None or pause > s.max_wait or attempt + 1 == s.attempts:
                break
            growing = s.backoff * 2**attempt * random.uniform(0.5, 1.0)
            self.stop.wait(min(max(pause, growing), s.max_wait))
        return Answer(None, status, usd, finish=finish)

    def _reserve(self, price: float) -> None:
        budget = self.settings.budget
        with self.money:
            if budget is not None and self.spent + self.reserved + price > budget:
                raise CodeactError(
                    f"{self.settings.section}.budget = {budget} is spent (${self.spent:.2f} so far); answers are kept: raise it and run again to go on"
                )
            self.reserved += price

    def _send(self, payload: Mapping[str, Any], prompt: str) -> tuple[str | None, float, str, float | None, str]:
        """(text, dollars, status, seconds to wait before another try or None for never, why the answer ends or what was said of its failure)."""
        deadline = time.monotonic() + self.settings.timeout
        if self.renamed:
            payload = {OTHER_LIMIT if name == "max_tokens" else name: value for name, value in payload.items()}
        try:
            with self.client.stream("POST", self.url, json=payload) as response:
                self.heard = True
                body = bytearray()
                for block in response.iter_bytes():
                    body += block
                    if time.monotonic() > deadline:
                        return None, 0.0, "timeout", 0.0, ""
                    if len(body) > LARGEST_ANSWER:
                        return None, 0.0, "malformed", None, ""
                code, after = response.status_code, response.headers.get("retry-after")
        except self.http.TimeoutException:
            return None, 0.0, "timeout", 0.0, ""
        except self.http.UnsupportedProtocol as error:
            raise InputError(
                f"{self.settings.section}.endpoint {self.settings.address!r} is not an http(s) address: {redact(str(error), *self.settings.secrets)}"
            ) from None
        except self.http.TransportError:
            return None, 0.0, "connection", 0.0, ""
        except self.http.DecodingError:
            return None, 0.0, "malformed", 0.0, ""
        if code in REFUSED:
            base = "" if code != 404 or re.search(r"/v\d+\w*$", self.settings.address) else "; most servers are asked at an address that ends in /v1"
            raise InputError(
                f"{self.settings.section}.endpoint {self.url} answers {code}: {REFUSED[code]} (model {self.settings.model!r}){base}{self._said(code, body)}"
            )
        if code != 200:
            return None, 0.0, f"HTTP {code}", retry_after(after) if code in RETRIED else None, self._said(code, body).removeprefix("; ")
        return self._read(body, prompt)

    def _said(self, code: int, body: bytearray) -> str:
        """What a refusing server said, without the secrets that it may echo; of a refused key nothing, for it echoes parts of it."""
        if code == 401:
            return f"; it is read from the environment variable of {self.settings.section}.api_key_env ({'set' if self.settings.key else 'not set'})"
        text = redact(bytes(body[:LARGEST_EXCERPT]).decode("utf-8", "replace"), *self.settings.secrets)
        return f"; {' '.join(text.split())[:200]}"

    def _read(self, body: bytearray, prompt: str) -> tuple[str | None, float, str, float | None, str]:
        try:
            value = json.loads(bytes(body))
            choice = value["choices"][0]
            text = choice["text"] if self.settings.completion else choice["message"].get("content")
            finish = choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None, 0.0, "malformed", 0.0, ""
        if text is None and finish in EMPTY:
            text = ""
        if not isinstance(text, str):
            return None, 0.0, "malformed", 0.0, ""
        for secret in self.settings.secrets:
            if len(secret) >= SHORTEST:  # a server that echoes it must not bring it into the answers that are kept
                text = text.replace(secret, HIDDEN)
        usage = value.get("usage") if isinstance(value.get("usage"), Mapping) else {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        known = [c if isinstance(c, int) and not isinstance(c, bool) and c >= 0 else None for c in counts]
        asked, answered = known
        usd = self.settings.price(
            _tokens(prompt) if asked is None else asked, _tokens(text) if answered is None else answered
        )
        if self.settings.whole and finish == "length":
            return None, usd, CUT_OFF, None, ""
        return text, usd, "ok", None, finish if isinstance(finish, str) else ""


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for: a number or an HTTP date (RFC 9110, section 10.2.3); 0 where it says nothing."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, date.timestamp() - time.time())


def api_key(variable: str) -> str:
    """The key in this environment variable, or none: local servers need none."""
    return os.environ.get(variable, "") if variable else ""


def _request(prompt: str | Request) -> Request:
    return Request(prompt) if isinstance(prompt, str) else prompt


def _mark(request: Request) -> bytes:
    return hashlib.sha256(json.dumps([request.prompt, request.more], sort_keys=True).encode("ascii")).digest()


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN) + 8
