"""Ready generations (`--samples`): read, told apart, and warned about where their figure would mislead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Container, Sequence
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.amounts import amount
from codeact.errors import InputError
from codeact.evaluation.sets import FAMILIES
from codeact.evaluation.tasks import Task, TaskSet
from codeact.parsing import parse

Row = dict[str, Any]
SHOWN = 3
# Warned is where sanitising would mend so many of the programs.
MENDED_SHARE = 0.05
LONGEST = 160  # characters of a template's text that are shown
FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
FILTERED = "content_filter"  # why an answer ends, as endpoints say it
SELECTION = "evaluate.skip_tasks, generate_tasks, generate_limit and solve_rate"


def read_samples(
    path: Path, sets: Sequence[TaskSet], sanitized: bool, chosen: Container[str] | None = None
) -> tuple[dict[str, list[Row]], list[str]]:
    """The samples of a file by task set, with the programs to run, and what a reader of the figures has to know.

    A `solution` is a whole program, as EvalPlus writes them; a `completion` continues the task's prompt, as HumanEval's
    own files do. A blank `solution` gives way to the `completion`.

    Args:
        path: JSONL with `task_id` and `completion` or `solution`, also compressed.
        sets: the task sets that the samples may belong to.
        sanitized: take the samples as chat answers, and run the program in them.
        chosen: ids of the tasks whose samples are taken; None: of all.

    Raises:
        InputError: unreadable, empty, nothing of a chosen task, a task that is not in `sets`, or a row without text.
    """
    tasks = {task.id: (task_set.name, task) for task_set in sets for task in task_set.tasks}
    rows: dict[str, list[Row]] = {task_set.name: [] for task_set in sets}
    counts: Counter[str] = Counter()
    read = 0
    broken, mended = Counter[str](), Counter[str]()  # by why a program cannot be read
    for number, sample in enumerate(storage.read_jsonl(path), 1):
        identity = sample.get("task_id")
        if not isinstance(identity, str) or identity not in tasks:
            raise InputError(f"{path}, sample {number}: {_unknown(identity, sets)}")
        read += 1
        if chosen is not None and identity not in chosen:
            continue
        name, task = tasks[identity]
        completion, solution = (_text(sample.get(field)) for field in ("completion", "solution"))
        if completion is None and solution is None:
            fields = ", ".join(field for field in sample if field != "task_id") or "nothing else"
            raise InputError(
                f"{path}, sample {number} ({identity}): neither a text `completion` nor a text `solution`; it holds {fields}: "
                "name a whole program `solution`, a continuation of the prompt `completion`"
            )
        program = solution if solution and solution.strip() else task.prompt + (completion or "")
        if sanitized or (task.rules.always_cut and program is not solution):
            program = _program(task, completion, solution)
        elif why := _unreadable(program, task.language):
            broken[why] += 1
            mended[why] += not _unreadable(_program(task, completion, solution), task.language)
        rows[name].append(
            {"task_id": identity, "sample": counts[identity], "completion": completion, "solution": program}
        )
        counts[identity] += 1
    if read and not counts:
        raise InputError(f"{path} holds no sample of the tasks that {SELECTION} choose; choose others, or give another file")
    if not counts:
        raise InputError(
            f"{path} holds no samples; give one JSON object with task_id and completion or solution per line"
        )
    unread = [line for why in broken for line in _unread(path, why, broken[why], mended[why], counts.total())]
    left_out = [f"{path}: {read - counts.total()} of {amount(read, 'sample')} not graded, of tasks that {SELECTION} leave out"] if read > counts.total() else []
    warnings = [*left_out, *unread, *_uneven(path, counts)]
    return rows, warnings


def partial(task_set: TaskSet, done: Collection[str]) -> str:
    """What a figure of some of a task set's tasks is not; "" where all are there or none."""
    missing = [task.id for task in task_set.tasks if task.id not in done]
    if not missing or len(missing) == len(task_set.tasks):
        return ""
    count = len(task_set.tasks) - len(missing)
    return (
        f"{task_set.name}: {count} of {amount(len(task_set.tasks), 'task')} ({_some(missing)} missing); "
        "the figure is of these tasks, not the benchmark's"
    )


def not_run(task_set: TaskSet) -> str:
    """How many tasks cannot be judged on this machine, and why the first cannot; "" where all can."""
    absent = [task for task in task_set.tasks if task.not_run]
    if not absent:
        return ""
    return (
        f"{task_set.name}: not run here, and in no figure: {len(absent)} of {amount(len(task_set.tasks), 'task')} "
        f"({absent[0].id}: {absent[0].not_run}); results.json names all of them"
    )


def unsolved(task_set: TaskSet) -> str:
    """How many tasks of one's own nobody has shown that they can be passed; "" where all are."""
    own = [task for task in task_set.tasks if task.rules.wrong is not None]
    unshown = [task.id for task in own if not task.canonical_solution]
    if not unshown:
        return ""
    return (
        f"{task_set.name}: {len(unshown)} of {len(own)} tasks have no canonical_solution ({_some(unshown)}); nothing shows that a right answer "
        "passes their tests"
    )


def begun(template: str, words: str) -> str:
    """That a chat template begins every prompt with a text of its own."""
    text = " ".join(words.split())
    return f"template {template!r} begins every prompt with a text of its own: {text[:LONGEST]}{'...' if len(text) > LONGEST else ''}"


def filtered(task_set: TaskSet, rows: Sequence[Row]) -> str:
    """How many answers an endpoint's filter ended, which count as they are; "" where it ended none."""
    ended = [row["task_id"] for row in rows if row.get("finish") == FILTERED]
    if not ended:
        return ""
    return f"{task_set.name}: the endpoint's content filter ended {len(ended)} of {amount(len(rows), 'answer')} ({_some(ended)}); they count as they are"


def ended(task_set: TaskSet, rows: Sequence[Row], limit: str) -> str:
    """How many answers were cut off or are empty, which count as they are; "" where none is.

    Args:
        task_set: of the answers.
        rows: the answers.
        limit: the setting that cut them off, with its value.
    """
    cut, empty = ([row["task_id"] for row in rows if of(row)] for of in (_is_cut, _is_empty))
    if not cut and not empty:
        return ""
    told = [f"{len(cut)} of {amount(len(rows), 'answer')} ended at {limit} ({_some(cut)})"] if cut else []
    told += [f"{len(empty)} of {amount(len(rows), 'answer')} empty ({_some(empty)})"] if empty else []
    mend = "; thoughts count too, so a reasoning model may need a higher limit" if cut else ""
    return f"{task_set.name}: {' and '.join(told)}; they count as they are{mend}"


def _is_cut(row: Row) -> bool:
    return row.get("finish") == "length"


def _is_empty(row: Row) -> bool:
    return not row["completion"].strip() and row.get("finish") != FILTERED


def repeated(task_set: TaskSet, rows: Sequence[Row]) -> str:
    """That the samples of each task are one text, so that pass@k says no more than pass@1; "" where they are not, or a task has one alone."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(row["task_id"], []).append(row["solution"])
    if not texts or any(len(some) < 2 or len({*some}) > 1 for some in texts.values()):
        return ""
    return f"{task_set.name}: all samples of a task are the same text, for each of {amount(len(texts), 'task')}; pass@k says no more than pass@1"


def _program(task: Task, completion: str | None, solution: str | None) -> str:
    answer = solution if solution and solution.strip() else completion or ""
    return task.rules.program(answer, task, task.prompt)


def _text(value: object) -> str | None:
    """A text without half surrogate pairs, which JSON can hold, UTF-8 and source code cannot; None for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _unknown(identity: object, sets: Sequence[TaskSet]) -> str:
    named = ", ".join(f"{s.name} {s.version}" for s in sets)
    if not isinstance(identity, str):
        return f"task_id {identity!r} is no task of {named}; an id is a text such as {sets[0].tasks[0].id!r}"
    family = identity.partition("/")[0].lower()
    known = next((one.releases for one in FAMILIES if one.names[0] == family), ())
    if known and family not in {s.base_name for s in sets}:
        return f"task_id {identity!r} is not in {named}; name its task set, for example with --tasks {family}+"
    here = {s.version for s in sets}
    others = ", ".join(f"{family}+@{release.version}" for release in known if release.version not in here)
    mend = f"another version may have it: --tasks {others}" if others else "name its task set with --tasks"
    return f"task_id {identity!r} is not in {named}; {mend}"


def _unreadable(program: str, language: str) -> str:
    """Why a text is no program, "" where nothing is seen: only Python is parsed here; no language has a Markdown fence."""
    if language == "python":
        return "not to be parsed as Python" if parse(program) is None else ""
    return "with a Markdown fence, which no compiler reads" if FENCE.search(program) else ""


def _unread(path: Path, why: str, broken: int, mended: int, count: int) -> list[str]:
    if 2 * broken < count and mended < max(1, MENDED_SHARE * count):
        return []
    offer = f"; --sanitize, which reads chat answers, finds a program in {mended} of them" if mended else ""
    return [f"{path}: {why}: {broken} of {amount(count, 'program')}{offer}"]


def _uneven(path: Path, counts: Counter[str]) -> list[str]:
    fewest, most = min(counts.values()), max(counts.values())
    if fewest == most:
        return []
    usual = Counter(counts.values()).most_common(1)[0][0]
    odd = [f"{task} ({count})" for task, count in counts.items() if count != usual]
    return [
        f"{path}: {fewest} to {most} samples per task, {usual} of most but not of {_some(odd)}; "
        f"every task weighs the same, and pass@k is given for k up to {fewest}"
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
