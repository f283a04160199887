"""How much processor time a process group has used, and how long it has waited for a processor."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes have used since their start.

    Attributes:
        used: seconds on a processor, in whole clock ticks: a program that only waits may have none.
        queued: seconds queued for a processor.
        known: whether /proc has any of them; else both are 0.0 and say nothing.
    """

    used: float
    queued: float
    known: bool


class GroupUsage:
    """The usage of a process group, looked at again and again.

    Linux tells how long each thread was queued, and forgets it when the thread ends: what the last look saw of it is kept.
    The main thread of a runtime (Java, Go) often only waits for those that work.
    """

    def __init__(self, group: int) -> None:
        self.group = group
        self.queued_ns: dict[tuple[str, str], int] = {}

    def look(self) -> Usage:
        """The usage until now: of living processes and of the children that they have waited for."""
        ticks, known = 0, False
        try:
            processes = [entry for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 names are all it takes
        except OSError:
            return Usage(0.0, 0.0, known=False)
        for process in processes:
            folder = Path("/proc", process)
            try:
                # The name, in parentheses, may hold anything; the fields after it are state, parent, group, ...
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[2]) != self.group:
                    continue
                ticks += sum(map(int, fields[11:15]))  # utime, stime, and those of children
                known = True
                threads = os.listdir(folder / "task")  # noqa: PTH208
            except (OSError, IndexError):
                continue  # it ended just now
            for thread in threads:
                with suppress(OSError, IndexError):  # it ended just now, or the kernel keeps no such figure
                    self.queued_ns[process, thread] = int((folder / "task" / thread / "schedstat").read_text().split()[1])
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), sum(self.queued_ns.values()) / 1e9, known)

    def threads(self) -> int:
        """How many threads the group's first process and what it has started have now; 0 where /proc does not say.

        Made to be quick in the middle of a bomb: the number alone is read, and children of processes with one thread.
        """
        found, pending = 0, [str(self.group)]
        while pending:
            folder = Path("/proc", pending.pop(), "task")
            with suppress(OSError, ValueError):  # it ended just now
                threads = folder.stat().st_nlink - 2
                found += threads
                if threads == 1:
                    pending += (folder / folder.parent.name / "children").read_text().split()
        return found
