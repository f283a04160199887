"""What the canonical solutions answer: computed once in the sandbox, kept as tagged JSON in the user's cache."""

from __future__ import annotations

import gzip
import json
import platform
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.errors import CodeactError
from codeact.evaluation.tasks import Arguments, Task, TaskSet
from codeact.files import cache_dir, write_bytes
from codeact.progress import track
from codeact.sandbox import Backend, Calls, Limits, Stop, call_function
from codeact.sandbox.values import encode

# One canonical call takes seconds on some inputs of MBPP+ (Mbpp/599), a whole task about a minute.
CANONICAL_LIMITS = Limits(cpu_seconds=600.0, wall_seconds=3600.0)
DIGEST_MARK = "#"
FORMAT = 3


@dataclass(frozen=True, slots=True)
class Truth:
    """The canonical solution's answers to the base inputs and then the plus inputs of one task.

    Attributes:
        answers: tagged JSON, or "#" and the `fingerprint` of an answer too large to keep.
        seconds: processor time that each call took on this machine.
    """

    answers: tuple[str, ...]
    seconds: tuple[float, ...]


def told_truth(task: Task) -> Truth:
    """The answers that the task itself gives; how long the canonical solution takes is not known."""
    return Truth(tuple(map(encode, task.outputs)), (0.0,) * len(task.outputs))


def inputs_of(task: Task) -> tuple[Arguments, ...]:
    """The base inputs, then the plus inputs."""
    return task.base_inputs + task.plus_inputs


def ground_truth(
    task_set: TaskSet, tasks: Iterable[Task], *, backend: Backend, workers: int
) -> dict[str, Truth]:
    """Task id -> truth for `tasks` of `task_set`, from the cache where it is there.

    Raises:
        CodeactError: a canonical solution did not answer one of its own inputs.
    """
    wanted = {task.id: task for task in tasks}
    file = _cache_file(task_set)
    known = _read_cache(file)
    missing = [
        task for task in wanted.values() if task.id not in known or len(known[task.id].answers) != len(inputs_of(task))
    ]
    if missing:
        with (
            track(f"ground truth {task_set.name}", len(missing), "tasks") as progress,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                running = {pool.submit(_compute, task, backend): task for task in missing}
                for future in as_completed(running):
                    known[running[future].id] = future.result()
                    progress.advance()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                _write_cache(file, known)
    return {identity: known[identity] for identity in wanted}


def expected_value(task: Task, index: int, backend: Backend) -> object:
    """The canonical answer to one input, computed anew: for answers that are too large to keep.

    Raises:
        CodeactError: the canonical solution did not answer it.
    """
    arguments = [inputs_of(task)[index]]
    (outcome,) = call_function(task.reference, task.entry_point, arguments, limits=CANONICAL_LIMITS, backend=backend)
    if outcome.status != "passed":
        raise _no_answer(task, index, outcome.status, outcome.detail)
    return outcome.value


def _compute(task: Task, backend: Backend) -> Truth:
    inputs = inputs_of(task)
    answers: list[str] = []
    calls = Calls(task.reference, task.entry_point, inputs, limits=CANONICAL_LIMITS, backend=backend, timed=True)
    with calls:
        loaded = calls.load(CANONICAL_LIMITS.cpu_seconds)
        if loaded.status != "passed":
            raise _no_answer(task, 0, loaded.status, loaded.detail)
        for index in range(len(inputs)):
            answer = calls.answer(CANONICAL_LIMITS.cpu_seconds)
            if answer.status != "passed":
                raise _no_answer(task, index, answer.status, answer.detail)
            if answer.digest:
                calls.skip_text()
            answers.append(DIGEST_MARK + answer.digest if answer.digest else answer.text.decode("ascii"))
        try:
            seconds = calls.seconds()
        except Stop as stop:
            raise _no_answer(task, len(inputs) - 1, stop.status, stop.detail) from stop
    return Truth(tuple(answers), tuple(round(second, 6) for second in seconds))


def _no_answer(task: Task, index: int, status: str, detail: str) -> CodeactError:
    return CodeactError(
        f"the canonical solution of {task.id} gave no answer to its input {index + 1} ({status}: {detail}); "
        "the sandbox's limits are too tight for this machine, or its Python is too old for the task"
    )


def _cache_file(task_set: TaskSet) -> Path:
    python = f"{platform.python_implementation().lower()}{platform.python_version()}"
    return cache_dir() / f"truth-{FORMAT}-{task_set.name}-{task_set.digest[:16]}-{python}.json.gz"


def _read_cache(file: Path) -> dict[str, Truth]:
    """What the file holds; a file that cannot be read counts as empty, since it is computed and written anew."""
    try:
        stored = json.loads(gzip.decompress(file.read_bytes()))
        return {identity: Truth(_strings(answers), _floats(seconds)) for identity, (answers, seconds) in stored.items()}
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError):
        return {}


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("an answer is not text")
    return tuple(values)


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _write_cache(file: Path, truths: dict[str, Truth]) -> None:
    stored = {identity: [list(truth.answers), list(truth.seconds)] for identity, truth in sorted(truths.items())}
    data = gzip.compress(json.dumps(stored, separators=(",", ":")).encode("ascii"), compresslevel=1, mtime=0)
    write_bytes(file, data)
