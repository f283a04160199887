"""`evaluate` a model on benchmarks, show one task of it (`show_task`), and the `differences` between two evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.api.training import settle
from codeact.config import EvaluateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation.journal import unfinished
from codeact.judge.costs import LEDGER
from codeact.locks import one_writer
from codeact.outputs import Run, claimed

EVALUATED = (
    *(one for name in ("results.json", "samples.jsonl", "bits.jsonl", "against.jsonl") for one in (name, unfinished(Path(name)).name)), LEDGER,
)  # fmt: skip


@one_writer("output")
def evaluate(
    model: str | PathLike[str] | None,
    output: str | Path,
    *,
    recipe: Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    samples: str | Path | None = None,
    sanitized: bool = False,
    data_dir: str | Path | None = None,
    against: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Benchmark a model; `recipe.model` and `recipe.evaluate` hold the settings. Returns the content of results.json.

    Args:
        model: hub name, folder, LoRA adapter, GGUF file or `demo`; None with `samples`.
        output: the folder of the results.
        recipe: its sections model and evaluate hold the settings.
        settings: in place of a recipe: its keys, for example `{"evaluate.tasks": ["humaneval+"]}`.
        samples: grade these ready generations instead.
        sanitized: take `samples` as chat answers, and run the program in each.
        data_dir: folder of benchmark files.
        against: folder of an earlier evaluation; the result also holds `against` and `differences`, see there.
        force: replace the results of another run in `output`.

    Raises:
        InputError: unknown tasks, no such model or folder, or no sandbox that holds on this machine.
    """
    from codeact.evaluation.compare import check_against, same_answers, task_table
    from codeact.evaluation.run import evaluate_model
    from codeact.evaluation.sets import check_folder
    from codeact.evaluation.settings import check_evaluation
    from codeact.evaluation.task_selection import sets_of

    model = None if model is None else fspath(model)
    whole = settle(recipe, {"model.name": model if recipe is None else None, "run_dir": str(output)}, settings)
    samples, data_dir, base = (None if path is None else Path(path) for path in (samples, data_dir, against))
    check_folder(data_dir)
    earlier = base.parent if base is not None and base.name == "results.json" else base
    if earlier is not None:
        chosen_by = whole.evaluate.solve_rate_of
        if chosen_by and (Path(chosen_by).resolve() == earlier.resolve() or same_answers(Path(chosen_by), earlier)):
            raise InputError(
                f"evaluate.solve_rate_of {chosen_by} holds the samples of {earlier}, which is compared with: tasks chosen by luck there would look "
                "changed; choose them by another run (another seed)"
            )
        differences(earlier, earlier)  # a wrong folder is said before hours of generation, not after
        sets = {name: one.version for one in sets_of(whole.evaluate, data_dir) for name in (one.base_name, one.name)}
        check_against(earlier, {} if whole.evaluate.held_out else sets, _known(whole.evaluate, samples is not None, sanitized))
    check_evaluation(whole.evaluate, generates=samples is None and whole.evaluate.generate_limit != 0)
    given = tuple(str(path) for path in (model, samples, data_dir, earlier) if path is not None)
    writer = Run("evaluate", model or str(samples), (*given, whole.model.template), force)
    with claimed(Path(output), EVALUATED, writer) as folder:
        results = evaluate_model(
            model, folder, model=whole.model, config=whole.evaluate, seed=whole.seed, data_dir=data_dir, samples=samples,
            sanitized=sanitized,
        )  # fmt: skip
    if earlier is not None:
        results = {**results, "against": str(against), "differences": differences(earlier, folder)}
        storage.write_jsonl(folder / "against.jsonl", task_table(earlier, folder))
    return results


def _known(config: EvaluateConfig, ready: bool, sanitized: bool) -> dict[str, Any]:
    """What results.json will say of the settings, as far as it is known before the model is loaded."""
    if ready:
        return {"backend": "not used", "prompting": "sanitized samples" if sanitized else "samples"}
    keys = ("temperature", "samples_per_task", "max_new_tokens", *(() if config.prompting == "auto" else ("prompting",)))
    told = {key: getattr(config, key) for key in keys}
    told |= {"thinking_tokens": config.thinking_tokens or None, "request_extra": config.extra or None}
    return {"backend": "endpoint" if config.endpoint else config.backend, **told}


def show_task(
    folder: str | Path, task_id: str, *, tasks: Sequence[str] = (), data_dir: str | Path | None = None, unsafe_no_sandbox: bool = False
) -> dict[str, Any]:
    """One task of a finished evaluation: programs, the first input that fails, and what becomes of it when it runs again.

    Args:
        folder: output folder of `evaluate`, or its results.json.
        task_id: for example "HumanEval/3".
        tasks: the task sets, where the evaluation's own names do not lead there: a file of one's own.
        data_dir: folder of benchmark files.
        unsafe_no_sandbox: run the programs without isolation.

    Raises:
        InputError: no finished evaluation, or no such task in it.
        CodeactError: no sandbox holds on this machine.
    """
    from codeact.evaluation.sets import check_folder
    from codeact.evaluation.show import task_samples
    from codeact.sandbox import detect_backend

    path, data = Path(folder), None if data_dir is None else Path(data_dir)
    check_folder(data)
    backend = detect_backend(unsafe=unsafe_no_sandbox)
    return task_samples(path.parent if path.name == "results.json" else path, task_id, backend=backend, tasks=tasks, data_dir=data)


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
