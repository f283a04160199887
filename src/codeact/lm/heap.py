"""What glibc's heap does with freed memory on a CPU: kept while a model scores, given back while it learns.

Scoring frees and asks for the same sizes row after row. The heap gives its top back to the system each time, and every page of it is
zeroed anew at its next use: 8 % of the time of a row of the demo model in bfloat16. While rows run the heap keeps what is freed.

In training the activations of a layer are freed as the gradients of its weights are made, at other sizes, so that the heap would hold
both; whole free pages are given back between layers and before each pass. Other C libraries and devices: nothing is done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from codeact.types import Model

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


def give_back_while_learning(model: Model, device: torch.device) -> list[Callable[[], None]]:
    """Give free pages back before each forward pass, and whenever the gradient of a layer's first trained weight is made.

    Returns:
        What takes the hooks off again; empty where nothing was done.
    """
    library = _glibc() if device.type == "cpu" else None
    layers = getattr(model.get_decoder(), "layers", None)
    if library is None or not layers:
        return []

    def trim(*_: object) -> None:
        library.malloc_trim(0)

    firsts = [next((p for p in layer.parameters() if p.requires_grad), None) for layer in layers]
    hooks = [p.register_post_accumulate_grad_hook(trim).remove for p in firsts if p is not None]
    return [model.get_decoder().register_forward_pre_hook(trim).remove, *hooks]


@cache
def _glibc() -> Any:
    """The C library of this process where it is glibc, else None."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - AttributeError says that it is another
        library.malloc_trim.argtypes, library.malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
        library.mallopt.argtypes, library.mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return None
    return library
