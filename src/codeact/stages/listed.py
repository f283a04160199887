"""Stage `listed`: where each record of the pool stands in a selection that was made elsewhere (strategy `list`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.errors import InputError, did_you_mean
from codeact.records import Reading
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sources.names import KINDS, kind_of
from codeact.sources.text import decode, read_bytes
from codeact.stages.pool import pool_stages, read_pool

VERSION = 1
COLUMNS = ("id", "row", "index")


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `listed`: id, listed (1: the first of the list; null: not in it)."""
    return Stage(
        "listed", ("records", *pool_stages(recipe.curate)), inputs.listed, VERSION, lambda store: locate(store, recipe, inputs.known),
        on_demand=True, shared=True,
    )  # fmt: skip


def read_list(name: str) -> list[str]:
    """The entries of a list, as texts: lines of a plain text, a JSON list, or the column `id`, `row` or `index` of a data file.

    Raises:
        InputError: the file cannot be read, has no such column, or holds nothing.
    """
    path = Path(name)
    if kind_of(path) not in KINDS:
        found: list[Any] = decode(read_bytes(path), name).splitlines()
    elif (plain := _plain_list(path)) is not None:
        found = plain
    else:
        rows = storage.read_rows(path).rows
        column = next((c for c in COLUMNS if c in rows[0]), None)
        if column is None or any(row.get(column) is None for row in rows):
            raise InputError(f"sample.listed: {name} has no column id, row or index that every row fills; name the records by one of these")
        found = [row[column] for row in rows]
    entries = [text for entry in found if (text := str(entry).strip())]
    if not entries:
        raise InputError(f"sample.listed: {name} lists nothing; give ids, or row numbers from 0, one a line")
    return entries


def _plain_list(path: Path) -> list[Any] | None:
    """The content of a JSON file that is a list of texts and numbers; None for any other."""
    if kind_of(path) != ".json":
        return None
    try:
        content = json.loads(decode(read_bytes(path), str(path)))
    except (ValueError, RecursionError):
        return None  # what is wrong with it, the reading of rows says
    plain = isinstance(content, list) and all(isinstance(one, str | int) for one in content)
    return content if plain else None


def resolve(entries: Sequence[str], rows: Mapping[str, int], name: str) -> dict[str, int]:
    """Id -> place in the list, from 1. Entries are ids where every one of them is; else row numbers, the first row is 0.

    Args:
        entries: of the list.
        rows: id -> row of every record that was read, those that were refused or not drawn too.
        name: of the file, for messages.

    Raises:
        InputError: an entry is no record, or two are the same one.
    """
    numbers = all(entry.isdigit() for entry in entries) and not all(entry in rows for entry in entries)
    ids = {str(row): identity for identity, row in rows.items()} if numbers else {identity: identity for identity in rows}
    found: dict[str, int] = {}
    for place, entry in enumerate(entries, 1):
        if entry not in ids:
            hint = f"; the rows go from 0 to {max(rows.values(), default=0):,}" if numbers else did_you_mean(entry, rows)
            raise InputError(f"sample.listed: {name}: entry {place} is no {'row' if numbers else 'id'} of the data: {entry!r}{hint}")
        identity = ids[entry]
        if identity in found:
            raise InputError(f"sample.listed: {name}: entries {found[identity]} and {place} are the same record, {entry!r}; name each once")
        found[identity] = place
    return found


def all_rows(reading: Reading) -> dict[str, int]:
    """Id -> row of every row that was read, those that were refused too."""
    return {one.id: one.row for one in reading.rejected} | {record.id: int(record.meta["row"]) for record in reading.records}


def locate(store: Store, recipe: Recipe, known: Mapping[str, int] | None = None) -> Mapping[str, Any]:
    """Write `listed`; records of the list that curation dropped, or that could not be read, are counted.

    Args:
        store: of the run.
        recipe: names the list.
        known: id -> row of the whole data, where the run has a part of them. Entries outside that part are passed over and counted.
    """
    import pyarrow as pa

    name = recipe.sample.listed
    read = [storage.read_parquet(store.path(file)).select(["id", "row"]) for file in ("records.parquet", "rejected.parquet")]
    rows = {identity: row for table in reversed(read) for identity, row in zip(*table.to_pydict().values(), strict=True)}
    place = resolve(read_list(name), rows if known is None else known, name)
    ids: list[str] = read_pool(store, pool_stages(recipe.curate), ("id", "source"))["id"].to_pylist()
    store.write_table("listed", pa.table({"id": pa.array(ids, pa.string()), "listed": pa.array([place.get(i) for i in ids], pa.int64())}))
    present, outside = sum(identity in place for identity in ids), sum(identity not in rows for identity in place)
    dropped = len(place) - present - outside
    return {
        "listed": len(place), "in the pool": present, **({"not in the pool": dropped} if dropped else {}),
        **({"kept out of this comparison": outside} if outside else {}),
    }  # fmt: skip
