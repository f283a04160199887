"""Figures of the selection: IFD histogram, clusters, example records, and how far IFD follows response length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codeact import storage
from codeact.records import Message, Record
from codeact.rundir.tables import in_order
from codeact.statuses import ranked_ifd
from codeact.types import Bools, Floats, Ints

if TYPE_CHECKING:
    import pyarrow as pa

SCATTER_POINTS = 2_000
SCATTER_SEED = 0
TABLE_CLUSTERS = 100
HOVER_CHARS = 120
EXAMPLE_CHARS = 1_200
_BIN_WIDTHS = (0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.5)
_MOST_BINS = 60


@dataclass(frozen=True)
class Frame:
    """The curated pool, one entry per record, joined by id; NaN, -1 and "" where a stage has no value.

    Attributes:
        ids: Arrow array of the N ids.
        cluster: int64 [N].
        x, y: float64 [N], the 2-D view of the embedding.
        ifd: float64 [N], what records are ranked by (`statuses.ranked_ifd`); NaN where one is not.
        tokens: int64 [N], response tokens.
        selected: bool [N].
        cutoff: float64 [N], lowest selected IFD of the record's cluster.
        reason: object [N], why the sampler kept or dropped it.
    """

    ids: pa.Array
    cluster: Ints
    x: Floats
    y: Floats
    ifd: Floats
    tokens: Ints
    selected: Bools
    cutoff: Floats
    reason: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)


def read_frame(sample: Path | None, cluster: Path | None, score: Path | None, counted: Path | None) -> Frame | None:
    """Join the tables of the selection stages by id; a stage that was not run is None. No stage at all: None.

    Args:
        sample, cluster, score: the stages' tables.
        counted: the one that counts the response tokens, `score` itself or `lengths`.
    """
    tables = [None if path is None else storage.read_parquet(path) for path in (sample, cluster, score, counted)]
    chosen, placed, scored, sized = tables
    base = next((table for table in tables if table is not None), None)
    if base is None:
        return None
    ids = base.column("id").combine_chunks()
    if scored is not None:
        import pyarrow as pa

        scored = scored.append_column("ranked_ifd", pa.array(ranked_ifd(scored), pa.float64()))
    ifd = _floats(chosen, "ifd", ids) if scored is None else _floats(scored, "ranked_ifd", ids)
    ifd[~np.isfinite(ifd)] = np.nan
    return Frame(
        ids=ids,
        cluster=_ints(placed if placed is not None else chosen, "cluster", ids),
        x=_floats(placed, "x", ids),
        y=_floats(placed, "y", ids),
        ifd=ifd,
        tokens=_ints(sized, "response_tokens", ids),
        selected=_ints(chosen, "selected", ids) == 1,
        cutoff=_floats(chosen, "cutoff", ids),
        reason=_strings(chosen, "reason", ids),
    )


def aligned(table: pa.Table, name: str, ids: pa.Array) -> pa.Array:
    """Column `name` of `table` in the order of `ids`, as an Arrow array; null where the table lacks the id."""
    return in_order(table.select(["id", name]), ids, lenient=True)[name].combine_chunks()


def _floats(table: pa.Table | None, name: str, ids: pa.Array) -> Floats:
    if table is None:
        return np.full(len(ids), np.nan)
    values: Floats = aligned(table, name, ids).cast("float64").fill_null(np.nan).to_numpy(zero_copy_only=False).copy()
    return values


def _ints(table: pa.Table | None, name: str, ids: pa.Array) -> Ints:
    if table is None:
        return np.full(len(ids), -1, np.int64)
    values: Ints = aligned(table, name, ids).cast("int64").fill_null(-1).to_numpy(zero_copy_only=False)
    return values


def _strings(table: pa.Table | None, name: str, ids: pa.Array) -> NDArray[np.object_]:
    if table is None:
        return np.full(len(ids), "", object)
    values: NDArray[np.object_] = aligned(table, name, ids).fill_null("").to_numpy(zero_copy_only=False)
    return values


def ifd_figures(frame: Frame) -> dict[str, Any] | None:
    """Histogram of IFD, selected and not selected apart, with the cutoffs. None when nothing was ranked.

    Bins are multiples of a round width, so that 1 is an edge; the last bin also holds the values above it (`above`).
    """
    ranked = np.isfinite(frame.ifd)
    values = frame.ifd[ranked]
    if not values.size:
        return None
    edges = histogram_edges(values)
    clipped = np.clip(frame.ifd, edges[0], edges[-1])
    cutoffs = [
        {"cluster": number, "cutoff": float(frame.cutoff[members][np.isfinite(frame.cutoff[members])][0])}
        for number, members in _clusters(frame)
        if np.isfinite(frame.cutoff[members]).any()
    ]
    return {
        "edges": edges,
        "selected": np.histogram(clipped[ranked & frame.selected], edges)[0],
        "not_selected": np.histogram(clipped[ranked & ~frame.selected], edges)[0],
        "above": int((values > edges[-1]).sum()),
        "records": int(values.size),
        "below_one": int((values < 1).sum()),
        "median": float(np.median(values)),
        "median_selected": _median(frame.ifd[ranked & frame.selected]),
        "cutoffs": cutoffs,
    }


def histogram_edges(values: Floats) -> Floats:
    """Edges of at most 60 bins (fewer for few values), multiples of a round width, up to the 99.5th percentile or 3."""
    low = float(values.min())
    high = min(max(float(np.quantile(values, 0.995)), low, 1.0), 3.0)
    low = min(low, high - 0.1)
    most = min(_MOST_BINS, max(12, int(2 * np.sqrt(values.size))))
    for width in _BIN_WIDTHS:
        first, last = int(np.floor(low / width)), int(np.floor(high / width)) + 1
        if last - first <= most:
            break
    edges: Floats = np.round(np.arange(first, last + 1) * width, 6)
    return edges


def cluster_figures(frame: Frame, records: Path | None, words: Mapping[int, Sequence[str]]) -> dict[str, Any] | None:
    """The per-cluster table with two examples each, and a seeded sample of the 2-D view. None without clusters."""
    groups = _clusters(frame)
    if not groups:
        return None
    largest = sorted(groups, key=lambda group: (-len(group[1]), group[0]))[:TABLE_CLUSTERS]
    shown = sorted(largest, key=lambda group: group[0])
    examples = {number: (_typical(frame, members, True), _typical(frame, members, False)) for number, members in shown}
    points = _sampled(frame)
    wanted = {int(row) for pair in examples.values() for row in pair if row is not None} | set(points.tolist())
    texts = _texts(records, frame, sorted(wanted))
    rows = []
    for number, members in shown:
        cutoff = frame.cutoff[members]
        kept, dropped = examples[number]
        rows.append(
            {
                "cluster": number,
                "words": list(words.get(number, ())),
                "records": len(members),
                "ranked": int(np.isfinite(frame.ifd[members]).sum()),
                "below_one": int((frame.ifd[members] < 1).sum()),
                "selected": int(frame.selected[members].sum()),
                "cutoff": float(cutoff[np.isfinite(cutoff)][0]) if np.isfinite(cutoff).any() else None,
                "median_ifd": _median(frame.ifd[members]),
                "kept": _example(frame, kept, texts),
                "dropped": _example(frame, dropped, texts),
            }
        )
    return {
        "count": len(groups),
        "words": {str(number): list(terms) for number, terms in words.items()},
        "rows": rows,
        "points": {
            "total": len(frame),
            "shown": len(points),
            "seed": SCATTER_SEED,
            "x": np.round(frame.x[points], 4),
            "y": np.round(frame.y[points], 4),
            "cluster": frame.cluster[points],
            "ifd": np.round(frame.ifd[points], 4),
            "response_tokens": frame.tokens[points],
            "selected": frame.selected[points],
            "instruction": [excerpt(" ".join(texts[int(row)][0].split()), HOVER_CHARS) for row in points],
        },
    }


def excerpt(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _clusters(frame: Frame) -> list[tuple[int, Ints]]:
    order = np.argsort(frame.cluster, kind="stable")
    numbers, starts = np.unique(frame.cluster[order], return_index=True)
    groups = np.split(order, starts[1:])
    return [(int(number), group) for number, group in zip(numbers, groups, strict=True) if number >= 0]


def _median(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _typical(frame: Frame, members: Ints, selected: bool) -> int | None:
    """The member whose IFD is the median of the selected (or not selected) ones; without any IFD, the first."""
    side = members[frame.selected[members] == selected]
    ranked = side[np.isfinite(frame.ifd[side])]
    if ranked.size:
        return int(ranked[np.argsort(frame.ifd[ranked], kind="stable")[(len(ranked) - 1) // 2]])
    return int(side[0]) if side.size else None


def _sampled(frame: Frame) -> Ints:
    if len(frame) <= SCATTER_POINTS:
        return np.arange(len(frame), dtype=np.int64)
    generator = np.random.default_rng(SCATTER_SEED)
    return np.sort(generator.choice(len(frame), SCATTER_POINTS, replace=False)).astype(np.int64)


def _texts(records: Path | None, frame: Frame, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Frame row -> (instruction, response); empty texts for a record that the records table lacks."""
    if records is None:
        return dict.fromkeys(rows, ("", ""))
    messages = aligned(storage.read_parquet(records), "messages", frame.ids.take(list(rows))).to_pylist()
    return {row: _text(turns or ()) for row, turns in zip(rows, messages, strict=True)}


def _text(turns: Iterable[dict[str, Any]]) -> tuple[str, str]:
    record = Record("", tuple(Message(turn["role"], turn["content"] or "") for turn in turns))
    return record.instruction, record.response


def _example(frame: Frame, row: int | None, texts: dict[int, tuple[str, str]]) -> dict[str, Any] | None:
    if row is None:
        return None
    instruction, response = texts[row]
    return {
        "id": frame.ids[row].as_py(),
        "ifd": float(frame.ifd[row]),
        "response_tokens": int(frame.tokens[row]),
        "reason": str(frame.reason[row]),
        "instruction": excerpt(instruction, EXAMPLE_CHARS),
        "response": excerpt(response, EXAMPLE_CHARS),
    }
