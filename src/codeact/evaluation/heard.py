"""What an endpoint's answers are: asked for now, or kept from before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codeact.amounts import amount
from codeact.files import cache_dir


@dataclass(slots=True)
class Heard:
    """Counts of an evaluation's answers, at all temperatures.

    Attributes:
        answers: all of them.
        cached: out of the cache, where an earlier evaluation asked for them.
        there: in the output folder already.
    """

    answers: int = 0
    cached: int = 0
    there: int = 0

    def facts(self) -> dict[str, int]:
        """As results.json has them."""
        return {"answers": self.answers, "cache": self.cached, "folder": self.there}

    def told(self, address: str) -> str:
        """What a reader of the figures has to know; "" where every answer was asked for."""
        if not self.cached + self.there:
            return ""
        return (
            f"evaluate.endpoint {address}: {self.cached + self.there} of {amount(self.answers, 'answer')} were not asked for again ({self.cached} from the"
            f" cache, {self.there} from the output folder): they are of the model that this address had then under this name; to ask anew, remove"
            f" {cache_file()} and name another folder"
        )


def cache_file() -> Path:
    """Where an endpoint's answers are kept, for all evaluations of this user."""
    return cache_dir() / "endpoint" / "answers.sqlite"
