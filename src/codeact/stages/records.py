"""Stage `records`: rows of any known format become records; rows that cannot are kept in rejected.parquet with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import storage
from codeact.config import Recipe
from codeact.progress import Progress, track
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.processes import WORTH_IT
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store, file_digest
from codeact.rundir.tables import rare_collections
from codeact.stages.admission import Admission, held_out
from codeact.stages.shared_reading import can_share, parts_in_processes, start_processes

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 16


def stage(recipe: Recipe, inputs: Inputs) -> Stage:
    """Writes `records` and rejected.parquet."""
    data = recipe.data

    def config() -> Mapping[str, Any]:
        held = held_out(recipe)
        apart = {"held_out": file_digest(Path(held)), "held_out_revision": 1} if held and Path(held).is_file() else {}
        return {"data": inputs.identity(), "limit": data.limit, "map": data.map, "seed": recipe.seed, "secrets": recipe.curate.secrets, **apart}

    return Stage("records", (), config, VERSION, lambda store: load_records(store, recipe, inputs), ("rejected.parquet",), shared=True)


@rare_collections()
def load_records(store: Store, recipe: Recipe, inputs: Inputs) -> Mapping[str, Any]:
    """Rows to records; unreadable rows, rows beyond `data.limit`, those that `curate.secrets` bars and those that `evaluate.held_out`
    holds too go to rejected.parquet.

    A secret is barred here, at admission, and not by `curate`: so no table of the run ever holds it. The table is written while the
    rows are read, a few thousand at a time.
    """
    start_processes(recipe, inputs)
    reader = inputs.reader()
    admission = Admission(recipe, reader)
    sources = inputs.source.sources
    shared, rows = can_share(admission, sources), len(reader.rows)
    made = parts_in_processes(admission, store) if shared else admission.parts()
    with track("read", rows, "rows", shown=rows >= WORTH_IT and not (shared and recipe.backend == "ray")) as progress:
        store.write_parts("records", (tables.with_source(part, sources) for part in _counted(made, progress)))
    reading = reader.reading([], admission.unread, admission.usable)
    rejected = [*admission.unread, *admission.barred, *admission.beyond]
    storage.write_parquet(tables.with_source(tables.rejected_table(rejected), sources), store.path("rejected.parquet"))
    counts: dict[str, Any] = {"records": admission.records, "rejected": dict(Counter(r.reason for r in rejected))}
    if admission.barred and not admission.unread:
        first = admission.barred[0]
        counts["first_rejected"] = f"{reader.locate(first.row)}: {first.reason}, {first.detail}"
    if recipe.curate.secrets:
        counts |= {"possible_secrets": admission.maybe, "possible_places": admission.possible}
    if sources is not None:
        read = Counter(store.table("records", ["source"])["source"].to_pylist())
        counts["sources"] = {name: {"rows": rows, "records": read[name]} for name, rows in inputs.source.mixture}
    return {**reading.summary(), **counts}


def _counted(parts: Iterator[pa.Table], progress: Progress) -> Iterator[pa.Table]:
    for part in parts:
        yield part
        progress.advance(part.num_rows)
