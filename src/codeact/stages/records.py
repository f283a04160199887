"""Stage `records`: rows of any known format become records; rows that cannot are kept in rejected.parquet with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import storage
from codeact.amounts import amount
from codeact.confidential import find_possible
from codeact.config import Recipe
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.evaluation.held_out import HeldOut
from codeact.progress import Progress, track
from codeact.records import Record, Rejected, RowReader
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import PART_ROWS
from codeact.rundir.processes import WORTH_IT
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store, file_digest
from codeact.rundir.tables import rare_collections
from codeact.stages.reading import can_share, parts_in_processes

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 8
HELD_OUT = "held out"
MAX_NAMED = 1_000


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `records` and rejected.parquet."""
    data = recipe.data

    def config() -> Mapping[str, Any]:
        held = _held_out(recipe)
        apart = {"held_out": file_digest(Path(held))} if held and Path(held).is_file() else {}
        return {"data": inputs.identity(), "limit": data.limit, "map": data.map, "seed": recipe.seed, "secrets": recipe.curate.secrets, **apart}

    return Stage("records", (), config, VERSION, lambda store: load_records(store, recipe, inputs), ("rejected.parquet",), shared=True)


@rare_collections()
def load_records(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Rows to records; unreadable rows, rows beyond `data.limit`, those that `curate.secrets` bars and those that `evaluate.held_out`
    holds too go to rejected.parquet.

    A secret is barred here, at the door, and not by `curate`: so no table of the run ever holds it. The table is written while the
    rows are read, a few thousand at a time.
    """
    reader = inputs.reader()
    door = Door(recipe, reader)
    sources = inputs.source.sources
    made = parts_in_processes(door) if can_share(door, sources) else door.parts()
    rows = len(reader.rows)
    with track("read", rows, "rows", shown=rows >= WORTH_IT) as progress:
        store.write_parts("records", (tables.with_source(part, sources) for part in _counted(made, progress)))
    reading = reader.reading([], door.unread, door.usable)
    rejected = [*door.unread, *door.barred, *door.beyond]
    storage.write_parquet(tables.with_source(tables.rejected_table(rejected), sources), store.path("rejected.parquet"))
    counts: dict[str, Any] = {"records": door.records, "rejected": dict(Counter(r.reason for r in rejected))}
    if door.barred and not door.unread:
        first = door.barred[0]
        counts["first_rejected"] = f"{reader.locate(first.row)}: {first.reason}, {first.detail}"
    if recipe.curate.secrets:
        counts |= {"possible_secrets": door.maybe, "possible_places": door.possible}
    if sources is not None:
        read = Counter(store.table("records", ["source"])["source"].to_pylist())
        counts["sources"] = {name: {"rows": rows, "records": read[name]} for name, rows in inputs.source.mixture}
    return {**reading.summary(), **counts}


def _counted(parts: Iterator[pa.Table], progress: Progress) -> Iterator[pa.Table]:
    for part in parts:
        yield part
        progress.advance(part.num_rows)


def _held_out(recipe: Recipe) -> str:
    return recipe.evaluate.held_out if recipe.evaluate.enabled else ""


class Door:
    """Which records come in, and of the others why not.

    Attributes:
        usable, records: rows that could be read, and those of them that came in.
        unread, barred, beyond: rows that could not, that hold a secret or are held out, that are beyond the limit.
        maybe, possible: those that came in and hold what is possibly a secret or somebody's address, and where the first do.
    """

    def __init__(self, recipe: Recipe, reader: RowReader) -> None:
        self.recipe, self.reader = recipe, reader
        self.held = HeldOut(_held_out(recipe)) if _held_out(recipe) else None
        self.usable = self.records = self.maybe = 0
        self.unread: list[Rejected] = []
        self.barred: list[Rejected] = []
        self.beyond: list[Rejected] = []
        self.possible: list[str] = []

    def parts(self) -> Iterator[pa.Table]:
        """The table of the records, a few thousand at a time.

        Raises:
            InputError: no row is usable, or each of them holds a secret or is held out.
        """
        open_: list[Record] = []
        within = self._within()
        for item in self.reader:
            if isinstance(item, Rejected):
                self.unread.append(item)
            elif self._enters(item, within):
                open_.append(item)
                if len(open_) == PART_ROWS:
                    yield tables.records_table(open_)
                    open_ = []
        self.check()
        if open_:
            yield tables.records_table(open_)

    def check(self) -> None:
        """See `parts`, whose end this is.

        Raises:
            InputError: as `parts`.
        """
        self.reader.reading([], self.unread, self.usable).usable()
        if not self.records:
            first = self.barred[0]
            raise InputError(
                f"{'evaluate.held_out' if first.reason == HELD_OUT else 'curate.secrets'}: none of {amount(len(self.barred), 'record')} is left;"
                f" the first: {first.reason}{', ' + first.detail if first.reason == HELD_OUT else ''}"
            )

    def _within(self) -> frozenset[str] | None:
        """The ids of the records within the limit; None: all are."""
        limit = self.recipe.data.limit
        if limit is None:
            return None
        ids = [item.id for item in self.reader if isinstance(item, Record)]
        return None if limit >= len(ids) else frozenset(seeded_subset(ids, limit, self.recipe.seed))

    def _enters(self, record: Record, within: frozenset[str] | None) -> bool:
        self.usable += 1
        row = int(record.meta["row"])
        if within is not None and record.id not in within:
            self.beyond.append(Rejected(record.id, row, "limit", f"not in the sample of {self.recipe.data.limit}"))
            return False
        kinds = self.recipe.curate.secrets
        found, maybe = find_possible(record, kinds) if kinds else (None, None)
        if found is not None:
            self.barred.append(Rejected(record.id, row, found.reason, found.detail))
            return False
        if self.held is not None and self.held.holds(record):
            self.barred.append(Rejected(record.id, row, HELD_OUT, f"it is in {Path(self.held.file).name} too"))
            return False
        self.records += 1
        if maybe is not None:
            self.maybe += 1
            self.possible += [f"{self.reader.locate(row)}: {maybe.reason}, {maybe.detail}"] if len(self.possible) < MAX_NAMED else []
        return True
