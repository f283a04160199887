"""Rows and records as callers give them: what holds something else is refused in one line that says how to get them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from codeact.errors import InputError
from codeact.records.types import Record

if TYPE_CHECKING:
    from datasets import Dataset

OWN = frozenset((str, int, float, bool, type(None)))
NONE = ("NAType", "NaTType")  # of pandas: they are equal to nothing, and the first has no truth value


def as_rows(rows: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Rows with plain values (`plain_rows`); those of a `datasets.Dataset` as Python's own, whatever its format.

    Raises:
        InputError: a path, a table or something else than dictionaries.
    """
    if isinstance(rows, str | PathLike):
        raise InputError(f"the rows are the path {rows!r}; read files with codeact.read_data, or give a list of dictionaries")
    table = hasattr(rows, "columns") and not isinstance(rows, Sequence)
    if table or isinstance(rows, bytes | Mapping) or not (hasattr(rows, "__iter__") or hasattr(rows, "__getitem__")):
        raise InputError(f"the rows are {type(rows).__name__}; give a list of dictionaries or a datasets.Dataset{rows_of(rows)}")
    if is_dataset(rows):
        return cast("Sequence[Mapping[str, Any]]", rows.with_format(None))
    return plain_rows(rows)


def plain_rows(rows: Iterable[object]) -> list[Mapping[str, Any]]:
    """Rows with the arrays, scalars and absent values of NumPy and pandas as Python's own; a row that holds none is itself.

    `DataFrame.to_dict("records")` of Parquet's lists gives arrays.

    Raises:
        InputError: a row is no dictionary.
    """
    found: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            where = "the first row" if number == 1 else f"row {number}"
            raise InputError(f"{where} is {type(row).__name__}; give a list of dictionaries or a datasets.Dataset")
        found.append(_plain_object(row))
    return found


def _plain(value: object) -> object:
    """A value with those within it as Python's own, told by what they offer, so that no package is imported; a float NaN is one already."""
    if type(value) in OWN:
        return value
    if isinstance(value, Mapping):
        return _plain_object(value)
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        if all(map(is_, parts, value)):
            return value
        return parts if isinstance(value, list) else tuple(parts)
    if type(value).__name__ in NONE:
        return None
    held = value.tolist() if hasattr(value, "tolist") else value
    return value if type(held) is type(value) else _plain(held)


def _plain_object(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    parts = [_plain(part) for part in value.values()]
    return value if all(map(is_, parts, value.values())) else dict(zip(value, parts, strict=True))


def check_records(records: object) -> None:
    """Refuse what is no sequence of records.

    Raises:
        InputError: rows, a table, a name or a `Reading`.
    """
    if hasattr(records, "usable"):
        raise InputError(f"the records are {type(records).__name__}; give its records: reading.usable()")
    given = [records] if isinstance(records, str) or not isinstance(records, Sequence) else records
    if (wrong := next((type(one).__name__ for one in given if not isinstance(one, Record)), "")):
        raise InputError(f"the records are {wrong}; make records of rows with codeact.read_records(rows).usable()")


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
