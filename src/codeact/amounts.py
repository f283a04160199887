"""Numbers with what they count (`1 record`, `1,234 records`), and lines of a name and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence


def amount(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, in the plural where it is not one.

    >>> amount(1, "record"), amount(0, "record"), amount(1234, "match", "matches")
    ('1 record', '0 records', '1,234 matches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def columns(told: Sequence[tuple[str, str]], least: int = 15) -> list[str]:
    """A line for each name and text, all texts in one column: beyond `least` characters and the longest name.

    >>> columns([("train", "1 h"), ("", "twice")], least=6)
    ['train  1 h', '       twice']
    """
    width = max([least, *(len(name) for name, _ in told)])
    return [f"{name:<{width}} {text}" for name, text in told]
