"""Stage `control`: a random draw of as many response tokens as the selection has, to be trained and measured as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codeact.config import Recipe
from codeact.errors import InputError
from codeact.rundir import tables
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import choose
from codeact.stages.columns import integers, read_columns
from codeact.stages.pool import pool_stages, read_mixture, read_pool
from codeact.stages.sample import counted_by

VERSION = 3
NONE = "none"


def stage(recipe: Recipe) -> Stage:
    """Writes `control`: id, selected.

    Raises:
        InputError: everything is selected, so that nothing is left to draw, or nothing will be measured.
    """
    if recipe.sample.strategy == "full":
        raise InputError("control = 'random': sample.strategy=full trains on everything, so a draw is no comparison; leave control out")
    if not recipe.evaluate.enabled:
        raise InputError("control = 'random' is compared by the evaluation; set evaluate.enabled=true, or leave control out")
    needs = (*pool_stages(recipe.curate), counted_by(recipe.sample), "sample")
    return Stage("control", needs, lambda: {"seed": seed(recipe)}, VERSION, lambda store: draw(store, recipe))


def seed(recipe: Recipe) -> int:
    """Of the draw: another than the selection's, which may be drawn too."""
    return recipe.seed_of("sample") + 1


def draw(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Draw from the pool that the selection was chosen from, until the response tokens are as many as its own, as nearly as whole records allow.

    What curation doubts is drawn last, as it is chosen last: the difference to the selection is the strategy's alone.
    Of a mixture with quotas each source gives as many tokens as it gave the selection: else the two would differ in their mixture.

    Raises:
        InputError: the selection has no response token that was counted.
    """
    import pyarrow as pa

    pool = read_pool(store, pool_stages(recipe.curate), ("id", "source"))
    ids: list[str] = pool["id"].to_pylist()
    mixture = read_mixture(pool, recipe.data.weights)
    counted = store.table(counted_by(recipe.sample), ["id", "response_tokens"])
    tokens = integers(tables.in_order(counted, ids), "response_tokens")
    selected = np.array(tables.in_order(store.table("sample"), ids)["selected"].to_pylist(), np.bool_)
    budget = int(tokens[selected].sum())
    if budget == 0:
        raise InputError("control = 'random': no selected record has a response token, so no equal draw can be made")
    doubted = np.array(read_columns(store, ("penalised",), ids)["penalised"], np.bool_)
    found = np.zeros(len(ids), np.bool_)
    for rows in [np.arange(len(ids))] if mixture is None else mixture.members().values():
        share = int(tokens[rows][selected[rows]].sum()) / int(tokens[rows].sum() or 1)
        if share > 0:
            own = [ids[row] for row in rows.tolist()]
            found[rows] = choose(
                own, strategy="random", ratio=share, seed=seed(recipe), unit="tokens", response_tokens=tokens[rows], penalised=doubted[rows],
            ).selected  # fmt: skip
    store.write_table("control", pa.table({"id": pa.array(ids, pa.string()), "selected": pa.array(found, pa.bool_())}))
    return {
        "records": int(found.sum()), "selection_records": int(selected.sum()),
        "response_tokens": int(tokens[found].sum()), "selection_response_tokens": budget,
        "also_selected": int((found & selected).sum()), "seed": seed(recipe),
    }  # fmt: skip
