"""What a run tells of each record in one sentence: why it was kept or dropped, with the figures that decided."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from codeact import config
from codeact.config import Recipe
from codeact.errors import InputError
from codeact.mirror import name_of_run
from codeact.pipeline.ledger import finished, ledger_table, outdated
from codeact.rundir.store import Store
from codeact.sample.steps import GAVE_WAY, NO_TOKENS
from codeact.sample.strategies import Strategy, find
from codeact.stages.cluster import cluster_name, cluster_words
from codeact.stages.sample import counted_by
from codeact.statuses import STATUS_MEANING

log = logging.getLogger(__name__)
Group = tuple[str, int]  # source ("" where there are no quotas), cluster (0 where the strategy has none)


@dataclass(frozen=True)
class Outcomes:
    """A run directory, and the outcome of every row of its data.

    Attributes:
        store: the run directory.
        recipe: of the run.
        done: stages whose results count.
        rows: id -> its row of the ledger, in the order of the data.
    """

    store: Store
    recipe: Recipe
    done: frozenset[str]
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The run directory as its user calls it."""
        return name_of_run(self.store.root)

    @property
    def strategy(self) -> Strategy:
        """What chose the records."""
        return find(self.recipe.sample.strategy)

    @cached_property
    def words(self) -> Mapping[int, tuple[str, ...]]:
        """Cluster -> its distinctive terms."""
        return cluster_words(self.store) if {"cluster", "records"} <= self.done else {}

    @cached_property
    def values(self) -> Mapping[str, float | None]:
        """Id -> what the strategy ranks by."""
        if "sample" not in self.done or self.strategy.ranking is None:
            return {}
        table = self.store.table("sample").select(["id", "score"])
        return dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))

    @cached_property
    def last(self) -> frozenset[str]:
        """Ids of the records that curation sent behind all others: one failed a check, or is in doubt."""
        if "curate" not in self.done:
            return frozenset()
        table = self.store.table("curate", ["id", "penalised"])
        return frozenset(table.filter(table["penalised"])["id"].to_pylist())

    @cached_property
    def silent(self) -> Mapping[str, tuple[str, str]]:
        """Id -> status and detail of the records without a response token, where tokens were counted."""
        stage = counted_by(self.recipe.sample)
        if stage not in self.done:
            return {}
        table = self.store.table(stage, ["id", "response_tokens", "status", "detail"])
        return {row["id"]: (row["status"], row["detail"] or "") for row in table.to_pylist() if row["response_tokens"] == 0}

    def state(self, row: Mapping[str, Any]) -> str:
        """The status for which a record cannot be chosen; empty where that is not the reason."""
        reason = str(row["reason"] or "")
        return self.silent.get(row["id"], ("", ""))[0] if reason == NO_TOKENS else reason.removeprefix("status:") if reason.startswith("status:") else ""

    @cached_property
    def shares(self) -> Mapping[Group, Share]:
        """Group -> its share of the selection."""
        members: dict[Group, list[Mapping[str, Any]]] = {}
        for row in self.rows.values():
            if row["stage"] == "sample":
                members.setdefault(self.group(row), []).append(row)
        return {group: self._share(rows) for group, rows in members.items()}

    def group(self, row: Mapping[str, Any]) -> Group:
        """The group in which a record competes: its source, where sources have quotas, and its cluster, where clusters have."""
        source = str(row["source"]) if self.recipe.data.weights else ""
        return source, int(row["cluster"]) if self.strategy.clustered and row["cluster"] is not None else 0

    def _share(self, rows: Iterable[Mapping[str, Any]]) -> Share:
        ranking, rows = self.strategy.ranking, list(rows)
        taken = [row for row in rows if row["status"] == "kept"]
        scores = [value for row in taken if (value := self.values.get(row["id"])) is not None]
        cut = None if not scores or ranking is None else (max if ranking.lowest else min)(scores)
        return Share(sum(row["rank"] is not None for row in rows), len(rows), len(taken), cut)


@dataclass(frozen=True)
class Share:
    """A group of records that compete with each other.

    Attributes:
        ranked: how many could be taken.
        records: how many there are.
        quota: how many were taken.
        cut: what the last of them has of what the strategy ranks by.
    """

    ranked: int
    records: int
    quota: int
    cut: float | None


def read_outcomes(root: Path) -> Outcomes:
    """Read the folder of a run; the rest of it is read when it is asked for.

    Raises:
        InputError: no run directory, or no records in it that count.
    """
    if not (root / "recipe.yaml").exists():
        raise InputError(f"{name_of_run(root)} is no run directory: it holds no recipe.yaml; give the folder that `codeact select` or `run` printed")
    store, recipe = Store(root), config.kept_recipe(root)
    done = finished(store, recipe)
    if old := outdated(store, recipe):
        log.warning("%s: not shown, for made with other settings or of other tables than the directory has now: %s", name_of_run(root), ", ".join(old))
    table = ledger_table(store, done)  # a run that was stopped has left no file
    if table is None:
        raise InputError(f"{name_of_run(root)}: the records are not there whole; start the run's command again")
    rows = {row["id"]: row for row in table.to_pylist()}
    return Outcomes(store, recipe, frozenset(done), rows)


def sentence(outcomes: Outcomes, row: Mapping[str, Any], further: str = "") -> str:
    """`dropped: rank 22 of 37 in cluster 4 'date, parse', quota 15; IFD 0.288 < cut 0.400`.

    Args:
        outcomes: of the run.
        row: of the record's ledger.
        further: what is said behind it, such as `kept at ratio 0.6`.
    """
    said = [f"{row['status']}: {_why(outcomes, row)}", *([further] if further else [])]
    return "; ".join(said)


def _why(outcomes: Outcomes, row: Mapping[str, Any]) -> str:
    detail = row["detail"] or ""
    if row["stage"] == "records":
        return f"not read, {row['reason']}" + (f" ({detail})" if detail else "")
    if row["stage"] != "sample":
        if row["status"] == "kept":
            return f"in the pool; nothing was chosen from it yet{f' ({detail})' if detail else ''}"
        of = row["benchmark_item"] or row["duplicate_of"]
        return f"by {row['stage']}, {row['reason']}{f' of {of}' if of else ''}" + (f" ({detail})" if detail else "")
    return _sampled(outcomes, row)


def _sampled(outcomes: Outcomes, row: Mapping[str, Any]) -> str:
    strategy, share = outcomes.strategy, outcomes.shares[outcomes.group(row)]
    kept, reason = row["status"] == "kept", str(row["reason"] or "")
    source = outcomes.group(row)[0]
    of = f" of {source}" if source else ""
    where = f"in cluster {cluster_name(row['cluster'], outcomes.words)}{of}" if strategy.clustered else f"in the pool{of}"
    if state := outcomes.state(row):
        detail = row["detail"] or outcomes.silent.get(row["id"], ("", ""))[1]
        lacking = "no response token to learn" if reason == NO_TOKENS else "no score"
        return f"{lacking}, {state.replace('_', ' ')}: {detail or STATUS_MEANING[state]}"
    if reason.startswith("ifd>="):
        return f"IFD {row['ifd']:.3f} >= 1, the instruction does not help the model with this answer"
    if reason == NO_TOKENS:  # the table that says why is outdated
        return "it has no response token that this model could learn with this template, and the budget counts tokens"
    doubted = row["id"] in outcomes.last and strategy.counts
    last = f"ranked last ({reason if reason == 'suspect' else row['detail']}), " if reason == "suspect" or doubted else ""
    if strategy.ranking is None:
        drawn = f"{last}drawn" if kept else f"{last}{reason if reason == GAVE_WAY else 'not drawn'}"
        return f"{drawn}; {share.quota:,} of {share.records:,} {where} are" if share.quota < share.records else "everything is"
    if row["rank"] is None:
        return f"not ranked, {reason}" if reason else f"{_figure(outcomes, row, share)} {where}".strip()
    said = f"{last}rank {row['rank']:,} of {share.ranked:,} {where}, quota {share.quota:,}"
    figure = _figure(outcomes, row, share)
    told = f"{said}; {figure}" if figure else said
    return told if kept or reason in ("", "below cut", "suspect", strategy.not_taken) else f"{told}; {reason}"


def _figure(outcomes: Outcomes, row: Mapping[str, Any], share: Share) -> str:
    """`IFD 0.288 < cut 0.400`; without a comparison where something else decided."""
    ranking, value = outcomes.strategy.ranking, outcomes.values.get(row["id"])
    if ranking is None or value is None:
        return ""
    name = "IFD" if ranking.column in ("ifd", "proxy_ifd") else ranking.column.replace("_", " ")
    told = f"{name} {value:.3f}" if isinstance(value, float) and value != int(value) else f"{name} {value:,.0f}"
    if share.cut is None:
        return told
    reached = value <= share.cut if ranking.lowest else value >= share.cut
    beyond = ("<=" if reached else ">") if ranking.lowest else (">=" if reached else "<")
    cut = f"{share.cut:.3f}" if share.cut != int(share.cut) or "." in told else f"{share.cut:,.0f}"
    return f"{told} {beyond} cut {cut}" if reached is (row["status"] == "kept") else f"{told} (cut {cut})"
