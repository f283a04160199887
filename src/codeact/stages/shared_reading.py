"""Large JSON lines become records in several processes, or on a cluster; ids are made unique here, in the rows' order.

A process of this machine reads its part of the file itself. A node of a cluster, which may not see the file, is given the bytes; what it
makes of them is kept until the stage is done, so that it is not made again where the driver ends.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from codeact.confidential import find_possible
from codeact.config import Recipe
from codeact.config.kinds import SecretKind
from codeact.lm.hardware import processors
from codeact.progress import SILENT, Progress
from codeact.records import Record, Rejected
from codeact.records.read import Ids, RowParser
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import PART_ROWS, Parts, regrouped
from codeact.rundir.processes import WORTH_IT, start_ahead
from codeact.rundir.ranks import choose_processes
from codeact.rundir.shards import Worker, make_shards, read_shards
from codeact.rundir.store import Store
from codeact.sources.lines import LINE_KINDS, PLACED, WHOLE, LineRows, Lines, lines_in, state_of
from codeact.stages.admission import Admission

if TYPE_CHECKING:
    import pyarrow as pa

_TOLD = b"told"
_NEEDED = (__name__, "codeact.stages.curate", "codeact.curate.single_record", "pyarrow.parquet")


def can_share(admission: Admission, sources: Sequence[str] | None) -> bool:
    """Whether several processes read this data: one large JSONL file that is not packed, of which all rows are wanted."""
    recipe, rows = admission.recipe, admission.reader.rows
    return (
        isinstance(rows, LineRows) and bool(rows.offsets) and len(rows) >= WORTH_IT
        and (recipe.backend == "ray" or (recipe.workers or processors()) > 1) and sources is None and recipe.data.limit is None and admission.held is None
    )  # fmt: skip


def start_processes(recipe: Recipe, inputs: Inputs) -> None:
    """Where the data is surely one large JSONL file, start the processes that will read it: they import while it is looked through."""
    files = inputs.files() if recipe.backend == "local" and recipe.data.limit is None and not recipe.data.sources else None
    if files is not None and len(files) == 1 and files[0].suffix.lower() in LINE_KINDS and state_of(files[0])[0] > WHOLE:
        start_ahead(recipe.workers, _NEEDED)


def parts_in_processes(admission: Admission, store: Store) -> Iterator[pa.Table]:
    """`Admission.parts`, the same tables and the same refused rows; a cluster's parts are kept in the run directory `store` meanwhile.

    Raises:
        InputError: as `Admission.parts`.
        CodeactError: a range of the file failed three times.
    """
    rows = admission.reader.rows
    assert isinstance(rows, LineRows)
    rows.check_same()
    admission.reader.parser.start()
    ids = Ids(admission.reader.where, admission.reader.locate)
    make_worker = partial(_worker, admission.reader.parser, admission.recipe.curate.secrets)
    parts = Parts(len(rows), PLACED, partial(_part, rows.lines, rows.offsets), anywhere=True)
    backend = choose_processes(admission.recipe, len(rows), whole=True)
    if admission.recipe.backend == "ray":
        make_shards(store, "records", parts, make_worker, backend=backend, label="read")
    made = read_shards(store, "records", parts) if admission.recipe.backend == "ray" else _in_order(backend(make_worker, parts, SILENT))
    with closing(made) as found:
        for whole in regrouped((_entered(admission, ids, at * PLACED, part) for at, part in enumerate(found)), PART_ROWS):
            if whole.num_rows:
                yield whole.combine_chunks()
    rows.check_same()
    admission.reader.check_weight()
    admission.check()


def _part(lines: Lines, offsets: Sequence[int], number: int) -> pa.Table:
    """A part of the file: its bytes and its first row's number, under a name for messages."""
    import pyarrow as pa

    content = lines.between(offsets[number], offsets[number + 1])
    return pa.table(
        {"id": [f"row {number * PLACED + 1} and on"], "content": pa.array([content], pa.large_binary()), "row": [number * PLACED]}
    )


def _worker(like: RowParser, secrets: Sequence[SecretKind]) -> Worker:
    """What makes of a part of the file the table of its records, whose ids are not unique yet, with all else that is to be told."""
    parser = RowParser(like.whole, like.mapping, like.weight_key, like.graded)

    @tables.rare_collections()
    def work(shard: pa.Table, progress: Progress) -> pa.Table:
        (given,) = shard.to_pylist()
        parser.start()
        names: list[str] = []
        explicit: list[int] = []
        refused: list[tuple[int, str, str]] = []
        barred: list[tuple[int, str, str]] = []
        possible: list[tuple[int, str, str]] = []
        entered: list[Record] = []
        for at, line in enumerate(lines_in(given["content"])):
            row = json.loads(line.decode("utf-8"))
            found = parser.read(given["row"] + at, row)
            names.append(found.id)
            if parser.names_itself(row):
                explicit.append(at)
            if isinstance(found, Rejected):
                refused.append((at, found.reason, found.detail))
                continue
            secret, maybe = find_possible(found, secrets) if secrets else (None, None)
            if secret is not None:
                barred.append((at, secret.reason, secret.detail))
                continue
            entered.append(found)
            if maybe is not None:
                possible.append((at, maybe.reason, maybe.detail))
        told = {
            "names": names, "explicit": explicit, "refused": refused, "barred": barred,
            "possible": possible, "counts": [parser.used, parser.unread, parser.marked],
        }  # fmt: skip
        return tables.records_table(entered).replace_schema_metadata({_TOLD: json.dumps(told)})

    return work


def _in_order(results: Iterator[tuple[int, pa.Table]]) -> Generator[pa.Table, None, None]:
    """The tables by their numbers, from 0 on; what came too early waits."""
    waiting: dict[int, pa.Table] = {}
    number = 0
    for at, table in results:
        waiting[at] = table
        while number in waiting:
            yield waiting.pop(number)
            number += 1


def _entered(admission: Admission, ids: Ids, start: int, part: pa.Table) -> pa.Table:
    """The records of a range with their ids; what did not come in, and all that was counted, is noted there."""
    told: dict[str, Any] = json.loads(part.schema.metadata[_TOLD])
    explicit = set(told["explicit"])
    names = [ids.unique(name, at in explicit, start + at) for at, name in enumerate(told["names"])]
    for key, noted in (("refused", admission.unread), ("barred", admission.barred)):
        noted += [Rejected(names[at], start + at, reason, detail) for at, reason, detail in told[key]]
    for at, reason, detail in told["possible"]:
        admission.note_possible(start + at, reason, detail)
    out = {at for key in ("refused", "barred") for at, *_ in told[key]}
    parser = admission.reader.parser
    for counter, more in zip((parser.used, parser.unread, parser.marked), told["counts"], strict=True):
        counter.update(more)
    admission.usable += len(names) - len(told["refused"])
    admission.records += part.num_rows
    kept = tables.texts([name for at, name in enumerate(names) if at not in out])
    whole = part.replace_schema_metadata().set_column(0, "id", kept)
    return whole.cast(tables.records_table([]).schema)  # a part that was in a file calls what a list holds otherwise
