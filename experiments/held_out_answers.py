"""Readers of what models answered to questions that others asked, for `held_out_drops`: how a repository becomes conversations."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from experiments.clean_sources import Turns
from experiments.held_out_code import Pages
from experiments.held_out_prose import rows_of

_MARK = re.compile(r"<\|(?:Human|MOSS)\|>: ?|<eo[a-z]>")


def _rows(pages: Pages, most: int = 60) -> Iterator[tuple[str, Any]]:
    """(path, row) of a seeded sample of the files, of those that the clone has."""
    paths = random.Random(2).sample(pages.paths, min(most, len(pages.paths)))
    for path in paths:
        with contextlib.suppress(subprocess.CalledProcessError):
            yield from ((path, row) for row in rows_of(pages.show(path)))


def _dialogue(asked: Iterable[object], answered: Iterable[object]) -> Turns:
    """Two lists of turns in turn, up to the first answer that is missing."""
    pairs = list(zip(map(str, asked), answered, strict=False))
    whole = next((n for n, (_, answer) in enumerate(pairs) if not isinstance(answer, str)), len(pairs))
    return list(chain.from_iterable((("user", asked), ("assistant", str(answer))) for asked, answer in pairs[:whole]))


def _benchmark(pages: Pages) -> Iterable[Turns]:
    """MT-Bench's layout: answers in two turns; the questions stand in the named file, two folders above."""
    asked: dict[str, dict[Any, list[str]]] = {}
    for path, row in _rows(pages):
        folder = path.rsplit("/", 2)[0]
        if folder not in asked:
            if f"{folder}/{pages.further}" not in pages.listed:
                folder = folder.rsplit("/", 1)[0]
            asked[folder] = {r["question_id"]: r["turns"] for r in rows_of(pages.show(f"{folder}/{pages.further}"))}
        yield _dialogue(asked[folder][row["question_id"]], row["choices"][0]["turns"])


def _listed(pages: Pages) -> Iterable[Turns]:
    """A list of questions beside one of outputs."""
    return (_dialogue(row["questions"], row["outputs"]) for _, row in _rows(pages))


def _arena(pages: Pages) -> Iterable[Turns]:
    """Messages whose content is a text, or has it under `answer`."""
    for _, row in _rows(pages):
        said = ((turn["role"], turn["content"]) for turn in row["messages"])
        yield [(role, text["answer"] if isinstance(text, dict) else text) for role, text in said]


def _chats(pages: Pages) -> Iterable[Turns]:
    """One conversation a file, its turns numbered and marked."""
    for path in pages.paths:
        turns = json.loads(pages.show(path))["chat"].values()
        yield _dialogue((_MARK.sub("", t["Human"]).strip() for t in turns), (_MARK.sub("", t["MOSS"]).strip() for t in turns))


def _programs(pages: Pages) -> Iterable[Turns]:
    """A program a file, named for what it does."""
    for path in random.Random(2).sample(pages.paths, min(500, len(pages.paths))):
        stem, _, suffix = path.rsplit("/", 1)[-1].rpartition(".")
        yield [("user", f"Write the program {stem.replace('_', ' ')} ({suffix})."), ("assistant", pages.show(path))]


READERS: Mapping[str, Callable[[Pages], Iterable[Turns]]] = {
    "benchmark": _benchmark, "listed": _listed, "arena": _arena, "chats": _chats, "programs": _programs,
}  # fmt: skip
