"""What a comparison would do and cost, before anything is written and without the model's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codeact.amounts import amount, columns
from codeact.comparison.grid import Cell, Comparison, cells, counted_by_all, shared_recipes, source_recipe
from codeact.comparison.power import power_lines
from codeact.config import DataConfig, Recipe
from codeact.pipeline.budget import Budget, Work, device_lines, notes_of, times
from codeact.pipeline.forecast import Forecast, forecast, generated_tokens, weight_reads
from codeact.pipeline.sizes import model_shape
from codeact.score.cost import duration
from codeact.stages.columns import SCORES


@dataclass(frozen=True, slots=True)
class GridForecast:
    """What `forecast_grid` found.

    Attributes:
        planned: trainings.
        done: of these.
        pools: different pools of records.
        records: of one pool.
        score_tokens: model tokens of scoring all pools, those done before included.
        train_tokens: of the trainings that are left, without padding.
        train_flops: of these.
        longest_flops: of the longest training left.
        generated_tokens: at most, by the evaluations that are left, that of the model before training included.
        memory: bytes of the training that needs most, by part.
        devices: device -> see `budget.times`.
        seconds_left: on this machine, one process, by what the trainings done took; None before the first.
        notes: what the figures assume and leave out.
        told: on the devices, for people: a name and what is told of it.
    """

    planned: int
    done: int
    pools: int
    records: int
    score_tokens: int
    train_tokens: int
    train_flops: float
    longest_flops: float
    generated_tokens: int
    memory: Mapping[str, float]
    devices: Mapping[str, Mapping[str, Any]]
    seconds_left: float | None
    notes: tuple[str, ...]
    told: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        pools = (
            f"{self.pools} pools of {amount(self.records, 'record')}"
            if self.pools > 1
            else f"a pool of {amount(self.records, 'record')}"
        )
        found = [
            ("trainings", f"{self.planned}, {self.done} of them done; {pools}"),
            *([("score", f"{self.score_tokens:,} tokens, once")] if self.score_tokens else []),
            ("train", f"{self.train_tokens:,} tokens, {self.train_flops:.3g} FLOPs left"),
            ("memory", f"{sum(self.memory.values()) / 1e9:.1f} GB for a training"),
        ]
        if self.generated_tokens:
            found.append(("evaluate", f"at most {self.generated_tokens:,} generated tokens left"))
        found += self.told
        if self.seconds_left is not None:
            left = f"{duration(self.seconds_left / 3600)} left for one process, by the trainings done"
            found.append(("this machine", left))
        return [*columns(found), *(f"note: {note}" for note in self.notes)]

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return {key: value for key, value in asdict(self).items() if key != "told"}


def forecast_grid(comparison: Comparison, results: Mapping[str, Mapping[str, Any]], budget: Budget, base: Recipe | None) -> GridForecast:
    """Trainings, tokens, FLOPs, hours and memory of what `compare` would still do.

    A training at rate r costs r times that of the whole pool with the same settings: strategies that take long answers cost
    more at equal records.

    Args:
        comparison: see `grid.Comparison`.
        results: cell name -> result of the cells that are done.
        budget: as `pipeline.forecast.forecast`.
        base: of the evaluation of the model before training; None where that is done.

    Raises:
        InputError: bad data or configuration, or a model whose configuration cannot be read.
    """
    planned = cells(comparison)
    source = source_recipe(comparison)
    counted = counted_by_all(comparison)
    whole = {_settings(cell): cell for cell in planned}
    costs = {key: _whole(cell, comparison, source.data, budget, counted) for key, cell in whole.items()}
    left = [cell for cell in planned if cell.name not in results]
    flops = [cell.rate * costs[_settings(cell)].train_flops for cell in left]
    tokens = [cell.rate * costs[_settings(cell)].train_tokens for cell in left]
    generated, decode = _of_base(base, budget) if base else (0, 0.0)
    generated += sum(costs[_settings(cell)].generated_tokens for cell in left)
    decode += sum(costs[_settings(cell)].decode_bytes for cell in left)
    any_cost = next(iter(costs.values()))
    pools = len(shared_recipes(comparison))
    heaviest = max(costs.values(), key=lambda one: sum(one.memory.values()))
    work = Work(
        pools * any_cost.score_flops, sum(flops), decode, heaviest.memory,
        heaviest.memory_divided, source.backend == "ray", max(flops, default=0.0), together=False,
    )  # fmt: skip
    devices = times(work, budget)
    notes = (*any_cost.about, *notes_of(budget, devices, work), "curation, embedding and likelihoods are not counted in the hours")
    notes = (*notes, *power_lines(comparison))
    return GridForecast(
        planned=len(planned),
        done=len(planned) - len(left),
        pools=pools,
        records=any_cost.records,
        score_tokens=pools * any_cost.score_tokens,
        train_tokens=round(sum(tokens)),
        train_flops=sum(flops),
        longest_flops=max(flops, default=0.0),
        generated_tokens=generated,
        memory=heaviest.memory,
        devices=devices,
        seconds_left=_seconds_left(tokens, list(results.values())),
        notes=notes,
        told=tuple(device_lines(devices, work, budget)),
    )


def _settings(cell: Cell) -> str:
    """What decides the cost of a training and its evaluation, but for its share of the pool."""
    deciding = {"method", "epochs", "batch_size", "grad_accum", "gradient_checkpointing", "lora_r"}
    parts = cell.recipe.model_dump(mode="json", include={"model": True, "pack": True, "train": deciding, "evaluate": True})
    return json.dumps(parts, sort_keys=True)


def _of_base(recipe: Recipe, budget: Budget) -> tuple[int, float]:
    """Tokens that the model before training generates at most, and bytes of weights that it reads for them."""
    generated, _ = generated_tokens(recipe.evaluate, budget.parameters is None)
    return generated, weight_reads(recipe.evaluate, generated, model_shape(recipe, budget.parameters).parameters) if generated else 0.0


def _whole(cell: Cell, comparison: Comparison, data: DataConfig, budget: Budget, counted: str) -> Forecast:
    """The forecast of scoring (of counting, where nothing is scored), and of training on the whole pool with this cell's settings."""
    plain = {"ratio": 1.0, "unit": "records", "suspects": 0.0, "min_gain": 0.0}
    sample = cell.recipe.sample.model_copy(update={"strategy": "cdas" if counted == SCORES else "random", **plain})
    nowhere = str(Path(comparison.run_dir) / "cells" / ".plan")
    recipe = cell.recipe.model_copy(update={"data": data, "sample": sample, "run_dir": nowhere})
    return forecast(recipe, (counted, "evaluate_tuned"), budget=budget)


def _seconds_left(tokens: Sequence[float], done: Sequence[Mapping[str, Any]]) -> float | None:
    if not done:
        return None
    trained = sum(result["training"]["seconds"] for result in done)
    rate = trained / max(1, sum(result["training"]["tokens"] for result in done))
    beside = float(np.mean([result["seconds"] - result["training"]["seconds"] for result in done]))
    return float(rate * sum(tokens) + beside * len(tokens))
