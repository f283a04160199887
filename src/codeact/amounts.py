"""Numbers with what they count (`1 record`, `1,234 records`), numbers that are given, and lines of a name and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

from codeact.errors import InputError


def amount(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, in the plural where it is not one.

    >>> amount(1, "record"), amount(0, "record"), amount(1234, "match", "matches")
    ('1 record', '0 records', '1,234 matches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Refuse a count or a seed that is no whole number, too small or too large.

    Raises:
        InputError: it is not an integer from `least` to `most`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least or (most is not None and int(value) > most):
        limit = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise InputError(f"{name} is {value!r}; it must be a whole number {limit}")


def is_number(value: object) -> bool:
    """Whether it is a number of Python or NumPy; a text and a truth value are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def columns(told: Sequence[tuple[str, str]], least: int = 15) -> list[str]:
    """A line for each name and text, all texts in one column: beyond `least` characters and the longest name.

    >>> columns([("train", "1 h"), ("", "twice")], least=6)
    ['train  1 h', '       twice']
    """
    width = max([least, *(len(name) for name, _ in told)])
    return [f"{name:<{width}} {text}" for name, text in told]
