"""What the plans are given, refused before it is used. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codeact.errors import InputError
from codeact.types import Floats, Indices, Ints


def whole_numbers(values: object, what: str) -> Ints:
    """A flat list, array or tensor of integers as int64; an empty one too.

    Raises:
        InputError: it is not flat, or holds anything but integers.
    """
    return _flat(values, what, "iu", "integers").astype(np.int64, copy=False)


def real_numbers(values: object, what: str) -> Floats:
    """A flat list, array or tensor of numbers as float64; an empty one too.

    Raises:
        InputError: it is not flat, or holds anything but numbers.
    """
    return _flat(values, what, "iuf", "numbers").astype(np.float64, copy=False)


def _flat(values: object, what: str, kinds: str, named: str) -> NDArray[np.generic]:
    """One of NumPy's `kinds`, or empty."""
    try:
        given = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{what} must be a flat list of {named}, not lists of several lengths") from error
    if given.ndim != 1 or (given.size and given.dtype.kind not in kinds):
        raise InputError(f"{what} must be a flat list of {named}, not {given.dtype} of shape {given.shape}")
    return given


def sample_numbers(row: Indices, samples: int) -> Ints:
    """The samples of a row, by their numbers from 0: int64.

    Raises:
        InputError: one of them is not there; numbers below 0 do not count from the end.
    """
    numbers = whole_numbers(row, "a row")
    wrong = numbers[(numbers < 0) | (numbers >= samples)]
    if wrong.size:
        raise InputError(f"a row names sample {int(wrong[0])}; there are {samples}, numbered from 0")
    return numbers
