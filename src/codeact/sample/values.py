"""Columns of any form to arrays in the order of the ids, and orders that depend on the ids alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.errors import InputError
from codeact.types import Bools, Floats, Ints

Column = Mapping[str, Any] | Sequence[Any] | NDArray[Any]


def id_ranks(ids: Sequence[str]) -> Ints:
    """Position of each id in sorted order: int64 [N].

    Raises:
        InputError: no ids, or one occurs twice.
    """
    if not len(ids):
        raise InputError("there are no records to sample from; the pool is empty after curation")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    ordered = [ids[i] for i in order]
    for left, right in pairwise(ordered):
        if left == right:
            raise InputError(f"the id {left!r} occurs twice; make ids unique")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def values(name: str, column: Column, ids: Sequence[str]) -> Sequence[Any] | NDArray[Any]:
    """One value per id.

    Raises:
        InputError: an id without a value, or another number of values than of ids.
    """
    if isinstance(column, Mapping):
        missing = next((identity for identity in ids if identity not in column), None)
        if missing is not None:
            raise InputError(f"{name!r} has no value for record {missing!r}; run the stage again on the same records")
        return [column[identity] for identity in ids]
    if len(column) != len(ids):
        raise InputError(f"{name!r} has {len(column)} values for {len(ids)} ids; one per record is needed")
    return column


def numbers(name: str, column: Column, ids: Sequence[str]) -> Floats:
    """A column as float64 [N]; None becomes NaN.

    Raises:
        InputError: as `values`, or a value that is not a number.
    """
    try:
        return np.array(values(name, column, ids), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name!r} holds a value that is not a number: {error}") from error


def integers(name: str, column: Column, ids: Sequence[str]) -> Ints:
    """A column as int64 [N].

    Raises:
        InputError: as `numbers`, or a value that is missing or not whole.
    """
    found = numbers(name, column, ids)
    if not (np.isfinite(found) & (found == np.floor(found))).all():
        raise InputError(f"{name!r} holds a value that is not a whole number")
    return found.astype(np.int64)


def highest(column: Floats, tie: Ints, count: int) -> Bools:
    """The `count` highest values, fewer where fewer are not NaN; equal ones go to the smaller `tie`: bool [N]."""
    order = np.lexsort((tie, -np.nan_to_num(column, nan=-np.inf)))[:count]
    chosen = np.zeros(len(column), np.bool_)
    chosen[order] = ~np.isnan(column[order])
    return chosen
