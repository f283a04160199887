"""Numbers with what they count: `1 record`, `1,234 records`."""

from __future__ import annotations


def amount(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, in the plural where it is not one.

    >>> amount(1, "record"), amount(0, "record"), amount(1234, "match", "matches")
    ('1 record', '0 records', '1,234 matches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
