"""Buggy twins of MBPP's solutions, one for each task: small mutations of the published program that fail the task's own tests.

    python -m experiments.mbpp_twins

Of each solution up to PER_OPERATOR mutations of each operator (`experiments.mutations`) run against the base tests in the sandbox. Those count that
answer, and answer wrongly: a mutation that raises shows itself, and one that does not end in time may only be slow. Of them the operator is taken
that has the fewest twins so far, then the task's id decides, so that every run writes the same table where no program is too slow for its time.

Data: $CODEACT_DATA. Result: src/codeact/evaluation/sets/mbpp_twins.jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codeact.evaluation.grade import Verdict, grade
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.sets.mbpp import RELEASES
from codeact.evaluation.sets.mbpp_twins import TABLE, digest
from codeact.evaluation.tasks import Task, TaskSet
from codeact.files import write_bytes
from codeact.progress import track
from codeact.sandbox import Backend, detect_backend
from experiments.mutations import Mutation, mutations

PER_OPERATOR = 3
WRONG_ANSWER = re.compile(r"input \d+ of \d+: expected .*, got ", re.DOTALL)
Key = tuple[str, str]  # task, digest of its solution


def wrong(verdict: Verdict) -> bool:
    """Whether a program ended with a wrong answer."""
    return verdict.base_status == "failed" and WRONG_ANSWER.match(verdict.detail) is not None


def drawn(task_id: str, solution: str) -> list[Mutation]:
    """Up to PER_OPERATOR mutations of each operator, by the task's id."""
    found: dict[str, list[Mutation]] = {}
    for one in sorted(mutations(solution), key=lambda one: order(task_id, one)):
        found.setdefault(one.operator, []).append(one)
    return [one for some in found.values() for one in some[:PER_OPERATOR]]


def order(task_id: str, mutation: Mutation) -> bytes:
    """A place among the mutations of a task that nothing but its id decides."""
    return hashlib.sha256(f"{task_id} {mutation}".encode()).digest()


def verified(sets: Sequence[TaskSet], backend: Backend) -> dict[Key, set[Mutation]]:
    """Mutations of every solution that passes which are wrong by the tests of each release that has it.

    A task that two releases have with the same tests runs once.
    """
    found: dict[Key, set[Mutation]] = {}
    seen: dict[str, Task] = {}
    for whole in sets:
        task_set = replace(whole, tasks=tuple(task for task in whole.tasks if seen.get(task.id) != task))
        seen |= {task.id: task for task in task_set.tasks}
        right = grade(task_set, [(task.id, task.reference) for task in task_set.tasks], backend=backend)
        tasks = [task for task, verdict in zip(task_set.tasks, right, strict=True) if verdict.base_status == "passed"]
        asked = [(task, one) for task in tasks for one in drawn(task.id, task.canonical_solution)]
        samples = [(task.id, task.prompt + one.apply(task.canonical_solution)) for task, one in asked]
        with track(f"run {whole.name} {whole.version}", len(samples), "programs") as progress:
            verdicts = grade(task_set, samples, backend=backend, progress=progress)
        here: dict[Key, set[Mutation]] = {(task.id, digest(task.canonical_solution)): set() for task in tasks}
        for (task, one), verdict in zip(asked, verdicts, strict=True):
            if wrong(verdict):
                here[task.id, digest(task.canonical_solution)].add(one)
        found |= {key: some & found.get(key, some) for key, some in here.items()}
    return found


def chosen(found: Mapping[Key, Collection[Mutation]]) -> dict[Key, Mutation]:
    """One mutation for each solution that has any; those with the least choice of operators come first."""
    taken: dict[Key, Mutation] = {}
    used: Counter[str] = Counter()
    for key in sorted((key for key in found if found[key]), key=lambda key: (len({one.operator for one in found[key]}), key)):
        taken[key] = min(found[key], key=lambda one: (used[one.operator], order(key[0], one)))
        used[taken[key].operator] += 1
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    sets = [load_tasks(f"mbpp@{release.version}") for release in RELEASES]
    found = verified(sets, detect_backend())
    table = chosen(found)
    rows = sorted(((*key, one.operator, one.start, one.end, one.pieces) for key, one in table.items()), key=lambda row: (int(row[0][5:]), row[1]))
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    write_bytes(options.out, ("\n".join(lines) + "\n").encode("utf-8"))
    print("twins", dict(Counter(one.operator for one in table.values()).most_common()))
    print("mutations that are wrong", sum(len(some) for some in found.values()))
    for task_set in sets:
        have = sum((task.id, digest(task.canonical_solution)) in table for task in task_set.tasks)
        print(f"{task_set.version}: {have} of {len(task_set.tasks)} tasks have a twin")


if __name__ == "__main__":
    main()
