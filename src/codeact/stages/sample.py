"""Stage `sample`: the strategy's choice of the pool, the budget met; every record of the pool gets a row with its rank and the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codeact import storage
from codeact.config import Recipe, SampleConfig
from codeact.errors import InputError
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.sample import Choice, Mixture, Rules, check_settings, choose, choose_mixed
from codeact.sample.coverage import WARN_BELOW, TakeVectors, coverage, distance_rows, length_bands
from codeact.sample.mixture import quotas
from codeact.sample.quotas import budget
from codeact.sample.strategies import STRATEGIES, find, reads
from codeact.score.length import lengths_held
from codeact.stages.columns import LENGTHS, SCORES, read_columns, scored, tables_of, vectors_by_place
from codeact.stages.pool import pool_stages, read_mixture, read_pool
from codeact.stages.unlearnable import unlearnable
from codeact.types import Bools, Ints

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 7


def stage(recipe: Recipe) -> Stage:
    """Writes `sample` and coverage.json.

    Raises:
        InputError: settings that no data can serve.
    """
    settings = recipe.sample
    check_settings(settings.strategy, settings.ratio, settings.unit, rules(settings))
    weights = recipe.data.weights
    if weights and settings.strategy == "full":
        raise InputError(f"data.sources has weights, and sample.strategy={settings.strategy} takes everything; leave the weights out")
    needs = (*pool_stages(recipe.curate), *tables_for(settings))
    config = {**settings.model_dump(), "seed": recipe.seed_of("sample"), **({"weights": weights} if weights else {}), **_revised(settings)}
    return Stage("sample", needs, lambda: config, VERSION, lambda store: sample(store, recipe), ("coverage.json",))


def _revised(config: SampleConfig) -> dict[str, int]:
    """Named where selections of before are void: with floors, and where a draw of like lengths counted records without tokens."""
    return {"revision": 1} if config.floor or (find(config.strategy).mirrors and config.unit == "records") else {}


def rules(config: SampleConfig) -> Rules:
    """What the recipe asks for beside the strategy."""
    return Rules(config.floor, config.floor_lengths, config.suspects, config.min_gain, config.trim, config.like)


def columns_for(config: SampleConfig) -> tuple[str, ...]:
    """The columns that the strategy, its budget and its rules read, beside those of the stage `curate`."""
    asked = (("response_tokens", config.unit == "tokens" and find(config.strategy).counts), ("spike", config.suspects), ("gain", config.min_gain))
    return (*reads(config.strategy, config.like), *(column for column, on in asked if on))


def tables_for(config: SampleConfig) -> tuple[str, ...]:
    """The stages whose tables are read, beside those that decide who is in the pool."""
    return tables_of(columns_for(config))


def why_a_model(config: SampleConfig) -> str:
    """What a selection needs the model for, as a refusal of one without; empty: for nothing."""
    asked, read = f"strategy {config.strategy!r}", tables_for(config)
    if SCORES in read:
        return f"{asked} scores with the model that will be trained; name it with --model"
    if "response_tokens" in reads(config.strategy, config.like):
        return f"{asked} counts tokens as does the model that will be trained; name it with --model"
    if LENGTHS in read:
        return "sample.unit = tokens: they are counted with the tokenizer of the model to train; name it with --model, or count records: --unit records"
    return ""


def counted_by(config: SampleConfig) -> str:
    """The stage that counts a run's response tokens: `score` where the choice comes with scores, else `lengths`."""
    return SCORES if scored(tables_for(config)) else LENGTHS


def strategy_table() -> str:
    """The table of docs/strategies.md: of each strategy its page, the stages that it reads, and what it takes."""
    rows = ["| strategy | reads the stages | takes |", "|---|---|---|"]
    for name, one in STRATEGIES.items():
        stages = ", ".join(f"`{stage}`" for stage in tables_of(one.needs)) or "none"
        rows.append(f"| [`{name}`](strategies/{one.page or name}.md) | {stages} | {one.takes} |")
    return "\n".join(rows) + "\n"


def sample(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Choose the budget and say what the choice covers."""
    import pyarrow as pa

    config, seed = recipe.sample, recipe.seed_of("sample")
    pool = read_pool(store, pool_stages(recipe.curate), ("id", "source"))
    ids: list[str] = pool["id"].to_pylist()
    mixture = read_mixture(pool, recipe.data.weights)
    found, columns = choose_from_run(store, ids, config, seed, mixture=mixture)
    counts = columns.get("response_tokens")
    chosen = int(found.selected.sum())
    silent, why_silent = unlearnable(store, counted_by(config)) if counted_by(config) in tables_for(config) else (0, "")
    if chosen == 0:
        raise InputError(
            f"no record was selected from the pool of {len(ids)}: strategy {config.strategy!r} found none eligible"
            f" ({', '.join(f'{reason}: {count}' for reason, count in Counter(found.reason).most_common(3))}), or ratio {config.ratio} is less than one record;"
            f" raise sample.ratio or look at the tables that the strategy reads{f'. {why_silent}' if silent else ''}"
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
                "detail": pa.array(_details(found, columns), pa.string()),
            }
        ),
    )
    known = None if counts is None else lengths_held(found.ifd, counts, found.selected)
    length = known or dict.fromkeys(("spearman", "interval", "token_share"))
    languages, doubted = columns["language"], np.array(columns["penalised"], np.bool_)
    columns.clear()  # of ten million records half a gigabyte, which the vectors need
    cover = _cover(store, ids, found, languages, doubted, counts, seed, config, mixture)
    storage.write_json(store.path("coverage.json"), cover)
    return {
        "pool": len(ids), "selected": chosen, "ratio": config.ratio, "strategy": config.strategy,
        "unit": config.unit,
        "ifd_length_spearman": length["spearman"],
        "ifd_length_interval": length["interval"],
        "token_share": length["token_share"],
        "unlearnable": silent or None,
        "unlearnable_line": why_silent or None,
        "shortfall": None if mixture is not None else shortfall(found, config, counts),
        "suspects": int(found.suspected.sum()) or None,
        "coverage_warnings": cover["selection"]["warnings"] or None,
        "sources": source_figures(pool, recipe, found, counts),
        "approximation": approximation(config.strategy, len(ids)),
    }  # fmt: skip


def shortfall(found: Choice, config: SampleConfig, counts: Ints | None) -> str | None:
    """One line where less than the budget was selected since no further record is eligible, or the order has no more; else None."""
    plan = find(config.strategy)
    unit = np.ones(len(found.ids), np.int64) if counts is None or config.unit == "records" else counts
    have, whole = int(unit[found.selected].sum()), int(unit.sum())
    wanted = budget(config.ratio, whole)
    if not plan.counts or plan.mirrors or (plan.ranking is None and plan.order is None) or have >= wanted:
        return None
    cause = "no further record is eligible"
    left = np.flatnonzero((found.rank > 0) & ~found.selected)
    if plan.ranking is None or any(found.reason[at] != plan.passed_over for at in left):
        # a record that came next would have been taken, or weigh more than twice what is missing
        if plan.order is None or (unit[~found.selected] >= 2 * (wanted - have)).any():
            return None
        cause = f"strategy {plan.name!r} takes no further record"
    out = Counter(reason for reason in found.reason if reason)
    why = ", ".join(f"{reason} {count:,}" for reason, count in out.most_common(3))
    of = "response tokens" if config.unit == "tokens" else "records"
    return f"asked for {config.ratio:.0%} of the {of}, selected {have / whole:.0%}: {cause} ({why})"


def approximation(strategy: str, records: int) -> str | None:
    """What a strategy does in a pool that is too large for its exact order; None where the order is exact."""
    plan = find(strategy)
    if plan.exact is None or records <= plan.exact:
        return None
    return f"{plan.beyond} (exact up to {plan.exact:,} records; the pool has {records:,})"


def source_figures(pool: pa.Table, recipe: Recipe, found: Choice, counts: Ints | None) -> dict[str, Any] | None:
    """What each source of a mixture gave: `weight, pool, quota, selected`, and of response tokens `tokens, selected_tokens`.

    None where the data is no mixture; a figure is None where there are no weights, or no tokens were counted.
    """
    if "source" not in pool.column_names:
        return None
    config, weights = recipe.sample, recipe.data.weights
    names = [one.label for one in recipe.data.sources]
    members = Mixture(pool["source"].to_pylist(), dict.fromkeys(names, 1.0)).members()
    unit = counts if config.unit == "tokens" and counts is not None else np.ones(len(found.ids), np.int64)
    sizes = {name: int(unit[rows].sum()) for name, rows in members.items()}
    given = quotas(sizes, weights, config.ratio, config.unit) if weights else {}
    return {
        name: {
            "weight": weights.get(name), "pool": len(rows), "quota": given.get(name),
            "selected": int(found.selected[rows].sum()),
            "tokens": None if counts is None else int(counts[rows].sum()),
            "selected_tokens": None if counts is None else int(counts[rows][found.selected[rows]].sum()),
        }
        for name, rows in members.items()
    }  # fmt: skip


def choose_from_run(
    store: Store,
    ids: Sequence[str],
    config: SampleConfig,
    seed: int,
    *,
    labels: NDArray[np.integer[Any]] | None = None,
    scores: pa.Table | None = None,
    mixture: Mixture | None = None,
) -> tuple[Choice, dict[str, Any]]:
    """Choose from the pool of a run by the tables that its stages left: the choice, and the columns that it was made by.

    Args:
        store: the run directory.
        ids: of the pool (`pool.read_pool`).
        config: strategy, ratio, unit and rules.
        seed: of the draw.
        labels: cluster of each record in the order of the pool, instead of the run's.
        scores: a score table of the same records, instead of the run's.
        mixture: which source gives how much (`pool.read_mixture`); None: there are no quotas.

    Raises:
        InputError: settings that do not go together, or a table that lacks a record of the pool.
    """
    wanted = (*columns_for(config), "penalised", "language", *(("spike_at",) if config.suspects else ()))
    columns = read_columns(store, wanted, ids, scores)
    if labels is not None:
        columns["cluster"] = labels
    read = {name: column for name, column in columns.items() if name != "spike_at"}
    if mixture is None:
        found = choose(ids, strategy=config.strategy, ratio=config.ratio, seed=seed, unit=config.unit, rules=rules(config), **read)
    else:
        found = choose_mixed(
            ids, mixture, strategy=config.strategy, ratio=config.ratio, seed=seed, unit=config.unit, rules=rules(config), **read
        )
    return found, columns


def _details(found: Choice, columns: Mapping[str, Any]) -> list[str]:
    """Of each suspect, what the model does not expect and how little."""
    details = [""] * len(found.ids)
    for n in np.flatnonzero(found.suspected).tolist():
        details[n] = f"the model does not expect {columns['spike_at'][n]} (spike {columns['spike'][n]:.1f} nats)"
    return details


def _cover(
    store: Store,
    ids: list[str],
    found: Choice,
    languages: list[str],
    doubted: Bools,
    tokens: Ints | None,
    seed: int,
    config: SampleConfig,
    mixture: Mixture | None,
) -> dict[str, Any]:
    """Coverage of the selection, and beside it of a random and of a complexity-only one of the same size.

    Where tokens were counted, of the records that have one to learn: the others cannot be taken.
    """
    able = np.ones(len(ids), np.bool_) if tokens is None else tokens > 0
    place = np.flatnonzero(able)
    groups: dict[str, Any] = {"language": languages if able.all() else list(compress(languages, able))}
    if (found.cluster >= 0).all():
        groups["cluster"] = found.cluster[place].tolist()
    if tokens is not None:
        groups["length"] = length_bands(tokens[place])
    selections = {"selection": found.selected[place]}
    for name in ("random", "complexity") if np.isfinite(found.ifd).any() else ("random",):
        selections[name] = _peer(ids, found, name, seed, mixture, able, doubted)[place]
    points: TakeVectors | None = None
    if store.marker("embed") is not None and "cluster" in groups:
        vectors = vectors_by_place(store, ids)
        points = _read_once(lambda rows: vectors(place[rows]), selections.values())
    return {
        name: coverage(one, groups, points, max(WARN_BELOW, config.floor) if name == "selection" else WARN_BELOW)
        for name, one in selections.items()
    }


def _peer(ids: list[str], found: Choice, strategy: str, seed: int, mixture: Mixture | None, able: Bools, doubted: Bools) -> Bools:
    """What another strategy takes of those that are able, as many records of each source as the selection has: bool [N]."""
    taken = np.zeros(len(ids), np.bool_)
    for members in [np.arange(len(ids))] if mixture is None else mixture.members().values():
        rows = members[able[members]]
        if count := int(found.selected[rows].sum()):
            own = [ids[row] for row in rows.tolist()]
            taken[rows] = choose(own, strategy=strategy, ratio=count / len(rows), seed=seed, ifd=found.ifd[rows], penalised=doubted[rows]).selected
    return taken


def _read_once(take: TakeVectors, selections: Iterable[Bools]) -> TakeVectors:
    """The same for the records that the distances of these selections need, which are read in one pass."""
    rows = np.unique(np.concatenate([part for one in selections for part in distance_rows(one)]))
    read = take(rows)
    return lambda wanted: read[np.searchsorted(rows, wanted)]
