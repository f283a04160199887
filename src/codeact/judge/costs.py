"""What requests will cost, and what they have cost: estimates, the budget, and the ledger of a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codeact import files
from codeact.amounts import amount
from codeact.errors import InputError
from codeact.judge.kept import Cache
from codeact.judge.settings import Prompts, Request, Settings, as_request

CHARACTERS_PER_TOKEN = 4  # for estimates alone
LEDGER = "spent.jsonl"
LOWERED = {"judge": "judge.max_tokens or data.limit", "evaluate": "evaluate.max_new_tokens or evaluate.generate_limit"}


class Ledger:
    """Dollars that the requests of one piece of work have cost, in all its starts: lines of JSON, one for each request that cost something.

    Args:
        path: the file, such as `spent.jsonl` of a run directory; None: what is spent is known to this process alone.
        purpose: what is asked for now, such as `judge: accuracy`.
    """

    def __init__(self, path: Path | None = None, purpose: str = "") -> None:
        self.path, self.purpose = path, purpose
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}
        if path is None or not path.exists():
            return
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):  # a kill cut the last line off
            files.append(path, b"\n")
        for line in data.splitlines():
            self._take(line)

    @property
    def total(self) -> float:
        """Dollars for everything."""
        with self._lock:
            return sum(self._spent.values())

    @property
    def own(self) -> float:
        """Dollars for this purpose."""
        with self._lock:
            return self._spent.get(self.purpose, 0.0)

    def add(self, usd: float) -> None:
        """Count what a request has cost; it is on disk when this returns."""
        if not usd:
            return
        with self._lock:
            self._spent[self.purpose] = self._spent.get(self.purpose, 0.0) + usd
            if self.path is not None:
                files.append(self.path, json.dumps({"for": self.purpose, "usd": usd}).encode() + b"\n")

    def line(self) -> str:
        """What was spent, for messages; empty where nothing was."""
        return f"${self.total:.2f} is spent{f' ({self.path})' if self.path else ''}, and " if self.total else ""

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            purpose, usd = str(row["for"]), float(row["usd"])
        except (ValueError, LookupError, TypeError):
            return
        self._spent[purpose] = self._spent.get(purpose, 0.0) + usd


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
    for request in map(as_request, prompts):
        mark = mark_of(request)
        if mark in seen:
            continue
        seen.add(mark)
        if cache.get(Cache.key(settings.address, settings.payload(request)), settings.served or "", settings.since) is None:
            requests += 1
            asked += count_tokens(request.prompt)
    answered = settings.max_tokens * requests
    return Cost(requests, len(prompts) - requests, asked, answered, settings.price(asked, answered))


def together(costs: Iterable[Cost]) -> Cost:
    """The cost of several sets of prompts."""
    some = list(costs)
    return Cost(
        sum(one.requests for one in some), sum(one.cached for one in some), sum(one.prompt_tokens for one in some),
        sum(one.answer_tokens for one in some), sum(one.usd for one in some),
    )  # fmt: skip


def check_budget(cost: Cost, settings: Settings, ledger: Ledger) -> None:
    """Refuse to begin what the rest of the budget may not pay.

    Raises:
        InputError: so it is.
    """
    if settings.budget is not None and ledger.total + cost.usd > settings.budget:
        kept = "answers are kept: " if ledger.total else ""
        raise InputError(
            f"{settings.section}.budget = {settings.budget}: {ledger.line()}{cost.line()}; {kept}raise it, or lower {LOWERED[settings.section]}"
        )


def count_tokens(text: str) -> int:
    """About how many tokens a prompt of this text has; some more than fewer."""
    return -(-len(text) // CHARACTERS_PER_TOKEN) + 8


def mark_of(request: Request) -> bytes:
    """What two equal requests share."""
    return hashlib.sha256(json.dumps([request.prompt, request.more], sort_keys=True).encode("ascii")).digest()
