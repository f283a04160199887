"""A recipe's judge endpoint: its settings, where its answers are kept, what it may cost, and how many requests may fail."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from codeact.amounts import amount
from codeact.config import JudgeConfig
from codeact.errors import CodeactError
from codeact.files import cache_dir, make_folder
from codeact.judge import endpoint
from codeact.judge.costs import LEDGER, Ledger, check_budget, estimate_cost, mark_of, together
from codeact.judge.kept import Cache
from codeact.judge.provenance import tell
from codeact.judge.settings import Prompts, Settings, api_key, as_request
from codeact.progress import track
from codeact.redact import split_userinfo

NAMED = 3


def settings(config: JudgeConfig, max_tokens: int, whole: bool = False) -> Settings:
    """The recipe's section as the endpoint's settings."""
    return Settings(
        config.endpoint, config.model, api_key(config.api_key_env), concurrency=config.concurrency,
        timeout=config.timeout, attempts=config.attempts, backoff=config.backoff, max_tokens=max_tokens, budget=config.budget,
        price_in=config.price_in, price_out=config.price_out, extra=config.extra, whole=whole, since=config.asked_since,
    )  # fmt: skip


def loaded(config: JudgeConfig) -> str:
    """What the recipe's endpoint has loaded under the model's name; empty: it does not say, or cannot be reached.

    Raises:
        InputError: the key, the address or a proxy cannot be used.
        MissingExtraError: httpx2 is not installed.
    """
    return endpoint.identified(settings(config, config.max_tokens)).served or ""


def cache_file() -> Path:
    """Where answers are kept, for all runs of this user."""
    return cache_dir() / "judge" / "answers.sqlite"


def check_costs(asked: Sequence[Prompts], config: JudgeConfig, max_tokens: int, folder: Path) -> None:
    """Refuse several sets of prompts together, before the first of them costs anything.

    Raises:
        InputError: what they may cost exceeds the rest of the budget.
    """
    if config.budget is None or len(asked) < 2:  # one is looked at when it is asked
        return
    how = settings(config, max_tokens)
    with closing(Cache(cache_file())) as cache:
        check_budget(together(estimate_cost(prompts, how, cache) for prompts in asked), how, Ledger(folder / LEDGER))


def ask_endpoint(
    prompts: Prompts, ids: Sequence[str], config: JudgeConfig, label: str, max_tokens: int, whole: bool = False, folder: Path | None = None
) -> tuple[list[endpoint.Answer], dict[str, Any]]:
    """Answers of the recipe's endpoint in the order of the prompts, and what is recorded of them.

    Args:
        prompts: one request each.
        ids: of the records that they ask about, for messages.
        config: address, model, limits.
        label: of the progress.
        max_tokens: of an answer.
        whole: one that is cut off at `max_tokens` is a failure, and what fails by its own prompt does not count for `judge.max_failures`.
        folder: a run directory, whose ledger the costs go to; None: the costs of just these prompts are kept in the cache.

    Returns:
        The answers; and `usd` (dollars that `label` has cost, in all starts) with what `provenance.tell` returns.

    Raises:
        CodeactError: more requests failed than `judge.max_failures` allows; the other answers are kept.
    """
    how = settings(config, max_tokens, whole)
    ledger = Ledger((folder / LEDGER) if folder is not None else _ledger_of(prompts, how), label)
    with track(label, len(prompts), "records") as progress:
        answers = endpoint.ask(prompts, how, cache_file(), progress, ledger)
    failed = [(one, a) for one, a in zip(ids, answers, strict=True) if a.text is None and not (whole and a.is_refused)]
    if len(failed) > config.max_failures * len(answers):
        said = [f"record {one!r} ({': '.join(filter(None, (a.status, a.finish)))})" for one, a in failed[:NAMED]]
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise CodeactError(
            f"{label}: {len(failed)} of {amount(len(answers), 'request')} to {split_userinfo(config.endpoint)[0]} failed"
            f" ({dict(Counter(a.status for _, a in failed))}): {', '.join(said)}{more}; the other answers are kept: run again to ask only"
            " for these, or allow them with judge.max_failures"
        )
    return answers, {"usd": round(ledger.own, 6), **tell(label, answers, how)}


def _ledger_of(prompts: Prompts, how: Settings) -> Path | None:
    """Of these prompts to this model, whatever else is asked elsewhere; none where nothing has a price."""
    if not (how.price_in or how.price_out):
        return None
    marks = hashlib.sha256(f"{how.address}\n{how.model}\n".encode("utf-8", "backslashreplace"))
    for request in map(as_request, prompts):
        marks.update(mark_of(request))
    return make_folder(cache_dir() / "spent") / f"{marks.hexdigest()[:32]}.jsonl"
