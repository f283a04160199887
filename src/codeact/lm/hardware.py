"""What graphics cards can do by their makers' data sheets, and what this machine has and can do, measured in a second."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codeact.errors import InputError, did_you_mean

THIS_MACHINE = "this-machine"
GB = 1e9
# Share of the peak that training and scoring are taken to reach: an assumption for these cards. Measured only on a CPU, where packed bf16
# scoring reaches 45 % of the matrix products alone (docs/scoring.md).
UTILISATION = 0.45


@dataclass(frozen=True, slots=True)
class Card:
    """One device.

    Attributes:
        name: for people.
        flops: peak of dense matrix products, FLOP/s: 16-bit with 32-bit accumulation, without sparsity.
        memory: bytes.
        bandwidth: of its memory, bytes/s.
        measured: by `this_machine`; else from the data sheet.
    """

    name: str
    flops: float
    memory: float
    bandwidth: float
    measured: bool = False


CARDS: Mapping[str, Card] = {
    "t4": Card("T4", 65e12, 16 * GB, 320e9),
    "l4": Card("L4", 121e12, 24 * GB, 300e9),
    "4090": Card("RTX 4090", 165.2e12, 24 * GB, 1_008e9),
    "a100": Card("A100 80GB", 312e12, 80 * GB, 2_039e9),
    "h100": Card("H100 80GB", 989.4e12, 80 * GB, 3_350e9),
}
"""Sources, all NVIDIA: "Tesla T4" data sheet (2019); "L4 Tensor Core GPU" data sheet (242 TFLOPS with sparsity, half of it dense); "Ada GPU
Architecture" white paper 2.02, appendix A (RTX 4090: BF16 with FP32 accumulation); "A100 80GB" data sheet, SXM; "H100 Tensor Core GPU" data
sheet, SXM5 (1,979 TFLOPS with sparsity, half of it dense)."""


def find_card(name: str) -> Card:
    """The card of a name, in any case; `this-machine` is measured.

    Raises:
        InputError: no such card.
    """
    key = name.lower()
    if key == THIS_MACHINE:
        return this_machine()
    if key not in CARDS:
        names = [*CARDS, THIS_MACHINE]
        raise InputError(f"gpu {name!r}: unknown{did_you_mean(key, names) or '; one of ' + ', '.join(names)}")
    return CARDS[key]


def this_machine(seconds: float = 0.5) -> Card:
    """Measure the device that `auto` chooses, in its dtype: matrix products for half a second, then copies of memory for as long."""
    import torch

    from codeact.lm.devices import choose_device, choose_dtype

    device = choose_device()
    dtype = choose_dtype("auto", device)

    def settled() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    size = 8192 if device.type == "cuda" else 1024
    left = torch.ones(size, size, dtype=dtype, device=device)
    right = torch.ones_like(left)
    best = 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:  # the fastest, since a machine that is busy otherwise is only ever slower
        started = settled()
        left @ right
        best = max(best, 2.0 * size**3 / (settled() - started))
    source = torch.ones(64 << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    moved = 0.0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = settled()
        target.copy_(source)
        moved = max(moved, 2.0 * source.numel() / (settled() - started))
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Card(properties.name, best, float(properties.total_memory), moved, measured=True)
    return Card(f"this machine ({device.type}, {str(dtype).removeprefix('torch.')})", best, main_memory(), moved, measured=True)


def processors() -> int:
    """Processors that this process may use: what affinity and a container's quota leave of the machine's."""
    import joblib

    return int(joblib.cpu_count())


def main_memory() -> float:
    """Bytes of main memory, or what the container allows of it."""
    whole = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            whole = min(whole, float(text))
    return whole
