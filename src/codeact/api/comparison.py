"""`compare`: whole strategies on one score cache, and what the grid would cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def compare_plan(recipe: str | Path, overrides: Iterable[str] = (), budget: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `compare` would still do and cost: trainings, tokens, FLOPs, hours, memory and money; nothing is written.

    Args:
        recipe, overrides: as `compare`.
        budget: gpu, gpus, price, utilisation, parameters and records, as `plan`.

    Returns:
        The fields of `codeact.comparison.forecast.GridForecast`, and `lines` for people.

    Raises:
        InputError: bad input or configuration.
    """
    from codeact.comparison.grid import load_comparison
    from codeact.comparison.run import plan_comparison
    from codeact.pipeline.budget import Budget

    found = plan_comparison(load_comparison(Path(recipe), overrides), Budget(**budget or {}))
    return {**found.summary(), "lines": found.lines()}


def compare(
    recipe: str | Path,
    overrides: Iterable[str] = (),
    *,
    minutes: float | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Strategies x rates x seeds on one score cache (docs/compare.md): train and evaluate what is not done; write the page.

    Args:
        recipe: a YAML file such as recipes/compare.yaml.
        overrides: `key=value`, for example `rates=[0.2,0.4]` or `recipe.train.epochs=1`.
        minutes: begin no further training after this time; the next call goes on.

    Returns:
        The content of compare.json, with `page` (the path of compare.html). `failed` names the trainings that failed, and why.

    Raises:
        InputError: bad input or configuration.
        CodeactError: what all trainings share failed; finished ones are kept.
    """
    from codeact.comparison.grid import load_comparison
    from codeact.comparison.run import run_comparison
    from codeact.reporting.compare import write_comparison

    comparison = load_comparison(Path(recipe), overrides)
    summary = run_comparison(comparison, minutes=minutes, force=force)
    return {**summary, "page": str(write_comparison(summary, Path(comparison.run_dir)))}
