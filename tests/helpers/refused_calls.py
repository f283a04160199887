"""System calls that the kernel refuses to one thread, as a file system does that keeps no locks, or takes nothing."""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# by the machine, from the kernel's unistd.h; what Python's flock() and os.unlink() ask for
CALLS = {"flock": {"x86_64": 73, "aarch64": 32}, "unlink": {"x86_64": 87, "aarch64": 35}}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # of prctl


def refusing(name: str, error: int, call: Callable[[], T]) -> T:
    """Call something, in a thread of its own, where every system call of this name fails with an error (`errno`)."""

    def work() -> T:
        _refuse(CALLS[name][platform.machine()], error)
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def _refuse(call: int, number: int) -> None:
    """From now on the kernel answers this call of this thread with the error: load its number, and compare."""
    program = struct.pack("HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, call, 0x06, 0, 0, 0x50000 | number, 0x06, 0, 0, 0x7FFF0000)
    text = ctypes.create_string_buffer(program)

    class Filter(ctypes.Structure):
        """sock_fprog: how many instructions, and where they are."""

        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    whole = Filter(len(program) // 8, ctypes.addressof(text))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, ctypes.byref(whole), 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")
