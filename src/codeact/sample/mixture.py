"""Mixtures: each source gives its quota, chosen from its own records by the strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from codeact.amounts import amount
from codeact.errors import InputError
from codeact.sample.pool import Column, part
from codeact.sample.quotas import budget
from codeact.sample.steps import NO_RULES, Choice, Rules, Unit, choose
from codeact.types import Ints

NAMED = "data.sources"


@dataclass(frozen=True)
class Mixture:
    """Who gives how much.

    Attributes:
        source: name of the source of each record, in the order of the ids.
        weights: name -> weight; only their ratio to each other counts.
    """

    source: Sequence[str]
    weights: Mapping[str, float]

    def members(self) -> dict[str, Ints]:
        """Name -> positions of its records, int64, in the order of the weights."""
        numbers = {name: number for number, name in enumerate(self.weights)}
        of = np.array([numbers[name] for name in self.source], np.int64)
        return {name: np.flatnonzero(of == number).astype(np.int64) for name, number in numbers.items()}


def share_out(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`total` in proportion to the weights, by largest remainder, exactly; equal remainders go to the earlier source."""
    exact = {name: Fraction(repr(float(weight))) for name, weight in weights.items()}
    shares = {name: total * one / sum(exact.values()) for name, one in exact.items()}
    given = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(weights, key=lambda name: given[name] - shares[name])  # stable: the earlier one first
    for name in by_remainder[: total - sum(given.values())]:
        given[name] += 1
    return given


def quotas(sizes: Mapping[str, int], weights: Mapping[str, float], ratio: float, unit: Unit = "records") -> dict[str, int]:
    """What each source gives of the budget `ratio * sum(sizes)`.

    Args:
        sizes: name -> what its pool holds, counted as `unit` says.
        weights: name -> weight.
        ratio: share of the whole pool, above 0 and at most 1.
        unit: for messages.

    Raises:
        InputError: a source has less than it should give, or should give nothing.
    """
    what = "records" if unit == "records" else "response tokens"
    total = sum(sizes.values())
    found = share_out(budget(ratio, total), weights)
    whole = sum(weights.values())
    for name, quota in found.items():
        if quota > sizes[name]:
            most = sizes[name] * whole / (weights[name] * total)
            raise InputError(
                f"{NAMED}: {name} should give {quota:,} {what} (weight {weights[name]:g} of {whole:g}, of"
                f" {sum(found.values()):,}), and its pool has {sizes[name]:,}; lower its weight, or sample.ratio to at most"
                f" {int(most * 1000) / 1000:g}"
            )
        if quota == 0:
            raise InputError(
                f"{NAMED}: {name} would give nothing: weight {weights[name]:g} of {whole:g}, of {sum(found.values()):,} {what};"
                " raise its weight or sample.ratio, or leave it out"
            )
    return found


def source_lines(sources: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    """For people: what each source of a mixture gave, `a.jsonl: 40 of 100 records, quota 40`.

    Args:
        sources: `sources` of the stage `sample`'s summary; None: no mixture.
    """
    lines = []
    for name, one in (sources or {}).items():
        line = f"{name}: {one['selected']:,} of {amount(one['pool'], 'record')}"
        if one["selected_tokens"] is not None:
            line += f", {one['selected_tokens']:,} of {one['tokens']:,} response tokens"
        lines.append(line if one["quota"] is None else f"{line}, quota {one['quota']:,}")
    return lines


def choose_mixed(
    ids: Sequence[str], mixture: Mixture, *, strategy: str, ratio: float, seed: int = 0, unit: Unit = "records",
    rules: Rules = NO_RULES, **columns: Column | None,
) -> Choice:  # fmt: skip
    """`choose` from each source for itself, as much as its quota; ranks, cutoffs, floors and suspects are inside a source.

    Args:
        ids: as `choose`, and so all others.
        mixture: the source of each record, and the weights.
        strategy, ratio, seed, unit, rules: as `choose`.
        columns: as `choose`.

    Raises:
        InputError: as `choose` and `quotas`, or strategy `full`, which knows no quota.
    """
    if strategy == "full":
        raise InputError(f"{NAMED} has weights, and sample.strategy = 'full' takes everything; leave the weights out")
    members = mixture.members()
    tokens = columns.get("response_tokens") if unit == "tokens" else None
    if unit == "tokens" and tokens is None:
        raise InputError("sample.unit = tokens needs 'response_tokens' of every record")
    sizes = {name: len(rows) if tokens is None else _sum(tokens, ids, rows) for name, rows in members.items()}
    given = quotas(sizes, mixture.weights, ratio, unit)
    chosen = {
        name: choose(
            [ids[row] for row in rows.tolist()], strategy=strategy, ratio=given[name] / sizes[name], seed=seed, unit=unit, rules=rules,
            **{column: None if values is None else part(values, rows.tolist()) for column, values in columns.items()},
        )
        for name, rows in members.items()
    }  # fmt: skip
    return _joined([(members[name], one) for name, one in chosen.items()])


def _sum(tokens: Column, ids: Sequence[str], rows: Ints) -> int:
    if isinstance(tokens, Mapping):
        return sum(int(tokens[ids[row]]) for row in rows.tolist())
    return sum(int(tokens[row]) for row in rows.tolist())


def _joined(parts: Sequence[tuple[Ints, Choice]]) -> Choice:
    """One choice of several, each with the positions of its records."""
    back = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    found: dict[str, Any] = {}
    for field in dataclasses.fields(Choice):
        columns = [getattr(one, field.name) for _, one in parts]
        if isinstance(columns[0], np.ndarray):
            found[field.name] = np.concatenate(columns)[back]
        else:
            whole = [value for column in columns for value in column]
            found[field.name] = tuple(whole[row] for row in back.tolist())
    return Choice(**found)
