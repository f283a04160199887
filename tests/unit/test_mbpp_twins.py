"""Buggy twins of MBPP: the shipped table against the tasks that it is for, and the mutations that it is made of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.sets.mbpp import RELEASES
from codeact.evaluation.sets.mbpp_twins import digest, table, twin
from codeact.evaluation.tasks import TaskSet
from codeact.sandbox import Backend
from experiments.mutations import mutations
from tests.helpers.shared_data import DATA

needs_data = pytest.mark.skipif(not (DATA / "MbppPlus-v0.2.0.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with the EvalPlus files")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@needs_data
def test_every_edit_is_of_a_task_and_makes_another_program() -> None:
    used = set()
    for release in RELEASES:
        tasks = load_tasks(f"mbpp@{release.version}", DATA).tasks
        twinned = [task for task in tasks if task.buggy_solution]
        assert len(twinned) >= 0.9 * len(tasks)
        for task in twinned:
            key = (task.id, digest(task.canonical_solution))
            _, start, end, _ = table()[key]
            right, buggy = task.canonical_solution, task.buggy_solution
            assert (right[:start], right[end:]) == (buggy[:start], buggy[len(buggy) - len(right) + end :])
            assert ast.dump(ast.parse(buggy)) != ast.dump(ast.parse(right))
            used.add(key)
    assert used == table().keys()
    assert all(len(one) <= 28 for _, _, _, pieces in table().values() for one in pieces if isinstance(one, str))  # words of ours, no text of the set


@needs_data
def test_twins_fail_the_tests_that_the_solutions_pass(sandbox: Backend) -> None:
    whole = load_tasks("mbpp", DATA)
    tasks = [task for task in whole.tasks if task.buggy_solution][::90]
    some = TaskSet(whole.name, whole.version, tuple(tasks), whole.digest)
    programs = [(task.id, task.prompt + text) for task in tasks for text in (task.canonical_solution, task.buggy_solution)]
    passed = [verdict.base_status == "passed" for verdict in grade(some, programs, backend=sandbox)]
    assert passed == [True, False] * len(tasks)


@needs_data
def test_a_solution_of_another_text_has_no_twin() -> None:
    task = next(task for task in load_tasks("mbpp", DATA).tasks if task.buggy_solution)
    assert twin(task.id, task.canonical_solution) == task.buggy_solution
    assert twin(task.id, task.canonical_solution + "\n") == ""
    assert twin("Mbpp/0", task.canonical_solution) == ""


@pytest.mark.parametrize(
    ("operator", "source", "twins"),
    [
        ("comparison", "def f(a):\n\treturn (a) < 1  # é <\n", ["(a) <= 1  # é <", "(a) > 1  # é <"]),
        ("comparison", "def f(a, b):\n  return a  not  in b\n", ["a  in b"]),
        ("arithmetic", "def f(a):\n  s = 'é+';a  +=2\n  return a\n", ["a  -=2"]),
        ("arithmetic", "def f(a):\n  return (a*\n    (2))\n", ["(a+\n", "(a/\n"]),
        ("connective", "def f(a, b):\n  return a  and b\n", ["a  or b"]),
        ("constant", "def f(a):\n  return a(9)\n", ["a(8)"]),
        ("index", "def f(a):\n  return a[-1:]\n", ["a[-2:]"]),
        ("boolean", "def f():\n  return True\n", ["return False"]),
        ("negation", "def f(a, b):\n  return a if not b else b\n", ["a if b else b"]),
        ("negation", "def f(a):\n  while a: pass\n", ["while not a: pass"]),
        ("name", "def f(aa, b):\n  c = 1\n  return  b\n", ["  return  c", "  return  aa"]),
        ("order", "def f(a):\n  return a(1,  2)\n", ["a(2,  1)"]),
        ("order", "def f(a):\n  return a -2\n", ["2 -a"]),
        ("function", "def f(a):\n  return a.upper()\n", ["a.lower()"]),
        ("loop", "def f(a):\n  for b in a: break\n", ["b in a: continue"]),
    ],
)
def test_a_mutation_changes_one_place_and_leaves_the_rest(operator: str, source: str, twins: list[str]) -> None:
    found = [one for one in mutations(source) if one.operator == operator]
    assert len(found) == len(twins)
    for one, told in zip(found, twins, strict=True):
        text = one.apply(source)
        assert (told in text, told in source) == (True, False)
        assert (text[: one.start], text[len(text) - len(source) + one.end :]) == (source[: one.start], source[one.end :])


def test_what_has_no_mutation_gets_none() -> None:
    assert mutations("def f(a):\n  return a\n") == []
    assert [one.operator for one in mutations("def f(a):\n  return a[-1]\n")] == ["index"]  # -1 becomes -2, not -0
    assert [one.pieces for one in mutations("def f(a):\n  a += 1\n") if one.operator == "constant"] == [("2",)]  # not += 0
