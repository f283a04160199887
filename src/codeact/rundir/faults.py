"""One rule for all backends: a partition that fails does not stop the others, and is then named with its records and the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codeact.errors import CodeactError, InputError
from codeact.progress import SILENT, Progress

if TYPE_CHECKING:
    import pyarrow as pa

Worker = Callable[["pa.Table", Progress], "pa.Table"]
"""Makes of a partition what the stage wants of it."""

log = logging.getLogger(__name__)
NAMED = 3
IN_A_ROW = 8
"""Partitions that fail one after the other before the rest is given up: it is not the data then."""
TOLD_IN_A_ROW = 3
"""The same where our own line says what is wrong: an endpoint is gone, and each partition waits for it."""
LONGEST = 300


class PartitionError(CodeactError):
    """Partitions failed; the message names them."""


@dataclass(frozen=True)
class Fault:
    """Why a partition failed.

    Attributes:
        why: for people; a record that fails by itself is named.
        ours: whether the error was one of ours, whose line says what is wrong.
    """

    why: str
    ours: bool = False


def attempt(worker: Worker, read: Callable[[], pa.Table], progress: Progress = SILENT) -> pa.Table | Fault:
    """What the worker makes of a partition, or why it failed, whatever the reason.

    Raises:
        InputError: the worker's own: it holds for every partition.
    """
    shard: pa.Table | None = None
    try:
        shard = read()
        return worker(shard, progress)
    except InputError:
        raise
    except Exception as error:  # whatever it is, it is said with the partition's name
        log.debug("a partition failed", exc_info=True)
        search = shard is not None and shard.num_rows > 1 and not isinstance(error, CodeactError)
        alone = _alone(worker, shard) if search else None
        return Fault((f"record {alone!r}: " if alone is not None else "") + reason(error), isinstance(error, CodeactError))


def reason(error: BaseException) -> str:
    """An error on one line: its own words, and its type where it is none of ours."""
    said = " ".join(str(error).split())[:LONGEST]
    return said if isinstance(error, CodeactError) else f"{type(error).__name__}: {said}".removesuffix(": ")


def _alone(worker: Worker, shard: pa.Table) -> str | None:
    """The id of a record that fails by itself, looked for by halves: at most the work of the partition once more. None: there is none."""
    while shard.num_rows > 1:
        half = shard.num_rows // 2
        shard = shard.slice(0, half) if _fails(worker, shard.slice(0, half)) else shard.slice(half)
    return str(shard["id"][0].as_py()) if _fails(worker, shard) else None


def _fails(worker: Worker, shard: pa.Table) -> bool:
    try:
        worker(shard, SILENT)
    except Exception:  # noqa: BLE001  the search asks nothing else
        return True
    return False


class Faults:
    """The partitions of one call that failed.

    Args:
        shards: all that the backend was given.
        whole: the results are of use only together, so that the first failure ends the work.
    """

    def __init__(self, shards: Mapping[int, pa.Table], whole: bool = False) -> None:
        self.shards, self.whole, self.found = shards, whole, dict[int, str]()
        self.row = self.told = 0

    def passed(self) -> None:
        """One has ended well."""
        self.row = self.told = 0

    def add(self, number: int, fault: Fault) -> None:
        """One has failed.

        Raises:
            PartitionError: so have all of the last few, or the results are of use only together.
        """
        self.found[number] = fault.why
        if self.whole:
            raise PartitionError(f"{self._told()}; {_MEND}")
        self.row += 1
        self.told += fault.ours
        if (self.row == IN_A_ROW or self.told == TOLD_IN_A_ROW) and len(self.found) < len(self.shards):
            raise PartitionError(f"{self._told()}. The rest was not tried, after {self.row} failures one after the other; what is done is kept: {_MEND}")

    def check(self) -> None:
        """Call this when all others are done.

        Raises:
            PartitionError: some have failed.
        """
        if self.found:
            raise PartitionError(f"{self._told()}. The others are done and kept: {_MEND}")

    def _told(self) -> str:
        """`1 of 9 partitions failed: partition 3 (records 'a' to 'b'): why`, of at most three."""
        said = [f"{self._name(number)}: {self.found[number]}" for number in sorted(self.found)[:NAMED]]
        more = f"; and {len(self.found) - NAMED} more" if len(self.found) > NAMED else ""
        return f"{len(self.found)} of {len(self.shards)} partitions failed: {'; '.join(said)}{more}"

    def _name(self, number: int) -> str:
        try:
            ids = self.shards[number]["id"]
        except (InputError, OSError):  # it is what cannot be read
            return f"partition {number}"
        first, last = ids[0].as_py(), ids[-1].as_py()
        return f"partition {number} (records {first!r} to {last!r})" if len(ids) > 1 else f"partition {number} ({first!r})"


_MEND = "mend or remove what fails and start the same command again"
