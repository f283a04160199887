"""When an answer counts as right: equality and floating-point tolerance; single tasks have rules of their own.

The rules are those of EvalPlus 0.3.1 (https://github.com/evalplus/evalplus/blob/v0.3.1/evalplus/eval/__init__.py), with
two corrections: HumanEval/32 (`codeact.evaluation.sets.humaneval`); and a tolerance that one floating-point answer turned
on does not stay on for later answers of another type.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from codeact.evaluation.tasks import Task

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Relative tolerance and the absolute one used where the task names none (numpy.testing.assert_allclose; EvalPlus).
RELATIVE, ABSOLUTE = 1e-7, 1e-6


def is_right(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool:
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


def _is_right(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool:
    special = task.rules.special(task, arguments, expected, answer)
    if special is not None:
        return special
    return agrees(expected, answer, task.atol)


def agrees(expected: object, answer: object, atol: float = 0.0) -> bool:
    """The general rule: equality, and tolerance where the expected value is floating-point or `atol` is given.

    Raises:
        TypeError, ValueError, ArithmeticError, RecursionError: values that cannot be compared.
    """
    if answer == expected:
        return True
    tolerance = atol or (ABSOLUTE if _is_floats(expected) else 0.0)
    if tolerance == 0 or type(answer) is not type(expected):
        return False
    if isinstance(expected, list | tuple) and isinstance(answer, list | tuple) and len(answer) != len(expected):
        return False
    return bool(np.allclose(cast("ArrayLike", answer), cast("ArrayLike", expected), rtol=RELATIVE, atol=tolerance))


def fits_example(expected: object, answer: object) -> bool:
    """The rule of `examples`: `agrees`, but without numpy's broadcasting, by which [[0.5]] would be [0.5].

    Raises:
        TypeError, ValueError, ArithmeticError, RecursionError: values that cannot be compared.
    """
    if _is_floats(expected) and isinstance(answer, list) and any(isinstance(item, list) for item in answer):
        return False
    return agrees(expected, answer)


def same_truths(expected: object, answer: object) -> bool:
    """Whether JSON's true and false stand where they are expected, and nowhere else: Python takes True for 1."""
    if isinstance(expected, list) and isinstance(answer, list):
        return all(map(same_truths, expected, answer))
    if isinstance(expected, dict) and isinstance(answer, dict):
        return all(same_truths(value, answer[key]) for key, value in expected.items() if key in answer)
    return isinstance(expected, bool) == isinstance(answer, bool)


def _is_floats(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(isinstance(item, float) for item in value)
    return isinstance(value, float)
