"""Records to Arrow tables and back."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.records import Message, Record, Rejected
from codeact.storage import utf8

if TYPE_CHECKING:
    import pyarrow as pa


def records_table(records: Sequence[Record]) -> pa.Table:
    """`id, row, messages, tools, meta` (meta as JSON text)."""
    import pyarrow as pa

    said = [m for r in records for m in r.messages]
    parts = [texts(column) for column in zip(*map(_texts_of, said), strict=True)] or [texts([])] * len(_TEXT_FIELDS)
    names = [*_TEXT_FIELDS, "learn"]
    turns = pa.StructArray.from_arrays([*parts, pa.array([m.learn for m in said], pa.bool_())], names)
    ends = pa.array(list(accumulate((len(r.messages) for r in records), initial=0)), pa.int32())
    return pa.table(
        {
            "id": texts([r.id for r in records]),
            "row": pa.array([int(r.meta["row"]) for r in records], pa.int64()),
            "messages": pa.ListArray.from_arrays(ends, turns),
            "tools": texts([r.tools for r in records]),
            "meta": pa.array([_TO_JSON(dict(r.meta)) for r in records], pa.string()),
        }
    )


_TEXT_FIELDS = ("role", "content", "reasoning", "tool_calls", "name", "tool_call_id")
_texts_of = attrgetter(*_TEXT_FIELDS)
_TO_JSON = json.JSONEncoder(default=str).encode


def records_from(table: pa.Table) -> list[Record]:
    """The records of a table written by `records_table`."""
    turns = table["messages"].combine_chunks()
    parts = [part.to_pylist() for part in turns.flatten().flatten()]
    messages = [Message(*values) for values in zip(*parts, strict=True)]
    ends = accumulate(turns.value_lengths().to_pylist(), initial=0)
    columns = (table[name].to_pylist() for name in ("id", "meta", "tools"))
    return [
        Record(identity, tuple(messages[start:end]), json.loads(meta), tools)
        for (start, end), identity, meta, tools in zip(pairwise(ends), *columns, strict=True)
    ]


def rejected_table(rejected: Sequence[Rejected]) -> pa.Table:
    """`id, row, reason, detail`."""
    import pyarrow as pa

    return pa.table(
        {
            "id": texts([r.id for r in rejected]),
            "row": pa.array([r.row for r in rejected], pa.int64()),
            "reason": texts([r.reason for r in rejected]),
            "detail": texts([r.detail for r in rejected]),
        }
    )


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """A column of text; half surrogate pairs, which Arrow cannot hold, become their escapes (`storage.utf8`)."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value if value is None else utf8(value) for value in values], pa.string())


def ids_of(table: pa.Table, flag: str) -> pa.Array:
    """The ids of the rows in which the column `flag` is true, in the table's own order."""
    return table.filter(table[flag])["id"].combine_chunks()


def ids_where(table: pa.Table, flag: str) -> list[str]:
    """`ids_of` as a list."""
    found: list[str] = ids_of(table, flag).to_pylist()
    return found


def with_source(table: pa.Table, sources: Sequence[str] | None) -> pa.Table:
    """The table with a column `source`, by the row of the data that its column `row` tells; as it is where `sources` is None."""
    if sources is None:
        return table
    return table.append_column("source", texts([sources[row] for row in table["row"].to_pylist()]))


def in_order(table: pa.Table, ids: Sequence[str] | pa.Array, *, lenient: bool = False) -> pa.Table:
    """The rows of these ids, in their order.

    Args:
        table: with a column `id`.
        ids: a sequence or an Arrow array.
        lenient: an id that the table lacks gets a row of nulls.

    Raises:
        InputError: the table lacks an id.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string())
    rows = pc.index_in(ids, value_set=table["id"].combine_chunks())
    if rows.null_count and not lenient:
        lacking = ids.filter(pc.is_null(rows))[0].as_py()
        raise InputError(f"a table of the run has no row of record {lacking!r}; run the stage again on the same records")
    return table.take(rows)


def keep(table: pa.Table, ids: Iterable[str]) -> pa.Table:
    """The rows whose id is among `ids`, in the table's own order."""
    import pyarrow as pa

    return keep_ids(table, pa.array(sorted(ids), pa.string()))


def keep_ids(table: pa.Table, ids: pa.Array) -> pa.Table:
    """`keep` of an Arrow array of ids."""
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table["id"], value_set=ids))


def by_id(table: pa.Table, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """id -> the named columns of its row."""
    rows: list[Mapping[str, Any]] = table.select(["id", *columns]).to_pylist()
    return {row["id"]: {c: row[c] for c in columns} for row in rows}


def limited(records: Sequence[Record], limit: int | None, seed: int) -> list[Record]:
    """The records of `seeded_subset`, in their order; all where there is no limit or it is not reached."""
    if limit is None or limit >= len(records):
        return list(records)
    chosen = seeded_subset([record.id for record in records], limit, seed)
    return [record for record in records if record.id in chosen]


RARE = (200_000, 20, 20)  # Python's search for cycles took a fifth of the time where millions of short-lived objects are made


@contextmanager
def rare_collections() -> Iterator[None]:
    """Objects in cycles, of which records and syntax trees have none, may wait longer; all others go at once as ever."""
    before = gc.get_threshold()
    gc.set_threshold(*RARE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
