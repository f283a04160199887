"""When an answer counts as right: equality, floating-point tolerance, and the special oracles of single tasks.

The rules are those of EvalPlus 0.3.1 (https://github.com/evalplus/evalplus/blob/v0.3.1/evalplus/eval/__init__.py), with
two corrections: HumanEval/32, which that version always fails, is judged by the value of the polynomial at the answer;
and a tolerance that one floating-point answer turned on does not stay on for later answers of another type.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from codeact.evaluation.tasks import Task
from codeact.sandbox.values import check_hashes

# Relative tolerance and the absolute one used where the task names none (numpy.testing.assert_allclose; EvalPlus).
RELATIVE, ABSOLUTE = 1e-7, 1e-6
# The published answers' order means nothing.
AS_SETS = frozenset(f"Mbpp/{number}" for number in (2, 7, 111, 140, 232, 249, 579, 769))
# The published answers are match objects: only whether there is one counts.
NOT_NONE = frozenset(f"Mbpp/{number}" for number in (737, 787, 794))
ANY_ANSWER = "Mbpp/164"


def is_right(task: Task, arguments: Sequence[Any], expected: Any, answer: Any) -> bool:
    """Whether `answer` is right for `arguments`.

    Args:
        arguments: the call's arguments, as they were before it.
        expected: what the canonical solution returned; both values are made of built-in types, fractions and decimals (or `Opaque`).
        answer: what the solution under test returned.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(_is_right(task, arguments, expected, answer))
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        # Values that cannot be compared are not equal.
        return False


def _is_right(task: Task, arguments: Sequence[Any], expected: Any, answer: Any) -> bool:
    if task.id == "HumanEval/32":
        return abs(_polynomial(arguments[0], answer)) <= task.atol
    if task.id in AS_SETS:
        return set(check_hashes(list(answer))) == set(expected)
    if task.id in NOT_NONE:
        found = expected is not None
        return answer == found if isinstance(answer, bool) else found == (answer is not None)
    if task.id == ANY_ANSWER or answer == expected:
        return True
    if task.id == "Mbpp/295" and answer == 0:
        return True
    if task.id == "Mbpp/558" and answer == _digit_distance(*arguments):
        return True
    if task.id == "Mbpp/581" and abs(answer - _pyramid_surface(*arguments)) <= task.atol:
        return True
    tolerance = task.atol or (ABSOLUTE if _is_floats(expected) else 0.0)
    if tolerance == 0 or type(answer) is not type(expected):
        return False
    if isinstance(expected, list | tuple) and len(answer) != len(expected):
        return False
    return bool(np.allclose(answer, expected, rtol=RELATIVE, atol=tolerance))


def _is_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def _pyramid_surface(base_edge: float, height: float) -> int:
    """Surface of a square pyramid, `height` taken as the distance from the base to the apex."""
    slant = math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 2 * base_edge * slant)


def _digit_distance(first: int, second: int) -> int:
    """Sum of the differences of digits in the same place, the shorter number padded with zeros on the left."""
    width = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)
