"""The table of task sets, and whether the canonical solutions of one pass their own tests on this machine."""

from __future__ import annotations

import hashlib
import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeact import __version__, storage
from codeact.amounts import amount
from codeact.errors import InputError
from codeact.evaluation.grade import Verdict, grade
from codeact.evaluation.sets import FAMILIES, check_folder, load_tasks
from codeact.evaluation.sets.own_python import GENERATOR
from codeact.evaluation.settings import check_languages
from codeact.evaluation.tasks import Task, TaskSet
from codeact.files import cache_dir, make_folder
from codeact.progress import SILENT, Progress, track
from codeact.sandbox import Backend, detect_backend
from codeact.sandbox.backends import Name
from codeact.sandbox.calls import LAST_CALL
from codeact.sandbox.child import UNGIVEN

# What no program that returns a value brings about: a name that the tests do not have, files, the network, processes and threads.
OWN_FAULT = re.compile(
    r"failed: (?:AssertionError: the tests did not call "
    r"|(?:AssertionError: [\w .()]+: )?(?:(?:Name|UnboundLocal|Import|ModuleNotFound|FileNotFound|Permission|URL|ConnectionRefused)Error\b"
    r"|RuntimeError: can't start new thread))"
)
ASKED = 6  # of what a set is asked here; raised where that changes, so that nothing older is taken from the cache


def task_table() -> list[dict[str, Any]]:
    """One entry for each family of task sets: names, versions, languages, licence, source."""
    return [
        {"names": list(f.names), "versions": list(f.versions), "languages": list(f.languages), "licence": f.licence, "source": f.source}
        for f in FAMILIES
    ]  # fmt: skip


def check_tasks(name: str, data_dir: Path | None = None, *, sandbox: Name | None = None) -> dict[str, Any]:
    """Run the canonical solutions of a task set, or of a file of one's own, in the sandbox.

    Returns:
        `name`, `version`, `tasks`, `passed`, `failed` (one entry each: `task_id`, `status`, `detail`), `buggy` and `buggy_passed` (twins that are
        wrong, and those of them that pass all the same), `unsolved` (the ids of tasks
        without a canonical solution), `not_run` (id -> why that task cannot be judged here), `sandbox`, `seconds`.

    Raises:
        InputError: no such set, or faults in the file, one line each.
        CodeactError: no sandbox holds on this machine.
    """
    check_folder(data_dir)
    task_set = load_tasks(name, data_dir)
    check_languages([task_set])
    backend = detect_backend(sandbox)
    check_languages([task_set], backend)
    refuse_unsound(task_set, backend)
    judged = [task for task in task_set.tasks if not task.not_run]
    solved = [task for task in judged if task.canonical_solution or task.given]
    began = time.perf_counter()
    with track(f"run {task_set.name}", len(solved) + sum(bool(task.buggy_solution) for task in judged), "programs") as progress:
        samples = [(task.id, task.canonical_program) for task in solved]
        verdicts = grade(task_set, samples, backend=backend, progress=progress)
        buggy = [(task.id, task.prompt + task.buggy_solution) for task in judged if task.buggy_solution]
        twins = grade(task_set, buggy, backend=backend, progress=progress)
    failed = [v for v in verdicts if any(status != "passed" for status in v.statuses)]
    return {
        "name": task_set.name,
        "version": task_set.version,
        "tasks": len(task_set.tasks),
        "passed": len(solved) - len(failed),
        "failed": [{"task_id": v.task_id, "status": v.statuses[-1], "detail": v.detail} for v in failed],
        "buggy": len(buggy),
        "buggy_passed": [v.task_id for v in twins if v.base_status == "passed"],
        "unsolved": [task.id for task in judged if not (task.canonical_solution or task.given)],
        "not_run": {task.id: task.not_run for task in task_set.tasks if task.not_run},
        "sandbox": backend.name,
        "seconds": round(time.perf_counter() - began, 1),
    }


def proven(task_set: TaskSet, backend: Backend) -> TaskSet:
    """The set, its tasks marked as not run whose published solution does not pass in this sandbox.

    Only of sets whose rules ask for it: their tests want what no sandbox gives (files, a network, other versions of a library),
    and a failure there would say nothing of a model. A file of one's own is refused where tests judge nothing, or fail the task's own
    solution. What was found is kept in the cache.

    Raises:
        InputError: tasks of one's own whose tests pass programs that are wrong, or fail the right one; one line each.
    """
    refuse_unsound(task_set, backend)
    own = [task for task in task_set.tasks if task.rules.wrong is not None and task.canonical_solution]
    if failing := _kept("try the solutions", task_set, own, backend, _failing, keep_faults=False):
        lines = [f"{task_set.name}, task {identity}: its canonical_solution does not pass its tests ({why})" for identity, why in failing.items()]
        raise InputError("\n".join(lines))
    published = [task for task in task_set.tasks if task.rules.proven and not task.not_run]
    unproven = _kept("try the published solutions", task_set, published, backend, _failing)
    return replace(task_set, tasks=tuple(
        replace(task, not_run=f"its published solution does not pass here ({unproven[task.id]})") if task.id in unproven else task
        for task in task_set.tasks))  # fmt: skip


def refuse_unsound(task_set: TaskSet, backend: Backend) -> None:
    """Refuse a file of one's own whose tests judge nothing.

    Raises:
        InputError: tasks whose tests pass every wrong program, one line each.
    """
    own = [task for task in task_set.tasks if task.rules.wrong is not None]
    if found := _kept("try wrong programs", task_set, own, backend, _passing_wrong, keep_faults=False):
        raise InputError("\n".join(f"{task_set.name}, task {identity}: {why}" for identity, why in found.items()))


def _kept(
    what: str, task_set: TaskSet, asked: Sequence[Task], backend: Backend, find: Callable[[TaskSet, Backend, Progress], dict[str, str]],
    keep_faults: bool = True,
) -> dict[str, str]:  # fmt: skip
    """What `find` says of the tasks (id -> fault), from the cache where it was asked before."""
    import numpy

    if not asked:
        return {}
    told = (what, ASKED, task_set.name, task_set.digest, backend.name, platform.python_version(), numpy.__version__, __version__)
    kept = cache_dir() / "proven" / f"{hashlib.sha256(repr(told).encode()).hexdigest()[:32]}.json"
    if kept.is_file():
        return dict(storage.read_json(kept))
    with track(f"{what} of {task_set.name}", len(asked), "programs") as progress:
        found = find(replace(task_set, tasks=tuple(asked)), backend, progress)
    if keep_faults or not found:
        make_folder(kept.parent)
        storage.write_json(kept, found)
    return found


def _failing(task_set: TaskSet, backend: Backend, progress: Progress) -> dict[str, str]:
    """Tasks whose own solution does not pass."""
    verdicts = grade(task_set, [(task.id, task.canonical_program) for task in task_set.tasks], backend=backend, progress=progress)
    return {v.task_id: f"{v.base_status}: {v.detail}" for v in verdicts if v.base_status != "passed"}


def _passing_wrong(task_set: TaskSet, backend: Backend, progress: Progress) -> dict[str, str]:
    """Tasks whose tests pass every program that is wrong, give the function what is no value, or fail by themselves whatever it returns."""
    wrong = {task.id: task.rules.wrong(task) if task.rules.wrong is not None else () for task in task_set.tasks}
    entries = {task.id: task.entry_point for task in task_set.tasks}
    passing = failing = {identity for identity, programs in wrong.items() if programs}
    own: dict[str, str] = {}
    found: dict[str, str] = {}
    for number in range(max(map(len, wrong.values()))):
        asked = [(identity, programs[number]) for identity, programs in wrong.items() if identity in passing | failing and number < len(programs)]
        verdicts = grade(task_set, asked, backend=backend, progress=SILENT if number else progress)
        found |= {v.task_id: f"{_said(v)}; give \"same_process\": true" for v in verdicts if UNGIVEN in v.detail}
        found |= {v.task_id: f"its tests pass whatever {entries[v.task_id]!r} returns: {_said(v)}" for v in verdicts if GENERATOR in v.detail}
        passing = passing - {v.task_id for v in verdicts if v.base_status != "passed"}
        failing = failing - {v.task_id for v in verdicts if not OWN_FAULT.match(f"{v.base_status}: {v.detail}")}
        own |= {v.task_id: v.detail.partition(LAST_CALL)[0] for v in verdicts}
    found |= {identity: f"its tests pass whatever {entries[identity]!r} returns; have them fail where a value is wrong" for identity in passing}
    by_themselves = {identity: f"its tests fail whatever {entries[identity]!r} returns ({own[identity]}); mend them" for identity in failing}
    found = by_themselves | found
    return {identity: found[identity] for identity in wrong if identity in found}


def _said(verdict: Verdict) -> str:
    return verdict.detail.partition(LAST_CALL)[0].partition(": ")[2]


def check_lines(found: dict[str, Any]) -> list[str]:
    """What `check_tasks` found, for a terminal."""
    solved = found["passed"] + len(found["failed"])
    lines = [f"{found['name']} {found['version']}: {found['passed']} of {solved} canonical solutions pass ({found['sandbox']})"]
    if found["buggy"]:
        wrong = found["buggy_passed"]
        lines.append(f"{found['buggy'] - len(wrong)} of {amount(found['buggy'], 'buggy twin')} fail" + (f"; not {', '.join(wrong)}" if wrong else ""))
    if found["unsolved"]:
        lines.append(f"without canonical_solution: {len(found['unsolved'])} of {amount(found['tasks'], 'task')}; nothing says that their tests can be passed")
    if found["not_run"]:
        first, why = next(iter(found["not_run"].items()))
        lines.append(f"not run here: {len(found['not_run'])} of {amount(found['tasks'], 'task')}; {first}: {why}")
    return lines + [f"{v['task_id']}: {v['status']}: {v['detail']}" for v in found["failed"]]
