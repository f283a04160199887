"""What a comparison is: strategies x rates x units x seeds, as one recipe per cell."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from codeact import config, storage
from codeact.config import Recipe, Unit
from codeact.errors import InputError, did_you_mean
from codeact.sample.strategies import find
from codeact.stages import evaluate
from codeact.stages.columns import LENGTHS, SCORES
from codeact.stages.sample import counted_by

WHOLE = "full"
HELD_OUT = "held-out loss"
DRAWS_APART = 100_003  # so far apart are the seeds of two draws: a seed of the comparison is not that of another's draw
SEEDS = ("sample.seed", "cluster.seed", "train.seed")
FIRST_DEFAULTS = {"sample.strategy": "cdas", "sample.unit": "records"}
"""What keys of a recipe had as default when results of comparisons were first kept, where that has changed since."""


class Entrant(BaseModel):
    """A strategy under a name, with further recipe keys: `{name: verified-cdas, strategy: cdas, set: {curate.verify: true}}`.

    Its own `rates` and `units` take the place of the comparison's. `draw: 1` is another draw at every seed than that of draw 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    strategy: config.Strategy
    set: dict[str, Any] = Field(default_factory=dict)
    rates: tuple[float, ...] = ()
    units: tuple[Unit, ...] = ()
    draw: int = Field(0, ge=0)

    @field_validator("rates")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return _check_shares(value)

    @field_validator("units")
    @classmethod
    def _once(cls, value: tuple[Unit, ...]) -> tuple[Unit, ...]:
        _check_once(value)
        return value


class Comparison(BaseModel):
    """The file that `codeact compare` reads.

    Attributes:
        run_dir: where everything goes; each cell has a run directory of its own in it.
        recipe: what all cells share, as in the recipe of a run.
        strategies: names of strategies, or entrants.
        rates: shares of the pool; `full` is trained once per seed whatever they are.
        units: what a rate is a share of; "tokens" gives every strategy the same number of response tokens.
        seeds: of the selection, the clusters, LoRA's first weights and the order of training.
        pool_per_seed: each seed draws its own `recipe.data.limit` records, so that intervals say what other records might give.
        held_out: records kept out of every pool, for the held-out loss.
        against: the entrant that the others are compared with; of several, such as different random draws, the mean.
        apart_from: run directories of earlier comparisons. The instructions that they chose from or kept out, and the tasks that
            they measured, are left out of this one, which can then confirm what was found there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_dir: str = "runs/compare"
    recipe: dict[str, Any]
    strategies: tuple[Entrant, ...] = Field(min_length=1)
    rates: tuple[float, ...] = (config.DEFAULTS.sample.ratio,)
    units: tuple[Unit, ...] = ("records", "tokens")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    pool_per_seed: bool = False
    held_out: int = Field(200, ge=0)
    against: tuple[str, ...] = Field(("random",), min_length=1)
    apart_from: tuple[str, ...] = ()

    @field_validator("strategies", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return [{"name": v, "strategy": v} if isinstance(v, str) else v for v in value]
        return value

    @field_validator("apart_from", "against", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("units", "seeds", "against", "apart_from")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        _check_once(value)
        return value

    @field_validator("strategies")
    @classmethod
    def _apart(cls, value: tuple[Entrant, ...]) -> tuple[Entrant, ...]:
        names = [entrant.name for entrant in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the name {twice!r} occurs twice")  # their cells would share a folder
        return value

    @field_validator("rates")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("name at least one rate")
        return _check_shares(value)

    @model_validator(mode="after")
    def _together(self) -> Comparison:
        names = [entrant.name for entrant in self.strategies]
        unknown = next((name for name in self.against if name not in names), None)
        if unknown is not None:
            raise ValueError(f"against = {unknown!r} is none of the strategies {', '.join(names)}")
        if self.pool_per_seed and not (self.recipe.get("data") or {}).get("limit"):
            raise ValueError("pool_per_seed draws recipe.data.limit records for each seed; set recipe.data.limit")
        return self


def _check_shares(value: tuple[float, ...]) -> tuple[float, ...]:
    if not all(0 < rate <= 1 for rate in value):
        raise ValueError("rates are shares above 0 and at most 1")
    _check_once([f"{rate:g}" for rate in value])  # as in the names of cells
    return value


def _check_once(value: Sequence[Any]) -> None:
    twice = next((one for one in value if value.count(one) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} occurs twice; name each once")


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: its entrant, its rate and unit, and its seed."""

    entrant: str
    rate: float
    unit: str
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """Also its folder."""
        return f"{self.group}-seed{self.seed}"

    @property
    def group(self) -> str:
        """The cells that differ in their seed alone."""
        return f"{self.entrant}-{self.rate:g}-{self.unit}"


def load_comparison(path: Path, overrides: Iterable[str] = ()) -> Comparison:
    """Read a comparison from YAML; `key=value` overrides apply to its own keys, `recipe.train.epochs=1` to the recipe's.

    Raises:
        InputError: no such file, broken YAML, an unknown key, a value out of range, or two entrants of one name.
    """
    tree = config.read_yaml(path)
    config.apply_overrides(tree, overrides, "rates=[0.4]", ("recipe", *(f"recipe.{name}" for name in config.SECTIONS)))
    if tree and "strategies" not in tree and not {*tree} - {*Recipe.model_fields}:
        raise InputError(f"{path} is the recipe of one run, not a comparison of strategies; use: codeact run {path}")
    try:
        found = Comparison.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            key, owner = problem["loc"][-1], Comparison if len(problem["loc"]) == 1 else Entrant
            near = did_you_mean(str(key), owner.model_fields) or f"; the keys are {', '.join(owner.model_fields)}"
            message = "now called 'units'" if key == "budgets" else f"unknown{near}"
        raise InputError(": ".join(filter(None, [str(path), where, message[0].lower() + message[1:]]))) from error
    cells(found)
    return found


def cells(comparison: Comparison) -> list[Cell]:
    """Every training, seed by seed, so that an interrupted grid has whole comparisons of its first seeds.

    Raises:
        InputError: a recipe key is unknown or out of range.
    """
    found = []
    rates = dict.fromkeys([*comparison.rates, *(rate for entrant in comparison.strategies for rate in entrant.rates)])
    units = dict.fromkeys([*comparison.units, *(one for entrant in comparison.strategies for one in entrant.units)])
    for seed, unit, rate in itertools.product(comparison.seeds, units, rates):
        for entrant in comparison.strategies:
            if entrant.strategy == WHOLE:
                if (unit, rate) == (comparison.units[0], comparison.rates[0]):
                    found.append(_cell(comparison, entrant, 1.0, "records", seed))
                continue
            if rate not in (entrant.rates or comparison.rates) or unit not in (entrant.units or comparison.units):
                continue
            if unit == "tokens" and find(entrant.strategy).records_only:
                continue
            found.append(_cell(comparison, entrant, rate, unit, seed))
    return found


def shared_dir(comparison: Comparison, seed: int) -> Path:
    """Run directory of the records and scores that the cells of this seed choose from."""
    return Path(comparison.run_dir) / (f"shared-seed{seed}" if comparison.pool_per_seed else "shared")


def shared_recipes(comparison: Comparison) -> list[Recipe]:
    """One recipe for each pool: records, embeddings, clusters and scores.

    Raises:
        InputError: as `base_recipe`.
    """
    pools = {shared_dir(comparison, seed): _pool_seed(comparison, seed) for seed in comparison.seeds}
    return [base_recipe(comparison, {"run_dir": str(folder), **changes}) for folder, changes in pools.items()]


def counted_by_all(comparison: Comparison) -> str:
    """The stage that counts the response tokens of the pools: `score` where one of the strategies comes with scores, else `lengths`."""
    return SCORES if SCORES in {counted_by(cell.recipe.sample) for cell in cells(comparison)} else LENGTHS


def _pool_seed(comparison: Comparison, seed: int) -> dict[str, Any]:
    return {"seed": seed} if comparison.pool_per_seed else {}


def base_recipe(comparison: Comparison, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe that the cells share, with these dotted keys changed.

    Raises:
        InputError: a key is unknown or a value out of range, or an endpoint is to answer for the models that are trained.
    """
    tree = copy.deepcopy(comparison.recipe)
    if source_recipe(comparison).data.weights:
        raise InputError("recipe.data.sources: a comparison divides one pool and keeps no quotas; leave the weights out")
    if isinstance(tree.get("data"), dict):
        tree["data"].pop("sources", None)  # all of them are in the pool
    root = Path(comparison.run_dir)
    fixed: dict[str, Any] = {"run_dir": str(root / "shared"), "data.source": str(root / "pool.jsonl"), **FIRST_DEFAULTS}
    if comparison.apart_from:
        asked = source_recipe(comparison).evaluate
        fixed["evaluate.skip_tasks"] = sorted({*asked.skip_tasks, *measured_tasks(comparison.apart_from, asked.tasks)})
    for key, value in {**fixed, **(changes or {})}.items():
        config.set_key(tree, key, value, config.SECTIONS)
    found = config.validate(tree, "the comparison's recipe")
    evaluate.check(found, evaluate.EVALUATIONS)
    return found


@lru_cache(maxsize=4)
def measured_tasks(earlier: tuple[str, ...], task_sets: tuple[str, ...]) -> frozenset[str]:
    """Ids of those tasks of these sets that the comparisons in these run directories measure.

    Raises:
        InputError: a comparison has measured nothing yet, or an unknown task set.
    """
    from codeact.evaluation.task_selection import load_sets

    found: set[str] = set()
    for folder in earlier:
        path = Path(folder) / "base" / "result.json"
        if not path.exists():
            raise InputError(f"apart_from: {folder} holds no measured comparison ({path}); run that comparison first, or go without: apart_from=[]")
        values: Mapping[str, Mapping[str, float]] = storage.read_json(path)["values"]
        found |= {task for metric, of_tasks in values.items() if metric != HELD_OUT for task in of_tasks}
    return frozenset(found & {task.id for one in load_sets(task_sets, None) for task in one.tasks})


def source_recipe(comparison: Comparison) -> Recipe:
    """The recipe as it was given, with the data that are going to be divided."""
    return config.validate(comparison.recipe, "the comparison's recipe")


def _cell(comparison: Comparison, entrant: Entrant, rate: float, unit: Unit, seed: int) -> Cell:
    bare = Cell(entrant.name, rate, unit, seed, Recipe())
    folder = re.sub(r"[^\w.+-]", "_", bare.name)
    own = {
        "run_dir": str(Path(comparison.run_dir) / "cells" / folder), "evaluate.enabled": True, "control": "none",
        "sample.strategy": entrant.strategy, "sample.ratio": rate, "sample.unit": unit,
    }  # fmt: skip
    seeds = dict.fromkeys(SEEDS, seed)
    shared = config.flatten(comparison.recipe)
    config.joined(own | seeds, {key: shared[key] for key in (*own, *seeds) if shared.get(key) is not None}, f"the comparison ({bare.name})")
    fixed: dict[str, Any] = {"data.source": str(Path(comparison.run_dir) / "pool.jsonl")}
    if entrant.draw:
        fixed["sample.seed"] = seed + DRAWS_APART * entrant.draw
    changes = config.joined(own | fixed, entrant.set, f"the comparison ({bare.name})")
    return Cell(entrant.name, rate, unit, seed, base_recipe(comparison, {**seeds, **_pool_seed(comparison, seed), **changes}))


def same_at_every_seed(comparison: Comparison) -> list[str]:
    """One line for people for each entrant whose seed is set, so that the seeds of one pool differ in less than those of the others."""
    if comparison.pool_per_seed or len(comparison.seeds) < 2:
        return []
    found = []
    for entrant in comparison.strategies:
        flat = config.flatten(entrant.set)
        if keys := [key for key in SEEDS if flat.get(key) is not None]:
            instead = "; draw: 1 in its place is another draw at every seed" if "sample.seed" in keys else ""
            found.append(f"{entrant.name} has the same {' and '.join(keys)} at every seed, so intervals do not hold the luck of it{instead}")
    return found


def without_rival(comparison: Comparison) -> list[str]:
    """One line for people where entrants of `against` are not trained at a rate and unit, so that others are compared with fewer of them there, or with none.

    `full` is trained on all of the pool, and is a rival at every rate and unit.
    """
    trained: dict[tuple[float, str], set[str]] = {}
    for cell in cells(comparison):
        if cell.recipe.sample.strategy != WHOLE:
            trained.setdefault((cell.rate, cell.unit), set()).add(cell.entrant)
    everywhere = {entrant.name for entrant in comparison.strategies if entrant.strategy == WHOLE}
    places: dict[tuple[str, ...], list[str]] = {}
    for (rate, unit), here in trained.items():
        lacking = tuple(name for name in comparison.against if name not in here | everywhere)
        if lacking:
            places.setdefault(lacking, []).append(f"{100 * rate:.3g}% of the {unit}")
    found = []
    for lacking, where in places.items():
        rest = [name for name in comparison.against if name not in lacking]
        instead = f"differences are from {' and '.join(rest)} alone there" if rest else "there are no differences from it there"
        found.append(f"against: {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not trained at {', '.join(where)}; {instead}")
    return found


def groups(all_cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells by everything but their seed, in their order."""
    found: dict[str, list[Cell]] = {}
    for cell in all_cells:
        found.setdefault(cell.group, []).append(cell)
    return found
