"""Where the columns come from that strategies and rules read: of each, the stage's table, and the function that makes it of that table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from codeact.errors import InputError
from codeact.rundir import tables
from codeact.rundir.parts import PART_ROWS
from codeact.rundir.store import Store
from codeact.sample.strategies import IFD_LIMIT
from codeact.score import length, selective
from codeact.statuses import ranked_ifd
from codeact.types import Floats, Ints, Vectors

if TYPE_CHECKING:
    import pyarrow as pa


SCORES, LENGTHS = "score", "lengths"  # both count response tokens; the second runs no model
SCORING = (SCORES, "learn")  # whoever reads these has scores
COPIED = 20_000
"""Vectors above which a decoded copy is kept."""


def plain(table: pa.Table, name: str) -> list[Any]:
    """The column as the table has it; equal texts are one object."""
    import pyarrow as pa

    if not pa.types.is_string(table.schema.field(name).type):
        values: list[Any] = table[name].to_pylist()
        return values
    coded = table[name].combine_chunks().dictionary_encode()
    said = [*coded.dictionary.to_pylist(), None]
    return [said[at] for at in coded.indices.fill_null(len(said) - 1).to_pylist()]


def floats(table: pa.Table, name: str) -> Floats:
    """The column as float64 [N], NaN for none."""
    return np.array(table[name].to_pylist(), np.float64)


def integers(table: pa.Table, name: str) -> Ints:
    """The column as int64 [N]."""
    return np.array(table[name].to_pylist(), np.int64)


def vectors(table: pa.Table, name: str = "embedding") -> Vectors:
    """The embeddings as float32 [N, D]."""
    column = table[name].combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)


class TablePoints:
    """The vectors of the table `embed`, read a part at a time: see `codeact.cluster.Points`.

    To decode them takes longer than to read them: the first time that all of a large table are wanted they are also written to a
    file without a name, in the run directory, from where they are read after that.

    Args:
        store: the run directory.
        kept: ids of the records that count; None: all.

    Attributes:
        column: ids of the records, in the order of the table.
    """

    def __init__(self, store: Store, kept: pa.Array | None = None) -> None:
        import pyarrow.compute as pc

        self.store = store
        column = store.table("embed", ["id"])["id"].combine_chunks()
        self.mask = None if kept is None else np.asarray(pc.is_in(column, value_set=kept), np.bool_)
        self.column = column if kept is None else column.filter(pc.is_in(column, value_set=kept))
        self._decoded: IO[bytes] | None = None
        self._dimensions = 0

    def __len__(self) -> int:
        return len(self.column)

    def blocks(self) -> Iterator[Vectors]:
        """See `codeact.cluster.Points`."""
        if self._decoded is not None:
            self._decoded.seek(0)
            room = np.empty((PART_ROWS, self._dimensions), np.float32)
            while size := self._decoded.readinto(room.reshape(-1).view(np.uint8)):  # type: ignore[attr-defined]
                yield room[: size // (4 * self._dimensions)]
            return
        start, copy = 0, self._copy()
        for part in self.store.parts("embed", ["embedding"]).values():
            points = vectors(part)
            start += len(points)
            found = points if self.mask is None else points[self.mask[start - len(points) : start]]
            copy = _kept(copy, found)
            self._dimensions = found.shape[1]
            yield found
        self._decoded = copy

    def _copy(self) -> IO[bytes] | None:
        """A file for the vectors, if they are many and it can be made."""
        try:
            return tempfile.TemporaryFile(dir=self.store.root) if len(self) > COPIED else None  # closed with this object
        except OSError:
            return None

    def take(self, rows: Ints) -> Vectors:
        """See `codeact.cluster.Points`."""
        start, found = 0, []
        for points in self.blocks():
            low, high = np.searchsorted(rows, (start, start + len(points)))
            found.append(points[rows[low:high] - start])
            start += len(points)
        return np.concatenate(found)


def _kept(file: IO[bytes] | None, points: Vectors) -> IO[bytes] | None:
    """The file with these points behind the others; None where the disk has no room."""
    if file is None:
        return None
    try:
        file.write(np.ascontiguousarray(points, np.float32).data)
    except OSError:
        file.close()
        return None
    return file


def vectors_by_place(store: Store, ids: Sequence[str]) -> Callable[[Ints], Vectors]:
    """What gives the vectors of some records by their numbers in `ids`, reading no others.

    Raises:
        InputError: a record has none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    points = TablePoints(store)
    found = pc.index_in(pa.array(ids, pa.string()), value_set=points.column)
    if found.null_count:
        raise InputError("a record of the pool has no embedding; run the stage embed again")
    positions = np.asarray(found, np.int64)

    def take(rows: Ints) -> Vectors:
        wanted = positions[rows]
        order = np.argsort(wanted, kind="stable")
        read = points.take(wanted[order])
        made = np.empty_like(read)
        made[order] = read
        return made

    return take


def ranked(table: pa.Table, name: str) -> Floats:
    """See `statuses.ranked_ifd`."""
    return ranked_ifd(table)


def loss_ratio(table: pa.Table, name: str) -> Floats:
    """Loss with the instruction over loss without."""
    cond, uncond = floats(table, "nll_cond"), floats(table, "nll_uncond")
    found: Floats = np.divide(cond, uncond, out=np.full(len(cond), np.nan), where=uncond > 0)
    return found


def gain(table: pa.Table, name: str) -> Floats:
    """Nats that the instruction saves on the whole response."""
    found: Floats = (floats(table, "nll_uncond") - floats(table, "nll_cond")) * integers(table, "response_tokens")
    return found


def length_residual(table: pa.Table, name: str) -> Floats:
    """See `score.length.length_residual`."""
    return _among_eligible(table, lambda eligible, ifd: length.length_residual(ifd, integers(eligible, "response_tokens")))


def length_band(table: pa.Table, name: str) -> Floats:
    """See `score.length.length_band_rank`."""
    return _among_eligible(table, lambda eligible, ifd: length.length_band_rank(ifd, integers(eligible, "response_tokens")))


def position_matched(table: pa.Table, name: str) -> Floats:
    """See `score.length.position_matched_rank`."""

    def ranks(table: pa.Table, ifd: Floats) -> Floats:
        prefixes = plain(table, "prefix_log_ifd")
        return length.position_matched_rank([p if np.isfinite(i) else None for p, i in zip(prefixes, ifd, strict=True)])

    return _among_eligible(table, ranks)


def selective_ifd(table: pa.Table, name: str) -> Floats:
    """See `score.selective.selective_ifd`, over the records that are ranked."""
    import pyarrow.compute as pc

    tokens = table["token_log_ifd"].combine_chunks()
    counts = np.asarray(pc.fill_null(pc.list_value_length(tokens), 0), np.int64)
    usable = np.isfinite(ranked_ifd(table)) & (counts > 0)
    steps = np.asarray(pc.list_flatten(tokens.filter(usable)), np.int64)
    return selective.selective_ifd(steps, np.where(usable, counts, 0))


def learnable(table: pa.Table, name: str) -> Floats:
    """Mid-rank of the learnability among records of like length that were not trained on; in the order of the ids."""
    by_id = np.argsort(np.array(table["id"].to_pylist(), object), kind="stable")
    table = table.take(by_id)
    value = np.where(np.array(table["in_probe"].to_pylist(), np.bool_), np.nan, floats(table, name))
    found = np.empty(len(value))
    found[by_id] = length.length_band_rank(value, integers(table, "response_tokens"))
    return found


@dataclass(frozen=True)
class Origin:
    """Where a column comes from.

    Attributes:
        table: the stage that leaves it, or what it is made of.
        read: makes it of the table (and its own name), whose rows are in the order of the pool.
        of: the table's columns that `read` looks at, beside its ids; empty: the one of its own name. Those that a table lacks are left out.
        always: read whenever the table is: ranks, reasons and figures are told by it.
    """

    table: str
    read: Callable[[pa.Table, str], Any] = floats
    of: tuple[str, ...] = ()
    always: bool = False


_RANKED = ("ifd", "status", "ifd_estimate")
COLUMNS: Mapping[str, Origin] = {
    "ifd": Origin("score", ranked, _RANKED, always=True),
    "status": Origin("score", plain, always=True),
    "response_tokens": Origin(LENGTHS, integers, always=True),
    "nll_cond": Origin("score"),
    "loss_ratio": Origin("score", loss_ratio, ("nll_cond", "nll_uncond")),
    "gain": Origin("score", gain, ("nll_cond", "nll_uncond", "response_tokens")),
    "spike": Origin("score"),
    "spike_at": Origin("score", plain),
    "length_residual": Origin("score", length_residual, (*_RANKED, "response_tokens")),
    "length_band": Origin("score", length_band, (*_RANKED, "response_tokens")),
    "position_matched": Origin("score", position_matched, (*_RANKED, "prefix_log_ifd")),
    "selective_ifd": Origin("score", selective_ifd, (*_RANKED, "token_log_ifd")),
    "cluster": Origin("cluster", plain),
    "embedding": Origin("embed", vectors),
    "proxy_ifd": Origin("proxy", ranked, _RANKED),
    "rating": Origin("judge"),
    "complexity": Origin("judge"),
    "quality": Origin("judge"),
    "tags": Origin("tags", plain),
    "target_rank": Origin("target"),
    "rds_rank": Origin("rds"),
    "importance": Origin("dsir"),
    "learnable": Origin("learn", learnable, ("learnable", "in_probe", "response_tokens")),
    "listed": Origin("listed"),
    "penalised": Origin("curate", plain),
    "language": Origin("curate", plain),
}


def tables_of(columns: Iterable[str]) -> tuple[str, ...]:
    """The stages whose tables these columns are read from, each once: where there are scores, they tell the lengths too."""
    found = dict.fromkeys(COLUMNS[name].table for name in columns)
    return tuple(dict.fromkeys(SCORES if name == LENGTHS and scored(found) else name for name in found))


def scored(stages: Iterable[str]) -> bool:
    """Whether one of these stages comes with the scores of the model."""
    return any(stage in SCORING for stage in stages)


def lacking(stages: Iterable[str], there: Collection[str]) -> tuple[str, ...]:
    """Of these stages those whose tables are not among those that are there; `score` stands for `lengths`."""
    return tuple(stage for stage in stages if stage not in there and not (stage == LENGTHS and SCORES in there))


def counted_in(store: Store) -> str | None:
    """The table of a run that holds its response tokens: of two that which the selection was made from; None: there is none."""
    there = [name for name in (LENGTHS, SCORES) if store.path(f"{name}.parquet").exists()]
    made_from = (store.marker("sample") or {}).get("inputs", {})
    return next((name for name in there if name in made_from), there[0] if there else None)


def read_columns(
    store: Store, wanted: Sequence[str], ids: Sequence[str], scores: pa.Table | None = None
) -> dict[str, Any]:
    """These columns, and those that are always read of their tables, in the order of `ids`.

    Args:
        store: the run directory.
        wanted: names of `COLUMNS`.
        ids: of the pool.
        scores: a score table of the same records, read in place of the run's.

    Raises:
        InputError: a table lacks a record of the pool.
    """
    found: dict[str, Any] = {}
    for stage in tables_of(wanted):
        if stage == LENGTHS:
            stage = SCORES if scores is not None else counted_in(store) or LENGTHS
        origins = {
            name: origin for name, origin in COLUMNS.items()
            if stage in (origin.table, SCORES if origin.table == LENGTHS else "") and (name in wanted or origin.always)
        }  # fmt: skip
        needed = dict.fromkeys(["id", *(column for name, origin in origins.items() for column in origin.of or (name,))])
        given = scores if stage == SCORES else None
        there = store.columns(stage) if given is None else given.column_names
        columns = [column for column in needed if column in there]
        table = tables.in_order(store.table(stage, columns) if given is None else given.select(columns), ids)
        for name, origin in origins.items():
            found[name] = origin.read(table, name)
    return found


def _among_eligible(table: pa.Table, make: Callable[[pa.Table, Floats], Floats]) -> Floats:
    """A rank among the records that may be chosen, made in the order of the ids: neither the file's order nor a record with
    IFD >= 1 moves it. `make` gets the table in that order and IFD below 1, NaN elsewhere."""
    by_id = np.argsort(np.array(table["id"].to_pylist(), object), kind="stable")
    table = table.take(by_id)
    ifd = ranked_ifd(table)
    found = np.empty(len(ifd))
    found[by_id] = make(table, np.where(ifd < IFD_LIMIT, ifd, np.nan))
    return found
