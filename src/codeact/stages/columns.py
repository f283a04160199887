"""The columns that strategies rank by, read from the stages' tables in the order of the pool's ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample.strategies import IFD_LIMIT
from codeact.sample.values import id_ranks
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
        found["cluster"] = tables.in_order(store.table("cluster"), ids)["cluster"].to_pylist()
    if "embed" in stages:
        found["embedding"] = vectors(tables.in_order(store.table("embed"), ids))
    if "proxy" in stages:
        found["proxy_ifd"] = ranked_ifd(tables.in_order(store.table("proxy"), ids))
    if "judge" in stages:
        judged = tables.in_order(store.table("judge"), ids)
        names = set(judged.column_names) & {"rating", "complexity", "quality"}
        found |= {name: _floats(judged, name) for name in sorted(names)}
    if "tags" in stages:
        found["tags"] = tables.in_order(store.table("tags"), ids)["tags"].to_pylist()
    if "target" in stages:
        found["target_rank"] = _floats(tables.in_order(store.table("target"), ids), "target_rank")
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
    table = tables.in_order(table, ids)
    ifd, cond, uncond = ranked_ifd(table), _floats(table, "nll_cond"), _floats(table, "nll_uncond")
    tokens = np.array(table["response_tokens"].to_pylist(), np.int64)
    status = table["status"].to_pylist()
    usable = ifd < IFD_LIMIT
    back = np.argsort(id_ranks(ids))

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
        found |= {"spike": _floats(table, "spike"), "spike_at": table["spike_at"].to_pylist()}
    if "length_residual" in wanted:
        found["length_residual"] = placed(length.length_residual(known, tokens[back]))
    if "length_band" in wanted:
        found["length_band"] = placed(length.length_band_rank(known, tokens[back]))
    if "position_matched" in wanted:
        known_prefixes = table["prefix_log_ifd"].to_pylist()
        prefixes = [known_prefixes[n] if usable[n] else None for n in back]
        found["position_matched"] = placed(length.position_matched_rank(prefixes))
    return found


def _floats(table: Any, name: str) -> Floats:
    return np.array(table[name].to_pylist(), np.float64)
