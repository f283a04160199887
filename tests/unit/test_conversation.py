"""Tests of one's own say the same of a program in a process of its own as they say in one process with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import Backend
from codeact.sandbox.values import decode
from tests.helpers.made_tasks import write_tasks

pytestmark = pytest.mark.usefixtures("own_cache")

NAN, SAME = "n = float('nan')\n", "def f(x): return x"
NUMPY, MATH, COLLECTIONS = "import numpy as np\n", "import math\n", "from collections import Counter, OrderedDict, defaultdict\n"
# Program and tests; which of both pass, one process says.
PAIRS = (
    (SAME, f"{NAN}assert f([n]) == [n]"),
    (SAME, f"{NAN}assert f([n]) == [float('nan')]"),
    (SAME, f"{NAN}assert n in f([1, n]) and f((n,)) == (n,) and f({{'a': n}}) == {{'a': n}}"),
    ("def f(x): return [x[0] + 1.0]", f"{NAN}assert f([n]) == [n]"),
    ("def f(x): return [float('nan')]", f"{MATH}assert f(1) == [math.nan]"),
    (f"{MATH}def f(x): return [math.nan]", f"{MATH}assert f(1) == [math.nan]"),
    (f"{NUMPY}def f(x): return [np.nan]", f"{NUMPY}assert f(1) == [np.nan]"),
    (f"{NUMPY}def f(x): return [np.nan]", f"{MATH}assert f(1) == [math.nan]"),
    ("NONE = float('nan')\ndef f(x): return [NONE]", "assert f(1) == f(2)"),
    ("def f(x): return [float('inf'), -0.0, True, 1]", f"{MATH}a, b, c, d = f(1)\nassert a > 0 and math.copysign(1, b) < 0 and c is True and d is not True"),
    (f"{COLLECTIONS}def f(x): return Counter(x)", "assert f('ab')['z'] == 0"),
    (f"{COLLECTIONS}def f(x): return Counter(x, q=0)", f"{COLLECTIONS}assert f('ab') == Counter('ab')"),
    ("def f(x): return {**dict.fromkeys(x, 1), 'q': 0}", f"{COLLECTIONS}assert f('ab') == Counter('ab')"),
    (f"{COLLECTIONS}def f(x): return OrderedDict([(2, 1), (1, 2)])", f"{COLLECTIONS}assert f(1) == OrderedDict([(1, 2), (2, 1)])"),
    (f"{COLLECTIONS}def f(x): return OrderedDict([(2, 1), (1, 2)])", "assert f(1) == {1: 2, 2: 1}"),
    (f"{COLLECTIONS}def f(x): return defaultdict(int, a=x)", "d = f(1)\nassert d == {'a': 1} and d['z'] == 0 and dict(d) == {'a': 1, 'z': 0}"),
    (f"{COLLECTIONS}def f(x): return [defaultdict(list, {{x: [2]}})]", "assert f(1)[0][1] == [2] and f(1)[0][5] == []"),
    (f"{COLLECTIONS}def f(x): return x['b']", f"{COLLECTIONS}assert f(defaultdict(set)) == set()"),
    ("def f(x): return {'a': x}", "assert f(1).get('z') is None and 'z' in f(1)"),
    ("def f(x): return frozenset(x)", "assert isinstance(f([1]), frozenset) and f([1]) == {1} and {f([1])} == {frozenset([1])}"),
    ("def f(x): return set(x)", "assert isinstance(f([1]), frozenset)"),
    ("def f(x): return bytearray(b'a')", "assert isinstance(f(1), bytearray) and f(1) == b'a'"),
    ("def f(x): return range(x)", "assert f(3) == range(3) and len(f(3)) == 3 and f(3)[1] == 1 and list(f(2)) == [0, 1]"),
    ("def f(x): return range(x)", "assert f(3) == [0, 1, 2]"),
    ("def f(x): return (i for i in range(x))", "g = f(2)\nassert list(g) == [0, 1]\nassert list(g) == []"),
    ("def f(x): return {1: 2}.values()", "g = f(2)\nassert list(g) == [2]\nassert list(g) == [2]"),
    (SAME, "assert f(range(3)) == range(3) and f(range(0, -9, -2)) == range(0, -9, -2)"),
    ("def f(x): return NotImplemented if x else ...", "assert f(1) is NotImplemented and f(0) is ..."),
    (f"{NUMPY}def f(x): return np.float32(0.1)", "assert f(1) == 0.1"),
    (f"{NUMPY}def f(x): return np.bool_(True)", "assert f(1) is True"),
    (f"{NUMPY}def f(x): return np.array([[1, 2], [3, 4]])", f"{NUMPY}assert np.array_equal(f(1), [[1, 2], [3, 4]]) and f(1).shape == (2, 2)"),
    (f"{NUMPY}def f(x): return np.array([1.5, 2])", "assert (f(1) == [1.5, 2]).all() and f(1).dtype == 'float64'"),
    (f"{NUMPY}def f(x): return np.array([1, 2])", "assert f(1) == [1, 2]"),
    (f"{NUMPY}def f(x): return x + np.array([1, 2])", f"{NUMPY}assert np.allclose(f(np.zeros(2)), [1, 2])"),
)  # fmt: skip


def in_one_process(program: str, tests: str) -> str:
    space: dict[str, Any] = {}
    exec(program, space)
    try:
        exec(tests, space)
    except (AssertionError, ValueError):
        return "failed"
    return "passed"


def test_verdicts_are_those_of_one_process(tmp_path: Path, sandbox: Backend) -> None:
    rows = [{"task_id": f"t{number}", "prompt": "def f(x):\n", "entry_point": "f", "tests": tests} for number, (_, tests) in enumerate(PAIRS)]
    task_set = load_tasks(write_tasks(tmp_path / "mine.jsonl", *rows))
    verdicts = grade(task_set, [(f"t{number}", program) for number, (program, _) in enumerate(PAIRS)], backend=sandbox)
    expected = [in_one_process(*pair) for pair in PAIRS]
    assert {"passed", "failed"} == set(expected)
    assert [(pair, v.base_status, v.detail) for pair, v, right in zip(PAIRS, verdicts, expected, strict=True) if v.base_status != right] == []


@pytest.mark.parametrize(
    "text",
    ['{"r":[0,9]}', '{"r":[0,9,0]}', '{"r":[0,1000000000,1]}', '{"r":[0,9,"1"]}', '{"w":"exit"}', '{"k":[1]}', '{"l":["exit",[]]}', '{"l":[[],["int"]]}', '{"l":["int"]}',
     '{"h":["<f8",[2]]}', '{"h":["<f8",[-1],""]}',
     '{"f":"nancccccccccccccc"}', '{"f":"nano"', '{"s":[{"a":"00"}]}', '{"s":[{"h":["<f8",[1],""]}]}', '{"x":["map"]}'],
)  # fmt: skip
def test_what_no_program_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of any kind
        decode(text)
