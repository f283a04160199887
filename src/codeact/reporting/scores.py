"""What the score stage found: how scores follow length, and examples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from codeact.records import Record
from codeact.rundir.store import Store
from codeact.score.length import length_summary
from codeact.stages.pool import records_by_id
from codeact.statistics import spearman_interval
from codeact.statuses import ranked_ifd

SHOWN_CHARACTERS = 200


def summarise_scores(store: Store, ratio: float, examples: int = 0) -> dict[str, Any]:
    """How the scores follow length, and the highest, the median and the lowest records.

    Args:
        store: a run whose score stage is complete.
        ratio: share of the scored records taken as selected.
        examples: records of each kind; 0: none.

    Returns:
        `length` (`LengthSummary` as a mapping; None where no record has a score) and, where asked for, `examples`.
    """
    table = store.table("score")
    ifd = ranked_ifd(table)
    known = np.flatnonzero(np.isfinite(ifd))
    tokens = table["response_tokens"].to_numpy()
    found: dict[str, Any] = {"length": None}
    if len(known):
        length = asdict(length_summary(ifd, tokens, ratio=ratio))
        rho = length["spearman"]
        found["length"] = {**length, "interval": None if rho is None else spearman_interval(rho, len(known))}
    if not examples:
        return found
    # only what was measured is shown as an example
    scored = [n for n in known.tolist() if table["ifd"][n].is_valid]
    order = sorted(scored, key=lambda n: (-ifd[n], n))
    middle = max(0, (len(order) - examples) // 2)
    chosen = {"highest": order[:examples], "median": order[middle : middle + examples], "lowest": order[-examples:]}
    ids = table["id"].to_pylist()
    records = records_by_id(store, {ids[n] for numbers in chosen.values() for n in numbers})
    found["examples"] = {
        name: [_example(records[ids[n]], float(ifd[n]), int(tokens[n])) for n in numbers]
        for name, numbers in chosen.items()
    }
    return found


def _example(record: Record, ifd: float, tokens: int) -> dict[str, Any]:
    return {
        "id": record.id,
        "ifd": ifd,
        "response_tokens": tokens,
        "instruction": _short(record.instruction),
        "response": _short(record.response),
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
