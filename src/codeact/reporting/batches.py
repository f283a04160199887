"""The picture of batches: the first of a run's own, row by row, under three ways of batching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from codeact.amounts import amount
from codeact.packing.plan import plan_batch
from codeact.reporting.plot import UNITS
from codeact.reporting.wording import number, percent

PALETTE = 10
ROW, GAP = 9, 6  # pixels of a row, and between two batches
Row = list[tuple[int, int]]  # (sample, its tokens), from left to right


@dataclass(frozen=True)
class Batch:
    """Rows of one batch, and what each is padded to, in tokens."""

    rows: list[Row]
    width: int


def batching(batches: Sequence[Sequence[int]], capacity: int) -> dict[str, list[Batch]]:
    """Method of pack.json -> the batches as it lays them out. A sample has the same number under each."""
    found: dict[str, list[Batch]] = {"pad to max": [], "dynamic padding": [], "Dynamic Pack": []}
    first = 0
    for lengths in batches:
        alone: list[Row] = [[(first + n, size)] for n, size in enumerate(lengths)]
        packed = [[(first + int(n), lengths[int(n)]) for n in row] for row in plan_batch(np.array(lengths, np.int64), capacity)]
        found["pad to max"].append(Batch(alone, capacity))
        found["dynamic padding"].append(Batch(alone, max(lengths)))
        found["Dynamic Pack"].append(Batch(packed, max(sum(size for _, size in row) for row in packed)))
        first += len(lengths)
    return found


def drawn_rate(batches: Sequence[Batch]) -> float:
    """Share of padding in these batches."""
    held = sum(size for batch in batches for row in batch.rows for _, size in row)
    return 1 - held / sum(batch.width * len(batch.rows) for batch in batches)


def pictures(packing: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each method its `name`, the `picture` and the padding of what is `drawn` and of `all`; none for a run whose pack.json has no batches."""
    batches: list[list[int]] = packing.get("batches") or []
    if not batches:
        return []
    found = []
    for name, laid in batching(batches, packing["capacity"]).items():
        rate, rows = drawn_rate(laid), sum(len(batch.rows) for batch in laid)
        label = (
            f"{name}: {amount(sum(map(len, batches)), 'record')} in {amount(rows, 'row')}, {percent(rate)} padding; a record is a coloured block, padding is"
            f" empty. The whole width is {number(packing['capacity'], 0)} tokens."
        )
        found.append({
            "name": name, "rows": rows, "drawn": rate, "all": packing["methods"][name]["padding_rate"],
            "picture": _picture(laid, packing["capacity"], label),
        })  # fmt: skip
    return found


def _picture(batches: Sequence[Batch], capacity: int, label: str) -> Markup:
    height = sum(ROW * len(batch.rows) for batch in batches) + GAP * (len(batches) - 1)
    marks = Markup("").join(_marks(batches, capacity))
    return Markup(
        '<svg class="rows" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" style="height:{}px">{}</svg>'
    ).format(label, UNITS, height, height, marks)


def _marks(batches: Sequence[Batch], capacity: int) -> Iterator[Markup]:
    top = 0
    for batch in batches:
        for row in batch.rows:
            yield _rect("pad", 0, batch.width, top, capacity, "")
            at = 0
            for sample, size in row:
                yield _rect(f"c{sample % PALETTE}", at, size, top, capacity, f"{amount(size, 'token')}")
                at += size
            top += ROW
        top += GAP


def _rect(kind: str, at: int, size: int, top: int, capacity: int, title: str) -> Markup:
    told = Markup("<title>{}</title>").format(title) if title else Markup("")
    x, width = round(UNITS * at / capacity, 1), round(UNITS * size / capacity, 1)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(kind, x, top + 1, width, ROW - 2, told)
