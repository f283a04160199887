"""Whose answers they are: how many come from the cache, and of which model the server says that they are."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from codeact.amounts import amount
from codeact.judge.endpoint import Answer
from codeact.judge.settings import Settings

log = logging.getLogger(__name__)
_SAME = re.compile(r"[-@:](?:latest|v?\d[\d.-]*)")  # what a server adds to a name that stands for the newest of a model


def tell(label: str, answers: Iterable[Answer], settings: Settings) -> dict[str, Any]:
    """Log how many answers come from the cache, of when, and warn where the server says that another model gave them.

    Args:
        label: what they are of, for messages.
        answers: of the endpoint; those that failed do not count.
        settings: how they were asked for.

    Returns:
        What is recorded: `cached` (how many come from the cache); and where there are such, `cached_asked` (days of the first and the last,
        UTC; "" where it is not known) and `answered_by` (names of models other than the one asked for -> answers).
    """
    given = [answer for answer in answers if answer.text is not None]
    cached = [answer for answer in given if answer.cached]
    told: dict[str, Any] = {"cached": len(cached)}
    if cached:
        days = [min(answer.asked for answer in cached)[:10], max(answer.asked for answer in cached)[:10]]
        told["cached_asked"] = days
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        log.info(
            "%s: %s of %s from the cache, asked for %s; a server that has other weights under the same name now would answer otherwise;"
            " to ask anew: %s.asked_since=%s",
            label, f"{len(cached):,}", f"{amount(len(given), 'answer')} {'come' if len(cached) != 1 else 'comes'}", _span(*days), settings.section, moment,
        )  # fmt: skip
    others = Counter(answer.model for answer in given if answer.model and answer.model != settings.model)
    if others:
        told["answered_by"] = dict(others)
    for name, count in others.most_common():
        if not _is_same(settings.model, name):
            log.warning(
                "%s: the server says that %s of %s of the model %r, and %r was asked for; give the name of a model that it has",
                label, f"{count:,}", f"{amount(len(given), 'answer')} {'are' if count != 1 else 'is'}", name, settings.model,
            )  # fmt: skip
    return told


def _span(first: str, last: str) -> str:
    if not first:
        return f"until {last}, some at an unknown date" if last else "at an unknown date"
    return f"on {first}" if first == last else f"from {first} to {last}"


def _is_same(asked: str, told: str) -> bool:
    """Whether the name that a server gives is the one asked for, but for its letters' case, an owner before it, or a date or version behind it."""
    mine, its = (name.rpartition("/")[2].lower() for name in (asked, told))
    return its == mine or (its.startswith(mine) and _SAME.fullmatch(its[len(mine) :]) is not None)
