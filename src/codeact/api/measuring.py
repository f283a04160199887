"""Benchmarks of models, differences between two of them, and comparisons of whole strategies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codeact.config import Recipe
from codeact.errors import MissingExtraError
from codeact.locks import one_writer
from codeact.outputs import Run, claim_folder
from codeact.pipeline.run import Say

EVALUATED = ("results.json", "samples.jsonl", "bits.jsonl")


@one_writer("output")
def evaluate(
    model: str | None,
    output: str | Path,
    *,
    recipe: Recipe | None = None,
    samples: Path | None = None,
    sanitized: bool = False,
    data_dir: Path | None = None,
    against: Path | None = None,
    quiet: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Benchmark a model; `recipe.model` and `recipe.evaluate` hold the settings. Returns the content of results.json.

    Args:
        model: hub name, folder, LoRA adapter, GGUF file or `demo`; None with `samples`.
        output: the folder of the results.
        recipe: the settings.
        samples: grade these ready generations instead.
        sanitized: take `samples` as chat answers, and run the program in each.
        data_dir: folder of benchmark files.
        against: folder of an earlier evaluation; the result also holds `against` and `differences`, see there.
        quiet: no progress bars.
        force: replace the results of another run in `output`.

    Raises:
        InputError: unknown tasks, no such model, or no sandbox that holds on this machine.
    """
    from codeact.evaluation.run import evaluate_model
    from codeact.evaluation.setup import check_setup

    whole = recipe or Recipe()
    earlier = None if against is None else against.parent if against.name == "results.json" else against
    if earlier is not None:
        differences(earlier, earlier)  # a wrong folder is said before hours of generation, not after
    check_setup(whole.evaluate, generates=samples is None and whole.evaluate.generate_limit != 0)
    given = tuple(str(path) for path in (model, samples, data_dir, earlier) if path is not None)
    folder = claim_folder(
        Path(output), EVALUATED, Run("evaluate", model or str(samples), (*given, whole.model.template), force)
    )
    results = evaluate_model(
        model,
        folder,
        model=whole.model,
        config=whole.evaluate,
        seed=whole.seed,
        data_dir=data_dir,
        samples=samples,
        sanitized=sanitized,
        quiet=quiet,
    )
    if earlier is not None:
        results = {**results, "against": str(against), "differences": differences(earlier, folder)}
    return results


def differences(base: str | Path, tuned: str | Path) -> dict[str, Any]:
    """Paired differences (tuned - base) of two finished evaluations, with 95 % intervals over the tasks that both did.

    Args:
        base, tuned: output folders of `evaluate`, or their results.json.

    Returns:
        {task set: {metric: {"base", "tuned", "difference", "interval", "tasks"}}}.

    Raises:
        InputError: no finished evaluation there, or the two were not made alike.
    """
    from codeact.evaluation.compare import compare_results

    first, second = (path.parent if path.name == "results.json" else path for path in (Path(base), Path(tuned)))
    return compare_results(first, second)


def result_lines(results: Mapping[str, Any]) -> list[str]:
    """The figures of results.json, and its differences where there are some, as lines for a terminal."""
    from codeact.evaluation.summary import result_lines as lines

    return lines(results)


def compare_plan(recipe: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """What `compare` would still do and cost: trainings, tokens, FLOPs, hours and memory; nothing is written.

    Returns:
        The fields of `codeact.comparison.forecast.GridForecast`, and `lines` for people.

    Raises:
        InputError: bad input or configuration.
    """
    from codeact.comparison.grid import load_comparison
    from codeact.comparison.run import plan_comparison

    found = plan_comparison(load_comparison(Path(recipe), overrides))
    return {**found.summary(), "lines": found.lines()}


def compare(
    recipe: str | Path,
    overrides: Iterable[str] = (),
    *,
    minutes: float | None = None,
    say: Say | None = None,
    quiet: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Strategies x rates x seeds on one score cache (docs/compare.md): train and evaluate what is not done; write the page.

    Args:
        recipe: a YAML file such as recipes/compare.yaml.
        overrides: `key=value`, for example `rates=[0.2,0.4]` or `recipe.train.epochs=1`.
        minutes: begin no further training after this time; the next call goes on.
        say, quiet: as `run`.

    Returns:
        The content of compare.json, with `page` (the path of compare.html; None without plotly).

    Raises:
        InputError: bad input or configuration.
        CodeactError: a stage failed; finished cells are kept.
    """
    from codeact.comparison.grid import load_comparison
    from codeact.comparison.run import run_comparison
    from codeact.reporting.compare import write_comparison

    comparison = load_comparison(Path(recipe), overrides)
    summary = run_comparison(comparison, minutes=minutes, say=say, quiet=quiet, force=force)
    try:
        page = str(write_comparison(summary, Path(comparison.run_dir)))
    except MissingExtraError:
        page = None
    return {**summary, "page": page}
