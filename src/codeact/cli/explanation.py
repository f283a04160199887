"""How a terminal shows what became of a record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

from codeact.amounts import columns
from codeact.terminal import fitting, visible_lines

APART = ("record", "score", "lengths", "neighbours", "changes", "tokens", "words", "sentence", "row")
CLEAR = 0.5  # nats: what is coloured
WIDEST = 120
MEANINGS = {
    "ifd": "perplexity of the answer given the instruction, divided by that of the answer alone",
    "cutoff": "value of the last record that was taken",
    "nll_cond": "loss of the answer given the instruction, nats a token",
    "nll_uncond": "loss of the answer alone, nats a token",
    "prefix_log_ifd": "log IFD over the first 1, 2, 4, 8, ... tokens of the answer",
    "spike": "highest loss of an operator or number of its code, nats",
}


def explanation(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `codeact.explain`: the sentence first, then settings, neighbours, figures and the text."""
    yield found["sentence"]
    yield f"row {found['row'] + 1} of the data, id {found['id']}"
    width = min(WIDEST, get_terminal_size().columns)
    yield from _changes(found["changes"], width)
    if found["neighbours"]:
        yield "\nnearest records by the embedding (cosine, 1: the same)"
    for near in found["neighbours"]:
        ifd = "" if near["ifd"] is None else f", IFD {near['ifd']:.3f}"
        line = f"  {near['cosine']:.3f}  {near['id']}  {near['status']}{ifd}  "
        yield line + fitting(near["instruction"], width - len(line))
    yield ""
    measured = found.get("score") or found.get("lengths") or {}
    figures = {**found, **{f"score {k}" if k in found else k: v for k, v in measured.items() if k not in ("id", "turns", "ifd")}}
    shown = [(key, _shown(value)) for key, value in figures.items() if key not in APART and value not in (None, "", [])]
    yield from columns([(key, f"{value}{f'  ({MEANINGS[key]})' if key in MEANINGS else ''}") for key, value in shown])
    yield from (f"\n[{m['role']}]\n{m['content']}" for m in (found.get("record") or {}).get("messages", []))
    if "tokens" in found:
        yield from _tokens(found["tokens"])


def _changes(changes: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """Settings under what they would do, all values of a key on one line."""

    def outcome(one: Mapping[str, Any]) -> tuple[str, bool]:
        return one["then"], bool(one["tried"])

    def key(one: Mapping[str, Any]) -> str:
        return str(one["set"]).partition("=")[0]

    for (then, tried), alike in groupby(changes, outcome):
        yield f"\nwould be {then} with{'' if tried else ' (not tried)'}"
        for _, ones in groupby(alike, key):
            first, *more = (str(one["set"]) for one in ones)
            line = " or ".join([first, *(one.partition("=")[2] for one in more)])
            yield from wrap(line, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "[" + ", ".join(map(_shown, value)) + "]" if isinstance(value, list | tuple) else str(value)


def _tokens(tokens: list[Mapping[str, Any]]) -> Iterator[str]:
    saved = _saved(tokens)
    yield f"\nnats that the instruction saves on each token of the answer, {sum(saved):.1f} in all"
    if not sys.stdout.isatty():
        yield from (f"{gain:+8.2f}  {one['text']!r}" for one, gain in zip(tokens, saved, strict=True))


def _saved(tokens: list[Mapping[str, Any]]) -> list[float]:
    return [one["without"] - one["with"] for one in tokens]


def show_colours(tokens: list[Mapping[str, Any]]) -> None:
    """On a terminal, the answer with each token in the colour of what the instruction saves on it; elsewhere `explanation` has its lines."""
    if not sys.stdout.isatty():
        return
    from rich.console import Console
    from rich.text import Text

    text = Text()
    saved = _saved(tokens)
    for one, gain in zip(tokens, saved, strict=True):
        style = "" if abs(gain) < CLEAR else f"black on {_colour(gain)}"
        text.append(visible_lines(one["text"]), style)
    Console().print("green: saved, red: cost; the darker, the more than 0.5, 2 nats", text, sep="\n")


def _colour(gain: float) -> str:
    return ("green3" if gain >= 2 else "pale_green1") if gain > 0 else ("red1" if gain <= -2 else "light_salmon1")
