"""The versions that figures are made with."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from codeact import __version__


def versions(device: str | None = None) -> dict[str, Any]:
    """The versions of everything that matters to the figures, and the machine."""
    return {**packages(), "platform": platform.platform(), "cpu": _cpu_name(), "cores": os.cpu_count(), "device": device}


@cache
def packages() -> Mapping[str, str | None]:
    """The version of codeact, of Python and of every package that computes; None: it is not installed."""
    found: dict[str, str | None] = {"codeact": __version__, "python": platform.python_version()}
    for package in (
        "torch",
        "transformers",
        "accelerate",
        "peft",
        "sentence-transformers",
        "scikit-learn",
        "numpy",
        "pyarrow",
    ):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
