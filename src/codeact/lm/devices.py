"""Where a model runs and in which dtype: `auto` made definite, before anything is loaded."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from codeact.config.kinds import Dtype
from codeact.errors import InputError

if TYPE_CHECKING:
    import torch


log = logging.getLogger(__name__)
IN_HARDWARE = {"bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}), "float16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})}
"""What Linux says of processors that multiply a dtype: x86 and ARM."""


def choose_device(name: str = "auto") -> torch.device:
    """`auto`: CUDA, else Apple's MPS, else CPU.

    Raises:
        InputError: the device named is not there.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device {name!r} is not a device; use auto, cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices that PyTorch can use"
        )
    return device


def own_device(device: torch.device) -> torch.device:
    """Under torchrun and accelerate launch: the GPU of this process becomes the current one, which "cuda" means from here on."""
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        import torch

        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 on CUDA devices that have it (else float16), on CPUs that multiply it in hardware bfloat16, else float32.

    A dtype that is named is taken; where the processor has no units for it, a line says so once.

    Raises:
        InputError: `name` is none of those that `model.dtype` takes.
    """
    import torch

    if name not in get_args(Dtype):
        raise InputError(f"dtype is {name!r}; it is one of {', '.join(get_args(Dtype))}")
    if name != "auto":
        if device.type == "cpu":
            _warn_if_slow(name)
        named: torch.dtype = getattr(torch, name)
        return named
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_prefers_bfloat16() else torch.float32


@cache
def _warn_if_slow(name: str) -> None:
    if name in IN_HARDWARE and cpu_flags() and cpu_flags().isdisjoint(IN_HARDWARE[name]):
        log.warning("model.dtype=%s: this processor has no units for it, so it is slower than float32, often by far; auto takes what is fast", name)


def cpu_prefers_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX), as Linux says; without, it is slower by 2 to 300 times.

    Not a timing: the dtype is part of the fingerprint of scores, which must not change because the machine is busy.
    """
    return not cpu_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


@cache
def cpu_flags() -> frozenset[str]:
    """What the processor can do, in Linux's words; empty elsewhere."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()
