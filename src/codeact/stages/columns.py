"""The columns that strategies rank by, read from the stages' tables in the order of the pool's ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample.strategies import IFD_LIMIT
from codeact.score import length
from codeact.statuses import ranked_ifd
from codeact.types import Floats


def read_columns(
    store: Store, stages: Sequence[str], ids: Sequence[str], wanted: Sequence[str], scores: Any = None
) -> dict[str, Any]:
    """The columns that the tables of `stages` hold, and those of `wanted` that are made of them, in the order of `ids`.

    `scores` is read in place of the run's score table.
    """
    found: dict[str, Any] = {}
    if "cluster" in stages:
        found["cluster"] = _column(store.table("cluster"), "cluster", ids)
    if "embed" in stages:
        table = store.table("embed")
        place = {identity: row for row, identity in enumerate(table["id"].to_pylist())}
        found["embedding"] = vectors(table)[[place[i] for i in ids]]
    if "proxy" in stages:
        proxy = store.table("proxy")
        found["proxy_ifd"] = _ranked(proxy, ids)
    if "judge" in stages:
        judged = store.table("judge")
        names = set(judged.column_names) & {"rating", "complexity", "quality"}
        found |= {name: _floats(judged, name, ids) for name in sorted(names)}
    if "tags" in stages:
        found["tags"] = _column(store.table("tags"), "tags", ids)
    if "target" in stages:
        found["target_rank"] = _floats(store.table("target"), "target_rank", ids)
    if "score" in stages:
        found |= _score_columns(store.table("score") if scores is None else scores, ids, wanted)
    return found


def vectors(table: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The embeddings of a table as float32 [N, D]."""
    column = table["embedding"].combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)


def _score_columns(table: Any, ids: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """The score table's own columns, and those made of them. Ranks are computed in the order of the ids, over the records
    that may be chosen, so that neither the file's order nor a record with IFD >= 1 moves them."""
    names = ("nll_cond", "nll_uncond", "response_tokens", "status", "prefix_log_ifd")
    rows = tables.by_id(table, names)
    ifd = _ranked(table, ids)
    cond, uncond = (np.array([rows[i][n] for i in ids], np.float64) for n in names[:2])
    tokens = np.array([rows[i]["response_tokens"] for i in ids], np.int64)
    status = [rows[i]["status"] for i in ids]
    usable = ifd < IFD_LIMIT
    back = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)

    def placed(values: Floats) -> Floats:
        result = np.empty(len(ids))
        result[back] = values
        return result

    known = np.where(usable, ifd, np.nan)[back]
    found: dict[str, Any] = {"ifd": ifd, "status": status, "response_tokens": tokens, "nll_cond": cond}
    if "loss_ratio" in wanted:
        found["loss_ratio"] = np.divide(cond, uncond, out=np.full(len(ids), np.nan), where=uncond > 0)
    if "gain" in wanted:
        found["gain"] = (uncond - cond) * tokens
    if "spike" in wanted:
        found |= {"spike": _floats(table, "spike", ids), "spike_at": _column(table, "spike_at", ids)}
    if "length_residual" in wanted:
        found["length_residual"] = placed(length.length_residual(known, tokens[back]))
    if "length_band" in wanted:
        found["length_band"] = placed(length.length_band_rank(known, tokens[back]))
    if "position_matched" in wanted:
        prefixes = [rows[ids[n]]["prefix_log_ifd"] if usable[n] else None for n in back]
        found["position_matched"] = placed(length.position_matched_rank(prefixes))
    return found


def _ranked(table: Any, ids: Sequence[str]) -> Floats:
    """`ranked_ifd` in the order of the ids."""
    found = dict(zip(table["id"].to_pylist(), ranked_ifd(table).tolist(), strict=True))
    return np.array([found[i] for i in ids], np.float64)


def _column(table: Any, name: str, ids: Sequence[str]) -> list[Any]:
    rows = tables.by_id(table, [name])
    return [rows[i][name] for i in ids]


def _floats(table: Any, name: str, ids: Sequence[str]) -> Floats:
    return np.array(_column(table, name, ids), np.float64)
