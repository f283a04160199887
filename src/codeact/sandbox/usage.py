"""How much processor time a process group has used, and how long it has waited for a processor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds on a processor and seconds queued for one, since the start of the processes; 0.0 where /proc has none."""

    used: float
    queued: float


def group_usage(group: int) -> Usage:
    """The usage of the living processes of a process group."""
    ticks = queued_ns = 0
    try:
        processes = [entry for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 names are all it takes
    except OSError:
        return Usage(0.0, 0.0)
    for process in processes:
        folder = Path("/proc", process)
        try:
            # The name, in parentheses, may hold anything; the fields after it are state, parent, group, ...
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) != group:
                continue
            ticks += int(fields[11]) + int(fields[12])
            queued_ns += int((folder / "schedstat").read_text().split()[1])
        except (OSError, IndexError):
            continue  # it ended just now, or the kernel keeps no such figure
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), queued_ns / 1e9)
