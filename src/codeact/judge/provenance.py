"""Whose answers they are: how many were kept from before, of when, and of which model the server says that they are."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from codeact.amounts import amount
from codeact.judge.endpoint import Answer
from codeact.judge.settings import Settings

log = logging.getLogger(__name__)
_SAME = re.compile(r"[-@:](?:latest|v?\d[\d.-]*)")  # what a server adds to a name that stands for the newest of a model


@dataclass(slots=True)
class Origins:
    """Counts of the answers of one model at an endpoint.

    Attributes:
        settings: how it was asked.
        answers: all of them; requests that failed have none.
        cache: out of the cache, where somebody asked for them before.
        folder: out of the output folder, where an earlier start had put them; None: there is none to take them from.
        first, last: days when the kept ones were asked for (UTC); empty: not known.
        models: names that the server says, where that is another than the one asked for -> answers.
    """

    settings: Settings
    answers: int = 0
    cache: int = 0
    folder: int | None = None
    first: str | None = None
    last: str = ""
    models: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """Count what the endpoint or the cache gave."""
        if answer.text is None:
            return
        self.cache += answer.cached
        self._count(answer.model, answer.asked if answer.cached else None)

    def add_kept(self, model: str, asked: str) -> None:
        """Count an answer of the output folder: the model as the server had said it, and when it was asked for; each may be empty."""
        self.folder = (self.folder or 0) + 1
        self._count(model, asked)

    def facts(self) -> dict[str, Any]:
        """What is recorded: `kept_answers` (`answers`, and how many are out of `cache` and `folder`; `asked`, the first and the last day of the kept ones), and
        `answered_by` where it is another model."""
        places = {"cache": self.cache} | ({} if self.folder is None else {"folder": self.folder})
        asked = {} if self.first is None else {"asked": [self.first, self.last]}
        kept = {"answers": self.answers, **places, **asked}
        return {"kept_answers": kept, **({"answered_by": dict(self.models)} if self.models else {})}

    def kept(self) -> str:
        """What is said of the kept ones, and how to have them asked for anew; empty where there are none."""
        if self.first is None:
            return ""
        places = {"cache": self.cache, "output folder": self.folder or 0}
        where = " and ".join(f"{count:,} from the {name}" for name, count in places.items() if count)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"{self._of(sum(places.values()))} not asked for again ({where}, asked for {_span(self.first, self.last)}); a server that has other"
            f" weights under the same name now would answer otherwise; to ask anew: {self.settings.section}.asked_since={moment}"
        )

    def others(self) -> list[str]:
        """What is said of each model that is not the one asked for, whatever the server calls that."""
        return [
            f"{self._of(count)} of the model {name!r}, as the server says, and {self.settings.model!r} was asked for; give the name of a model that it has"
            for name, count in self.models.most_common()
            if not _is_same(self.settings.model, name)
        ]

    def _count(self, model: str, kept: str | None) -> None:
        self.answers += 1
        if model and model != self.settings.model:
            self.models[model] += 1
        if kept is not None:
            day = kept[:10]
            self.first, self.last = day if self.first is None else min(self.first, day), max(self.last, day)

    def _of(self, count: int) -> str:
        return f"{count:,} of {amount(self.answers, 'answer')} {'were' if count != 1 else 'was'}"


def tell(label: str, answers: Iterable[Answer], settings: Settings) -> dict[str, Any]:
    """Log how many answers were kept from before, and warn where the server says that another model gave them.

    Args:
        label: what they are of, for messages.
        answers: of the endpoint.
        settings: how they were asked for.

    Returns:
        What is recorded: `Origins.facts`.
    """
    origins = Origins(settings)
    for answer in answers:
        origins.add(answer)
    if line := origins.kept():
        log.info("%s: %s", label, line)
    for line in origins.others():
        log.warning("%s: %s", label, line)
    return origins.facts()


def _span(first: str, last: str) -> str:
    if not first:
        return f"until {last}, some at an unknown date" if last else "at an unknown date"
    return f"on {first}" if first == last else f"from {first} to {last}"


def _is_same(asked: str, told: str) -> bool:
    """Whether the name that a server gives is the one asked for, but for its letters' case, an owner before it, or a date or version behind it."""
    mine, its = (name.rpartition("/")[2].lower() for name in (asked, told))
    return its == mine or (its.startswith(mine) and _SAME.fullmatch(its[len(mine) :]) is not None)
