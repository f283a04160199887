"""Which sandboxes this machine can have: asked of the machine, not of the code that is tested."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from codeact.sandbox import Backend

SANDBOXES = ("bubblewrap", "landlock")


def sandbox_missing(name: str) -> str:
    """Why this machine cannot have that sandbox, "" where it can: asked of the machine, not of the code that is tested."""
    if name == "bubblewrap":
        program = shutil.which("bwrap")
        if program is None:
            return "bwrap is not installed"
        started = subprocess.run(
            [program, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
        )
        return started.stderr.strip()[:200] if started.returncode else ""
    if sys.platform != "linux":
        return f"{sys.platform} has no Landlock"
    create_ruleset, want_version = 444, 1
    version = ctypes.CDLL(None).syscall(create_ruleset, None, ctypes.c_size_t(0), want_version)
    return "" if version >= 1 else "this kernel has no Landlock"


def held_sandbox(name: str) -> Backend:
    """The sandbox; the test fails where the machine can have it and it does not hold, for whatever reason."""
    from codeact.sandbox import probe_backend

    missing = sandbox_missing(name)
    if missing:
        pytest.skip(f"{name} was not tested: {missing}")
    probe = probe_backend(name)  # type: ignore[arg-type]
    if probe.backend is None:
        pytest.fail(f"{name} is installed and does not hold ({probe.state}): {probe.problem}")
    return probe.backend
