"""What the heap does with freed memory: kept while rows run, given back afterwards."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from codeact.lm.heap import freed_memory_kept

SIZE, PIECES = 2**20, 24


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def a_row() -> int:
    """Page faults of tensors that are made and freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    made = [torch.ones(SIZE, dtype=torch.uint8) for _ in range(PIECES)]
    del made
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing is done")
def test_rows_find_the_memory_of_the_row_before_which_is_given_back_at_the_end() -> None:
    pages = SIZE * PIECES // resource.getpagesize()
    with freed_memory_kept(torch.device("cpu")):
        a_row()
        # the least of several: the system gives and takes pages of its own accord, some hundreds at a time
        assert min(a_row() for _ in range(5)) <= pages // 100
        held = resident()
    assert resident() <= held - SIZE * PIECES // 2


def test_on_another_device_nothing_is_done() -> None:
    with freed_memory_kept(torch.device("meta")):
        assert a_row() >= 0
