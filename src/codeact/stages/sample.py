"""Stage `sample`: the strategy's choice of the pool, the budget met; every record of the pool gets a row with its rank and the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codeact import storage
from codeact.config import Recipe, SampleConfig
from codeact.errors import InputError
from codeact.rundir import tables
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import NEEDS, Selection, select
from codeact.sample.coverage import WARN_BELOW, coverage, length_bands
from codeact.score.length import length_figures
from codeact.stages.columns import read_columns, vectors
from codeact.stages.pool import pool_stages, read_pool

VERSION = 1
TABLE_OF = {
    "ifd": "score", "nll_cond": "score", "loss_ratio": "score", "response_tokens": "score", "length_residual": "score",
    "length_band": "score", "position_matched": "score", "spike": "score", "cluster": "cluster", "embedding": "embed", "proxy_ifd": "proxy",
    "rating": "judge", "target_rank": "target", "complexity": "judge", "quality": "judge", "tags": "tags",
}  # fmt: skip


def stage(recipe: Recipe) -> Stage:
    """Writes `sample` and coverage.json."""
    needs = (*pool_stages(recipe.curate), *tables_for(recipe.sample))
    config = {**recipe.sample.model_dump(), "seed": recipe.seed_of("sample")}
    return Stage("sample", needs, lambda: config, VERSION, lambda store: sample(store, recipe), ("coverage.json",))


def tables_for(config: SampleConfig) -> tuple[str, ...]:
    """The stages whose tables the strategy, its budget and its suspects read."""
    columns = (*NEEDS[config.strategy], *(("response_tokens",) if config.budget == "tokens" else ()))
    columns += ("spike",) if config.suspects else ()
    return tuple(dict.fromkeys(TABLE_OF[column] for column in columns))


def sample(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Choose the budget and say what the choice covers."""
    import pyarrow as pa

    config, seed = recipe.sample, recipe.seed_of("sample")
    ids: list[str] = read_pool(store, pool_stages(recipe.curate))["id"].to_pylist()
    choice = choose(store, ids, config, seed, tables_for(config))
    found, counts = choice.found, choice.response_tokens
    chosen = int(found.selected.sum())
    if chosen == 0:
        raise InputError(
            f"no record was selected from the pool of {len(ids)}: strategy {config.strategy!r} found none eligible"
            f" ({dict(Counter(found.reason).most_common(3))}), or ratio {config.ratio} is less than one record;"
            " raise sample.ratio or look at the tables that the strategy reads"
        )
    store.write_table(
        "sample",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "cluster": pa.array(found.cluster, pa.int32()),
                "rank": pa.array(found.rank, pa.int32(), mask=found.rank == 0),
                "ifd": pa.array(found.ifd, pa.float64(), mask=np.isnan(found.ifd)),
                "cutoff": pa.array(found.cutoff, pa.float64(), mask=np.isnan(found.cutoff)),
                "selected": pa.array(found.selected, pa.bool_()),
                "reason": pa.array(found.reason, pa.string()),
                "score": pa.array(found.score, pa.float64(), mask=np.isnan(found.score)),
                "detail": pa.array(
                    [
                        f"the model does not expect {place} (spike {choice.spikes[n]:.1f} nats)"
                        if found.suspected[n]
                        else ""
                        for n, place in enumerate(choice.places)
                    ],
                    pa.string(),
                ),
            }
        ),
    )
    known = None if counts is None else length_figures(found.ifd, counts, found.selected)
    length = known or dict.fromkeys(("spearman", "interval", "token_share"))
    cover = _cover(store, ids, found, choice.languages, counts, seed, config)
    storage.write_json(store.path("coverage.json"), cover)
    return {
        "pool": len(ids), "selected": chosen, "ratio": config.ratio, "strategy": config.strategy,
        "budget": config.budget,
        "ifd_length_spearman": length["spearman"],
        "ifd_length_interval": length["interval"],
        "token_share": length["token_share"],
        "suspects": int(found.suspected.sum()) or None,
        "coverage_warnings": cover["selection"]["warnings"] or None,
    }  # fmt: skip


def _cover(
    store: Store,
    ids: list[str],
    found: Any,
    languages: list[str],
    tokens: list[int] | None,
    seed: int,
    config: SampleConfig,
) -> dict[str, Any]:
    """Coverage of the selection, and beside it of a random and of a complexity-only one of the same size."""
    from codeact.sample import select
    from codeact.sample.coverage import length_bands

    groups: dict[str, Any] = {"language": languages}
    if (found.cluster >= 0).all():
        groups["cluster"] = found.cluster.tolist()
    if tokens is not None:
        groups["length"] = length_bands(tokens)
    points = None
    if store.marker("embed") is not None and "cluster" in groups:
        points = vectors(tables.in_order(store.table("embed"), ids))
    cover = {"selection": coverage(found.selected, groups, points, max(WARN_BELOW, config.floor))}
    peers = {"random": {}, "complexity": {"ifd": found.ifd}} if np.isfinite(found.ifd).any() else {"random": {}}
    for name, columns in peers.items():
        peer = select(ids, strategy=name, ratio=config.ratio, seed=seed, **columns)  # type: ignore[arg-type]
        cover[name] = coverage(peer.selected, groups, points)
    return cover


@dataclass(frozen=True)
class Choice:
    """A selection with what it was made of, in the order of the pool.

    Attributes:
        found: the selection.
        languages: of each record's code, "" where unknown.
        response_tokens: of each record; None where the strategy's tables do not say.
        spikes: surprise at operators and numbers; None where it is not asked for.
        places: where each spike is, "" where there is none.
    """

    found: Selection
    languages: list[str]
    response_tokens: Any
    spikes: Any
    places: list[str]


def choose(
    store: Store,
    ids: Sequence[str],
    config: SampleConfig,
    seed: int,
    needs: Sequence[str],
    *,
    labels: Any = None,
    scores: Any = None,
) -> Choice:
    """Choose from the pool of a run by the tables that its stages left.

    Args:
        store: the run directory.
        ids: of the pool (`pool.read_pool`).
        config: strategy, ratio, budget and rules.
        seed: of the draw.
        needs: the stages whose tables are read.
        labels: cluster of each record in the order of the pool, instead of the run's.
        scores: a score table of the same records, instead of the run's.

    Raises:
        InputError: settings that do not go together.
    """
    curated = tables.in_order(store.table("curate"), ids)
    languages = curated["language"].to_pylist()
    wanted = [*NEEDS[config.strategy]]
    wanted += [name for name, on in (("spike", config.suspects), ("gain", config.min_gain)) if on]
    columns = read_columns(store, needs, ids, wanted, scores)
    if labels is not None:
        columns["cluster"] = labels
    counts = columns.pop("response_tokens", None)
    spikes, places = columns.pop("spike", None), columns.pop("spike_at", [""] * len(ids))
    if config.floor > 0 and config.floor_lengths and counts is None:
        raise InputError(
            f"sample.floor_lengths needs response lengths, which strategy {config.strategy!r} does not read; leave it out"
        )
    found = select(
        ids, strategy=config.strategy, ratio=config.ratio, seed=seed, unit=config.budget,
        ifd=columns.pop("ifd", None), status=columns.pop("status", None), cluster=columns.pop("cluster", None),
        response_tokens=counts, gain=columns.pop("gain", None), columns=columns,
        penalised=[bool(value) for value in curated["penalised"].to_pylist()], language=languages, floor=config.floor,
        spike=spikes, suspects=config.suspects, min_gain=config.min_gain,
        bands=length_bands(counts) if counts is not None and config.floor_lengths else None,
    )  # fmt: skip
    return Choice(found, languages, counts, spikes, places)
