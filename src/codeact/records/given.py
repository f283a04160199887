"""Rows and records as callers give them: what holds something else is refused in one line that says how to get them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from codeact.errors import InputError
from codeact.records.types import Record

if TYPE_CHECKING:
    from datasets import Dataset


def as_rows(rows: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Rows as they are, or in a list where they can only be iterated.

    Raises:
        InputError: a path, a table or something else than dictionaries.
    """
    if isinstance(rows, str | PathLike):
        raise InputError(f"the rows are the path {rows!r}; read files with codeact.read_data, or give a list of dictionaries")
    table = hasattr(rows, "columns") and not isinstance(rows, Sequence)
    if table or isinstance(rows, bytes | Mapping) or not (hasattr(rows, "__iter__") or hasattr(rows, "__getitem__")):
        raise InputError(f"the rows are {type(rows).__name__}; give a list of dictionaries or a datasets.Dataset{rows_of(rows)}")
    listed = hasattr(rows, "__len__") and hasattr(rows, "__getitem__")
    found = cast("Sequence[Mapping[str, Any]]", rows) if listed else list(rows)
    if len(found) and not isinstance(found[0], Mapping):
        raise InputError(f"the first row is {type(found[0]).__name__}; give a list of dictionaries or a datasets.Dataset")
    return found


def check_records(records: object) -> None:
    """Refuse what is no sequence of records.

    Raises:
        InputError: rows, a table, a name or a `Reading`.
    """
    if hasattr(records, "usable"):
        raise InputError(f"the records are {type(records).__name__}; give its records: reading.usable()")
    wrong = records if isinstance(records, str) or not isinstance(records, Sequence) else next((r for r in records if not isinstance(r, Record)), None)
    if wrong is not None:
        raise InputError(f"the records are {type(wrong).__name__}; make records of rows with codeact.read_records(rows).usable()")


def rows_of(data: object) -> str:
    """`: data.to_dict("records")`, how to get rows of what holds some; empty where that is not known."""
    if isinstance(data, Mapping):
        split = next((name for name, part in data.items() if is_dataset(part)), None)
        return ": [data], for one row" if split is None else f": data[{split!r}]"
    if hasattr(data, "to_dicts") or hasattr(data, "to_pylist"):  # Polars, Arrow
        return ": data.to_dicts()" if hasattr(data, "to_dicts") else ": data.to_pylist()"
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        return ': data.to_dict("records")'
    return ": list(data), if that gives dictionaries" if isinstance(data, Iterable) else ""


def is_dataset(data: object) -> TypeGuard[Dataset]:
    """Whether this is a `datasets.Dataset`, told without importing that package."""
    return hasattr(data, "with_format") and hasattr(data, "features") and hasattr(data, "select")
