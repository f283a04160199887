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


def joint_versions(markers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the finished stages of a run were made with.

    Args:
        markers: stage -> its completion marker.

    Returns:
        What all share, by its name; `differ`: name -> version -> stages, where they do not; `unknown`: the stages whose markers do not
        say, as those of earlier releases.
    """
    known = {stage: marker["versions"] for stage, marker in markers.items() if "versions" in marker}
    shared: dict[str, Any] = {}
    differ: dict[str, dict[str, list[str]]] = {}
    for name in dict.fromkeys(name for found in known.values() for name in found):
        stages: dict[Any, list[str]] = {}
        for stage, found in known.items():
            if name in found:
                stages.setdefault(found[name], []).append(stage)
        if len(stages) == 1:
            shared[name] = next(iter(stages))
        else:
            differ[name] = {str(version): some for version, some in stages.items()}
    return {**shared, "differ": differ, "unknown": [stage for stage in markers if stage not in known]}


def in_words(versions: Mapping[str, list[str]]) -> str:
    """One package of `differ`: `1.0 (records, curate); 1.1 (sample)`."""
    return "; ".join(f"{version} ({', '.join(stages)})" for version, stages in versions.items())


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
