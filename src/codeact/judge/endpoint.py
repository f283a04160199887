"""Many prompts to an OpenAI-compatible endpoint (vLLM, llama.cpp's server, Ollama, OpenAI): concurrent, retried, cached, within a budget."""

from __future__ import annotations

import logging
import random
import re
import threading
from array import array
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codeact.errors import CodeactError, InputError, require
from codeact.judge import connections, responses
from codeact.judge.costs import Ledger, check_budget, count_tokens, estimate_cost, mark_of
from codeact.judge.kept import Cache, Kept, now
from codeact.judge.responses import REFUSED, RETRIED, Said
from codeact.judge.settings import OTHER_LIMIT, Prompts, Request, Settings, as_request
from codeact.progress import SILENT, Progress
from codeact.redact import HIDDEN, SHORTEST

if TYPE_CHECKING:
    from httpx2 import Client

log = logging.getLogger(__name__)
LARGEST_ANSWER = 8 * 2**20
CUT_OFF = "cut off"
LEAST_UNHEARD = 4  # requests given up before an endpoint that never said anything is taken to be down
AHEAD = 4  # prompts for each request at the same time that are ready to be sent


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one prompt.

    Attributes:
        text: the answer; None unless the status is ok.
        status: ok, or the last failure: "timeout", "connection", "malformed", "error" (the server broke the answer off), "cut off",
            "HTTP 500", "HTTP 400", ...
        usd: what it cost, with the tries that failed; 0 from the cache.
        cached: no request was made.
        finish: why the answer ends, as the server says ("stop", "length"), "" where it says nothing; of a failure what was said of it.
        model: the name of the model that answered, as the server says it; "" where it says nothing.
        asked: when, in UTC (ISO 8601); "" where it is not known.
    """

    text: str | None
    status: str
    usd: float = 0.0
    cached: bool = False
    finish: str = ""
    model: str = ""
    asked: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it failed by what was asked, so that the server would say the same again."""
        code = self.status.removeprefix("HTTP ")
        return self.status == CUT_OFF or (code.isdigit() and int(code) not in RETRIED)


def identified(settings: Settings) -> Settings:
    """The settings with what the server has loaded under the model's name: asked for once, where `ask` is called several times.

    Raises:
        InputError: the key, the address or a proxy cannot be used.
        MissingExtraError: httpx2 is not installed.
    """
    http = require("httpx2", "judge", "asking an endpoint")
    with connections.open_client(http, settings, _named(settings)) as client:
        return _identified(http, client, settings)


def ask(
    prompts: Prompts, settings: Settings, cache_file: Path, progress: Progress = SILENT, ledger: Ledger | None = None
) -> list[Answer]:
    """The endpoint's answer to every prompt, in their order.

    Timeouts, broken connections, answers that are no JSON or that the server broke off, and the statuses 408, 409, 425, 429 and 5xx of
    overload are tried again, after the longer of Retry-After and an exponential backoff with jitter. Every answer is in the cache before the
    next is counted, so that a run that was killed pays for nothing twice. The prompts are gone through twice, and a few are held at a time.

    Args:
        prompts: what is asked.
        settings: of the endpoint.
        cache_file: where answers are kept.
        progress: one step for each prompt.
        ledger: what the same piece of work has cost before, which counts for the budget; what this costs is added.

    Raises:
        InputError: the key, the path or the model is refused, the server's quota is used up, or the estimate exceeds the rest of the budget
            (no prompt is sent then).
        CodeactError: the budget is spent (the answers so far are kept), nothing was ever heard of the endpoint (as many requests as run
            at the same time were given up, and the others are not tried), or the cache is damaged.
        MissingExtraError: httpx2 is not installed.
    """
    http = require("httpx2", "judge", "asking a judge endpoint")
    ledger = ledger or Ledger()
    with connections.open_client(http, settings, _named(settings)) as client, closing(Cache(cache_file)) as cache:
        settings = _identified(http, client, settings)
        cost = estimate_cost(prompts, settings, cache)
        check_budget(cost, settings, ledger)
        progress.advance(0.0, cost.line())
        return _Asker(http, client, settings, cache, progress, ledger).run(prompts)


def _named(settings: Settings) -> str:
    return f"{settings.section}.endpoint"


def _identified(http: ModuleType, client: Client, settings: Settings) -> Settings:
    if settings.served is not None:
        return settings
    return replace(settings, served=connections.served(http, client, settings, _named(settings)))


class _Asker:
    def __init__(self, http: ModuleType, client: Client, settings: Settings, cache: Cache, progress: Progress, ledger: Ledger) -> None:
        self.http, self.client, self.settings, self.cache, self.progress, self.ledger = http, client, settings, cache, progress, ledger
        self.path = "/completions" if settings.completion else "/chat/completions"
        self.url = settings.address + self.path
        self.stop = threading.Event()
        self.money = threading.Lock()
        self.reserved = 0.0
        self.dearest = 1.0  # the most that a request has cost, in parts of what it was estimated at
        self.given_up: list[Answer] = []  # before anything was heard
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
                        spent = self.ledger.total
                        self.progress.advance(copies.pop(number), f"${spent:.2f}" if spent else "")

            try:
                for request in map(as_request, prompts):
                    number = numbers.setdefault(mark_of(request), len(numbers))
                    order.append(number)
                    if number in answers:
                        self.progress.advance(1)
                        continue
                    copies[number] += 1
                    if copies[number] == 1:
                        waiting[pool.submit(self._one, request)] = number
                        take(AHEAD * self.settings.concurrency)
                take(0)
            except KeyboardInterrupt:
                self.stop.set()
                if under_way := sum(future.running() for future in waiting):
                    log.warning("%s", connections.waits(under_way, self.settings))
                raise
            finally:  # after an error: nothing more is sent
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        return [answers[number] for number in order]

    def _refuse_silence(self, answer: Answer) -> None:
        if self.heard:
            return
        if answer.text is None:
            self.given_up.append(answer)
        if len(self.given_up) < max(LEAST_UNHEARD, self.settings.concurrency):
            return
        section, how = self.settings.section, sorted({one.status for one in self.given_up})
        slow = f", or raise {section}.timeout" if "timeout" in how else ""
        said = next((f"; the first: {one.finish}" for one in self.given_up if one.finish), "")
        raise CodeactError(
            f"{section}.endpoint {self.settings.address} answers nothing ({len(self.given_up)} requests, {self.settings.attempts} tries each: {', '.join(how)}{said});"
            f" start the server or mend the address{slow}, and run again: what was answered before is kept"
        )

    def _hear(self) -> None:
        self.heard = True

    def _one(self, request: Request) -> Answer:
        s = self.settings
        payload = s.payload(request)
        key = Cache.key(s.address, payload)
        known = self.cache.get(key, s.served or "", s.since)
        if known is not None:
            return Answer(known.text, "ok", cached=True, finish=known.finish, model=known.model, asked=known.asked)
        answer, usd = Answer(None, "stopped"), 0.0
        for attempt in range(s.attempts):
            if self.stop.is_set():
                return Answer(None, "stopped", usd)
            estimate = s.price(count_tokens(request.prompt), s.max_tokens)
            price = self._reserve(estimate)
            renamed, asked, cost = self.renamed, now(), 0.0
            try:
                answer, pause = self._send(payload, request.prompt, price)
                cost = answer.usd
            finally:
                self._settle(estimate, price, cost)
            usd += cost
            if answer.status == "HTTP 400" and OTHER_LIMIT in answer.finish and not renamed:
                self.renamed = True
                continue
            if answer.text is not None:
                self.cache.put(key, Kept(answer.text, answer.finish, answer.model, asked), s.served or "")
                return replace(answer, usd=usd, asked=asked)
            if pause is None or pause > s.max_wait or attempt + 1 == s.attempts:
                break
            growing = s.backoff * 2**attempt * random.uniform(0.5, 1.0)
            self.stop.wait(min(max(pause, growing), s.max_wait))
        return replace(answer, usd=usd)

    def _reserve(self, estimate: float) -> float:
        """Dollars that are set aside for a request: as much more than the estimate as the dearest request so far has cost."""
        budget = self.settings.budget
        with self.money:
            price = estimate * self.dearest
            if budget is not None and self.ledger.total + self.reserved + price > budget:
                where = f", {self.ledger.path}" if self.ledger.path else ""
                raise CodeactError(
                    f"{self.settings.section}.budget = {budget} is spent (${self.ledger.total:.2f} so far{where}): the next request may cost"
                    f" ${price:.2f}; answers are kept: raise it and run again to go on"
                )
            self.reserved += price
            return price

    def _settle(self, estimate: float, price: float, cost: float) -> None:
        with self.money:
            self.ledger.add(cost)
            self.reserved -= price
            if estimate:
                self.dearest = max(self.dearest, cost / estimate)

    def _send(self, payload: Mapping[str, Any], prompt: str, price: float) -> tuple[Answer, float | None]:
        """The answer of one try with its cost, and the seconds to wait before another; None: another would go no better."""
        s = self.settings
        if self.renamed:
            payload = {OTHER_LIMIT if name == "max_tokens" else name: value for name, value in payload.items()}
        reply = connections.post(self.http, self.client, s, self.path, payload, LARGEST_ANSWER, _named(s), self._hear)
        if reply.failure:  # nobody says what it cost: it counts in full where the server had it
            return Answer(None, reply.failure, price if reply.sent else 0.0, finish=reply.said), 0.0 if reply.again else None
        if reply.code in REFUSED or (reply.code == 429 and responses.USED_UP in reply.body):
            raise self._refused(reply.code, reply.body)
        said = responses.read(reply.body, s.completion)
        usd = self._cost(said, prompt, price if reply.code == 200 else 0.0)
        if reply.code != 200:
            moved = f"it leads to {connections.excerpt(reply.header('location'), s)}" if 300 <= reply.code < 400 else self._excerpt(said.fault or reply.body)
            pause = responses.retry_after(reply.header("retry-after")) if reply.code in RETRIED else None
            return Answer(None, f"HTTP {reply.code}", usd, finish=moved), pause
        if said.text is None:
            return Answer(None, said.status, usd, finish=self._excerpt(said.fault or reply.body)), 0.0
        if s.whole and said.finish == "length":
            return Answer(None, CUT_OFF, usd), None
        text = said.text
        for secret in s.secrets:
            if len(secret) >= SHORTEST:  # a server that echoes it must not bring it into the answers that are kept
                text = text.replace(secret, HIDDEN)
        return Answer(text, "ok", usd, finish=said.finish, model=said.model), None

    def _cost(self, said: Said, prompt: str, price: float) -> float:
        """Dollars by the tokens that the server counts; where it counts none, by those of the texts, and of an answer that cannot be read in full."""
        asked, answered = said.used
        if asked is None and answered is None and said.text is None:
            return price if said.began else 0.0
        if asked is None:
            asked = count_tokens(prompt)
        if answered is None:
            answered = count_tokens(said.text or "")
        return self.settings.price(asked, answered)

    def _refused(self, code: int, body: bytes) -> InputError:
        """What stops everything. Of a refused key nothing is repeated: servers echo parts of it."""
        s = self.settings
        why = REFUSED.get(code, "the quota is used up")
        base = "" if code != 404 or re.search(r"/v\d+\w*$", s.address) else "; most servers are asked at an address that ends in /v1"
        if code == 401:
            said = f"it is read from the environment variable of {s.section}.api_key_env ({'set' if s.key else 'not set'})"
        else:
            said = self._excerpt(body)
        return InputError(f"{_named(s)} {self.url} answers {code}: {why} (model {s.model!r}){base}; {said}")

    def _excerpt(self, said: str | bytes) -> str:
        return connections.excerpt(said if isinstance(said, str) else said[: 2**16].decode("utf-8", "replace"), self.settings)
