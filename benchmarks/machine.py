"""What every result file says about where it was made: command, date, machine, versions."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("codeact", "torch", "transformers", "accelerate", "peft", "trl", "numpy", "scikit-learn", "evalplus")


def provenance() -> dict[str, Any]:
    """`command` (as typed, folders of the arguments left out), `date` (UTC), `machine`, `versions`."""
    words = ["python", *_script(), *(_bare(word) for word in sys.argv[1:])]
    return {
        "command": shlex.join(words),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "gpu": gpu(),
            "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := installed(name))},
        },
    }


def processor() -> str:
    """The processor's name with the vector units that decide its speed."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in found.items()}
    flags = set(fields.get("flags", "").split())
    units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(units) or platform.machine()})"


def gpu() -> str | None:
    """Name of the first CUDA device, or None."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def installed(package: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _script() -> list[str]:
    """As `python` was told: `-m` and the module's name, or the file's."""
    spec = sys.modules["__main__"].__spec__
    return ["-m", spec.name] if spec else [Path(sys.argv[0]).name]


def _bare(word: str) -> str:
    path = Path(word)
    return path.name if "/" in word and (path.is_absolute() or path.exists()) else word
