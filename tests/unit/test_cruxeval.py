"""CRUXEval: what is cut out of an answer, what it is worth, and which part of it the likelihood counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeact.evaluation.grade import grade
from codeact.evaluation.sets import cruxeval
from codeact.evaluation.tasks import Task, TaskSet
from codeact.sandbox import Backend

pytestmark = pytest.mark.usefixtures("own_cache")
ROW = {"id": "sample_7", "code": "def f(a, b=1):\n    a.append(b)\n    return {'==': tuple(a)}", "input": "[2], b=3", "output": "{'==': (2, 3)}"}


def tasks() -> tuple[Task, Task]:
    return cruxeval._output_task(ROW), cruxeval._input_task(ROW)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("assert f([2], b=3) == {'==': (2, 3)}\n", "passed"),
        ("{'==': (2, 3)}", "passed"),
        ("The answer:\n[ANSWER]\nassert f([2], b=3) == {'==': (2,) + (3,)}\n[/ANSWER] since", "passed"),
        ("assert f([2], b=3) == {'==': [2, 3]}", "failed"),
        ("assert f([2], b=3) == f([2], b=3)", "failed"),
        ("assert f([2], b=3) == type('E', (), {'__eq__': lambda s, o: True})()", "failed"),
        ("assert f([2], b=3) == ", "failed"),
        ("", "failed"),
        ("I do not know", "failed"),
    ],
)
def test_an_output(answer: str, status: str, backend: Backend) -> None:
    task = tasks()[0]
    (verdict,) = grade(TaskSet("c", "1", (task,), "0"), [(task.id, task.rules.program(answer, task, task.prompt))], backend=backend)
    assert verdict.base_status == status, verdict.detail


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("assert f([2], b=3) == {'==': (2, 3)}\n", "passed"),
        ("assert f([2], 3) == {'==': (2, 3)}\n[/ANSWER]", "passed"),
        ("f(b=3, a=[1 + 1])", "passed"),
        ("assert f([2]) == {'==': (2, 3)}", "failed"),
        ("assert f(*[[2], 4]) == {'==': (2, 3)}", "failed"),
        ("assert f(setattr(f, '__code__', (lambda *a: {'==': (2, 3)}).__code__)) == 1", "failed"),
        ("assert g([2], 3) == {'==': (2, 3)}", "failed"),
        ("assert f(", "failed"),
        ("", "failed"),
    ],
)
def test_an_input(answer: str, status: str, backend: Backend) -> None:
    task = tasks()[1]
    (verdict,) = grade(TaskSet("c", "1", (task,), "0"), [(task.id, task.rules.program(answer, task, task.prompt))], backend=backend)
    assert verdict.base_status == status, verdict.detail


def test_canonical_answers_pass_and_their_likelihood_is_of_the_answer_alone(backend: Backend) -> None:
    for task in tasks():
        (verdict,) = grade(TaskSet("c", "1", (task,), "0"), [(task.id, task.canonical_program)], backend=backend)
        assert verdict.base_status == "passed"
    output, given = tasks()
    assert output.reference.endswith("[ANSWER]\nassert f([2], b=3) == {'==': (2, 3)}")
    assert (output.given, output.canonical_solution) == ("assert f([2], b=3) == ", "{'==': (2, 3)}")
    assert given.reference.endswith("assert f(??) == {'==': (2, 3)}\n[/PYTHON]\n[ANSWER]\nassert f([2], b=3")
    assert (given.given, given.canonical_solution) == ("assert f(", "[2], b=3")


def test_a_ready_completion_is_cut_too(tmp_path: Path) -> None:
    from codeact.evaluation.samples import read_samples

    task_set = TaskSet("cruxeval-o", "1", tasks()[:1], "0")
    (tmp_path / "s.jsonl").write_text(json.dumps({"task_id": "CRUXEval-O/7", "completion": "assert f([2], b=3) == 5\n[/ANSWER]"}))
    rows, _ = read_samples(tmp_path / "s.jsonl", [task_set], False)
    assert rows["cruxeval-o"][0]["solution"] == "def answer():\n    return (5)\n"
