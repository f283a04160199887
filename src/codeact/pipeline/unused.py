"""Settings that were given and that no stage reads of those that run: said, for a typing error or a wrong command hides there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from codeact.config import Recipe
from codeact.stages.evaluate import EVALUATIONS

log = logging.getLogger(__name__)

# The sections that only some stages read: `model` and `data` say what is read, whatever is done with it.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "curate": ("records", "curate", "refine"),
    "embed": ("embed", "refine", "target"),
    "cluster": ("cluster",),
    "score": ("score", "proxy"),
    "judge": ("judge", "tags"),
    "sample": ("sample", "score", "target", "judge", "control"),
    "pack": ("pack", "train"),
    "train": ("pack", "train"),
    "evaluate": (*EVALUATIONS, "evaluate"),
}
OWN = ("embed.model", "evaluate.enabled")  # of the commands' own options


def unused_keys(recipe: Recipe, stages: Iterable[str]) -> list[str]:
    """The keys that were set in a recipe and that none of the stages reads, in order."""
    names = set(stages)
    keys = [f"{section}.{key}" for section in SECTIONS for key in sorted(getattr(recipe, section).model_fields_set)]
    return [key for key in keys if key not in OWN and not names & set(SECTIONS[key.partition(".")[0]])]


def say_unused(recipe: Recipe, stages: Iterable[str]) -> None:
    """One line for each setting that was given to a command that does not use it."""
    names = list(stages)
    for key in unused_keys(recipe, names):
        log.warning("%s has no effect here: no stage that runs reads it (%s)", key, ", ".join(names))
