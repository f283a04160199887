"""One selection from the tables of a run: what the stage `sample` writes, and what its repetitions under other choices are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codeact.config import SampleConfig
from codeact.coverage import length_bands
from codeact.errors import InputError
from codeact.pipeline import tables
from codeact.pipeline.columns import read_columns
from codeact.pipeline.store import Store
from codeact.sample import NEEDS, Selection, select


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
        ids: of the pool (`selection.pool`).
        config: strategy, ratio, budget and rules.
        seed: of the draw.
        needs: the stages whose tables are read.
        labels: cluster of each record in the order of the pool, instead of the run's.
        scores: a score table of the same records, instead of the run's.

    Raises:
        InputError: settings that do not go together.
    """
    curated = tables.by_id(store.table("curate"), ["penalised", "language"])
    languages = [curated[i]["language"] for i in ids]
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
        penalised=[bool(curated[i]["penalised"]) for i in ids], language=languages, floor=config.floor,
        spike=spikes, suspects=config.suspects, min_gain=config.min_gain,
        bands=length_bands(counts) if counts is not None and config.floor_lengths else None,
    )  # fmt: skip
    return Choice(found, languages, counts, spikes, places)
