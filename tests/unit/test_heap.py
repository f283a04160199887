"""What the heap does with freed memory: kept while rows run, given back afterwards and while a model learns."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch

from codeact.lm.heap import freed_memory_kept, give_back_while_learning
from tests.helpers.packing_models import build

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing is done")
CPU, SIZE, PIECES = torch.device("cpu"), 2**20, 24


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def a_row() -> int:
    """Page faults of tensors that are made and freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del_me = [torch.ones(SIZE, dtype=torch.uint8) for _ in range(PIECES)]
    del del_me
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_rows_find_the_memory_of_the_row_before_which_is_given_back_at_the_end() -> None:
    with freed_memory_kept(CPU):
        first = a_row()
        assert a_row() <= first // 4 + 8
        held = resident()
    assert resident() <= held - SIZE * PIECES // 2


def test_free_memory_goes_back_before_each_pass_and_between_layers_until_the_hooks_are_taken_off() -> None:
    model = build("llama")
    hooks = give_back_while_learning(model, CPU)
    assert len(hooks) == 1 + model.config.num_hidden_layers
    ids = torch.arange(1, 9).view(1, -1)
    with freed_memory_kept(CPU):
        a_row()
        held = resident()
        model(input_ids=ids)
        assert resident() <= held - SIZE * PIECES // 2
        for remove in hooks:
            remove()
        a_row()
        held = resident()
        model(input_ids=ids)
        assert resident() > held - SIZE * PIECES // 2
    assert give_back_while_learning(model, torch.device("meta")) == []
