"""A recipe's judge endpoint: its settings, where its answers are kept, and how many of them may fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from codeact.amounts import amount
from codeact.config import JudgeConfig
from codeact.errors import CodeactError
from codeact.files import cache_dir
from codeact.judge import endpoint
from codeact.progress import track
from codeact.redact import split_userinfo

NAMED = 3


def settings(config: JudgeConfig, max_tokens: int, whole: bool = False) -> endpoint.Settings:
    """The recipe's section as the endpoint's settings."""
    return endpoint.Settings(
        config.endpoint, config.model, endpoint.api_key(config.api_key_env), concurrency=config.concurrency,
        timeout=config.timeout, attempts=config.attempts, backoff=config.backoff, max_tokens=max_tokens, budget=config.budget,
        price_in=config.price_in, price_out=config.price_out, extra=config.extra, whole=whole,
    )  # fmt: skip


def cache_file() -> Path:
    """Where answers are kept, for all runs of this user."""
    return cache_dir() / "judge" / "answers.sqlite"


def ask_endpoint(
    prompts: endpoint.Prompts, ids: Sequence[str], config: JudgeConfig, label: str, max_tokens: int, whole: bool = False
) -> tuple[list[endpoint.Answer], float]:
    """Answers of the recipe's endpoint in the order of the prompts, and what they cost in dollars.

    Args:
        prompts: one request each.
        ids: of the records that they ask about, for messages.
        config: address, model, limits.
        label: of the progress.
        max_tokens: of an answer.
        whole: one that is cut off at `max_tokens` is a failure, and what fails by its own prompt does not count for `judge.max_failures`.

    Raises:
        CodeactError: more requests failed than `judge.max_failures` allows; the other answers are kept.
    """
    with track(label, len(prompts), "records") as progress:
        answers = endpoint.ask(prompts, settings(config, max_tokens, whole), cache_file(), progress)
    failed = [(one, a) for one, a in zip(ids, answers, strict=True) if a.text is None and not (whole and a.is_refused)]
    if len(failed) > config.max_failures * len(answers):
        said = [f"record {one!r} ({': '.join(filter(None, (a.status, a.finish)))})" for one, a in failed[:NAMED]]
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise CodeactError(
            f"{label}: {len(failed)} of {amount(len(answers), 'request')} to {split_userinfo(config.endpoint)[0]} failed"
            f" ({dict(Counter(a.status for _, a in failed))}): {', '.join(said)}{more}; the other answers are kept: run again to ask only"
            " for these, or allow them with judge.max_failures"
        )
    return answers, round(sum(a.usd for a in answers), 6)
