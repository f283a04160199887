"""The way of the data, from records to the results that the report shows. Read it from top to bottom, then the stages' files.

records -> curate -> embed -> cluster -> score or lengths -> sample -> (pack) train -> evaluate -> report
                                                      `-> control -> train_control -> evaluate_control, where `control: random` asks for it
"""

from __future__ import annotations

from collections.abc import Iterable

from codeact.config import Recipe
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import Stage, needed_for
from codeact.stages import (
    cluster,
    control,
    curate,
    dsir,
    embed,
    evaluate,
    hidden,
    judge,
    learn,
    lengths,
    listed,
    pack,
    rds,
    records,
    refine,
    sample,
    score,
    tags,
    target,
    train,
)
from codeact.stages.evaluate import EVALUATIONS
from codeact.stages.pool import refines


def chosen(recipe: Recipe, inputs: Inputs, targets: Iterable[str] | None = None) -> list[Stage]:
    """The stages that run, in order: those that `targets` need; by default all but those that nothing of the recipe asks for.

    Raises:
        InputError: settings that do not go together.
    """
    stages = plan(recipe, inputs)
    if targets is None:
        targets = {s.name for s in stages if not s.on_demand} - (set() if recipe.evaluate.enabled else {*EVALUATIONS})
    found = needed_for(stages, targets)
    evaluate.check(recipe, {stage.name for stage in found})
    return found


def plan(recipe: Recipe, inputs: Inputs) -> list[Stage]:
    """Every stage of a run, in order: its name, what it needs, what decides its result, and the function that does it.

    Raises:
        InputError: settings that do not go together.
    """
    score.check(recipe)
    return [
        records.stage(recipe, inputs),
        curate.stage(recipe, inputs),
        embed.stage(recipe, inputs),
        *([refine.stage(recipe)] if refines(recipe.curate) else []),
        cluster.stage(recipe),
        score.stage(recipe, inputs),
        lengths.stage(recipe, inputs),
        score.stage_proxy(recipe, inputs),
        judge.stage(recipe, inputs),
        tags.stage(recipe, inputs),
        target.stage(recipe, inputs),
        hidden.stage(recipe, inputs),
        rds.stage(recipe, inputs),
        dsir.stage(recipe, inputs),
        learn.stage(recipe, inputs),
        listed.stage(recipe, inputs),
        sample.stage(recipe),
        pack.stage(recipe, inputs),
        train.stage(recipe, inputs),
        evaluate.stage_base(recipe, inputs),
        evaluate.stage_trained(recipe, "tuned"),
        *_control(recipe, inputs),
    ]


def _control(recipe: Recipe, inputs: Inputs) -> list[Stage]:
    """The control arm, where the recipe asks for it: a random draw, trained and evaluated as the selection is."""
    if recipe.control == control.NONE:
        return []
    return [control.stage(recipe), train.stage_control(recipe, inputs), evaluate.stage_trained(recipe, "control")]
