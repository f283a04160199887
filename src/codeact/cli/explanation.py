"""How a terminal shows what became of a record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from codeact.amounts import columns
from codeact.terminal import visible_lines

APART = ("record", "score", "lengths", "neighbours", "changes", "tokens", "words", "sentence", "row")
CLEAR = 0.5  # nats: what is coloured


def explanation(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `codeact.explain`: the sentence first, then settings, neighbours, figures and the text."""
    yield found["sentence"]
    yield f"row {found['row'] + 1} of the data, id {found['id']}"
    if found["changes"]:
        yield ""
    tried = {True: "the strategy chose again with it", False: "not tried"}
    yield from columns([(one["set"], f"would have it {one['then']} ({tried[bool(one['tried'])]})") for one in found["changes"]])
    if found["neighbours"]:
        yield "\nnearest records by the embedding"
    for near in found["neighbours"]:
        ifd = "" if near["ifd"] is None else f", IFD {near['ifd']:.3f}"
        yield f"  {near['cosine']:.3f}  {near['id']}  {near['status']}{ifd}  {near['instruction']}"
    yield ""
    figures = {**found, **{k: v for k, v in (found.get("score") or found.get("lengths") or {}).items() if k not in ("id", "turns", "ifd")}}
    yield from columns([(key, _shown(value)) for key, value in figures.items() if key not in APART and value not in (None, "", [])])
    yield from (f"\n[{m['role']}]\n{m['content']}" for m in (found.get("record") or {}).get("messages", []))
    if "tokens" in found:
        yield from _tokens(found["tokens"])


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
