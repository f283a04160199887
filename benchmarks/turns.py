"""Ways of doing the same work, in turns: seconds by the clock and of the processor, ratios with their spread, other load.

A turn is one pass of one way over the work of a round; every round begins with another way, so that whatever else the machine
does hits all of them. Ratios are taken within a round. Processor seconds hardly change when other programs run beside.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import PeerError

Turn = dict[str, Any]
BUSY = 0.1  # share of the machine's cores that others may take before a row is called busy


def processor_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(work: Callable[[], Any]) -> tuple[Any, Turn]:
    """The result, and what it took: `seconds` by the clock, `cpu_seconds` of this process and of the children that ended."""
    wall, cpu = time.perf_counter(), processor_seconds()
    result = work()
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": processor_seconds() - cpu}


def in_turns(
    ways: Mapping[str, Callable[[int], Turn]], rounds: int, missing: dict[str, str] | None = None
) -> dict[str, list[Turn]]:
    """Each way once a round, the first one another each time. A way takes the round's number and says what its turn took.

    Where `missing` is given, another tool that fails leaves the turns and is put there with its reason.
    """
    names = list(ways)
    found: dict[str, list[Turn]] = {name: [] for name in names}
    for number in range(rounds):
        for name in [names[(place + number) % len(names)] for place in range(len(names))]:
            try:
                found[name].append(ways[name](number))
            except PeerError as error:
                if missing is None:
                    raise
                missing[name] = str(error)
                del found[name]
        names = [name for name in names if name in found]
    return found


def ratios(turns: Mapping[str, list[Turn]], ours: str, key: str = "seconds") -> dict[str, tuple[float, float, float]]:
    """Of each other way: its seconds divided by ours in the same round: median, least, most. Above 1 ours is faster."""
    found = {}
    for name, some in turns.items():
        if name == ours or not some:
            continue
        each = [theirs[key] / mine[key] for theirs, mine in zip(some, turns[ours], strict=True)]
        found[name] = (median(each), min(each), max(each))
    return found


class Load:
    """What other programs took of the machine while the block ran: `others`, a share of all cores (Linux; else the load average)."""

    def __enter__(self) -> Load:
        self.started, self.used, self.busy = time.perf_counter(), processor_seconds(), _busy_seconds()
        self.others: float | None = None
        return self

    def __exit__(self, *_: object) -> None:
        cores = (time.perf_counter() - self.started) * (os.cpu_count() or 1)
        if self.busy is None or (now := _busy_seconds()) is None:
            self.others = min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        else:
            took = now - self.busy - (processor_seconds() - self.used)
            self.others = min(1.0, max(0.0, took / cores))  # the kernel counts in ticks, so a short block could seem overfull


def _busy_seconds() -> float | None:
    """Seconds that all cores have worked since the start of the machine."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return None
    ticks = [int(word) for word in first[:8]]  # user, nice, system, idle, iowait, irq, softirq, steal
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
