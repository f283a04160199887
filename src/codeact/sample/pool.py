"""The records that are chosen from, in the order of their ids: whatever the order of the file, a strategy sees the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeact.draws import seeded_hash
from codeact.errors import InputError
from codeact.sample.orders import check_vectors
from codeact.types import Bools, Floats, Ints, Vectors

Column = Mapping[str, Any] | Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Pool:
    """What a strategy sees of the records: their columns, in the order of the ids.

    Attributes:
        given: N unique ids in the caller's order, which the columns have too.
        columns: name -> the caller's values, see `Column`.
        by_id: int64 [N], sorts the caller's order by id.
        seed: of every draw.
        share: of the pool that is going to be taken, for an order that depends on it.
        trim: share of the records, the longest, that `trim` leaves out.
        like: bool [N] in the order of the ids, a selection whose lengths a draw is to have; empty: there is none.
        behind: bool [N] in the order of the ids, records that may be taken after all others only: those that curation doubts, and suspects;
            `choose` sets it before a strategy orders anything.
    """

    given: Sequence[str]
    columns: Mapping[str, Column]
    by_id: Ints
    seed: int = 0
    share: float = 1.0
    trim: float = 0.0
    like: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    behind: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __len__(self) -> int:
        return len(self.given)

    @property
    def ids(self) -> list[str]:
        """Ascending."""
        return [self.given[n] for n in self.by_id]

    def values(self, name: str) -> list[Any]:
        """A column as it was given."""
        column = values(name, self.columns[name], self.given)
        return [column[n] for n in self.by_id]

    def numbers(self, name: str) -> Floats:
        """A column as float64 [N]; None becomes NaN, and so does a column that was not given."""
        if name not in self.columns:
            return np.full(len(self), np.nan)
        return numbers(name, self.columns[name], self.given)[self.by_id]

    def integers(self, name: str) -> Ints:
        """A column of whole numbers as int64 [N]."""
        return integers(name, self.columns[name], self.given)[self.by_id]

    def vectors(self, name: str) -> Vectors:
        """A column of embeddings as float32 [N, D], rows of unit length."""
        column = self.columns[name]
        if isinstance(column, Mapping):
            column = values(name, column, self.given)
        return check_vectors(column, len(self))[self.by_id]

    @cached_property
    def drawn(self) -> NDArray[np.uint64]:
        """A random order under the seed: the lower goes first, uint64 [N]."""
        return seeded_hash(self.ids, self.seed)

    @cached_property
    def group(self) -> Ints:
        """Clusters numbered from 0 without gaps, int64 [N]; without clusters all are one."""
        if "cluster" not in self.columns:
            return np.zeros(len(self), np.int64)
        return np.unique(self.integers("cluster"), return_inverse=True)[1].astype(np.int64)

    def part(self, rows: Ints) -> Pool:
        """The records at these positions in the order of the ids, as a pool of their own from which as many are going to be taken; none goes behind."""
        own = self.by_id[rows].tolist()
        columns = {name: part(column, own) for name, column in self.columns.items()}
        share = min(1.0, self.share * len(self) / max(1, len(own)))
        like = self.like[rows] if len(self.like) else self.like
        return Pool([self.given[n] for n in own], columns, np.arange(len(own)), self.seed, share, self.trim, like)

    def in_given_order(self, column: NDArray[Any]) -> NDArray[Any]:
        """A column of this pool in the caller's order."""
        found = np.empty_like(column)
        found[self.by_id] = column
        return found


def id_ranks(ids: Sequence[str]) -> Ints:
    """Position of each id in sorted order: int64 [N].

    Raises:
        InputError: no ids, one that is no text, or one that occurs twice.
    """
    if isinstance(ids, str):
        raise InputError("the ids are a single text; give a list of texts: [text]")
    if not len(ids):
        raise InputError("there are no records to sample from; the pool is empty after curation")
    if (at := next((n for n, identity in enumerate(ids) if not isinstance(identity, str)), None)) is not None:
        raise InputError(f"ids[{at}] is {ids[at]!r}; ids are texts: give [str(id) for id in ids], and columns by id the same")
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


def part(column: Column, rows: Sequence[int]) -> Column:
    """A column of the records at these positions alone; a mapping by id serves as it is."""
    if isinstance(column, Mapping):
        return column
    return column[list(rows)] if isinstance(column, np.ndarray) else [column[row] for row in rows]


def numbers(name: str, column: Column, ids: Sequence[str]) -> Floats:
    """A column as float64 [N]; None becomes NaN.

    Raises:
        InputError: as `values`, or a value that is not a number.
    """
    try:
        found = np.array(values(name, column, ids), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name!r} holds a value that is not a number: {error}") from error
    if found.ndim != 1:
        raise InputError(f"{name!r} has shape {list(found.shape)}; one number per record is needed")
    return found


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
