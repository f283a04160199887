"""How much processor time a process group has used."""

from __future__ import annotations

import os
from pathlib import Path


def group_seconds(group: int) -> float:
    """Processor time of the living processes of a group, in seconds; 0.0 where the system does not tell (no /proc)."""
    ticks = 0
    try:
        processes = [entry for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 names are all it takes
    except OSError:
        return 0.0
    for process in processes:
        try:
            # The name, in parentheses, may hold anything; the fields after it are state, parent, group, ...
            fields = Path("/proc", process, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
