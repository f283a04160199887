"""Which task sets an evaluation takes, and which of their tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from codeact import storage
from codeact.config import EvaluateConfig
from codeact.errors import InputError
from codeact.evaluation.sets import load_tasks, mbpp, own
from codeact.evaluation.tasks import Task, TaskSet


def sets_of(config: EvaluateConfig, data_dir: Path | None = None) -> list[TaskSet]:
    """The task sets of an evaluation; none where it names none and measures held-out records.

    Raises:
        InputError: as `load_sets`.
    """
    return load_sets(config.tasks, data_dir, config.skip_tasks) if config.tasks or not config.held_out else []


def load_sets(names: Iterable[str], data_dir: Path | None, skip: Iterable[str] = ()) -> list[TaskSet]:
    """The task sets asked for, one per family: a `+` set holds its base set too.

    Raises:
        InputError: no names, an unknown one, two versions of one family, or `skip` names a task that none of them has.
    """
    asked = list(dict.fromkeys(names))
    if not asked:
        raise InputError("no task set is named; give for example --tasks humaneval+, or a file with --held-out")
    families: dict[str, TaskSet] = {}
    bases: dict[str, str] = {}
    for name in sorted(asked, key=lambda name: "+" not in name):
        task_set = load_tasks(name, data_dir)
        bases[name] = task_set.base_name
        earlier = families.setdefault(task_set.base_name, task_set)
        if ("@" in name or own.is_file(name)) and earlier.version != task_set.version:
            raise InputError(
                f"{name} and {earlier.name} {earlier.version} cannot be in one evaluation; use one version, or two output folders"
            )
    sets = [families[base] for base in dict.fromkeys(bases[name] for name in asked)]
    shared = [i for i, n in Counter(task.id for one in sets for task in one.tasks).items() if n > 1]
    if shared:
        raise InputError(f"task_id {shared[0]!r} is in two of {', '.join(asked)}; give the tasks other ids, or two output folders")
    unknown = set(skip) - {task.id for one in sets for task in one.tasks}
    if unknown:
        raise InputError(f"evaluate.skip_tasks: {min(unknown)!r} is no task of {', '.join(asked)}")
    return sets


def to_generate(sets: Sequence[TaskSet], config: EvaluateConfig) -> dict[str, list[Task]]:
    """Name of each set -> its tasks that are generated for: those that `generate_tasks` names, else `subset`; none that cannot be judged here.

    Raises:
        InputError: a name is no task of the sets, or as `subset`.
    """
    limit = None if config.generate_tasks and config.generate_limit != 0 else config.generate_limit
    if config.prompting == "few-shot":  # the examples' own tasks stand in every prompt
        config = config.model_copy(update={"skip_tasks": (*config.skip_tasks, *mbpp.SHOTS)})
    if config.solve_rate is not None:
        config = config.model_copy(update={"generate_tasks": solved_within(Path(config.solve_rate_of), sets, config.solve_rate)})
    named = set(config.generate_tasks)
    unknown = named - {task.id for one in sets for task in one.tasks}
    if unknown:
        raise InputError(f"evaluate.generate_tasks: {min(unknown)!r} is no task of {', '.join(one.name for one in sets)}")
    judged = {one.name: [task for task in one.tasks if not task.not_run and (not named or task.id in named)] for one in sets}
    return {name: subset(tasks, limit, config.skip_tasks) if tasks else [] for name, tasks in judged.items()}


def solved_within(folder: Path, sets: Sequence[TaskSet], band: tuple[float, float]) -> tuple[str, ...]:
    """Ids of the tasks that an evaluation solves in at least and at most these shares of its samples.

    Raises:
        InputError: no finished evaluation, or it solves no task of these sets so often.
    """
    from codeact.evaluation.compare import per_task, task_sets

    if not (folder / "results.json").is_file():
        raise InputError(f"evaluate.solve_rate_of {str(folder)!r} holds no finished evaluation (no results.json); give the folder that evaluate -o wrote")
    results = storage.read_json(folder / "results.json")
    for one in sets:
        if one.name not in results or results[one.name]["version"] != one.version:
            had = ", ".join(f"{name} {results[name]['version']}" for name in task_sets(results))
            raise InputError(f"evaluate.solve_rate_of {str(folder)!r} has {had}, and not {one.name} {one.version}; evaluate that there first")
    rates = {task: rate for one in sets for task, rate in per_task(folder, one.name, "pass@1").items()}
    found = tuple(task for task, rate in rates.items() if band[0] <= rate <= band[1])
    if not found:
        raise InputError(
            f"evaluate.solve_rate {band[0]}-{band[1]}: {folder} solves none of its {len(rates)} tasks that often; widen the band"
        )
    return found


def subset(tasks: Sequence[Task], limit: int | None, skip: Iterable[str] = ()) -> list[Task]:
    """`limit` tasks, evenly spaced by number, the first always among them; all where there are no more.

    Raises:
        InputError: `skip`, ids of tasks to leave out, leaves none.
    """
    left_out = set(skip)
    usable = [task for task in tasks if task.id not in left_out]
    if not usable:
        raise InputError(f"evaluate.skip_tasks leaves none of {tasks[0].id} to {tasks[-1].id}; name fewer")
    if limit is None or limit >= len(usable):
        return usable
    return [usable[i * len(usable) // limit] for i in range(limit)]
