"""Answers of other types than the expected one: right where Python's own `==` says so (EvalPlus's rule), whatever a hostile `__eq__` says."""

from __future__ import annotations

import time
from typing import Any

import pytest

from codeact.evaluation.grade import grade
from codeact.evaluation.oracle import is_right
from codeact.evaluation.sets import mbpp
from codeact.sandbox import Backend, call_function, run_check
from tests.helpers.made_tasks import made_up

IMPORTS = """
import array, collections, dataclasses, datetime, decimal, enum, fractions, itertools, string, types
import numpy as np
from collections import *
from decimal import Decimal
from fractions import Fraction
class Colour(enum.IntEnum): RED = 1
class Name(enum.StrEnum): RED = "red"
class Plain(enum.Enum): RED = 1
class Half(Fraction): pass
class Mine(UserList): pass
Point = namedtuple("Point", "x y")
@dataclasses.dataclass
class Data:
    x: int = 1
class Bag(collections.abc.Mapping):
    def __init__(self, **kept): self.kept = kept
    def __getitem__(self, key): return self.kept[key]
    def __iter__(self): return iter(self.kept)
    def __len__(self): return len(self.kept)
class Ordered(collections.abc.Set):
    def __init__(self, *kept): self.kept = kept
    def __contains__(self, key): return key in self.kept
    def __iter__(self): return iter(self.kept)
    def __len__(self): return len(self.kept)
"""
# (answer, expected): whether they are equal is for Python to say.
PAIRS = [
    ("Fraction(1, 2)", "0.5"), ("Fraction(4, 2)", "2"), ("Fraction(1, 3)", "1 / 3"), ("Fraction(-7, 8)", "-0.875"), ("Half(3, 4)", "0.75"),
    ("[Fraction(1, 2), 1]", "[0.5, 1]"), ("(Fraction(3), {Fraction(1, 4): 2})", "(3, {0.25: 2})"), ("Fraction(1, 2)", "0.50001"),
    ("Decimal('0.5')", "0.5"), ("Decimal(3)", "3"), ("Decimal('1E+3')", "1000"), ("Decimal('0.1')", "0.1"), ("Decimal('NaN')", "float('nan')"),
    ("Decimal('Infinity')", "float('inf')"), ("Decimal('-0')", "0"), ("{'a': Decimal('2.50')}", "{'a': 2.5}"), ("{Decimal(1), 2}", "{1, 2}"),
    ("UserList([1, [2]])", "[1, [2]]"), ("Mine([1])", "[1]"), ("[UserList([1])]", "[[1]]"), ("UserList([1])", "(1,)"), ("UserList()", "[]"),
    ("UserDict(a=1)", "{'a': 1}"), ("UserString('ab')", "'ab'"), ("ChainMap({1: 2}, {3: 4})", "{1: 2, 3: 4}"),
    ("types.MappingProxyType({1: 2})", "{1: 2}"), ("Bag(a=1)", "{'a': 1}"), ("Ordered(1, 2)", "{1, 2}"), ("OrderedDict(a=1)", "{'a': 1}"),
    ("Counter('aab')", "{'a': 2, 'b': 1}"), ("defaultdict(list, {1: [2]})", "{1: [2]}"), ("Point(1, 2)", "(1, 2)"), ("Point(1, 2)", "[1, 2]"),
    ("{1: 2}.keys()", "{1}"), ("{1: 2}.items()", "{(1, 2)}"), ("{1: 2}.values()", "[2]"), ("frozenset([1])", "{1}"), ("{1}", "[1]"),
    ("bytearray(b'ab')", "b'ab'"), ("memoryview(b'ab')", "b'ab'"), ("b'ab'", "'ab'"), ("complex(2, 0)", "2"), ("complex(0, 1)", "1j"),
    ("True", "1"), ("1.0", "1"), ("'1'", "1"), ("None", "0"), ("Colour.RED", "1"), ("Name.RED", "'red'"), ("Plain.RED", "1"),
    ("np.float64(0.5)", "0.5"), ("np.int64(7)", "7"), ("[np.int64(7)]", "[7]"), ("np.bool_(True)", "True"), ("np.str_('a')", "'a'"),
    ("np.array(3)", "3"), ("deque([1, 2])", "[1, 2]"), ("range(2)", "[0, 1]"), ("array.array('i', [1])", "[1]"), ("iter([1])", "[1]"),
    ("(x for x in [1])", "[1]"), ("map(int, '12')", "[1, 2]"), ("zip([1], [2])", "[(1, 2)]"), ("itertools.count()", "[0]"),
    ("reversed([1])", "[1]"), ("Data()", "1"), ("datetime.date(2020, 1, 1)", "'2020-01-01'"), ("object()", "None"), ("int", "1"), ("len", "3"),
    ("string.Template('a')", "'a'"), ("...", "None"), ("NotImplemented", "True"),
]  # fmt: skip


SCOPE: dict[str, Any] = {}
exec(IMPORTS, SCOPE)


def equal(answer: str, expected: str) -> bool:
    """What Python makes of `answer == expected` in one process; EvalPlus asks just that."""
    return bool(eval(answer, SCOPE) == eval(expected, SCOPE))


EQUAL = [pair for pair in PAIRS if equal(*pair)]


def listed(values: list[str]) -> str:
    return f"[{', '.join(values)}]"


def test_answers_are_equal_where_python_says_so(backend: Backend) -> None:
    source = f"{IMPORTS}\ndef f(x):\n    return {listed([answer for answer, _ in PAIRS])}[x]\n"
    outcomes = call_function(source, "f", [[n] for n in range(len(PAIRS))], backend=backend)
    (task,) = made_up().tasks
    right = {
        pair: outcome.status == "passed" and is_right(task, (0,), eval(pair[1]), outcome.value)
        for pair, outcome in zip(PAIRS, outcomes, strict=True)
    }
    assert right == {pair: equal(*pair) for pair in PAIRS}


def test_a_solution_that_answers_in_other_types_passes(sandbox: Backend) -> None:
    task_set = made_up(
        canonical_solution=f"    return {listed([expected for _, expected in EQUAL])}[x]\n",
        base_inputs=tuple((n,) for n in range(len(EQUAL))),
        plus_inputs=(),
    )
    source = f"{IMPORTS}\ndef f(x):\n    return {listed([answer for answer, _ in EQUAL])}[x]\n"
    (verdict,) = grade(task_set, [("Made/1", source)], backend=sandbox)
    assert (verdict.base_status, verdict.detail) == ("passed", "")


@pytest.mark.parametrize(
    "kind", ["Fraction", "Decimal", "UserList", "UserDict", "UserString", "Mapping", "Set", "deque"]
)
def test_its_own_equality_does_not_help_it(kind: str, sandbox: Backend) -> None:
    hostile = f"""{IMPORTS}
from collections.abc import Mapping, Set
class Any({kind}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = object.__hash__
    __getitem__ = __iter__ = __len__ = __contains__ = lambda self, *a: iter(())
def f(x): return Any()
"""
    (verdict,) = grade(made_up(), [("Made/1", hostile)], backend=sandbox)
    assert verdict.base_status != "passed"


@pytest.mark.parametrize(
    "answer",
    ["deque([1, 2])", "range(1, 3)", "(x for x in (2, 1))", "map(int, '12')", "{1: 0, 2: 0}.keys()", "np.array([1, 2, 2])",
     "array.array('i', [2, 1])", "UserList([1, 2])", "[Fraction(1), Decimal(2)]", "{1: 0, 2: 0}", "Ordered(1, 2)"],
)  # fmt: skip
def test_answers_compared_as_sets_may_be_of_any_type_with_items(answer: str, sandbox: Backend) -> None:
    task_set = made_up(id="Mbpp/2", rules=mbpp.RULES, canonical_solution="    return (1, 2)\n", base_inputs=((0,),), plus_inputs=())
    (verdict,) = grade(task_set, [("Mbpp/2", f"{IMPORTS}\ndef f(x): return {answer}\n")], backend=sandbox)
    assert (verdict.base_status, verdict.detail) == ("passed", "")


def test_a_set_of_colliding_members_is_refused_here_too(sandbox: Backend) -> None:
    task_set = made_up(id="Mbpp/2", rules=mbpp.RULES, canonical_solution="    return (1, 2)\n", base_inputs=((0,),), plus_inputs=())
    source = "def f(x): return [n * (2**61 - 1) for n in range(60_000)]"
    began = time.process_time()
    (verdict,) = grade(task_set, [("Mbpp/2", source)], backend=sandbox)
    assert verdict.base_status == "failed"
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("answer", "asserts"),
    [
        ("deque([1, 2])", "tuple(candidate()) == (1, 2) and len(candidate()) == 2"),
        ("(x for x in [1, 2])", "sorted(candidate()) == [1, 2] and bool(candidate())"),
        ("deque()", "not candidate()"),
        ("Fraction(1, 2)", "abs(candidate() - 0.5) < 1e-9 and str(candidate()) == '1/2'"),
        ("Decimal('3')", "str(candidate()) == '3' and candidate() + 1 == 4"),
        ("np.arange(3)", "list(candidate()) == [0, 1, 2]"),
        ("range(3)", "set(candidate()) == {0, 1, 2}"),
    ],
)
def test_a_check_program_can_use_them(answer: str, asserts: str, sandbox: Backend) -> None:
    check = f"def check(candidate):\n    assert {asserts}\n"
    outcome = run_check(f"{IMPORTS}\ndef f(): return {answer}\n", "f", check, backend=sandbox)
    assert (outcome.status, outcome.detail) == ("passed", "")
