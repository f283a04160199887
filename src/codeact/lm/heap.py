"""What glibc's heap does with freed memory on a CPU while a model scores: it is kept.

Scoring frees and asks for the same sizes row after row. The heap gives its top back to the system each time, and every page of it is
zeroed anew at its next use: 8 % of the time of a row of the demo model in bfloat16. Other C libraries and devices: nothing is done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_MAPPED = 32 * 2**20  # glibc's own upper limit of what its thresholds grow to
_KEPT = 2**30


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """While the block runs, freed memory (up to 1 GiB at the heap's top) stays with the process; then it is given back.

    The process never holds more than its peak. Afterwards the thresholds are what they grow to by themselves.
    """
    library = _glibc() if device.type == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_MAPPED)
    library.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MAPPED)
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process where it is glibc, else None."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version.restype = ctypes.c_char_p
        library.malloc_trim.argtypes, library.malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
        library.mallopt.argtypes, library.mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return None
    return library
