"""Lists of turns and of answers that stand in a column as text, as CSV holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from codeact.records.tools import is_numpy_print, parsed
from codeact.records.turns import ROLES, is_item
from codeact.records.types import Role, Unreadable


def is_conversation(value: object) -> bool:
    """A list whose elements say who speaks, an object with such a list, or one such turn: not the parts of one text."""
    if isinstance(value, str):
        return False
    if isinstance(value, Mapping):
        return isinstance(value.get("messages"), list) or isinstance(value.get("role", value.get("from")), str)
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(t, Mapping) and ("role" in t or "from" in t or is_item(t)) for t in value)
    )


def unwritten(value: object, column: str, roles: Iterable[Role]) -> object:
    """The list of turns that a text is JSON or Python's notation of, as CSV holds them, where nobody else speaks; else the value.

    Raises:
        Unreadable: NumPy printed it.
    """
    if not isinstance(value, str) or value.lstrip()[:1] != "[" or not any(f"{key}{mark}" in value for key in ("role", "from") for mark in "\"'"):
        return value
    try:
        turns = parsed(value)
    except ValueError:
        refuse_printed(value, column)
        return value
    if not is_conversation(turns):
        return value
    speakers = {ROLES.get(str(turn.get("role", turn.get("from"))).lower()) for turn in cast("Sequence[Mapping[str, Any]]", turns)}
    return turns if speakers <= {*roles} else value


def written_list(text: str, column: str) -> object:
    """The list of texts, or SQuAD's object of one, that a text is (CSV and `str()` write them so); else the text.

    Raises:
        Unreadable: NumPy printed it.
    """
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        value = parsed(text)
    except ValueError:
        refuse_printed(text, column)
        return text
    inner = value.get("text") if isinstance(value, Mapping) else value
    return inner if isinstance(inner, list) and inner and all(isinstance(one, str) for one in inner) else text


def refuse_printed(text: str, column: str) -> None:
    """Refuse what NumPy prints: as text it would be learnt.

    Raises:
        Unreadable: it is such.
    """
    if is_numpy_print(text):
        mend = "write the table as JSON lines: df.to_json('rows.jsonl', orient='records', lines=True)"
        raise Unreadable("invalid", f"column {column!r} holds a list as NumPy prints it, whose parts cannot be told apart; {mend}")
