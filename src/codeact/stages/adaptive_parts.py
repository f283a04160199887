"""Adaptive scoring in parts: what the model has measured is kept part by part, and a record that fails is named when the others are done."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codeact.progress import SILENT, Progress
from codeact.rundir.faults import Fault, Faults, Worker, attempt
from codeact.rundir.parts import Parts, table_parts
from codeact.rundir.shards import read_sealed, sealed, write_sealed
from codeact.types import Floats, Ints

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.score.adaptive.resume import Continued

PART = 64
"""Records that are asked for together. The records between two levels (`Continued.window`) are never more."""
_GIVEN = ("id", "upto")


class MeasuredInParts:
    """`codeact.score.adaptive.decide.Measure` whose answers are kept on disk; those of an interrupted run are given again.

    What a record's first tokens left in the model's memory ends with the process. So answers count again only where none of their
    records goes on from them: those of the pilot, and those before records were last forgotten. A run that was interrupted so measures
    the same, to the last bit, as one that was not.

    Args:
        measure: runs the model.
        ids: of the records that it knows by number.
        folder: of the kept answers.
    """

    def __init__(self, measure: Continued, ids: Sequence[str], folder: Path) -> None:
        self.measure, self.ids, self.folder, self.calls = measure, ids, folder, 0
        self.window = measure.window
        over = [int(path.stem) for path in sealed(folder, "*.over")]
        self._drop(max([1, *over]))

    def __call__(self, records: Ints, upto: Ints) -> list[tuple[Floats, Floats]]:
        """See `codeact.score.adaptive.decide.Measure`.

        Raises:
            InputError: the model's own.
            PartitionError: the model failed over some of the records; all others are done.
        """
        import pyarrow as pa

        asked = pa.table({"id": pa.array([self.ids[n] for n in records.tolist()], pa.string()), "number": records, "upto": upto})
        name, shards = f"{self.calls:06d}", table_parts(asked, PART)
        if any((kept := read_sealed(self.folder, f"{name}-{part:06d}")) is not None and not _answers(kept, shards[part]) for part in shards):
            self._drop(self.calls)
        self.calls += 1
        found: list[tuple[Floats, Floats]] = []
        for table, fresh in in_parts(self.folder, name, shards, self._measured):
            if not fresh:
                self.measure.skip(table["number"].to_numpy(), table["upto"].to_numpy(), table["tokens"][0].as_py())
            found += zip(*([np.array(one, np.float64) for one in table[side].to_pylist()] for side in ("cond", "uncond")), strict=True)
        return found

    def forget(self, records: Ints) -> None:
        """See `codeact.score.adaptive.decide.Measure`."""
        self.measure.forget(records)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.calls:06d}.over").touch()

    def _measured(self, shard: pa.Table, _: Progress) -> pa.Table:
        import pyarrow as pa

        before = self.measure.tokens
        losses = self.measure(shard["number"].to_numpy(), shard["upto"].to_numpy())
        sides = {side: pa.array([pair[at] for pair in losses], pa.list_(pa.float64())) for at, side in enumerate(("cond", "uncond"))}
        return pa.table({**{name: shard[name] for name in shard.column_names}, **sides, "tokens": [self.measure.tokens - before] * len(losses)})

    def _drop(self, call: int) -> None:
        """Remove the answers from this call on."""
        for path in [*sealed(self.folder, "*.parquet"), *sealed(self.folder, "*.over")]:
            if int(path.stem[:6]) >= call + (path.suffix == ".over"):
                path.unlink(missing_ok=True)


def in_parts(folder: Path, name: str, shards: Parts, worker: Worker) -> list[tuple[pa.Table, bool]]:
    """What the worker makes of each part, each kept as soon as it is there; and whether it was made just now.

    Raises:
        InputError: the worker's own, at once.
        PartitionError: it failed over some parts; all others are done and kept.
    """
    faults = Faults(shards)
    found = []
    for number in shards:
        shard, path = shards[number], f"{name}-{number:06d}"
        kept = read_sealed(folder, path)
        if kept is not None and _answers(kept, shard):
            found.append((kept, False))
            continue
        for stale in sealed(folder, f"{path}-*.parquet"):
            stale.unlink(missing_ok=True)
        made = attempt(worker, partial(shards.__getitem__, number), SILENT)
        if isinstance(made, Fault):
            faults.add(number, made)
            continue
        faults.passed()
        write_sealed(made, folder, path)
        found.append((made, True))
    faults.check()
    return found


def _answers(kept: pa.Table, shard: pa.Table) -> bool:
    """Whether a kept result is one of these records, asked for so far."""
    return all(kept[name].combine_chunks() == shard[name].combine_chunks() for name in _GIVEN if name in shard.column_names)
